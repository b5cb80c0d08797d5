"""The one training loop: AdamW, one cycle of the learning rate, averaged weights, checkpoint and resume."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ecgkit.errors import EcgkitError
from ecgkit.progress import track
from ecgkit.training.checkpoint import Resumable, Run, seeded

M = TypeVar("M", bound=nn.Module)
#: From a model, the positions of a batch `(batch_size,)` and a generator to a scalar.
Loss = Callable[[M, Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Parameters
    ----------
    epochs, batch_size : int
        Passes over the training data; ECGs per step.
    learning_rate, warmup : float
        Peak of the cycle (Smith & Topin 2018): a rise over a share `warmup` of the steps, then a cosine fall.
    weight_decay : float
        Decoupled; on matrices and kernels only, not on biases and gains.
    averaging : float
        Decay of the running mean of the weights, which is the model that the run gives.
    validate_every : int
        Epochs between looks at the validation data.
    """

    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 1e-2
    weight_decay: float = 1e-2
    warmup: float = 0.3
    averaging: float = 0.99
    validate_every: int = 5


def fit(model: M, loss: Loss[M], n_items: int, schedule: Schedule, run: Run, *,
        validate: Callable[[M], dict[str, float]] | None = None,
        rates: Callable[[str], float] | None = None) -> tuple[M, pd.DataFrame]:
    """Train a model; a run that was killed goes on where its last checkpoint stands, with the same result.

    `model` is changed in place; its averaged copy is returned, in eval mode, with one row per epoch: `epoch`, `loss`,
    `learning_rate` (of the parameters with the largest share), and what `validate` made of the averaged model. `rates`
    gives the share of the learning rate by the name of a parameter, which `run` must tell of. The generator that `loss`
    draws from is seeded by seed and epoch alone. Fewer than two items, or a loss that is no longer finite, raise
    `EcgkitError`.
    """
    state = _State(model.to(run.device), loss, n_items, schedule, run, rates)
    remaining = range(state.step, schedule.epochs)
    for epoch in track(remaining, run.description, total=len(remaining), unit="epoch"):
        row = state.train_one_epoch()
        last = epoch == schedule.epochs - 1
        if validate and (last or (epoch + 1) % schedule.validate_every == 0):
            row |= validate(cast(M, state.averaged.module.eval()))
        state.history.append(row)
        state.save()
    return cast(M, state.averaged.module.eval()), pd.DataFrame(state.history)


def running_mean(decay: float, mean: Tensor, value: Tensor, n_averaged: Tensor | int) -> Tensor:
    """Exponential mean whose decay grows to its full value, so that a short run forgets its random start."""
    n = float(n_averaged)
    weight = 1 - min(decay, (1 + n) / (10 + n))
    return mean + (value - mean) * weight if mean.is_floating_point() else value


def _groups(model: nn.Module, schedule: Schedule, rates: Callable[[str], float] | None) -> list[dict[str, Any]]:
    """Parameters that share learning rate and weight decay, the fastest first and kernels before the others."""
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (rates(name) if rates else 1.0, parameter.ndim > 1)
            groups.setdefault(key, []).append(parameter)
    return [{"params": parameters, "lr": schedule.learning_rate * share,
             "weight_decay": schedule.weight_decay if is_kernel else 0.0}
            for (share, is_kernel), parameters in sorted(groups.items(), key=lambda item: item[0], reverse=True)]


class _State(Resumable):
    """Everything that changes while a run goes on; a step of it is an epoch."""

    def __init__(self, model: M, loss: Loss[M], n_items: int, schedule: Schedule, run: Run,
                 rates: Callable[[str], float] | None) -> None:
        self.batch_size = min(schedule.batch_size, n_items)
        if self.batch_size < 2:
            raise EcgkitError(f"{n_items} training ECGs: at least two are needed")
        self.model, self.loss, self.n_items, self.schedule = model, loss, n_items, schedule
        groups = _groups(model, schedule, rates)
        self.optimizer = torch.optim.AdamW(groups)
        self.steps_per_epoch = n_items // self.batch_size
        self.cycle = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, [group["lr"] for group in groups], total_steps=schedule.epochs * self.steps_per_epoch,
            pct_start=schedule.warmup)
        self.averaged = AveragedModel(model, avg_fn=partial(running_mean, schedule.averaging), use_buffers=True)
        super().__init__(run.also(n_items=n_items, schedule=schedule), {"model": model, "averaged": self.averaged},
                         {"model": self.optimizer}, self.cycle)

    def train_one_epoch(self) -> dict[str, float]:
        # Dropout draws from torch's global generator.
        dropout_seed, batch_seed = np.random.SeedSequence([self.run.seed, self.step]).generate_state(2).tolist()
        with seeded(dropout_seed):
            generator = torch.Generator().manual_seed(batch_seed)
            self.model.train()
            total = 0.0
            order = torch.randperm(self.n_items, generator=generator)
            for step in range(self.steps_per_epoch):
                batch = order[step * self.batch_size:(step + 1) * self.batch_size]
                total += self._step(batch, generator)
        row = {"epoch": self.step + 1, "loss": total / self.steps_per_epoch,
               "learning_rate": float(self.cycle.get_last_lr()[0])}
        self.step += 1
        return row

    def _step(self, batch: Tensor, generator: torch.Generator) -> float:
        value = self.loss(self.model, batch, generator)
        if not math.isfinite(value.item()):
            raise EcgkitError(f"the loss is {value.item()} in epoch {self.step + 1}; lower the learning rate "
                              f"({self.schedule.learning_rate:g}) or look for damaged signals")
        self.optimizer.zero_grad()
        value.backward()
        self.optimizer.step()
        self.cycle.step()
        self.averaged.update_parameters(self.model)
        return value.item()
