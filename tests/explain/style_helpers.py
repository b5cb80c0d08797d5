"""Beats of a few bells, and a classifier that looks at one of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgkit.explain.style.training import StyleSettings
from ecgkit.leads import LEADS, from_independent

V5 = LEADS.index("V5")
#: Seconds of training, not minutes.
TINY = StyleSettings(n_latent=4, steps=20, batch_size=8, encoder={"widths": (8, 8)},
                     generator={"widths": (8, 8), "kernel_size": 3}, discriminator={"widths": (8, 8)})


def drawn_beats(n: int, seed: int = 0) -> NDArray[np.float32]:
    """Beats `(n, 12, 100)` in mV of P, QRS and T, whose R and T vary."""
    rng = np.random.default_rng(seed)
    ms = np.arange(-350, 650, 10)
    p, r, t = (np.exp(-0.5 * ((ms - at) / width) ** 2) for at, width in ((-160, 20), (0, 15), (280, 40)))
    leads = np.array([0.6, 1.0, -0.5, 0.4, 0.8, 1.0, 1.0, 0.8])[None, :, None]
    eight = leads * (0.12 * p + rng.uniform(0.4, 1.6, (n, 1, 1)) * r + rng.uniform(0.1, 0.4, (n, 1, 1)) * t)
    return from_independent(eight).astype(np.float32)


def tall(beats: Tensor) -> Tensor:
    """Logits `(n, 2)`: of a high R in V5, and of its lack."""
    high = 8 * (beats[:, V5].amax(dim=-1) - 1.0)
    return torch.stack([high, -high], dim=1)


class Tall(nn.Module):
    """`tall` of ECGs."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * tall(x)
