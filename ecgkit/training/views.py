"""Views: the windows of a recording that a method of pretraining lets its encoder see."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ecgkit.errors import EcgkitError
from ecgkit.leads import LIMB, N_LEADS
from ecgkit.training.batches import Batch
from ecgkit.transforms import (
    add_electrode_noise,
    add_emg,
    blank_partially,
    blank_parts,
    mask_leads,
    random_crop,
    scale_gain,
    transform_vcg,
)


@dataclass(frozen=True)
class Augment:
    """Random changes of each view, in the order below; strength 0 leaves one out.

    Parameters
    ----------
    gain : float
        Standard deviation of the logarithm of the gain.
    angle, scale : float
        Rotation in degrees, and stretch, of the heart vector (`transform_vcg`); 0 and 1 leave it out.
    keep_residual : bool
        Keep what a dipole cannot carry.
    noise, wander, emg : float
        White noise, 1/f^2 drift and muscle noise at the electrodes, in millivolts.
    mask : float
        Probability of losing a lead, in half of the views (`mask_leads`).
    blank : float
        Contiguous share that each lead loses.
    fewest : int, optional
        With it half of the views lose whole leads instead, down to this number (`blank_partially`).
    """

    gain: float = 0.0
    angle: float = 45.0
    scale: float = 1.5
    keep_residual: bool = True
    noise: float = 0.0
    wander: float = 0.0
    emg: float = 0.0
    mask: float = 0.5
    blank: float = 0.0
    fewest: int | None = None

    def __call__(self, x: Tensor, fs: float, generator: torch.Generator | None = None) -> Tensor:
        """Change `(batch, 12, crop_len)` in mV, at `fs` Hz."""
        if self.gain:
            x = scale_gain(x, self.gain, generator)
        if self.angle or self.scale != 1:
            x = transform_vcg(x, self.angle, self.scale, self.keep_residual, generator)
        if self.noise:
            x = add_electrode_noise(x, self.noise, 0, generator)
        if self.wander:
            x = add_electrode_noise(x, self.wander, 2, generator)
        if self.emg:
            x = add_emg(x, self.emg, fs, generator)
        if self.mask:
            x = mask_leads(x, self.mask, generator)
        if self.blank and self.fewest is not None:
            x = blank_partially(x, self.fewest, self.blank, generator)
        elif self.blank:
            x = blank_parts(x, self.blank, generator)
        return x


#: Views as they were recorded.
NO_AUGMENT = Augment(angle=0, scale=1, mask=0)


@dataclass(frozen=True)
class ViewSettings:
    """What the views of a run have in common.

    Parameters
    ----------
    crop_len : int
        Samples of a view.
    fs : float
        Sampling rate in Hz.
    augment : Augment
    n_leads : int
        Leads drawn for each step, where views are leads.
    """

    crop_len: int
    fs: float
    augment: Augment = NO_AUGMENT
    n_leads: int = 2


# Each function below takes a batch to `(n, ..., 12, crop_len)`, whose axes between are the views. Windows are cut
# first, so that what is thrown away costs nothing.

def one_crop(batch: Batch, how: ViewSettings, generator: torch.Generator) -> Tensor:
    """One window at a random place, `(n, 12, crop_len)`."""
    return how.augment(random_crop(batch.x, how.crop_len, generator), how.fs, generator)


def two_crops(batch: Batch, how: ViewSettings, generator: torch.Generator) -> Tensor:
    """Two windows, each at its own random place, `(n, 2, 12, crop_len)`."""
    crops = [random_crop(batch.x, how.crop_len, generator) for _ in range(2)]
    return _augmented(torch.stack(crops, dim=1), how, generator)


def two_segments(batch: Batch, how: ViewSettings, generator: torch.Generator) -> Tensor:
    """Two adjacent windows from a random start, `(n, 2, 12, crop_len)`."""
    return _augmented(adjacent(batch.x, how.crop_len, generator), how, generator)


def leads_of_crop(batch: Batch, how: ViewSettings, generator: torch.Generator) -> Tensor:
    """Single leads of one window, `(n, leads, 12, crop_len)`."""
    return _some_leads(one_crop(batch, how, generator), how, generator)


def leads_of_segments(batch: Batch, how: ViewSettings, generator: torch.Generator) -> Tensor:
    """Single leads of two adjacent windows, `(n, 2, leads, 12, crop_len)`."""
    return _some_leads(two_segments(batch, how, generator), how, generator)


def leads_of_augmentations(batch: Batch, how: ViewSettings, generator: torch.Generator) -> Tensor:
    """Single leads of one window augmented twice, `(n, 2, leads, 12, crop_len)`."""
    crop = random_crop(batch.x, how.crop_len, generator)
    return _some_leads(_augmented(torch.stack([crop, crop], dim=1), how, generator), how, generator)


def groups_of_segments(batch: Batch, how: ViewSettings, generator: torch.Generator) -> Tensor:
    """Limb leads, then chest leads, of two adjacent windows, `(n, 2, 2, 12, crop_len)`."""
    is_limb = torch.arange(N_LEADS, device=batch.x.device) < len(LIMB)
    return keep_only(two_segments(batch, how, generator), torch.stack([is_limb, ~is_limb]))


def patient_pairs(batch: Batch, how: ViewSettings, generator: torch.Generator) -> Tensor:
    """A random window of each of a patient's two ECGs; two adjacent windows where there is one ECG only.

    `batch.x` is `(n, 2, 12, sig_len)`, the views are `(n, 2, 12, crop_len)`.
    """
    views = torch.stack([random_crop(x, how.crop_len, generator) for x in batch.x.unbind(dim=1)], dim=1)
    if batch.alone is not None and batch.alone.any():
        views[batch.alone] = adjacent(batch.x[batch.alone, 0], how.crop_len, generator)
    return _augmented(views, how, generator)


def adjacent(x: Tensor, crop_len: int, generator: torch.Generator | None = None) -> Tensor:
    """Cut two windows, the second where the first ends: `(n, 12, sig_len)` to `(n, 2, 12, crop_len)`."""
    return random_crop(x, 2 * crop_len, generator).unflatten(-1, (2, crop_len)).transpose(1, 2)


def keep_only(x: Tensor, kept: Tensor) -> Tensor:
    """Views in which only some leads are not zero.

    Parameters
    ----------
    x : Tensor, shape (..., 12, crop_len)
    kept : Tensor of bool, shape (views, 12)

    Returns
    -------
    Tensor, shape (..., views, 12, crop_len)
    """
    return x.unsqueeze(-3).masked_fill(~kept[..., None], 0.0)


def _augmented(views: Tensor, how: ViewSettings, generator: torch.Generator) -> Tensor:
    """Augment every view with its own draw."""
    return how.augment(views.flatten(0, -3), how.fs, generator).view_as(views)


def _some_leads(x: Tensor, how: ViewSettings, generator: torch.Generator) -> Tensor:
    """Draw different leads, the same for the whole batch, and give a view of each."""
    if not 2 <= how.n_leads <= N_LEADS:
        raise EcgkitError(f"{how.n_leads} leads for each step: give from 2 to {N_LEADS}")
    drawn = torch.randperm(N_LEADS, generator=generator)[:how.n_leads]
    return keep_only(x, torch.eye(N_LEADS, dtype=torch.bool)[drawn].to(x.device))
