"""Training windows of an explainer: pieces of ECGs, what the classifier says of each, and real partners to ask for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.explain.conditions import clipped
from ecgkit.explain.results import classify
from ecgkit.progress import track

#: Windows begin at so many places of each ECG.
PLACES = 6
#: Logits that differ by less are as good as the same.
BLUR = 0.3
_BATCH = 256


@dataclass(frozen=True)
class Windows:
    """Windows of a dataset, with the classifiers' logits.

    Parameters
    ----------
    data : ECGDataset
    rows, starts : ndarray of int, shape (n,)
        ECG and first sample of each window.
    length : int
        Samples of a window.
    logits : Tensor, shape (n, n_labels)
        Of the classifier that is explained.
    """

    data: ECGDataset
    rows: NDArray[np.intp]
    starts: NDArray[np.intp]
    length: int
    logits: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, which: Tensor) -> Tensor:
        """Signals `(batch, 12, length)` in mV."""
        return _cut(self.data, self.rows[which.numpy()], self.starts[which.numpy()], self.length)

    def partners(self, label: Tensor, logit: Tensor, generator: torch.Generator, near: int = 32) -> Tensor:
        """Numbers of windows on which the classifier gives a label about that logit, `(batch,)`.

        Each is drawn from the `near` windows that come closest; among windows that lie beyond the range in which
        logits are read, or hardly differ, chance decides.
        """
        chosen = torch.empty(len(label), dtype=torch.long)
        blur = BLUR * torch.rand(len(self), generator=generator)
        for k, value in enumerate(logit):
            distance = (clipped(self.logits[:, label[k]]) - clipped(value)).abs() + blur
            closest = distance.topk(min(near, len(self)), largest=False).indices
            chosen[k] = closest[int(torch.randint(len(closest), (1,), generator=generator))]
        return chosen


def cut_windows(data: ECGDataset, classifier: nn.Module, length: int) -> Windows:
    """Cut windows out of all ECGs and ask the classifier about each.

    Raises
    ------
    EcgkitError
        Where the ECGs are shorter than a window.
    """
    if data.sig_len < length:
        raise EcgkitError(f"{data.name}: {data.sig_len} samples; the explainer's windows have {length}")
    places = np.unique(np.linspace(0, data.sig_len - length, PLACES).astype(np.intp))
    rows = np.repeat(np.arange(len(data)), len(places))
    starts = np.tile(places, len(data))
    parts = np.array_split(np.arange(len(rows)), -(-len(rows) // _BATCH))
    found = [classify(classifier, _cut(data, rows[part], starts[part], length).numpy(), _BATCH)
             for part in track(parts, "asking the classifier", unit="batch")]
    logits = torch.from_numpy(np.concatenate(found).astype(np.float32))
    return Windows(data, rows, starts, length, logits)


def _cut(data: ECGDataset, rows: NDArray[np.intp], starts: NDArray[np.intp], length: int) -> Tensor:
    whole = data.batch(rows)
    at = starts[:, None, None] + np.arange(length)
    return torch.from_numpy(np.take_along_axis(whole, np.broadcast_to(at, (len(rows), 12, length)), axis=2))
