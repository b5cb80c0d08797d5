"""Random draws for transforms: from a given generator, on the CPU, so that a seed means the same on every device."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform(x: Tensor, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """Draw from 0 to 1, on the device of `x`."""
    return torch.rand(shape, generator=generator).to(x.device)


def normal(x: Tensor, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """Draw from the standard normal distribution, on the device of `x`."""
    return torch.randn(shape, generator=generator).to(x.device)
