"""Perturbations that a recording may suffer and a diagnosis should survive: gain, lost leads, wander, noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ecgkit.transforms.disturb import normal, uniform


def scale_gain(x: Tensor, spread: float, generator: torch.Generator | None = None) -> Tensor:
    """Multiply each ECG `(batch, n_leads, sig_len)` by its own factor, log-normal with standard deviation `spread`."""
    return x * torch.exp(normal(x, (len(x), 1, 1), generator) * spread)


def mask_leads(x: Tensor, probability: float, generator: torch.Generator | None = None) -> Tensor:
    """Set leads to zero: in half of the ECGs, each lead with `probability` (random lead masking, Oh et al. 2022)."""
    touched = uniform(x, (len(x), 1, 1), generator) < 0.5
    return x.masked_fill(touched & (uniform(x, (*x.shape[:2], 1), generator) < probability), 0.0)


def add_wander(x: Tensor, amplitude: float, fs: float, generator: torch.Generator | None = None) -> Tensor:
    """Add a sine of 0 to 0.5 Hz to each lead, with its own phase and an amplitude up to `amplitude`, in x's unit."""
    batch, n_leads, sig_len = x.shape
    time = torch.arange(sig_len, device=x.device) / fs
    frequency = 0.5 * uniform(x, (batch, 1, 1), generator)
    phase, size = uniform(x, (batch, n_leads, 1), generator), uniform(x, (batch, n_leads, 1), generator)
    return x + amplitude * size * torch.sin(2 * math.pi * (frequency * time + phase))


def add_noise(x: Tensor, amplitude: float, generator: torch.Generator | None = None) -> Tensor:
    """Add white noise; its standard deviation is drawn for each ECG from 0 to `amplitude`, in x's unit."""
    return x + amplitude * uniform(x, (len(x), 1, 1), generator) * normal(x, x.shape, generator)


@dataclass(frozen=True)
class Perturb:
    """All of them in turn, each with its own strength; 0 leaves one out.

    Parameters
    ----------
    gain : float
        Standard deviation of the logarithm of the gain.
    mask : float
        Probability of losing a lead.
    wander, noise : float
        In millivolts.
    """

    gain: float = 0.15
    mask: float = 0.15
    wander: float = 0.07
    noise: float = 0.025

    def __call__(self, x: Tensor, fs: float, generator: torch.Generator | None = None) -> Tensor:
        """Perturb `(batch, n_leads, sig_len)` in mV, at `fs` Hz."""
        if self.gain:
            x = scale_gain(x, self.gain, generator)
        if self.mask:
            x = mask_leads(x, self.mask, generator)
        if self.wander:
            x = add_wander(x, self.wander, fs, generator)
        if self.noise:
            x = add_noise(x, self.noise, generator)
        return x
