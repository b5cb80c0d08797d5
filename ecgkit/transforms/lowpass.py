"""Low-pass filters as taps, and signals through them: differentiable, of any length."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad


def gaussian(cutoff: float, fs: float, sigmas: float = 4.0) -> Tensor:
    """Taps of a low-pass without ripples that halves the power at `cutoff` Hz.

    Where few samples make the Gaussian, as at a cutoff of a third of the rate, it takes less than half.

    Parameters
    ----------
    cutoff, fs : float
        Hz.
    sigmas : float
        Where the taps end, in standard deviations.
    """
    sigma = fs * math.sqrt(math.log(2)) / (2 * math.pi * cutoff)
    reach = max(1, math.ceil(sigmas * sigma))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    return taps / taps.sum()


def filtered(x: Tensor, taps: Tensor) -> Tensor:
    """`(n, n_leads, sig_len)` through a filter of an odd number of taps; beyond its ends it goes on as it ended."""
    reach = len(taps) // 2
    padded = pad(x, (reach, reach), mode="replicate").flatten(0, 1)[:, None]
    return conv1d(padded, taps[None, None])[:, 0].unflatten(0, x.shape[:2])
