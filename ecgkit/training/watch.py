"""Collapse monitors during pretraining: is the embedding still spread out, and does it tell recordings apart."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecgkit.datasets.base import ECGDataset
from ecgkit.losses import alignment, effective_rank, knn_accuracy, uniformity
from ecgkit.models.embedder import Embedder
from ecgkit.training.batches import patient_codes

#: ECGs that are looked at; more tell no more.
MOST = 1024
#: Embeddings of a smaller effective rank lie on a line, or in one point.
LEAST_RANK = 2.0
#: Embeddings that differ by a smaller share of their length are one point: what is left are rounding errors.
ALIKE = 1e-4
#: Neighbours that vote.
NEIGHBOURS = 10


def monitors(embedder: Embedder, data: ECGDataset) -> dict[str, float]:
    """Look at the embedding of some ECGs, around its mean.

    Features behind a rectifier share a large offset, which makes all cosines alike and which any classifier on top of
    them takes away; so do the monitors.

    Parameters
    ----------
    embedder : Embedder
    data : ECGDataset
        At most 1,024 of its ECGs are looked at, evenly spaced.

    Returns
    -------
    dict
        `alignment` of each ECG's first and last window; `uniformity` and `effective_rank` of the embeddings; `knn`,
        the balanced accuracy of the ten nearest ECGs of other patients, where there are labels that differ. All but
        the last are 0 where all embeddings are alike.
    """
    data = data.subset(np.linspace(0, len(data) - 1, min(MOST, len(data))).astype(int))
    signals, width = data.signals, embedder.crop_len
    z = _around_mean(embedder.embed(signals))
    first, last = _around_mean(np.stack([embedder.embed(signals[..., :width]), embedder.embed(signals[..., -width:])]))
    found = {"alignment": alignment(first, last), "uniformity": uniformity(z), "effective_rank": effective_rank(z)}
    patients = patient_codes(data)
    k = min(NEIGHBOURS, len(data) - int(np.bincount(patients).max()))
    if k > 0 and data.labels.std(axis=0).any():
        found["knn"] = knn_accuracy(z, torch.from_numpy(data.labels), k, torch.from_numpy(patients))
    return found


def warn_if_collapsed(history: pd.DataFrame, name: str) -> bool:
    """Whether the last row of a history shows a collapsed embedding, which is said once as a warning."""
    rank = float(history["effective_rank"].iloc[-1])
    if rank < LEAST_RANK:
        warnings.warn(f"{name}: the embedding has collapsed (effective rank {rank:.2f}); lower the learning rate, or "
                      "take another method or augmentation", RuntimeWarning, stacklevel=3)
    return rank < LEAST_RANK


def _around_mean(z: NDArray[np.float32]) -> Tensor:
    """Embeddings `(..., d)` without their mean; zero where they are alike."""
    centred = z - z.reshape(-1, z.shape[-1]).mean(axis=0)
    alike = np.square(centred).mean() < ALIKE**2 * np.square(z).mean()
    return torch.from_numpy(np.zeros_like(centred) if alike else centred)
