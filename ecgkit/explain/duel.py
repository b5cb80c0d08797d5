"""What every training against a discriminator shares: steps, checkpoints, rates, and the watch for divergence."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.explain.objective import gradient_penalty, hinge
from ecgkit.progress import track
from ecgkit.training.checkpoint import (
    load_checkpoint,
    optimizer_tensors,
    part,
    restore_optimizer,
    save_checkpoint,
)

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
