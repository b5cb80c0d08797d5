"""A generator of counterfactual ECGs: it bends time a little, adds a smooth edit, and keeps the limb-lead algebra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, interpolate, pad

from ecgkit.leads import DOWER, INDEPENDENT, TWELVE_FROM_INDEPENDENT, independent
from ecgkit.models.windowed import FOLD, folded, unfolded
from ecgkit.transforms import filtered

#: The eight leads of a heart vector.
_FIELD = independent(DOWER)
#: The edit has half the amplitude at this frequency and next to none above, so nothing hides where no heart beats.
EDIT_HZ = 22.0
#: What is smaller is nothing: mV of the edit, samples of the displacement. So most of an answer is the ECG itself.
LEAST_MV, LEAST_SHIFT = 0.01, 0.2
#: The displacement of time is read from features that are this much coarser than the signal.
_WARP_STRIDE = 4


class Edited(NamedTuple):
    """What the generator did.

    New ECGs `signals` `(batch, 12, sig_len)` in mV; what was added to the independent leads, `edit`, and the part of it
    that no heart vector explains, `local`, both `(batch, 8, sig_len)` in mV; and by how many samples time was
    displaced, `shift`, `(batch, sig_len)`.
    """

    signals: Tensor
    edit: Tensor
    local: Tensor
    shift: Tensor


class Generator(nn.Module):
    """Residual conditional U-Net over the eight independent leads.

    The answer is ``warp(x) + lowpass(field @ vector + local)``: time is displaced by at most `warp_ms`, monotonically
    (no sample overtakes another), then an edit is added. Most of the edit is a change of the heart vector, seen by all
    leads through Dower's field, so leads change together as one heart would change them; what single leads add to it
    costs extra. Gates let most of it be exactly nothing. Of any length; nothing is normalised over time, so a window is
    edited as it would be within the whole ECG.

    `n_conditions` numbers say what is wanted; `widths` are the channels of each level, the first at half of the rate
    `fs`, each at half the rate of the one above. Signals are divided by `millivolts`. The heart vector, and a lead by
    itself, change by at most `most_mv`. Where it is not `residual`, the net draws the ECG anew.
    """

    millivolts: Tensor
    twelve: Tensor
    field: Tensor
    lowpass: Tensor
    smooth: Tensor

    def __init__(self, n_conditions: int, *, widths: Sequence[int] = (32, 64, 96, 128), kernel_size: int = 7,
                 fs: float = 100.0, millivolts: float = 0.25, most_mv: float = 3.0, warp_ms: float = 120.0,
                 residual: bool = True) -> None:
        super().__init__()
        self.config = {"n_conditions": n_conditions, "widths": list(widths), "kernel_size": kernel_size, "fs": fs,
                       "millivolts": millivolts, "most_mv": most_mv, "warp_ms": warp_ms, "residual": residual}
        self.most_mv, self.warp, self.residual = most_mv, warp_ms * fs / 1000, residual
        self.register_buffer("millivolts", torch.tensor(float(millivolts)), persistent=False)
        self.register_buffer("twelve", torch.tensor(TWELVE_FROM_INDEPENDENT, dtype=torch.float32), persistent=False)
        self.register_buffer("field", torch.tensor(_FIELD, dtype=torch.float32), persistent=False)
        self.register_buffer("lowpass", torch.tensor(_lowpass(fs), dtype=torch.float32), persistent=False)
        self.register_buffer("smooth", torch.tensor(_triangle(self.warp), dtype=torch.float32), persistent=False)
        self.condition = nn.Sequential(nn.Linear(n_conditions, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
        self.stem = nn.Conv1d(FOLD * len(INDEPENDENT), widths[0], kernel_size, padding=kernel_size // 2)
        self.down = nn.ModuleList(
            _Block(before, after, kernel_size) for before, after in zip((widths[0], *widths), widths, strict=False))
        self.lift = nn.ModuleList(
            nn.Conv1d(low, high, 1) for high, low in zip(widths[-2::-1], widths[:0:-1], strict=True))
        self.up = nn.ModuleList(_Block(high, high, kernel_size) for high in widths[-2::-1])
        self.edit = nn.Conv1d(widths[0], 2 * FOLD * sum(_FIELD.shape), kernel_size, padding=kernel_size // 2)
        self.displace = nn.Conv1d(widths[1], 1, 1)
        nn.init.normal_(self.edit.weight, std=0.01)
        nn.init.zeros_(self.displace.weight)
        for layer in (self.edit, self.displace):
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map ECGs `(batch, 12, sig_len)` in mV and conditions `(batch, n_conditions)` to ECGs."""
        return self.edited(x, condition).signals

    def edited(self, x: Tensor, condition: Tensor) -> Edited:
        """The same, and what was done."""
        eight = independent(x)
        coarse, fine = self._features(eight / self.millivolts, condition)
        size, gate = unfolded(self.edit(fine))[..., :x.shape[-1]].chunk(2, dim=1)
        raw = filtered(_shrunk(self.most_mv * torch.tanh(size) * torch.sigmoid(gate), LEAST_MV), self.lowpass)
        n_vector = self.field.shape[1]
        local = raw[:, n_vector:]
        edit = torch.einsum("ov,bvl->bol", self.field, raw[:, :n_vector]) + local
        moved, shift = eight, torch.zeros_like(x[:, 0])
        if self.warp:
            shift = self._displacement(coarse, x.shape[-1])
            moved = displaced(eight, shift)
        new = moved + edit if self.residual else edit
        return Edited(torch.einsum("oi,bil->bol", self.twelve, new), edit, local, shift)

    def _features(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Features at a quarter and at half of the rate; both cover the signal padded to whole blocks."""
        style = self.condition(condition)
        whole = FOLD * 2 ** (len(self.down) - 1)
        x = self.stem(folded(pad(x, (0, -x.shape[-1] % whole), mode="replicate")))
        levels: list[Tensor] = []
        for block in self.down:
            x = block(nn.functional.avg_pool1d(x, 2) if levels else x, style)
            levels.append(x)
        levels.pop()
        coarse = x
        for lift, block in zip(self.lift, self.up, strict=True):
            x = block(interpolate(lift(x), scale_factor=2, mode="linear") + levels.pop(), style)
            coarse = x if len(levels) == 1 else coarse
        return coarse, x

    def _displacement(self, coarse: Tensor, sig_len: int) -> Tensor:
        """Samples by which each sample is fetched from elsewhere, `(batch, sig_len)`; its slope is above -1."""
        raw = self.warp * torch.tanh(self.displace(coarse))
        raw = interpolate(raw, scale_factor=_WARP_STRIDE, mode="linear")[..., :sig_len]
        half = self.smooth.shape[-1] // 2
        return _shrunk(conv1d(pad(raw, (half, half), mode="replicate"), self.smooth)[:, 0], LEAST_SHIFT)


class _Block(nn.Module):
    """Two convolutions with a shortcut; the condition scales and shifts what lies between (FiLM: Perez et al. 2018)."""

    def __init__(self, before: int, after: int, kernel_size: int, n_style: int = 64) -> None:
        super().__init__()
        self.first = nn.Conv1d(before, after, kernel_size, padding=kernel_size // 2)
        self.second = nn.Conv1d(after, after, kernel_size, padding=kernel_size // 2)
        self.shortcut = nn.Conv1d(before, after, 1) if before != after else nn.Identity()
        self.film = nn.Linear(n_style, 2 * after)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, offset = self.film(style)[..., None].chunk(2, dim=1)
        inside = nn.functional.silu(_over_channels(self.first(x)) * (1 + scale) + offset)
        return nn.functional.silu(self.second(inside) + self.shortcut(x))


def displaced(x: Tensor, shift: Tensor) -> Tensor:
    """Fetch every sample of `(batch, n_leads, sig_len)` `shift` samples later, between samples by a cubic.

    It is that of Catmull & Rom 1974. Where `shift`, `(batch, sig_len)`, leads beyond an end, the end's sample is taken.
    """
    last = x.shape[-1] - 1
    at = (torch.arange(last + 1, device=x.device) + shift).clamp(0, last)
    base = at.detach().floor()
    t = (at - base)[:, None]
    a, b, c, d = (x.gather(-1, (base + k).clamp(0, last).long()[:, None].expand_as(x)) for k in (-1, 0, 1, 2))
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


def _shrunk(x: Tensor, least: float) -> Tensor:
    """Nearer to 0 by `least`, and exactly 0 within it; the gradient passes as if nothing were, or it would die."""
    return x + (torch.nn.functional.softshrink(x.detach(), least) - x.detach())


def _over_channels(x: Tensor) -> Tensor:
    """Unit mean square over the channels of every sample: it does not depend on the length (Karras et al. 2018)."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-6).rsqrt()


def _lowpass(fs: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """A linear-phase filter, `(n_taps,)`; at low rates, where there is nothing to cut, it lets all pass."""
    from scipy.signal import firwin  # takes a second

    n_taps = 2 * round(0.1 * fs) + 1
    return firwin(n_taps, EDIT_HZ, fs=fs) if fs > 2 * EDIT_HZ else np.eye(1, n_taps, n_taps // 2)[0]


def _triangle(most: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Weights whose running mean of numbers within `most` has a slope below 1: a base wider than four times `most`."""
    half = max(1, int(np.ceil(2 * most)) + 1)
    weights = half - np.abs(np.arange(-half + 1, half))
    return (weights / weights.sum())[None, None].astype(np.float64)


class Discriminator(nn.Module):
    """Strided convolutions with a projection on the condition (Miyato & Koyama 2018).

    It looks at the signal, its slope and its curvature, the first time at the full rate: an edit that is a little too
    smooth, or bends a little too late, is hardly seen in the signal itself. Its score rests on the mean and on the
    maximum over time, so give it windows of the length that it was trained on. Each level but the first halves the
    rate.
    """

    def __init__(self, n_conditions: int, *, widths: Sequence[int] = (32, 64, 96, 128, 128), kernel_size: int = 7,
                 millivolts: float = 0.25) -> None:
        super().__init__()
        self.config = {"n_conditions": n_conditions, "widths": list(widths), "kernel_size": kernel_size,
                       "millivolts": millivolts}
        self.millivolts = millivolts
        inputs = (3 * len(INDEPENDENT), *widths[:-1])
        self.levels = nn.ModuleList(
            nn.Conv1d(before, after, kernel_size, stride=2 if level else 1, padding=kernel_size // 2)
            for level, (before, after) in enumerate(zip(inputs, widths, strict=True)))
        self.last = nn.Conv1d(widths[-1], widths[-1], 3, padding=1)
        self.out = nn.Linear(2 * widths[-1], 1)
        self.project = nn.Sequential(nn.Linear(n_conditions, 64), nn.SiLU(), nn.Linear(64, 2 * widths[-1]))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map ECGs `(batch, 12, sig_len)` in mV and conditions `(batch, n_conditions)` to scores `(batch,)`."""
        found = self._features(x)
        return self.out(found)[:, 0] + (self.project(condition) * found).sum(dim=1) / found.shape[1] ** 0.5

    def against_all(self, x: Tensor, conditions: Tensor) -> Tensor:
        """Scores `(batch, k)` of every ECG against each of the conditions `(k, n_conditions)`."""
        found = self._features(x)
        return self.out(found) + found @ self.project(conditions).T / found.shape[1] ** 0.5

    def _features(self, x: Tensor) -> Tensor:
        eight = independent(x) / self.millivolts
        slope = nn.functional.pad(eight.diff(dim=-1), (1, 0))
        bend = nn.functional.pad(slope.diff(dim=-1), (1, 0))
        x = torch.cat([eight, 2 * slope, 4 * bend], dim=1)
        for level in self.levels:
            x = nn.functional.leaky_relu(level(x), 0.2)
        x = nn.functional.leaky_relu(self.last(x), 0.2)
        return torch.cat([x.mean(dim=-1), x.amax(dim=-1)], dim=1)
