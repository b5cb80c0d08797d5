"""Search by gradients for an ECG that a classifier reads as wanted: what Wachter, latent ascent and PGD share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from ecgkit.errors import EcgkitError
from ecgkit.explain.results import Counterfactuals, judged, probability, reached, wanted_logits
from ecgkit.leads import N_LEADS
from ecgkit.progress import track

#: A search goes this much further in probability than it must: another batch size changes the last digits.
MARGIN = 1e-3
#: ECGs at a time.
BATCH_SIZE = 16
#: The wish counts so many times as much after each step.
_RAISE = 1.25


class Aim:
    """What is wanted of the logits of a batch of ECGs.

    Parameters
    ----------
    target : mapping
        Wanted probability by label: one number, or one for each ECG.
    label_names : sequence of str
        Labels of the classifier.
    n : int
        ECGs.
    device : torch.device
    """

    def __init__(self, target: Mapping[str, Any], label_names: Sequence[str], n: int, device: torch.device) -> None:
        wanted = wanted_logits(target, label_names, n)
        self.label_names = tuple(label_names)
        self.target = part_of(target, np.arange(n), n)
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


def descend(classifier: nn.Module, aim: Aim, x: Tensor, free: Tensor, draw: Callable[[Tensor, Tensor], Tensor], *,
            steps: int, learning_rate: float, weight: float = 0.0) -> Tensor:
    """Change free numbers until the classifier says what is wanted (Adam); an ECG that is there is left alone.

    What is minimised for each ECG is ``strength * gap + weight * mean |edit|``; the strength rises from step to step.

    Parameters
    ----------
    classifier : Module
        Held as it is (`held`).
    aim : Aim
    x : Tensor, shape (n, 12, sig_len)
        ECGs in mV.
    free : Tensor, shape (n, ...)
        Where the search starts.
    draw : callable
        From free numbers of some ECGs and their rows to ECGs `(len(rows), 12, sig_len)`.
    steps : int
        At most.
    learning_rate : float
    weight : float
        Per mV of the mean absolute edit.

    Returns
    -------
    Tensor, shape (n, 12, sig_len)
        The first of each ECG that reached the target, or the one that came closest.
    """
    free = free.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([free], learning_rate)
    best, closest = x.clone(), torch.full((len(x),), torch.inf, device=x.device)
    rows = torch.arange(len(x), device=x.device)
    for step in range(steps + 1):
        new = draw(free[rows], rows)
        logits = classifier(new)
        gap, there = aim.gap(logits, rows), aim.reached(logits, rows)
        better = there | (gap.detach() < closest[rows])
        best[rows[better]], closest[rows[better]] = new.detach()[better], gap.detach()[better]
        if there.all() or step == steps:
            break
        size = (new - x[rows]).abs().mean(dim=(1, 2))
        optimizer.zero_grad()
        (_RAISE ** step * gap + weight * size)[~there].sum().backward()
        optimizer.step()
        rows = rows[~there]
    return best


def in_batches(classifier: nn.Module, label_names: Sequence[str], x: NDArray[np.float32], target: Mapping[str, Any],
               one: Callable[[Tensor, Aim, NDArray[np.intp]], Tensor], doing: str) -> Counterfactuals:
    """Let an explainer work on some ECGs at a time, and judge what it gives.

    Parameters
    ----------
    classifier : Module
        Left as it was found.
    label_names : sequence of str
    x : ndarray, shape (n, 12, sig_len)
        Millivolts.
    target : mapping
        Wanted probability by label: one number, or one for each ECG.
    one : callable
        From ECGs, what is wanted of them and their rows in `x` to counterfactual ECGs.
    doing : str
        Shown beside the progress bar.

    Raises
    ------
    EcgkitError
        For another shape, and for a target that the classifier does not have.
    """
    x = checked(x)
    wanted_logits(target, label_names, len(x))
    signals = np.empty_like(x)
    with held(classifier) as device:
        for rows in track(np.array_split(np.arange(len(x)), -(-len(x) // BATCH_SIZE)), doing, unit="batch"):
            aim = Aim(part_of(target, rows, len(x)), label_names, len(rows), device)
            signals[rows] = one(torch.from_numpy(x[rows]).to(device), aim, rows).detach().cpu().numpy()
        return judged(classifier, signals, target, tuple(label_names))


def checked(x: NDArray[Any]) -> NDArray[np.float32]:
    """ECGs as float32.

    Raises
    ------
    EcgkitError
        Where they are not `(n, 12, sig_len)`, none at all, or not finite.
    """
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


@contextmanager
def held(*models: nn.Module) -> Iterator[torch.device]:
    """Models in eval mode, their weights without gradients; afterwards as they were. Gives the first one's device."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    weights = [(weight, weight.requires_grad) for model in models for weight in model.parameters()]
    try:
        for model in models:
            model.eval().requires_grad_(False)
        yield next(models[0].parameters()).device
    finally:
        for module, mode in modes:
            module.training = mode
        for weight, wants in weights:
            weight.requires_grad_(wants)
