"""Crops: a random one per ECG for training, evenly spaced ones for testing."""

from __future__ import annotations

import torch
from torch import Tensor

from ecgkit.errors import EcgkitError


def random_crop(x: Tensor, crop_len: int, generator: torch.Generator | None = None) -> Tensor:
    """Cut one window out of each ECG, at its own random place.

    Parameters
    ----------
    x : Tensor, shape (batch, n_leads, sig_len)
    crop_len : int
        Samples to keep.
    generator : torch.Generator, optional
        Source of randomness, on the CPU.

    Returns
    -------
    Tensor, shape (batch, n_leads, crop_len)

    Raises
    ------
    EcgkitError
        Where the signal is shorter than the crop: it is never padded.
    """
    batch, n_leads, sig_len = x.shape
    _check(sig_len, crop_len)
    start = torch.randint(0, sig_len - crop_len + 1, (batch, 1, 1), generator=generator)
    places = (start + torch.arange(crop_len)).expand(batch, n_leads, crop_len).to(x.device)
    return x.gather(-1, places)


def every_crop(x: Tensor, crop_len: int) -> Tensor:
    """Cut the fewest evenly spaced windows that overlap by at least half and cover the whole ECG.

    Parameters
    ----------
    x : Tensor, shape (batch, n_leads, sig_len)
    crop_len : int
        Samples of each window.

    Returns
    -------
    Tensor, shape (batch, n_crops, n_leads, crop_len)

    Raises
    ------
    EcgkitError
        Where the signal is shorter than the crop.
    """
    sig_len = x.shape[-1]
    _check(sig_len, crop_len)
    spare, hop = sig_len - crop_len, max(crop_len // 2, 1)
    n_crops = -(-spare // hop) + 1
    starts = [round(spare * k / max(n_crops - 1, 1)) for k in range(n_crops)]
    return torch.stack([x[..., start:start + crop_len] for start in starts], dim=1)


def _check(sig_len: int, crop_len: int) -> None:
    if not 0 < crop_len <= sig_len:
        raise EcgkitError(f"a signal of {sig_len} samples has no window of {crop_len}; give a longer recording")
