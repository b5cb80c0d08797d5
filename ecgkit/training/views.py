"""What a step of pretraining draws, ECGs or patients, and the views of them that a method lets its encoder see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecgkit import transforms
from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.leads import LIMB, N_LEADS
from ecgkit.simulator import Cohort
from ecgkit.training.loop import Schedule
from ecgkit.training.measured import MeasuredFeatures, targets_of
from ecgkit.transforms import random_crop

#: Simulated patients are numbers below this one; a number comes up twice once in billions.
NUMBERS = 1 << 40
#: Windows of an ECG that `several_crops` gives.
N_WINDOWS = 4
#: Measurements and rule margins of an ECG.
N_TARGETS = MeasuredFeatures(1, rules=True).n_features


@dataclass(frozen=True)
class Augment:
    """Random changes of each view, in the order below; strength 0 leaves one out.

    Parameters
    ----------
    gain : float
        Standard deviation of the logarithm of the gain.
    angle, scale, keep_residual : float, float, bool
        Of `transform_vcg`; 0 degrees and a stretch of 1 leave it out.
    noise, wander, emg : float
        White noise, 1/f^2 drift and muscle noise at the electrodes, in millivolts.
    mask : float
        Probability of losing a lead, in half of the views (`mask_leads`).
    blank, fewest : float, int, optional
        Contiguous share that each lead loses; with `fewest`, half of the views lose whole leads (`blank_partially`).
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
            x = transforms.scale_gain(x, self.gain, generator)
        if self.angle or self.scale != 1:
            x = transforms.transform_vcg(x, self.angle, self.scale, self.keep_residual, generator)
        if self.noise:
            x = transforms.add_electrode_noise(x, self.noise, 0, generator)
        if self.wander:
            x = transforms.add_electrode_noise(x, self.wander, 2, generator)
        if self.emg:
            x = transforms.add_emg(x, self.emg, fs, generator)
        if self.mask:
            x = transforms.mask_leads(x, self.mask, generator)
        if self.blank and self.fewest is not None:
            x = transforms.blank_partially(x, self.fewest, self.blank, generator)
        elif self.blank:
            x = transforms.blank_parts(x, self.blank, generator)
        return x


#: Views as they were recorded.
NO_AUGMENT = Augment(angle=0, scale=1, mask=0)


@dataclass(frozen=True)
class PretrainSettings:
    """What pretraining needs beyond the data and the method.

    Parameters
    ----------
    encoder, encoder_options, temperature, augment
        As in `SupervisedSettings`; temperature of the loss, if it has one; None is the method's own.
    crop_seconds, projection : float, int
        Length of a view; features of the space in which views are compared, whose projector is thrown away.
    leads_per_step : int
        Leads drawn for each batch by methods whose views are leads: the recording with all other leads set to zero, so
        that one encoder serves all methods.
    without : tuple of str
        Ingredients that `utah` or `physiology` leaves out (`ecgkit.training.methods.INGREDIENTS`, `TEACHERS`).
    momentum, horizon : float, int
        Share of itself that the target of MoCo v3 and BYOL keeps at first; future steps that CPC predicts.
    fs, simulated_per_epoch : float, int
        Sampling rate in Hz of simulated ECGs, where there are no data; how many (for the contrast, patients) make an
        "epoch".
    schedule : Schedule
    """

    encoder: str | None = None
    encoder_options: dict[str, Any] = field(default_factory=dict)
    crop_seconds: float = 2.5
    projection: int = 128
    temperature: float | None = None
    leads_per_step: int = 2
    without: tuple[str, ...] = ()
    augment: Augment | None = None
    momentum: float = 0.99
    horizon: int = 12
    fs: float = 100.0
    simulated_per_epoch: int = 12_800
    schedule: Schedule = field(default_factory=lambda: Schedule(epochs=40, learning_rate=2e-3))

    @property
    def crop_len(self) -> int:
        """Samples of a view."""
        return round(self.crop_seconds * self.fs)


class Batch(NamedTuple):
    """ECGs of one step, `x` `(n, 12, sig_len)` in mV, or `(n, 2, 12, sig_len)` where items are patients.

    `patients` `(n,)` says whose they are, `alone` `(n,)` which have one ECG only, in both places of `x`; `labels` are
    `(n, n_labels)`, `measured` `(n, N_TARGETS)`, nan where unknown (`ecgkit.training.measured.targets_of`).
    """

    x: Tensor
    patients: Tensor
    labels: Tensor | None = None
    alone: Tensor | None = None
    measured: Tensor | None = None

    def to(self, device: str) -> Batch:
        """Move all that a network or a loss touches."""
        return Batch(*(None if part is None else part.to(device) for part in self))  # type: ignore[arg-type]


class Recordings:
    """A source of batches whose items are the ECGs of a dataset, `measured` where a method asks for it."""

    def __init__(self, data: ECGDataset, measured: MeasuredFeatures | None = None) -> None:
        self.data = data
        self.codes = patient_codes(data)
        self.measured = torch.from_numpy(targets_of(measured.embed(data.signals))) if measured else None

    def __len__(self) -> int:
        return len(self.data)

    def __call__(self, items: Tensor, generator: torch.Generator) -> Batch:
        """Read the items of a step; whatever else is random comes from the generator."""
        rows = items.numpy()
        labels = torch.from_numpy(self.data.labels[rows]) if self.data.label_names else None
        measured = None if self.measured is None else self.measured[items]
        return Batch(torch.from_numpy(self.data.batch(rows)), torch.from_numpy(self.codes[rows]), labels,
                     measured=measured)

    def sample(self) -> NDArray[np.float32]:
        """Some ECGs, to learn their scale."""
        return self.data.batch(slice(0, 1024))


class PatientPairs(Recordings):
    """Each patient is an item: two different ECGs drawn at random, or the one there is, twice."""

    def __init__(self, data: ECGDataset) -> None:
        super().__init__(data)
        self.order = torch.from_numpy(np.argsort(self.codes, kind="stable"))
        self.count = torch.from_numpy(np.bincount(self.codes))
        self.first = self.count.cumsum(0) - self.count

    def __len__(self) -> int:
        return len(self.count)

    def __call__(self, items: Tensor, generator: torch.Generator) -> Batch:
        """Draw and read two ECGs of each patient."""
        count = self.count[items]
        draw = torch.rand(2, len(items), generator=generator, dtype=torch.float64)
        one = (draw[0] * count).long()
        step = 1 + (draw[1] * (count - 1)).long()
        places = self.first[items] + torch.stack([one, (one + step) % count])
        x = torch.from_numpy(self.data.batch(self.order[places.T.flatten()].numpy()))
        return Batch(x.unflatten(0, (len(items), 2)), items, alone=count == 1)


class SimulatedPairs:
    """Endless simulated patients, two visits each, of which `n_items` make an "epoch"; none is ever seen twice."""

    def __init__(self, cohort: Cohort, n_items: int) -> None:
        self.cohort, self.n_items = cohort, n_items

    def __len__(self) -> int:
        return self.n_items

    def __call__(self, items: Tensor, generator: torch.Generator) -> Batch:
        """Simulate as many new patients as there are items."""
        patients = torch.randint(NUMBERS, (len(items),), generator=generator)
        visits = torch.stack([2 * patients, 2 * patients + 1], dim=1)
        x = torch.from_numpy(self.cohort.signals(visits.flatten().numpy()))
        return Batch(x.unflatten(0, (len(items), 2)), patients, alone=torch.zeros(len(items), dtype=torch.bool))

    def sample(self) -> NDArray[np.float32]:
        """ECGs of 128 patients."""
        return self.cohort.signals(range(256))


def patient_codes(data: ECGDataset) -> NDArray[np.int64]:
    """Patients of a dataset as numbers from 0 on, `(n,)`, in the order in which they appear."""
    return pd.factorize(data.records["patient_id"])[0].astype(np.int64)


# Each function below takes a batch to `(n, ..., 12, crop_len)`, whose axes between are the views. Windows are cut
# first, so that what is thrown away costs nothing.

def one_crop(batch: Batch, how: PretrainSettings, generator: torch.Generator) -> Tensor:
    """One window at a random place, `(n, 12, crop_len)`."""
    return _augmented(random_crop(batch.x, how.crop_len, generator), how, generator)


def two_crops(batch: Batch, how: PretrainSettings, generator: torch.Generator) -> Tensor:
    """Two windows, each at its own random place, `(n, 2, 12, crop_len)`."""
    crops = [random_crop(batch.x, how.crop_len, generator) for _ in range(2)]
    return _augmented(torch.stack(crops, dim=1), how, generator)


def several_crops(batch: Batch, how: PretrainSettings, generator: torch.Generator) -> Tensor:
    """`N_WINDOWS` windows, each at its own random place, `(n, N_WINDOWS, 12, crop_len)`."""
    crops = [random_crop(batch.x, how.crop_len, generator) for _ in range(N_WINDOWS)]
    return _augmented(torch.stack(crops, dim=1), how, generator)


def two_segments(batch: Batch, how: PretrainSettings, generator: torch.Generator) -> Tensor:
    """Two adjacent windows from a random start, `(n, 2, 12, crop_len)`."""
    return _augmented(adjacent(batch.x, how.crop_len, generator), how, generator)


def leads_of_crop(batch: Batch, how: PretrainSettings, generator: torch.Generator) -> Tensor:
    """Single leads of one window, `(n, leads, 12, crop_len)`."""
    return _some_leads(one_crop(batch, how, generator), how, generator)


def leads_of_segments(batch: Batch, how: PretrainSettings, generator: torch.Generator) -> Tensor:
    """Single leads of two adjacent windows, `(n, 2, leads, 12, crop_len)`."""
    return _some_leads(two_segments(batch, how, generator), how, generator)


def leads_of_augmentations(batch: Batch, how: PretrainSettings, generator: torch.Generator) -> Tensor:
    """Single leads of one window augmented twice, `(n, 2, leads, 12, crop_len)`."""
    crop = random_crop(batch.x, how.crop_len, generator)
    return _some_leads(_augmented(torch.stack([crop, crop], dim=1), how, generator), how, generator)


def groups_of_segments(batch: Batch, how: PretrainSettings, generator: torch.Generator) -> Tensor:
    """Limb leads, then chest leads, of two adjacent windows, `(n, 2, 2, 12, crop_len)`."""
    is_limb = torch.arange(N_LEADS, device=batch.x.device) < len(LIMB)
    return keep_only(two_segments(batch, how, generator), torch.stack([is_limb, ~is_limb]))


def patient_pairs(batch: Batch, how: PretrainSettings, generator: torch.Generator) -> Tensor:
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
    """Views of `(..., 12, crop_len)` in which only the leads `kept`, `(views, 12)`, are not zero."""
    return x.unsqueeze(-3).masked_fill(~kept[..., None], 0.0)


def _augmented(views: Tensor, how: PretrainSettings, generator: torch.Generator) -> Tensor:
    """Augment every view with its own draw."""
    return (how.augment or NO_AUGMENT)(views.flatten(0, -3), how.fs, generator).view_as(views)


def _some_leads(x: Tensor, how: PretrainSettings, generator: torch.Generator) -> Tensor:
    """A view of each of some leads, drawn for the whole batch."""
    if not 2 <= how.leads_per_step <= N_LEADS:
        raise EcgkitError(f"{how.leads_per_step} leads for each step: give from 2 to {N_LEADS}")
    drawn = torch.randperm(N_LEADS, generator=generator)[:how.leads_per_step]
    return keep_only(x, torch.eye(N_LEADS, dtype=torch.bool)[drawn].to(x.device))
