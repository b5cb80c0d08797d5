"""Counterfactuals by gradients: descent in the signal and in an autoencoder's code, and attacks as the control."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.explain.baselines.search import Aim, Search
from ecgkit.explain.results import Counterfactuals, held
from ecgkit.models.autoencoder import Autoencoder, elbo_loss
from ecgkit.training.checkpoint import Run, seeded
from ecgkit.training.loop import Schedule, fit
from ecgkit.transforms import filtered, gaussian, random_crop

#: The wish counts so many times as much after each step.
_RAISE = 1.25
#: A smoothed edit has half of its power left here, and a hundredth at 25 Hz.
SMOOTH_HZ = 10.0
#: Root mean squares in mV that an attack tries, from the smallest on.
LADDER = (0.004, 0.008, 0.016, 0.032, 0.064, 0.128)
#: All steps of an attack together are so many times as long as its norm.
_PATH = 2.5
#: Seconds of the windows that the autoencoder learns from.
SECONDS = 2.5
#: Weight of the divergence, and mV that the autoencoder need not draw.
BETA, NOISE_MV = 1.0, 0.05
#: Windows of each ECG in an epoch.
_EACH = 2


class Wachter(Search):
    """Gradient descent on the ECG towards the wanted answer and a small edit (Wachter et al. 2018).

    The edit's size is its L1 norm, against which the wish is raised until the target is reached; there it stops.
    As published, every sample of all twelve leads is free: the limb leads' algebra (Einthoven, Goldberger) is not kept.

    Parameters
    ----------
    classifier, label_names
        As in `Search`.
    fs, smooth : float, bool
        Sampling rate in Hz; whether the edit is drawn through a Gaussian low-pass, so that next to nothing of it
        lies above 25 Hz.
    steps, learning_rate : int, float
        Of Adam: at most so many, and in mV.
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


class LatentAscent(Search):
    """Gradients in the code of a VAE until the classifier is persuaded (Obermeyer et al. 2026 rise so, without target).

    The search starts from the ECG's own code and stops as soon as the target is reached. The counterfactual is
    ``x + (decoded(new code) - decoded(own code))``: what the autoencoder cannot draw of this ECG stays in it. The edit
    obeys the limb leads' algebra.

    Parameters
    ----------
    classifier, label_names
        As in `Search`.
    fs, plain : float, bool
        Sampling rate in Hz; whether the counterfactual is ``decoded(new code)`` instead, as published, and smoother
        than an ECG.
    steps, learning_rate : int, float
        Of Adam: at most so many, and in units of the code.
    schedule, autoencoder : Schedule, Autoencoder, optional
        How the autoencoder is trained, or a trained one: it knows nothing of the classifier, and serves several.
    """

    doing = "searching codes"

    def __init__(self, classifier: nn.Module, *, label_names: Sequence[str], fs: float, plain: bool = False,
                 steps: int = 60, learning_rate: float = 0.1, schedule: Schedule | None = None,
                 autoencoder: Autoencoder | None = None) -> None:
        super().__init__(classifier, label_names)
        self.fs, self.plain, self.steps, self.learning_rate = fs, plain, steps, learning_rate
        self.schedule = schedule or Schedule(epochs=20, batch_size=32, learning_rate=3e-3, weight_decay=1e-4)
        self.autoencoder = autoencoder
        self.history = pd.DataFrame()

    def fit(self, data: ECGDataset, *, seed: int = 0, checkpoints: str | Path | None = None,
            **options: Any) -> LatentAscent:
        """Train an `Autoencoder` with such options on random windows of ECGs; `history` has one row for each epoch.

        Another sampling rate than `fs`, ECGs shorter than a window, and a loss that is not finite raise `EcgkitError`.
        """
        if data.fs != self.fs:
            raise EcgkitError(f"{data.name} is at {data.fs:g} Hz; this explainer is for {self.fs:g} Hz")
        length = round(SECONDS * data.fs)
        if data.sig_len < length:
            raise EcgkitError(f"{data.name}: {data.sig_len} samples; the autoencoder's windows have {length}")
        with seeded(seed):
            model = Autoencoder(**options)

        def loss(model: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
            assert isinstance(model, Autoencoder)
            x = random_crop(torch.from_numpy(data.batch(batch.numpy() % len(data))), length, generator)
            return elbo_loss(model, x, BETA, NOISE_MV, generator)

        identity = {"task": "autoencoder", "data": data, "beta": BETA, "noise": NOISE_MV, **model.config}
        averaged, self.history = fit(model, loss, _EACH * len(data), self.schedule,
                                     Run("training the autoencoder", identity, seed, checkpoints))
        assert isinstance(averaged, Autoencoder)
        self.autoencoder = averaged
        return self

    def __call__(self, x: NDArray[np.float32], target: Mapping[str, Any]) -> Counterfactuals:
        """Counterfactuals of ECGs `(n, 12, sig_len)` in mV; an error before `fit`, if no autoencoder was given."""
        if self.autoencoder is None:
            raise EcgkitError("latent ascent has no autoencoder yet; call fit(data) first, or give a trained one")
        with held(self.autoencoder):
            return super().__call__(x, target)

    def _one(self, x: Tensor, aim: Aim, rows: NDArray[np.intp]) -> Tensor:
        vae = self.autoencoder
        assert vae is not None
        with torch.no_grad():
            code = vae.to(x.device).encode(x)[0]
            left_out = torch.zeros_like(x) if self.plain else x - vae.decode(code, x.shape[-1])
        return descend(self.classifier, aim, x, code, lambda new, at: left_out[at] + vae.decode(new, x.shape[-1]),
                       steps=self.steps, learning_rate=self.learning_rate)


def descend(classifier: nn.Module, aim: Aim, x: Tensor, free: Tensor, draw: Callable[[Tensor, Tensor], Tensor], *,
            steps: int, learning_rate: float, weight: float = 0.0) -> Tensor:
    """Change free numbers until the classifier says what is wanted (Adam); an ECG that is there is left alone.

    What is minimised for each ECG is ``strength * gap + weight * mean |edit|`` (mV); the strength rises from step to
    step. `draw` makes ECGs `(len(rows), 12, sig_len)` of free numbers `(len(rows), ...)` and their rows in `x`. What
    comes back is the first of each ECG that reached the target, or the one that came closest.
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


class PGD(Search):
    """Adversarial attacks by projected gradients (Madry et al. 2018): the control that no explainer should resemble.

    The edit has exactly the wanted L2 norm over all leads and samples; as published, all twelve leads are free.
    A given norm is spent on going as far beyond the target as it leads (above one half up, below it down); without one,
    the smallest norm of `LADDER` that reaches the target is taken, and the search stops there.

    Parameters
    ----------
    classifier, label_names
        As in `Search`.
    norm, steps : float, int, optional
        L2 norm of all edits over leads and samples, in mV; steps for each norm.
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
        """Attacks on ECGs `(n, 12, sig_len)` in mV; `norms` `(n,)` in mV are those of another explainer's edits."""
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
            best[left], miss = self._attack(x[left], partial(aim.miss, rows=left), norms)
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


def unit(x: Tensor) -> Tensor:
    """Each of `(n, 12, sig_len)` divided by its L2 norm; nothing where there is nothing."""
    return x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-20)
