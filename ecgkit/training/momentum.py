"""Momentum: a slow copy of the network that gives MoCo v3 and BYOL their targets."""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from torch import Tensor, nn

from ecgkit.models.embedder import Embedder
from ecgkit.training.learners import Heads, Siamese, mlp


def momentum_at(start: float, step: int, n_steps: int) -> float:
    """Share of itself that the target keeps: from `start` to 1 by a cosine (BYOL, Grill et al. 2020, section 3.2)."""
    return 1 - (1 - start) * (math.cos(math.pi * step / n_steps) + 1) / 2


class Target(nn.Module):
    """A copy of a network that follows it slowly and learns nothing by itself.

    It is in training mode as the network is, so batch normalisation uses the statistics of the batch, as in both
    papers' code; only parameters follow, and its running statistics, which nothing reads, are its own. The count of
    steps is a buffer, so a resumed run goes on with the momentum where it stopped.

    Parameters
    ----------
    network : Module
    momentum : float
        Share of itself kept in the first step.
    n_steps : int
        After which nothing moves any more.
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

    def __init__(self, embedder: Embedder, heads: Heads) -> None:
        super().__init__(embedder, heads)
        self.predictor = mlp(heads.projection, embedder.n_features, heads.projection)
        self.target = Target(self._online(), heads.momentum, heads.n_steps)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Map views `(n, views, 12, crop_len)` in mV to predictions and targets, `(n, views, projection)` each."""
        if self.training:
            self.target.follow(self._online())
        projections = super().forward(views)
        predictions = self.predictor(projections.flatten(0, -2)).view_as(projections)
        return predictions, self.target(views.flatten(0, -3)).view_as(projections)

    def _online(self) -> nn.Sequential:
        return nn.Sequential(self.embedder, self.projector)
