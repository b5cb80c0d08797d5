"""The nearest unlike neighbour: the real ECG most like this one of which the classifier says what is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft
from torch import nn

from ecgkit.errors import EcgkitError
from ecgkit.explain.baselines.search import checked, held, part_of
from ecgkit.explain.results import Counterfactuals, classify, judged, probability, reached
from ecgkit.progress import track

#: So many neighbours are asked, the nearest first: turned in time, a few lose the answer that made them candidates.
TRIES = 8
#: Background ECGs at a time.
_CHUNK = 256
#: ECGs at a time.
_BATCH = 32


class NearestUnlikeNeighbour:
    """A real ECG as the counterfactual (Native Guide: Delaney et al. 2021; CoMTE: Ates et al. 2021 start from it).

    Near is what has a small L2 distance over all leads and samples, once turned in time (cyclically) to where it is
    the smallest; so a heart that beats at the same rate is not far because its first beat comes later. The turned ECG
    is the counterfactual: another patient's, so that nearly every sample changes. Turning leaves a seam, so the nearest
    `TRIES` are asked again as turned. Where the background has none that serves, the ECG itself comes back.

    Parameters
    ----------
    classifier : Module
        From `(batch, 12, sig_len)` in mV to logits `(batch, n_labels)`.
    label_names : sequence of str
        Names of the logits.
    background : ndarray, shape (m, 12, sig_len)
        Real ECGs in mV, none of the patients that are explained.
    """

    def __init__(self, classifier: nn.Module, *, label_names: Sequence[str], background: NDArray[np.float32]) -> None:
        self.classifier, self.label_names, self.background = classifier, tuple(label_names), checked(background)
        with held(classifier):
            self.probabilities = probability(classify(classifier, self.background))

    def __call__(self, x: NDArray[np.float32], target: Mapping[str, Any]) -> Counterfactuals:
        """Counterfactuals of ECGs `(n, 12, sig_len)` in mV.

        Raises
        ------
        EcgkitError
            Where they are not as long as the background's.
        """
        x = checked(x)
        if x.shape[2] != self.background.shape[2]:
            raise EcgkitError(f"ECGs of {x.shape[2]} samples; those of the background have {self.background.shape[2]}")
        signals = x.copy()
        with held(self.classifier):
            for rows in track(np.array_split(np.arange(len(x)), -(-len(x) // _BATCH)), "looking for neighbours",
                              unit="batch"):
                signals[rows] = self._nearest(x[rows], part_of(target, rows, len(x)))
            return judged(self.classifier, signals, target, self.label_names)

    def _nearest(self, x: NDArray[np.float32], target: dict[str, NDArray[np.float64]]) -> NDArray[np.float32]:
        distance, shift = turned_distance(x, self.background)
        for k in range(len(x)):
            wanted = {name: value[k] for name, value in target.items()}
            distance[k, ~reached(self.probabilities, wanted, self.label_names)] = np.inf
        order = distance.argsort(axis=1, kind="stable")[:, :TRIES]
        found, left = x.copy(), np.arange(len(x))
        for place in range(order.shape[1]):
            left = left[np.isfinite(distance[left, order[left, place]])]
            if not len(left):
                break
            which = order[left, place]
            turned = np.stack([np.roll(self.background[one], shift[row, one], axis=1)
                               for row, one in zip(left, which, strict=True)])
            p = probability(classify(self.classifier, turned))
            good = reached(p, {name: value[left] for name, value in target.items()}, self.label_names)
            # The nearest stays in place where none of those asked keeps its answer.
            taken = good | (place == 0)
            found[left[taken]] = turned[taken]
            left = left[~good]
        return found


def turned_distance(x: NDArray[np.float32], background: NDArray[np.float32]) -> tuple[NDArray[np.float64],
                                                                                     NDArray[np.intp]]:
    """Smallest L2 distances between ECGs over all cyclic turns of the second.

    Parameters
    ----------
    x : ndarray, shape (n, 12, sig_len)
    background : ndarray, shape (m, 12, sig_len)

    Returns
    -------
    distance : ndarray, shape (n, m)
        In mV.
    shift : ndarray of int, shape (n, m)
        Samples by which the second ECG comes later then (`numpy.roll`).
    """
    sig_len = x.shape[2]
    own = rfft(x).transpose(2, 0, 1)
    power = np.square(x, dtype=np.float64).sum(axis=(1, 2))
    distances, shifts = [], []
    for start in range(0, len(background), _CHUNK):
        others = background[start:start + _CHUNK]
        cross = own @ rfft(others).conj().transpose(2, 1, 0)
        agreement = irfft(cross.transpose(1, 2, 0), n=sig_len)
        shifts.append(agreement.argmax(axis=2))
        squared = power[:, None] + np.square(others, dtype=np.float64).sum(axis=(1, 2)) - 2 * agreement.max(axis=2)
        distances.append(np.sqrt(np.maximum(squared, 0)))
    return np.concatenate(distances, axis=1), np.concatenate(shifts, axis=1)
