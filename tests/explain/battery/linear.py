"""A classifier whose every explanation is known: f(x) = <w, x> + b."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

SHAPE = (12, 40)
LABEL = 1


class Linear(nn.Module):
    """Two labels, of which the second is explained; it keeps what it was shown."""

    def __init__(self, weight: np.ndarray, bias: float = 0.3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(np.stack([np.ones_like(weight), weight])).float())
        self.bias = nn.Parameter(torch.tensor([5.0, bias]))
        self.seen: list[np.ndarray] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach().numpy().copy())
        return torch.einsum("nlt,klt->nk", x, self.weight) + self.bias


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def linear(seed: int = 9) -> Linear:
    return Linear(normal(seed, *SHAPE))


def value(model: Linear, x: np.ndarray) -> np.ndarray:
    """The explained logit, in double precision."""
    return (x.astype(np.float64) * model.weight[LABEL].detach().double().numpy()).sum(axis=(1, 2)) \
        + float(model.bias[LABEL].detach())
