"""What a step of pretraining draws: recordings, two ECGs of each patient, or two visits of each simulated patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecgkit.datasets.base import ECGDataset
from ecgkit.simulator import Cohort

#: Simulated patients are numbers below this one; a number comes up twice once in billions.
_NUMBERS = 1 << 40


@dataclass(frozen=True)
class Batch:
    """ECGs of one step.

    Parameters
    ----------
    x : Tensor, shape (n, 12, sig_len), or (n, 2, 12, sig_len) where items are patients
        Millivolts.
    patients : Tensor of int, shape (n,)
        Whose ECGs they are.
    labels : Tensor, shape (n, n_labels), optional
        Multi-hot, where the data have labels.
    alone : Tensor of bool, shape (n,), optional
        Patients with one ECG only, which stands in both places of `x`.
    """

    x: Tensor
    patients: Tensor
    labels: Tensor | None = None
    alone: Tensor | None = None

    def to(self, device: str) -> Batch:
        """Move all that a network or a loss touches."""
        return Batch(*(None if part is None else part.to(device)  # type: ignore[arg-type]
                       for part in (self.x, self.patients, self.labels, self.alone)))


class Source(Protocol):
    """Something that a step's items are drawn from."""

    def __len__(self) -> int:
        """Items of an epoch."""

    def __call__(self, items: Tensor, generator: torch.Generator) -> Batch:
        """Read the items of a step; whatever else is random comes from the generator."""

    def sample(self) -> NDArray[np.float32]:
        """Some ECGs, to learn their scale."""


class Recordings:
    """Each ECG of a dataset is an item."""

    def __init__(self, data: ECGDataset) -> None:
        self.data = data
        self.patients = torch.from_numpy(patient_codes(data))
        self.labels = torch.from_numpy(data.labels) if data.label_names else None

    def __len__(self) -> int:
        return len(self.data)

    def __call__(self, items: Tensor, generator: torch.Generator) -> Batch:
        """Read the ECGs, whole."""
        return Batch(torch.from_numpy(self.data.batch(items.numpy())), self.patients[items],
                     None if self.labels is None else self.labels[items])

    def sample(self) -> NDArray[np.float32]:
        """The first thousand ECGs."""
        return self.data.batch(slice(0, 1024))


class PatientPairs:
    """Each patient is an item: two different ECGs drawn at random, or the one there is, twice."""

    def __init__(self, data: ECGDataset) -> None:
        self.data = data
        codes = patient_codes(data)
        self.order = torch.from_numpy(np.argsort(codes, kind="stable"))
        self.count = torch.from_numpy(np.bincount(codes))
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

    def sample(self) -> NDArray[np.float32]:
        """The first thousand ECGs."""
        return self.data.batch(slice(0, 1024))


class SimulatedPairs:
    """Endless simulated patients, two visits each; no patient is ever seen twice.

    Parameters
    ----------
    cohort : Cohort
        With two visits of each patient.
    n_items : int
        Patients that make an "epoch".
    """

    def __init__(self, cohort: Cohort, n_items: int) -> None:
        self.cohort, self.n_items = cohort, n_items

    def __len__(self) -> int:
        return self.n_items

    def __call__(self, items: Tensor, generator: torch.Generator) -> Batch:
        """Simulate as many new patients as there are items."""
        patients = torch.randint(_NUMBERS, (len(items),), generator=generator)
        visits = torch.stack([2 * patients, 2 * patients + 1], dim=1)
        x = torch.from_numpy(self.cohort.signals(visits.flatten().numpy()))
        return Batch(x.unflatten(0, (len(items), 2)), patients, alone=torch.zeros(len(items), dtype=torch.bool))

    def sample(self) -> NDArray[np.float32]:
        """ECGs of 128 patients."""
        return self.cohort.signals(range(256))


def patient_codes(data: ECGDataset) -> NDArray[np.int64]:
    """Patients of a dataset as numbers from 0 on, `(n,)`, in the order in which they appear."""
    return pd.factorize(data.records["patient_id"])[0].astype(np.int64)
