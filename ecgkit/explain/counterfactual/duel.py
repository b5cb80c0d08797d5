"""What every training against a discriminator shares: steps, checkpoints, rates, and the watch for divergence."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ecgkit.errors import EcgkitError
from ecgkit.progress import track
from ecgkit.training.checkpoint import (
    load_checkpoint,
    optimizer_tensors,
    part,
    restore_optimizer,
    run_file,
    save_checkpoint,
)
from ecgkit.training.loop import running_mean

#: Steps between two rows of the history, which is also how often a run is saved.
ROW = 100


@dataclass(frozen=True, kw_only=True)
class DuelSettings:
    """What can be set of any training against a discriminator.

    Parameters
    ----------
    steps, batch_size : int
        Steps of the generator, and what it sees in each.
    learning_rate, discriminator_rate : float
        Adam's; the discriminator's betas are 0 and 0.99.
    penalty, penalty_every : float, int
        Weight of the gradient penalty (R1) and steps of the discriminator between its uses.
    warmup : float
        Share of the steps over which some of the generator's losses rise to their weights.
    averaging : float
        Decay of the running mean of what is trained.
    generator, discriminator : dict
        Options of the networks.
    """

    steps: int
    batch_size: int
    learning_rate: float
    discriminator_rate: float
    penalty: float
    penalty_every: int
    averaging: float
    warmup: float = 0.3
    generator: dict[str, Any] = field(default_factory=dict)
    discriminator: dict[str, Any] = field(default_factory=dict)


class Duel:
    """Everything that changes while a network and a discriminator are trained against each other.

    A subclass says what it trains, and gives `rate_share`, `one` and `row`.

    Parameters
    ----------
    model, discriminator : Module
    settings : DuelSettings
    seed : int
    """

    #: Name of the model in checkpoints, and of what is trained in progress and errors.
    model_name: str
    called: str
    #: Of the model's Adam.
    betas = (0.0, 0.99)

    def __init__(self, model: nn.Module, discriminator: nn.Module, settings: DuelSettings, seed: int) -> None:
        self.steps, self.run, self.seed = settings.steps, asdict(settings), seed
        self.averaged = AveragedModel(model, avg_fn=partial(running_mean, settings.averaging))
        self.models = {self.model_name: model, "averaged": self.averaged, "discriminator": discriminator}
        self.rates = {self.model_name: settings.learning_rate, "discriminator": settings.discriminator_rate}
        self.optimizers = {
            name: torch.optim.Adam(self.models[name].parameters(), rate, betas=betas)
            for (name, rate), betas in zip(self.rates.items(), (self.betas, (0.0, 0.99)), strict=True)}
        self.step = 0
        self.history: list[dict[str, float]] = []

    def rate_share(self) -> float:
        """Share of the learning rates in the step that comes."""
        raise NotImplementedError

    def one(self, generator: torch.Generator) -> dict[str, float]:
        """Train one step; its losses."""
        raise NotImplementedError

    def row(self, told: list[dict[str, float]], generator: torch.Generator) -> dict[str, float]:
        """A row of the history, from the losses of some steps."""
        raise NotImplementedError

    def train(self, checkpoints: str | Path | None, about: dict[str, Any]) -> None:
        """Train all steps, from where a checkpoint of the same run stands; save every `ROW`.

        Each row of the history says how many minutes of training it took up to there, those before a kill too.
        """
        file = run_file(checkpoints, {"seed": self.seed, **about, **self.run}) if checkpoints else None
        if file:
            self.restore(file)
        rows = range(-(-(self.steps - self.step) // ROW))
        spent = self.history[-1].get("minutes", 0.0) if self.history else 0.0
        started = time.monotonic()
        for _ in track(rows, f"training {self.called}", total=len(rows), unit=f"{ROW} steps"):
            self.train_some(min(ROW, self.steps - self.step))
            self.history[-1]["minutes"] = spent + (time.monotonic() - started) / 60
            if file:
                self.save(file)

    def train_some(self, n_steps: int) -> None:
        """Train `n_steps`, and add a row to the history; draws depend on the seed and the step alone."""
        seed = int(np.random.SeedSequence([self.seed, self.step]).generate_state(1)[0])
        generator = torch.Generator().manual_seed(seed)
        told = []
        for _ in range(n_steps):
            self.set_rates()
            told.append(self.one(generator))
            self._check(told[-1])
            self.step += 1
        self.history.append({"step": self.step, **self.row(told, generator)})

    def set_rates(self) -> None:
        """Set the learning rates of the step that comes."""
        share = self.rate_share()
        for name, rate in self.rates.items():
            for group in self.optimizers[name].param_groups:
                group["lr"] = rate * share

    def _check(self, losses: Mapping[str, float]) -> None:
        """Refuse to go on with a loss that is no longer finite."""
        if not all(map(math.isfinite, losses.values())):
            raise EcgkitError(f"{self.called}'s training diverged at step {self.step}: "
                              f"{', '.join(f'{name} {value:.3g}' for name, value in losses.items())}; "
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

    def teach_model(self, loss: Tensor) -> None:
        """One step of the model and of its running mean."""
        self.descend(self.model_name, loss)
        self.averaged.update_parameters(self.models[self.model_name])

    def descend(self, name: str, loss: Tensor) -> None:
        """One step of an optimizer."""
        self.optimizers[name].zero_grad()
        loss.backward()
        self.optimizers[name].step()

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


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator (Lim & Ye 2017)."""
    return torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()


def gradient_penalty(discriminator: nn.Module, x: Tensor, condition: Tensor) -> Tensor:
    """Half the squared slope of the discriminator at real ECGs (R1: Mescheder et al. 2018)."""
    x = x.detach().requires_grad_(True)
    slope, = torch.autograd.grad(discriminator(x, condition).sum(), x, create_graph=True)
    return 0.5 * slope.square().sum(dim=(1, 2)).mean()
