"""Learners: an embedder and the heads that a method of pretraining puts on it and later throws away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.models.embedder import Embedder


@dataclass(frozen=True)
class Heads:
    """What learners need beyond the embedder.

    Parameters
    ----------
    projection : int
        Features of the space in which losses compare.
    horizon : int
        Future steps that are predicted (`Predictive`).
    momentum : float
        Share of itself that a target keeps in the first step (`ecgkit.training.momentum`).
    n_steps : int
        Of the whole training.
    """

    projection: int = 128
    horizon: int = 12
    momentum: float = 0.99
    n_steps: int = 1


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two layers with batch normalisation and a rectifier between (SimCLR's and BYOL's heads)."""
    return nn.Sequential(nn.Linear(inputs, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True),
                         nn.Linear(hidden, outputs))


class Siamese(nn.Module):
    """Every view goes through the same encoder and projector."""

    def __init__(self, embedder: Embedder, heads: Heads) -> None:
        super().__init__()
        self.embedder = embedder
        self.projector = mlp(embedder.n_features, embedder.n_features, heads.projection)

    def forward(self, views: Tensor) -> Any:
        """Map views `(n, *views, 12, crop_len)` in mV to projections `(n, *views, projection)`."""
        return self.projector(self.embedder(views.flatten(0, -3))).unflatten(0, views.shape[:-2])


class Streams(nn.Module):
    """Every lead group of every view has a projection of its own; the projector is shared.

    Raises
    ------
    EcgkitError
        Where the encoder has no streams.
    """

    def __init__(self, embedder: Embedder, heads: Heads) -> None:
        super().__init__()
        _check_has(embedder, "streams", "lead groups", "dual_stream, or leave out dual-stream")
        self.embedder = embedder
        width = embedder.n_features // cast(int, embedder.encoder.n_groups)
        self.projector = mlp(width, width, heads.projection)

    def forward(self, views: Tensor) -> Tensor:
        """Map views `(n, *views, 12, crop_len)` in mV to projections `(n, *views, groups, projection)`."""
        windows = self.embedder.windows(views.flatten(0, -3)).flatten(0, 1)
        streams = cast(Any, self.embedder.encoder).streams(windows)
        return self.projector(streams.flatten(0, 1)).unflatten(0, (*views.shape[:-2], streams.shape[1]))


class Predictive(nn.Module):
    """Linear predictors of future steps from the context (van den Oord et al. 2018, equation 3).

    Raises
    ------
    EcgkitError
        Where the encoder has no steps.
    """

    def __init__(self, embedder: Embedder, heads: Heads) -> None:
        super().__init__()
        _check_has(embedder, "steps", "steps in time", "cpc or s4d")
        self.embedder, self.horizon = embedder, heads.horizon
        encoder = cast(Any, embedder.encoder)
        self.predictors = nn.Linear(encoder.context_features, heads.horizon * encoder.step_features, bias=False)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Map `(n, 12, crop_len)` in mV to predictions `(n, steps, horizon, d)` and the steps' `(n, steps, d)`."""
        encoder = cast(Any, self.embedder.encoder)
        steps = encoder.steps(self.embedder.windows(views).flatten(0, 1))
        return self.predictors(encoder.context(steps)).unflatten(-1, (self.horizon, -1)), steps


def _check_has(embedder: Embedder, what: str, meaning: str, choose: str) -> None:
    if not hasattr(embedder.encoder, what):
        name = cast(dict[str, Any], embedder.encoder.config)["name"]
        raise EcgkitError(f"the encoder {name} has no {meaning}; choose {choose}")
