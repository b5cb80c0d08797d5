"""What every training against a discriminator shares: steps, checkpoints, rates, and the watch for divergence."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel

from ecgkit.errors import EcgkitError
from ecgkit.models.generator import Discriminator
from ecgkit.progress import track
from ecgkit.training.checkpoint import Resumable, Run
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

    steps: int = 6000
    batch_size: int = 16
    learning_rate: float = 5e-4
    discriminator_rate: float = 1e-3
    penalty: float = 0.02
    penalty_every: int = 8
    warmup: float = 0.3
    averaging: float = 0.998
    generator: dict[str, Any] = field(default_factory=dict)
    discriminator: dict[str, Any] = field(default_factory=dict)


class Duel(Resumable):
    """A network and a discriminator in training against each other.

    A subclass says what it trains, and gives `rate_share`, `one` and `row`. The run tells of everything but the
    settings; its description is the name of what is trained.
    """

    #: Name of the model in checkpoints.
    name: str
    #: Of the model's Adam.
    betas = (0.0, 0.99)

    def __init__(self, model: nn.Module, discriminator: Discriminator, settings: DuelSettings, run: Run) -> None:
        self.model, self.discriminator, self.steps = model, discriminator, settings.steps
        self.averaged = AveragedModel(model, avg_fn=partial(running_mean, settings.averaging))
        self.rates = {self.name: settings.learning_rate, "discriminator": settings.discriminator_rate}
        super().__init__(
            run.also(settings=settings),
            {self.name: model, "averaged": self.averaged, "discriminator": discriminator},
            {self.name: Adam(model.parameters(), settings.learning_rate, betas=self.betas),
             "discriminator": Adam(discriminator.parameters(), settings.discriminator_rate, betas=(0.0, 0.99))})

    def rate_share(self) -> float:
        """Share of the learning rates in the step that comes."""
        raise NotImplementedError

    def one(self, generator: torch.Generator) -> dict[str, float]:
        """Train one step; its losses."""
        raise NotImplementedError

    def row(self, told: list[dict[str, float]], generator: torch.Generator) -> dict[str, float]:
        """A row of the history, from the losses of some steps."""
        raise NotImplementedError

    def train(self) -> pd.DataFrame:
        """Train the steps that are left, save every `ROW`, and give the history.

        Each row says how many minutes of training it took up to there, those before a kill too.
        """
        rows = range(-(-(self.steps - self.step) // ROW))
        spent = self.history[-1].get("minutes", 0.0) if self.history else 0.0
        started = time.monotonic()
        for _ in track(rows, f"training {self.run.description}", total=len(rows), unit=f"{ROW} steps"):
            self.train_some(min(ROW, self.steps - self.step))
            self.history[-1]["minutes"] = spent + (time.monotonic() - started) / 60
            self.save()
        return pd.DataFrame(self.history)

    def train_some(self, n_steps: int) -> None:
        """Train `n_steps`, and add a row to the history; draws depend on the seed and the step alone."""
        seed = int(np.random.SeedSequence([self.run.seed, self.step]).generate_state(1)[0])
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
            raise EcgkitError(f"{self.run.description}'s training diverged at step {self.step}: "
                              f"{', '.join(f'{name} {value:.3g}' for name, value in losses.items())}; "
                              "lower the learning rate or raise the penalty")

    def teach_discriminator(self, real: Tensor, fake: Tensor, condition: Tensor, penalty: float) -> dict[str, float]:
        """One step of the discriminator, with so much of the gradient penalty; its mean scores `real` and `fake`."""
        on_real, on_fake = self.discriminator(real, condition), self.discriminator(fake, condition)
        loss = hinge(on_real, on_fake)
        if penalty:
            loss = loss + penalty * gradient_penalty(self.discriminator, real, condition)
        self.descend("discriminator", loss)
        return {"real": float(on_real.detach().mean()), "fake": float(on_fake.detach().mean())}

    def teach_model(self, loss: Tensor) -> None:
        """One step of the model and of its running mean."""
        self.descend(self.name, loss)
        self.averaged.update_parameters(self.model)

    def descend(self, name: str, loss: Tensor) -> None:
        """One step of an optimizer."""
        self.optimizers[name].zero_grad()
        loss.backward()
        self.optimizers[name].step()


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator (Lim & Ye 2017)."""
    return torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()


def gradient_penalty(discriminator: nn.Module, x: Tensor, condition: Tensor) -> Tensor:
    """Half the squared slope of the discriminator at real ECGs (R1: Mescheder et al. 2018)."""
    x = x.detach().requires_grad_(True)
    slope, = torch.autograd.grad(discriminator(x, condition).sum(), x, create_graph=True)
    return 0.5 * slope.square().sum(dim=(1, 2)).mean()
