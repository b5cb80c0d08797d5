"""How little of a counterfactual turns the classifier: one axis for counterfactuals and attributions (QuAC).

The score of paired images (Eckstein et al. 2022), which quantitative attribution with counterfactuals (QuAC) takes on:

    h(m) = x_cf · m + x · (1 - m),    score = ∫ [f(h(m)) - f(x)] / [f(x_cf) - f(x)] d|m|,    |m| from 0 to 1,

where the mask m grows from the most important samples of an explanation and |m| is its mean. A counterfactual's own
importance is how much it changes; an attribution is judged with a counterfactual that is given. 1 is a single sample
that does it all; a linear classifier gives random masks 1/2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ecgkit.explain.scoring.exchange import ExchangeCurve, exchange
from ecgkit.explain.scoring.maps import Array, evidence, places, same_shape, smoothed, usable

STEPS = 12


def quac(classifier: nn.Module, x: NDArray[np.float32], counterfactual: NDArray[np.float32], maps: NDArray[Any] | None,
         label: int, fs: float, *, n_steps: int = STEPS, signed: bool = False) -> ExchangeCurve:
    """QuAC curve and score.

    Parameters
    ----------
    classifier : Module
        From `(batch, 12, sig_len)` to logits.
    x, counterfactual : ndarray of float32, shape (n, 12, sig_len)
        Millivolts.
    maps : ndarray, shape (n, 12, sig_len), or None
        Attributions to the label; None takes the counterfactual's own edit.
    label : int
        Place of the label whose logit is f.
    fs : float
        Sampling rate in Hz. Importance, and the edges of the mask, are averaged over 50 ms, so that no hybrid jumps
        from sample to sample.
    n_steps : int
        Masks beside the empty one. Their size grows as the square of the step, because a good explanation is a small
        part of the signal. Each is one more pass of all ECGs.
    signed : bool
        Importance is the value of `maps` and not its absolute value.

    Returns
    -------
    ExchangeCurve
        `share` is ``|m|``, `logits` are f, `area` is the score.
    """
    importance = np.asarray(counterfactual, dtype=np.float64) - x if maps is None else maps
    same_shape(x=x, counterfactual=counterfactual, maps=importance)
    known = usable(importance) & usable(counterfactual)
    turn = (places(smoothed(evidence(importance, signed), fs).reshape(len(x), -1)) + 0.5) / x[0].size
    shares: list[Array] = []

    def masks() -> Iterator[Array]:
        for step in (np.arange(n_steps + 1) / n_steps)**2:
            mask = smoothed((turn < step).reshape(x.shape), fs)
            shares.append(mask.mean(axis=(1, 2)))
            yield mask

    logits = exchange(classifier, x, counterfactual, masks(), label, known)
    return ExchangeCurve(np.where(known[:, None], np.stack(shares, axis=1), np.nan), logits)
