"""What a classifier says while an ECG is exchanged for another, the most important pieces first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ecgkit.evaluation.checks import ratio
from ecgkit.explain.results import classify
from ecgkit.explain.scoring.maps import Array

#: Where the whole exchange changes the logit by less, its course is that of noise.
LEAST_CHANGE = 0.1


@dataclass(frozen=True)
class ExchangeCurve:
    """Course of a logit while one ECG becomes another.

    Parameters
    ----------
    share : ndarray, shape (n, n_steps + 1)
        How much was exchanged, 0 to 1.
    logits : ndarray, shape (n, n_steps + 1)
        The label's logit f.
    """

    share: Array
    logits: Array

    @property
    def progress(self) -> Array:
        """(f - f_first) / (f_last - f_first), `(n, n_steps + 1)`: 0 at first and 1 at last.

        nan for ECGs whose whole exchange changes the logit by less than `LEAST_CHANGE`.
        """
        change = self.logits - self.logits[:, :1]
        whole = np.broadcast_to(change[:, -1:], change.shape)
        return ratio(change, whole, np.abs(whole) >= LEAST_CHANGE)

    @property
    def area(self) -> Array:
        """Integral of the progress over the share, `(n,)`: the higher, the earlier did the classifier turn.

        Of a linear classifier, 1/2 is expected in random order. Where a classifier goes beyond the end meanwhile, it
        may leave 0 to 1.
        """
        middle = (self.progress[:, 1:] + self.progress[:, :-1]) / 2
        return (middle * np.diff(self.share, axis=1)).sum(axis=1)


def exchange(classifier: nn.Module, x: NDArray[np.float32], into: NDArray[np.float32], masks: Iterable[NDArray[Any]],
             label: int, known: NDArray[np.bool_]) -> Array:
    """Logits of a label for the hybrids ``into * m + x * (1 - m)`` of each mask m.

    Parameters
    ----------
    classifier : Module
        From `(batch, 12, sig_len)` to logits.
    x, into : ndarray, shape (n, 12, sig_len)
        The ECG at m = 0 and that at m = 1.
    masks : iterable of ndarray, shape (n, 12, sig_len)
        0 to 1, or bool.
    label : int
        Place of the label.
    known : ndarray of bool, shape (n,)
        ECGs to be classified; others get nan.

    Returns
    -------
    ndarray, shape (n, n_masks)
    """
    start, end = x[known], into[known]
    columns = []
    for mask in masks:
        column = np.full(len(x), np.nan)
        if known.any():
            m = mask[known].astype(np.float32)
            column[known] = classify(classifier, end * m + start * (1 - m))[:, label]
        columns.append(column)
    return np.stack(columns, axis=1)
