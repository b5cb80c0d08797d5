"""The nearest unlike neighbour: the real ECG most like this one of which the classifier says what is wanted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import irfft, rfft
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.explain.baselines.search import Aim, Search, checked
from ecgkit.explain.results import classify, probability, reached

#: So many neighbours are asked, the nearest first: turned in time, a few lose the answer that made them candidates.
TRIES = 8
#: Background ECGs at a time.
_CHUNK = 256


class NearestUnlikeNeighbour(Search):
    """A real ECG as the counterfactual (Native Guide: Delaney et al. 2021; CoMTE: Ates et al. 2021 start from it).

    Near is what has a small L2 distance over all leads and samples, once turned in time (cyclically) to where it is
    the smallest; so a heart that beats at the same rate is not far because its first beat comes later. The turned ECG
    is the counterfactual: another patient's, so that nearly every sample changes. Turning leaves a seam, so the nearest
    `TRIES` are asked again as turned. Where the background has none that serves, the ECG itself comes back.

    Parameters
    ----------
    classifier, label_names
        As in `Search`.
    background : ndarray, shape (m, 12, sig_len)
        Real ECGs in mV, none of the patients that are explained.
    """

    doing = "looking for neighbours"
    batch_size = 32

    def __init__(self, classifier: nn.Module, *, label_names: Sequence[str], background: NDArray[np.float32]) -> None:
        super().__init__(classifier, label_names)
        self.background = checked(background)
        self.probabilities = probability(classify(classifier, self.background))

    def _one(self, x: Tensor, aim: Aim, rows: NDArray[np.intp]) -> Tensor:
        if x.shape[2] != self.background.shape[2]:
            raise EcgkitError(f"ECGs of {x.shape[2]} samples; those of the background have {self.background.shape[2]}")
        return torch.from_numpy(self._nearest(x.cpu().numpy(), aim.target))

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
    """Smallest L2 distances `(n, m)` in mV of ECGs `(n, 12, sig_len)` from others `(m, 12, sig_len)` over all cyclic
    turns of the other, and the samples `(n, m)` by which that comes later then (`numpy.roll`).
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
