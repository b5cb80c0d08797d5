"""Counterfactuals by gradients in the signal itself: Wachter's descent, and attacks as the adversarial control."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.explain.baselines.search import Aim, Search, descend
from ecgkit.explain.results import Counterfactuals
from ecgkit.transforms import filtered, gaussian

#: A smoothed edit has half of its power left here, and a hundredth at 25 Hz.
SMOOTH_HZ = 10.0
#: Root mean squares in mV that an attack tries, from the smallest on.
LADDER = (0.004, 0.008, 0.016, 0.032, 0.064, 0.128)
#: All steps of an attack together are so many times as long as its norm.
_PATH = 2.5


class Wachter(Search):
    """Gradient descent on the ECG towards the wanted answer and a small edit (Wachter et al. 2018).

    The edit's size is its L1 norm, against which the wish is raised until the target is reached; there it stops.
    As published, every sample of all twelve leads is free: the limb leads' algebra (Einthoven, Goldberger) is not kept.

    Parameters
    ----------
    classifier, label_names
        As in `Search`.
    fs : float
        Sampling rate in Hz.
    smooth : bool
        Whether the edit is drawn through a Gaussian low-pass, so that next to nothing of it lies above 25 Hz.
    steps : int
        At most.
    learning_rate : float
        Adam's, in mV.
    weight : float
        Of the mean absolute edit in mV, against the gap of the logit.
    """

    def __init__(self, classifier: nn.Module, *, label_names: Sequence[str], fs: float, smooth: bool = False,
                 steps: int = 60, learning_rate: float = 0.002, weight: float = 100.0) -> None:
        super().__init__(classifier, label_names)
        self.steps, self.learning_rate, self.weight = steps, learning_rate, weight
        self.taps = gaussian(SMOOTH_HZ, fs) if smooth else torch.ones(1)

    def _one(self, x: Tensor, aim: Aim, rows: NDArray[np.intp]) -> Tensor:
        taps = self.taps.to(x)
        return descend(self.classifier, aim, x, torch.zeros_like(x), lambda edit, at: x[at] + filtered(edit, taps),
                       steps=self.steps, learning_rate=self.learning_rate, weight=self.weight)


class PGD(Search):
    """Adversarial attacks by projected gradients (Madry et al. 2018): the control that no explainer should resemble.

    The edit has exactly the wanted L2 norm over all leads and samples; as published, all twelve leads are free.
    A given norm is spent on going as far beyond the target as it leads (above one half up, below it down); without one,
    the smallest norm of `LADDER` that reaches the target is taken, and the search stops there.

    Parameters
    ----------
    classifier, label_names
        As in `Search`.
    norm : float, optional
        L2 norm of all edits over leads and samples, in mV.
    steps : int
        For each norm.
    seed : int
        Of the direction in which an attack goes where the classifier has no slope.
    """

    doing = "attacking"

    def __init__(self, classifier: nn.Module, *, label_names: Sequence[str], norm: float | None = None,
                 steps: int = 10, seed: int = 0) -> None:
        super().__init__(classifier, label_names)
        self.norm, self.steps, self.seed = norm, steps, seed

    def __call__(self, x: NDArray[np.float32], target: Mapping[str, Any],
                 norms: ArrayLike | None = None) -> Counterfactuals:
        """Attacks on ECGs `(n, 12, sig_len)` in mV; `norms` `(n,)` in mV are those of another explainer's edits.

        Raises
        ------
        EcgkitError
            Where there is not one finite norm for each ECG.
        """
        given = self.norm if norms is None else norms
        if given is None:
            return super().__call__(x, target)
        all_norms = np.asarray(given, dtype=np.float32)
        if all_norms.shape not in ((), (len(x),)) or not (np.isfinite(all_norms) & (all_norms >= 0)).all():
            raise EcgkitError(f"norms of shape {all_norms.shape}; give one of 0 mV or more for each of {len(x)} ECGs")
        each = np.broadcast_to(all_norms, (len(x),))

        def one(x: Tensor, aim: Aim, rows: NDArray[np.intp]) -> Tensor:
            return self._attack(x, aim.push, torch.from_numpy(each[rows]).to(x))[0]
        return self.search(x, target, one)

    def _one(self, x: Tensor, aim: Aim, rows: NDArray[np.intp]) -> Tensor:
        """The attack of the smallest norm that reaches the target, or of the largest; none where none is needed."""
        everyone = torch.arange(len(x), device=x.device)
        with torch.no_grad():
            left = everyone[~aim.reached(self.classifier(x), everyone)]
        best = x.clone()
        for rms in LADDER:
            if not len(left):
                break
            norms = torch.full((len(left),), rms * math.sqrt(x[0].numel())).to(x)
            best[left], miss = self._attack(x[left], partial(_miss, aim, left), norms)
            left = left[miss > 0]
        return best

    def _attack(self, x: Tensor, loss: Callable[[Tensor], Tensor], norms: Tensor) -> tuple[Tensor, Tensor]:
        """ECGs with the lowest loss of their logits on a way along the sphere, and that loss; all 0 ends the search."""
        generator = torch.Generator().manual_seed(self.seed)
        # Too short to count beside any slope, and the same for all, so that no ECG depends on others in the batch.
        nudge = 1e-6 * unit(torch.randn(1, *x.shape[1:], generator=generator).to(x))
        direction, score = torch.zeros_like(x), torch.full((len(x),), torch.inf).to(x)
        best = x.clone()
        for step in range(self.steps + 1):
            new = (x + norms[:, None, None] * direction).requires_grad_(True)
            value = loss(self.classifier(new))
            if step:
                better = value < score
                best[better], score[better] = new.detach()[better], value.detach()[better]
                if not score.any():
                    break
            slope, = torch.autograd.grad(value.sum(), new)
            direction = unit(direction - _PATH / self.steps * unit(slope) + nudge)
        return best, score


def _miss(aim: Aim, rows: Tensor, logits: Tensor) -> Tensor:
    """The gap to the target; 0 once it is reached."""
    return aim.gap(logits, rows) * ~aim.reached(logits, rows)


def unit(x: Tensor) -> Tensor:
    """Each of `(n, 12, sig_len)` divided by its L2 norm; nothing where there is nothing."""
    return x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-20)
