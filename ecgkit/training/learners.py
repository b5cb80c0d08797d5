"""Learners: an embedder and the heads that a method of pretraining puts on it and later throws away.

Each is made of an embedder, the settings and the number of steps of the whole training.
"""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any, cast

import torch
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.models.windowed import Embedder
from ecgkit.training.views import PretrainSettings


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two layers with batch normalisation and a rectifier between (SimCLR's and BYOL's heads)."""
    return nn.Sequential(nn.Linear(inputs, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True),
                         nn.Linear(hidden, outputs))


class Siamese(nn.Module):
    """Every view goes through the same encoder and projector."""

    def __init__(self, embedder: Embedder, settings: PretrainSettings, n_steps: int = 1) -> None:
        super().__init__()
        self.embedder = embedder
        self.projector = mlp(embedder.n_features, embedder.n_features, settings.projection)

    def forward(self, views: Tensor) -> Any:
        """Map views `(n, *views, 12, crop_len)` in mV to projections `(n, *views, projection)`."""
        return self.projector(self.embedder(views.flatten(0, -3))).unflatten(0, views.shape[:-2])


class Streams(nn.Module):
    """Every lead group of every view has a projection of its own; the projector is shared.

    EcgkitError is raised where the encoder has no streams.
    """

    def __init__(self, embedder: Embedder, settings: PretrainSettings, n_steps: int = 1) -> None:
        super().__init__()
        _check_has(embedder, "streams", "lead groups", "dual_stream, or leave out dual-stream")
        self.embedder = embedder
        width = embedder.n_features // cast(int, embedder.encoder.n_groups)
        self.projector = mlp(width, width, settings.projection)

    def forward(self, views: Tensor) -> Tensor:
        """Map views `(n, *views, 12, crop_len)` in mV to projections `(n, *views, groups, projection)`."""
        windows = self.embedder.windows(views.flatten(0, -3)).flatten(0, 1)
        streams = cast(Any, self.embedder.encoder).streams(windows)
        return self.projector(streams.flatten(0, 1)).unflatten(0, (*views.shape[:-2], streams.shape[1]))


class Predictive(nn.Module):
    """Linear predictors of future steps from the context (van den Oord et al. 2018, equation 3).

    EcgkitError is raised where the encoder has no steps.
    """

    def __init__(self, embedder: Embedder, settings: PretrainSettings, n_steps: int = 1) -> None:
        super().__init__()
        _check_has(embedder, "steps", "steps in time", "cpc or s4d")
        self.embedder, self.horizon = embedder, settings.horizon
        encoder = cast(Any, embedder.encoder)
        self.predictors = nn.Linear(encoder.context_features, settings.horizon * encoder.step_features, bias=False)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Map `(n, 12, crop_len)` in mV to predictions `(n, steps, horizon, d)` and the steps' `(n, steps, d)`."""
        encoder = cast(Any, self.embedder.encoder)
        steps = encoder.steps(self.embedder.windows(views).flatten(0, 1))
        return self.predictors(encoder.context(steps)).unflatten(-1, (self.horizon, -1)), steps


def _check_has(embedder: Embedder, what: str, meaning: str, choose: str) -> None:
    if not hasattr(embedder.encoder, what):
        name = cast(dict[str, Any], embedder.encoder.config)["name"]
        raise EcgkitError(f"the encoder {name} has no {meaning}; choose {choose}")


def momentum_at(start: float, step: int, n_steps: int) -> float:
    """Share of itself that the target keeps: from `start` to 1 by a cosine (BYOL, Grill et al. 2020, section 3.2)."""
    return 1 - (1 - start) * (math.cos(math.pi * step / n_steps) + 1) / 2


class Target(nn.Module):
    """A copy of a network that follows it slowly, for `n_steps` steps, and learns nothing by itself.

    It is in training mode as the network is, so batch normalisation uses the statistics of the batch, as in both
    papers' code; only parameters follow, and its running statistics, which nothing reads, are its own. The count of
    steps is a buffer, so a resumed run goes on with the momentum where it stopped.
    """

    step: Tensor

    def __init__(self, network: nn.Module, momentum: float, n_steps: int) -> None:
        super().__init__()
        self.network = deepcopy(network).requires_grad_(False)
        self.momentum, self.n_steps = momentum, n_steps
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def follow(self, network: nn.Module) -> None:
        """Move every parameter towards the network's: t <- m t + (1 - m) o."""
        keep = momentum_at(self.momentum, int(self.step), self.n_steps)
        for own, other in zip(self.network.parameters(), network.parameters(), strict=True):
            own.lerp_(other, 1 - keep)
        self.step += 1

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Give what the slow network makes of `x`, without a gradient."""
        return self.network(x)


class Momentum(Siamese):
    """Online network with a predictor, and its slow target (MoCo v3, Chen, Xie & He 2021; BYOL, Grill et al. 2020).

    The target follows at the start of a training step, which is where it stands after the step before.
    """

    def __init__(self, embedder: Embedder, settings: PretrainSettings, n_steps: int = 1) -> None:
        super().__init__(embedder, settings)
        self.predictor = mlp(settings.projection, embedder.n_features, settings.projection)
        self.target = Target(self._online(), settings.momentum, n_steps)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Map views `(n, views, 12, crop_len)` in mV to predictions and targets, `(n, views, projection)` each."""
        if self.training:
            self.target.follow(self._online())
        projections = super().forward(views)
        predictions = self.predictor(projections.flatten(0, -2)).view_as(projections)
        return predictions, self.target(views.flatten(0, -3)).view_as(projections)

    def _online(self) -> nn.Sequential:
        return nn.Sequential(self.embedder, self.projector)
