"""Search, ECG by ECG, for one that a classifier reads as wanted: what all the explainers of this room share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from ecgkit.errors import EcgkitError
from ecgkit.explain.results import Counterfactuals, held, judged, probability, reached, wanted_logits
from ecgkit.leads import N_LEADS
from ecgkit.progress import track

#: A search goes this much further in probability than it must: another batch size changes the last digits.
MARGIN = 1e-3


class Search:
    """An explainer that knows nothing beforehand and searches anew for each ECG; a subclass gives `_one`.

    Parameters
    ----------
    classifier : Module
        From `(batch, 12, sig_len)` in mV to logits `(batch, n_labels)`; left as it was found.
    label_names : sequence of str
        Names of the logits.
    """

    #: Shown beside the progress bar.
    doing = "searching counterfactuals"
    #: ECGs at a time.
    batch_size = 16

    def __init__(self, classifier: nn.Module, label_names: Sequence[str]) -> None:
        self.classifier, self.label_names = classifier, tuple(label_names)

    def __call__(self, x: NDArray[np.float32], target: Mapping[str, Any]) -> Counterfactuals:
        """Counterfactuals of ECGs.

        Parameters
        ----------
        x : ndarray, shape (n, 12, sig_len)
            Millivolts.
        target : mapping
            Wanted probability by label: one number, or one for each ECG.

        Raises
        ------
        EcgkitError
            For another shape, and for a target that the classifier does not have.
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
