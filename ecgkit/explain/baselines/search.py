"""Search, ECG by ECG, for one that a classifier reads as wanted; the simplest looks among real ECGs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import irfft, rfft
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from ecgkit.errors import EcgkitError
from ecgkit.explain.results import Counterfactuals, classify, held, judged, probability, reached, wanted_logits
from ecgkit.leads import N_LEADS
from ecgkit.progress import track

#: A search goes this much further in probability than it must: another batch size changes the last digits.
MARGIN = 1e-3
#: So many neighbours are asked, the nearest first: turned in time, a few lose the answer that made them candidates.
TRIES = 8
#: Background ECGs at a time.
_CHUNK = 256


class Search:
    """An explainer that knows nothing beforehand and searches anew for each ECG; a subclass gives `_one`.

    The classifier, from `(batch, 12, sig_len)` in mV to logits `(batch, n_labels)` with such names, is left as it was
    found.
    """

    #: Shown beside the progress bar.
    doing = "searching counterfactuals"
    #: ECGs at a time.
    batch_size = 16

    def __init__(self, classifier: nn.Module, label_names: Sequence[str]) -> None:
        self.classifier, self.label_names = classifier, tuple(label_names)

    def __call__(self, x: NDArray[np.float32], target: Mapping[str, Any]) -> Counterfactuals:
        """Counterfactuals of ECGs `(n, 12, sig_len)` in mV; `target` is the wanted probability by label.

        That is one number, or one for each ECG. Another shape and an unknown label raise an `EcgkitError`.
        """
        return self.search(x, target, self._one)

    def _one(self, x: Tensor, aim: Aim, rows: NDArray[np.intp]) -> Tensor:
        """From some ECGs, what is wanted of them and their rows to counterfactual ECGs."""
        raise NotImplementedError

    def search(self, x: NDArray[np.float32], target: Mapping[str, Any],
               one: Callable[[Tensor, Aim, NDArray[np.intp]], Tensor]) -> Counterfactuals:
        """What `one` finds for some ECGs at a time, judged."""
        x = checked(x)
        wanted_logits(target, self.label_names, len(x))
        signals = np.empty_like(x)
        with held(self.classifier) as device:
            for rows in track(np.array_split(np.arange(len(x)), -(-len(x) // self.batch_size)), self.doing,
                              unit="batch"):
                aim = Aim(part_of(target, rows, len(x)), self.label_names, len(rows), device)
                signals[rows] = one(torch.from_numpy(x[rows]).to(device), aim, rows).detach().cpu().numpy()
            return judged(self.classifier, signals, target, self.label_names)


class Aim:
    """What is wanted of the logits of a batch of `n` ECGs; `target` as in `Search.__call__`."""

    def __init__(self, target: Mapping[str, Any], label_names: Sequence[str], n: int, device: torch.device) -> None:
        wanted = wanted_logits(target, label_names, n)
        self.label_names, self.target = tuple(label_names), part_of(target, np.arange(n), n)
        self.places = list(wanted)
        self.wanted = torch.from_numpy(np.stack(list(wanted.values()), axis=1).astype(np.float32)).to(device)

    def gap(self, logits: Tensor, rows: Tensor) -> Tensor:
        """Huber distance of the asked logits from the wanted ones, `(len(rows),)`."""
        return smooth_l1_loss(logits[:, self.places], self.wanted[rows], reduction="none").sum(dim=1)

    def miss(self, logits: Tensor, rows: Tensor) -> Tensor:
        """The gap; 0 once the target is reached."""
        return self.gap(logits, rows) * ~self.reached(logits, rows)

    def push(self, logits: Tensor) -> Tensor:
        """How far the asked logits lie on the side away from the target, `(n,)`: the lower the better, without end."""
        side = torch.where(self.wanted < 0, -1.0, 1.0)
        return -(side * logits[:, self.places]).sum(dim=1)

    def reached(self, logits: Tensor, rows: Tensor) -> Tensor:
        """Which ECGs are there, `(len(rows),)`, with `MARGIN` to spare."""
        p = probability(logits.detach().double().cpu().numpy())
        target = {name: wanted[rows.cpu().numpy()] for name, wanted in self.target.items()}
        there = [reached(p + side, target, self.label_names) for side in (-MARGIN, MARGIN)]
        return torch.from_numpy(there[0] & there[1]).to(logits.device)


def checked(x: NDArray[Any]) -> NDArray[np.float32]:
    """ECGs `(n, 12, sig_len)` as float32; refused where they have another shape, are none at all, or not finite."""
    x = np.asarray(x, dtype=np.float32)
    if x.ndim != 3 or x.shape[1] != N_LEADS or not x.size:
        raise EcgkitError(f"signals of shape {x.shape}; expected (n, {N_LEADS}, sig_len) in mV")
    bad = np.flatnonzero(~np.isfinite(x).all(axis=(1, 2)))
    if len(bad):
        raise EcgkitError(f"ECG {bad[0]} has samples that are not finite; leave it out or fill them")
    return x


def part_of(target: Mapping[str, Any], rows: NDArray[np.intp], n: int) -> dict[str, NDArray[np.float64]]:
    """The target of some of `n` ECGs, one number for each."""
    return {name: np.broadcast_to(np.asarray(wanted, dtype=np.float64), (n,))[rows]
            for name, wanted in target.items()}


class NearestUnlikeNeighbour(Search):
    """A real ECG as the counterfactual (Native Guide: Delaney et al. 2021; CoMTE: Ates et al. 2021 start from it).

    Near is what has a small L2 distance over all leads and samples, once turned in time (cyclically) to where it is
    the smallest; so a heart that beats at the same rate is not far because its first beat comes later. The turned ECG
    is the counterfactual: another patient's, so that nearly every sample changes. Turning leaves a seam, so the nearest
    `TRIES` are asked again as turned. Where the background has none that serves, the ECG itself comes back.

    The background `(m, 12, sig_len)` are real ECGs in mV, none of the patients that are explained; the rest is as in
    `Search`.
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
        found, left = x.cpu().numpy().copy(), np.arange(len(x))
        distance, shift = turned_distance(found, self.background)
        for k in left:
            wanted = {name: value[k] for name, value in aim.target.items()}
            distance[k, ~reached(self.probabilities, wanted, self.label_names)] = np.inf
        order = distance.argsort(axis=1, kind="stable")[:, :TRIES]
        for place in range(order.shape[1]):
            left = left[np.isfinite(distance[left, order[left, place]])]
            if not len(left):
                break
            which = order[left, place]
            turned = np.stack([np.roll(self.background[one], shift[row, one], axis=1)
                               for row, one in zip(left, which, strict=True)])
            p = probability(classify(self.classifier, turned))
            good = reached(p, {name: value[left] for name, value in aim.target.items()}, self.label_names)
            # The nearest stays in place where none of those asked keeps its answer.
            taken = good | (place == 0)
            found[left[taken]] = turned[taken]
            left = left[~good]
        return torch.from_numpy(found)


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
