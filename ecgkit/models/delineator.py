"""A small U-Net over all twelve leads that says, for every sample, whether P, QRS or T is under way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from ecgkit.errors import EcgkitError
from ecgkit.leads import N_LEADS
from ecgkit.models.windowed import FOLD, folded, unfolded

#: What each channel of the output stands for.
CHANNELS = ("P", "QRS", "T")
#: Millivolts below which the spread of an ECG is taken as that, so that silence is not blown up.
LEAST_SPREAD = 0.02


class Delineator(nn.Module):
    """Logits of `CHANNELS` at every sample (a U-Net: Ronneberger et al. 2015; on ECGs: Moskalenko et al. 2020).

    `widths` are the channels of each level, which has half the rate of the one above; `kernel_size` is odd, and `fs`
    the sampling rate in Hz that it expects.
    """

    def __init__(self, widths: Sequence[int] = (24, 32, 48, 64, 96), kernel_size: int = 7, fs: float = 250.0) -> None:
        super().__init__()
        self.config = {"widths": list(widths), "kernel_size": kernel_size, "fs": fs}
        self.fs = fs
        inputs = (N_LEADS * FOLD, *widths[:-1])
        self.down = nn.ModuleList(
            _block(before, after, kernel_size) for before, after in zip(inputs, widths, strict=True))
        self.up = nn.ModuleList(
            _block(low + high, high, kernel_size) for high, low in zip(widths[-2::-1], widths[:0:-1], strict=True))
        self.head = nn.Conv1d(widths[0], len(CHANNELS) * FOLD, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map signals `(batch, 12, sig_len)` in mV to logits `(batch, 3, sig_len)`; `EcgkitError` for another shape."""
        if x.ndim != 3 or x.shape[1] != N_LEADS:
            raise EcgkitError(f"signals of shape {tuple(x.shape)}; expected (batch, {N_LEADS}, sig_len)")
        sig_len, whole = x.shape[-1], FOLD * 2 ** (len(self.down) - 1)
        x = pad(_standard(x), (0, -sig_len % whole))
        x = folded(x)
        levels: list[Tensor] = []
        for block in self.down:
            x = block(nn.functional.max_pool1d(x, 2) if levels else x)
            levels.append(x)
        levels.pop()
        for block in self.up:
            x = block(torch.cat([interpolate(x, scale_factor=2, mode="linear"), levels.pop()], dim=1))
        return unfolded(self.head(x))[..., :sig_len]


def _standard(x: Tensor) -> Tensor:
    """Each lead around its mean, all leads of an ECG over one spread: which lead is the larger stays visible."""
    x = x - x.mean(dim=-1, keepdim=True)
    return x / x.square().mean(dim=(1, 2), keepdim=True).sqrt().clamp_min(LEAST_SPREAD)


def _block(before: int, after: int, kernel_size: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs in (before, after):
        layers += [nn.Conv1d(inputs, after, kernel_size, padding=kernel_size // 2, bias=False), nn.BatchNorm1d(after),
                   nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
