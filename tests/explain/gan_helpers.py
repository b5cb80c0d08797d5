"""ECGs whose V5 and V1 have some height each, a classifier that is linear in both, and a training of seconds."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgkit.datasets import ECGDataset, from_arrays
from ecgkit.explain.counterfactual.training import GANSettings, Weights
from ecgkit.leads import LEADS, from_independent
from ecgkit.models.windowed import Regressor

NAMES, FS, SECONDS = ("A", "B"), 100.0, 0.64
V5, V1 = LEADS.index("V5"), LEADS.index("V1")
#: Seconds of training, not minutes; the edit costs next to nothing.
TINY = GANSettings(
    seconds=SECONDS, steps=100, batch_size=8, learning_rate=4e-3, discriminator_rate=1e-3,
    weights=Weights(reach=4.0, keep=1.0, adversarial=0.05, size=0.1, count=0.1, group=0.1, smooth=0.1, local=0.1,
                    warp=0.05, cycle=0.1, variety=0.02),
    generator={"widths": (8, 8), "kernel_size": 3}, discriminator={"widths": (8, 8), "kernel_size": 3})


class Heights(nn.Module):
    """Logit of A: six times the mean of V5 in mV, of B: of V1, less `offset`; `sign` turns both round."""

    def __init__(self, offset: float = 0.0, sign: float = 1.0) -> None:
        super().__init__()
        self.label_names, self.fs = NAMES, FS
        self.gain, self.offset = nn.Parameter(torch.tensor(6.0 * sign)), offset

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x[:, (V5, V1)].mean(dim=-1) - self.offset


def signals(n: int = 64, sig_len: int = 100, seed: int = 0) -> NDArray[np.float32]:
    """ECGs `(n, 12, sig_len)` in mV: every independent lead is a height and a ripple."""
    rng = np.random.default_rng(seed)
    ripple = 0.1 * np.sin(2 * np.pi * (5 * np.arange(sig_len) / FS + rng.random((n, 8, 1))))
    return from_independent(rng.uniform(-0.7, 0.7, (n, 8, 1)) + ripple).astype(np.float32)


def dataset(n: int = 64, sig_len: int = 100, seed: int = 0) -> ECGDataset:
    x = signals(n, sig_len, seed)
    return from_arrays(x, (x[:, (V5, V1)].mean(axis=-1) > 0).astype(np.uint8), NAMES, FS, name="heights")


def same(one: nn.Module, other: nn.Module) -> bool:
    """Whether two models have the same weights to the bit."""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class _Means(nn.Module):
    """Means of V5 and V1 over time."""

    n_features = 2

    def __init__(self) -> None:
        super().__init__()
        self.config = {"name": "means"}

    def forward(self, x: Tensor) -> Tensor:
        return x[:, (V5, V1)].mean(dim=-1)


def ruler(gain: float = 6.0) -> Regressor:
    """Reads the heights of `Heights` in units: an output of `gain` a millivolt, ten units each, from a hundred on."""
    model = Regressor(_Means(), NAMES, units=("ms", "ms"), centre=(100, 100), scale=(10, 10), fs=FS, crop_len=64)
    with torch.no_grad():
        model.head[2].weight.copy_(gain * torch.eye(2))
        model.head[2].bias.zero_()
    return model.eval()
