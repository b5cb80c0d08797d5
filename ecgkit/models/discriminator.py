"""A discriminator of ECGs: does this look like a real one on which the classifier says what is wanted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ecgkit.leads import INDEPENDENT, independent


class Discriminator(nn.Module):
    """Strided convolutions with a projection on the condition (Miyato & Koyama 2018).

    It looks at the signal, its slope and its curvature, the first time at the full rate: an edit that is a little too
    smooth, or bends a little too late, is hardly seen in the signal itself. Its score rests on the mean and on the
    maximum over time, so give it windows of the length that it was trained on.

    Parameters
    ----------
    n_conditions : int
        Numbers that the ECG is judged against.
    widths : sequence of int
        Channels of each level; each but the first halves the rate.
    kernel_size : int
        Odd.
    millivolts : float
        One number for all leads by which signals are divided.
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
