"""Physiology as the teacher: an encoder learns what measurements and rules say of an ECG, and no diagnosis."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

#: A measurement that fewer ECGs have is left out: what is known of some tells who they are.
LEAST_KNOWN = 0.3
#: Measurements are cut off so many interquartile ranges from the median: one wrong boundary should not outweigh all.
FURTHEST = 3.0


def targets_of(measured: NDArray[np.floating]) -> NDArray[np.float32]:
    """Make measurements `(n, n_measurements)` fit to be learnt: around the median 0, cut off, of spread 1.

    The unit is the interquartile range, where there is one. What is unknown stays nan; so does all of a measurement
    that is known of fewer than `LEAST_KNOWN` of the ECGs, or of which all ECGs have the same.
    """
    x = np.asarray(measured, dtype=np.float64)
    few = np.isfinite(x).mean(axis=0) < LEAST_KNOWN
    known = np.where(few, 0.0, x)
    low, median, high = np.nanpercentile(known, [25, 50, 75], axis=0)
    spread = np.nanstd(known, axis=0)
    unit = np.where(high > low, high - low, np.where(spread > 0, spread, 1.0))
    z = ((known - median) / unit).clip(-FURTHEST, FURTHEST)
    spread = np.nanstd(z, axis=0)
    return np.where(few | (spread == 0), np.nan, z / np.where(spread > 0, spread, 1.0)).astype(np.float32)


class Physiologist(nn.Module):
    """A linear head on an encoder that names measurements, `(n_targets,)`, and a projector for contrast."""

    def __init__(self, embedder: nn.Module, n_features: int, n_targets: int, projection: int) -> None:
        super().__init__()
        self.embedder = embedder
        self.head = nn.Sequential(nn.LayerNorm(n_features), nn.Linear(n_features, n_targets))
        self.projector = nn.Sequential(nn.Linear(n_features, n_features), nn.ReLU(inplace=True),
                                       nn.Linear(n_features, projection))

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Map views `(n, views, 12, crop_len)` in mV to measurements `(n, n_targets)` and projections `(n, views, d)`.

        An ECG's measurements are the mean of what its views say.
        """
        features = self.embedder(views.flatten(0, 1))
        named = self.head(features).unflatten(0, views.shape[:2]).mean(dim=1)
        return named, self.projector(features).unflatten(0, views.shape[:2])


def measured_loss(named: Tensor, targets: Tensor) -> Tensor:
    """Smooth L1 distance of measurements `(n, n_targets)` to `targets`, over those that are known (not nan)."""
    known = torch.isfinite(targets)
    total = smooth_l1_loss(named[known], targets[known], reduction="sum")
    return total / known.sum().clamp(min=1)  # 0 where nothing is known
