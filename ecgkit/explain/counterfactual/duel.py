"""What every training against a discriminator shares: steps, checkpoints, rates, and the watch for divergence."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from ecgkit.errors import EcgkitError
from ecgkit.explain.conditions import clipped
from ecgkit.leads import independent
from ecgkit.models.generator import Edited
from ecgkit.progress import track
from ecgkit.training.checkpoint import (
    load_checkpoint,
    optimizer_tensors,
    part,
    restore_optimizer,
    save_checkpoint,
)


@dataclass(frozen=True)
class Weights:
    """Weights of the generator's losses; signals count in mV, logits as they are, time in samples.

    Parameters
    ----------
    reach : float
        The classifiers' logit of the asked label against the wanted one (Huber).
    keep : float
        The same of labels that are to stay.
    adversarial : float
        Hinge loss against the discriminator.
    size, count, group, smooth : float
        Of the edit: mean absolute value, share of the samples that are changed at all, mean over lead × segment of the
        root mean square, mean absolute slope.
    local : float
        Mean absolute value of what no heart vector explains of the edit.
    warp : float
        Mean absolute displacement of time.
    cycle : float
        Mean absolute difference after the way back.
    variety : float
        How much two draws of the random numbers are to differ (Mao et al. 2019).
    """

    reach: float = 4.0
    keep: float = 1.0
    adversarial: float = 2.0
    size: float = 0.7
    count: float = 3.0
    group: float = 0.7
    smooth: float = 1.0
    local: float = 3.0
    warp: float = 0.2
    cycle: float = 5.0
    variety: float = 0.02


#: An edit of so many mV counts as half a change.
HALF_CHANGED = 0.03
#: Samples of a segment, within which an edit costs little more once it is there.
SEGMENT = 10
#: Two draws that differ more than this share of the edit are different enough.
ENOUGH = 0.3


def reach_loss(logits: Tensor, wanted: Tensor, asked: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """How far asked labels are from what is wanted, and kept ones from what they were; all `(batch, n_labels)`."""
    gap = smooth_l1_loss(clipped(logits) + 0.1 * (logits - clipped(logits)), clipped(wanted), reduction="none")
    return (gap * asked).sum() / asked.sum().clamp_min(1), (gap * kept).sum() / kept.sum().clamp_min(1)


def edit_loss(done: Edited, weights: Weights) -> Tensor:
    """What an edit costs."""
    edit = done.edit
    usable = edit.shape[-1] // SEGMENT * SEGMENT
    power = edit[..., :usable].unflatten(-1, (-1, SEGMENT)).square().mean(dim=-1)
    changed = edit.square() / (edit.square() + HALF_CHANGED**2)
    return weights.size * edit.abs().mean() + weights.count * changed.mean() \
        + weights.group * (power + 1e-6).sqrt().mean() + weights.smooth * edit.diff(dim=-1).abs().mean() \
        + weights.local * done.local.abs().mean()


def warp_loss(done: Edited) -> Tensor:
    """Mean displacement of time, in samples: a shift of everything costs, though no classifier notices it."""
    return done.shift.abs().mean()


def cycle_loss(back: Tensor, x: Tensor) -> Tensor:
    """Mean absolute difference of the independent leads after the way back, in mV."""
    return (independent(back) - independent(x)).abs().mean()


def variety_loss(first: Tensor, second: Tensor, edit: Tensor) -> Tensor:
    """Minus how much two answers differ, in units of the edit's size, up to `ENOUGH`."""
    difference = (independent(first) - independent(second)).abs().mean(dim=(1, 2))
    return -(difference / (edit.detach().abs().mean(dim=(1, 2)) + 1e-3)).clamp(max=ENOUGH).mean()


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator (Lim & Ye 2017)."""
    return torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()


def gradient_penalty(discriminator: nn.Module, x: Tensor, condition: Tensor) -> Tensor:
    """Half the squared slope of the discriminator at real ECGs (R1: Mescheder et al. 2018)."""
    x = x.detach().requires_grad_(True)
    slope, = torch.autograd.grad(discriminator(x, condition).sum(), x, create_graph=True)
    return 0.5 * slope.square().sum(dim=(1, 2)).mean()


#: Steps between two rows of the history, which is also how often a run is saved.
ROW = 100


class Duel:
    """Everything that changes while two networks are trained against each other.

    A subclass names its networks, and trains some steps in `train_some`.

    Parameters
    ----------
    models : mapping
        Networks that a checkpoint holds, by name; "discriminator" is one.
    optimizers : mapping
        By the name of what they train.
    seed : int
    name : str
        What is trained, for progress and errors.
    """

    def __init__(self, models: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer], *, seed: int,
                 name: str) -> None:
        self.models, self.optimizers, self.seed, self.name = dict(models), dict(optimizers), seed, name
        self.step = 0
        self.history: list[dict[str, float]] = []

    def train_some(self, n_steps: int) -> None:
        """Train `n_steps`, and add a row to the history; draws depend on the seed and the step alone."""
        raise NotImplementedError

    def train(self, steps: int, file: Path | None) -> None:
        """Train until `steps`, from where the checkpoint stands that was restored; save every `ROW`.

        Each row of the history says how many minutes of training it took up to there, those before a kill too.
        """
        rows = range(-(-(steps - self.step) // ROW))
        spent = self.history[-1].get("minutes", 0.0) if self.history else 0.0
        started = time.monotonic()
        for _ in track(rows, f"training {self.name}", total=len(rows), unit=f"{ROW} steps"):
            self.train_some(min(ROW, steps - self.step))
            self.history[-1]["minutes"] = spent + (time.monotonic() - started) / 60
            if file:
                self.save(file)

    def draws(self) -> torch.Generator:
        """The random numbers of the steps that come."""
        seed = int(np.random.SeedSequence([self.seed, self.step]).generate_state(1)[0])
        return torch.Generator().manual_seed(seed)

    def check(self, row: Mapping[str, float]) -> None:
        """Refuse to go on with a loss that is no longer finite."""
        if not all(map(math.isfinite, row.values())):
            raise EcgkitError(f"{self.name}'s training diverged at step {self.step}: "
                              f"{', '.join(f'{name} {value:.3g}' for name, value in row.items())}; "
                              "lower the learning rate or raise the penalty")

    def teach_discriminator(self, real: Tensor, fake: Tensor, condition: Tensor, penalty: float) -> dict[str, float]:
        """One step of the discriminator, with so much of the gradient penalty; its mean scores `real` and `fake`."""
        discriminator = self.models["discriminator"]
        on_real, on_fake = discriminator(real, condition), discriminator(fake, condition)
        loss = hinge(on_real, on_fake)
        if penalty:
            loss = loss + penalty * gradient_penalty(discriminator, real, condition)
        self.descend("discriminator", loss)
        return {"real": float(on_real.detach().mean()), "fake": float(on_fake.detach().mean())}

    def descend(self, name: str, loss: Tensor) -> None:
        """One step of an optimizer."""
        self.optimizers[name].zero_grad()
        loss.backward()
        self.optimizers[name].step()

    def set_rates(self, rates: Mapping[str, float]) -> None:
        """Learning rates of the step that comes, by the name of the optimizer."""
        for name, rate in rates.items():
            for group in self.optimizers[name].param_groups:
                group["lr"] = rate

    def save(self, file: Path) -> None:
        """Keep everything that a resumed run needs."""
        tensors = {f"{name}/{key}": value
                   for name, model in self.models.items() for key, value in model.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            tensors |= {f"{name}-{key}": value for key, value in optimizer_tensors(optimizer).items()}
        groups = {name: optimizer.state_dict()["param_groups"] for name, optimizer in self.optimizers.items()}
        save_checkpoint(file, tensors, {"step": self.step, "history": self.history, "groups": groups})

    def restore(self, file: Path) -> None:
        """Go on where a checkpoint stands, if there is one."""
        found = load_checkpoint(file)
        if found is None:
            return
        tensors, state = found
        for name, model in self.models.items():
            model.load_state_dict(part(tensors, name))
        for name, optimizer in self.optimizers.items():
            own = {key.removeprefix(f"{name}-"): value for key, value in tensors.items() if key.startswith(f"{name}-")}
            restore_optimizer(optimizer, own, state["groups"][name])
        self.step, self.history = state["step"], state["history"]
