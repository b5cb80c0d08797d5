"""Realism: how far made ECGs lie from real ones, whether they obey the limb-lead algebra, how much of them is new."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.covariance import ledoit_wolf

from ecgkit.errors import EcgkitError
from ecgkit.evaluation.checks import Array
from ecgkit.leads import limb_residual

Signals = NDArray[np.float32]
#: A sample has changed if it moved by more than this, mV.
CHANGED = 0.02


def frechet(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Fréchet distance of two sets of embeddings `(n, n_features)`, taken for normal (Heusel et al. 2017).

    |m₁ - m₂|² + tr(S₁ + S₂ - 2 (S₁ S₂)^½). A few hundred ECGs do not determine 512 × 512 covariances: these are shrunk
    towards a multiple of the identity (Ledoit & Wolf 2004). What is left of the bias depends on the number of ECGs:
    compare distances of sets of equal size.
    """
    means, covariances = zip(*((x.mean(axis=0), ledoit_wolf(x)[0])
                               for x in (np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64))),
                             strict=True)
    values, vectors = np.linalg.eigh(covariances[0])
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    between = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariances[1] @ root), 0)).sum()
    gap = means[0] - means[1]
    return float(gap @ gap + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * between)


def neighbour_distance(points: NDArray[Any], among: NDArray[Any], k: int = 5) -> Array:
    """Mean Euclidean distance of embeddings `(n, n_features)` to the `k` nearest of others `(m, n_features)`, `(n,)`.

    Raises
    ------
    EcgkitError
        Where there are fewer than k others.
    """
    if len(among) < k:
        raise EcgkitError(f"{len(among)} embeddings to be near to; {k} are needed")
    return np.partition(cdist(points, among), k - 1, axis=1)[:, :k].mean(axis=1)


def embedding_distances(real: NDArray[Any], fake: NDArray[Any], patients: Any, *, seed: int = 0) -> pd.DataFrame:
    """Distances of made ECGs from real ones, beside those of other real ones.

    Parameters
    ----------
    real, fake : ndarray, shape (n_real, n_features), (n_fake, n_features)
        Embeddings, for example by ``ecgkit.pretrained().embed``; the real ECGs as `fresh_discriminator` asks for them.
    patients : array_like, shape (n_real,)
        Of the real ECGs, which are cut into two halves by patient.
    seed : int

    Returns
    -------
    DataFrame with rows "made" and "real"
        `n` compared with the first half of the real ones (made ECGs, or the second half, as many of each), their
        `frechet` distance from it, and their mean `neighbours` distance to the 5 nearest in it.
    """
    generator = np.random.default_rng(seed)
    names, whose = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    in_first = generator.permutation(len(names))[whose] < len(names) / 2
    first, second = real[in_first], real[~in_first]
    n = min(len(second), len(fake))
    rows = {name: points[generator.permutation(len(points))[:n]] for name, points in {"made": fake,
                                                                                     "real": second}.items()}
    return pd.DataFrame({name: {"n": float(n), "frechet": frechet(points, first),
                                "neighbours": neighbour_distance(points, first).mean()}
                         for name, points in rows.items()}).T


def einthoven_residual(signals: Signals) -> Array:
    """Largest deviation from limb-lead algebra of each ECG, mV, `(n,)`."""
    return np.abs(limb_residual(np.asarray(signals, dtype=np.float64))).max(axis=(1, 2))


def changed_share(before: Signals, after: Signals) -> Array:
    """Share of the samples of all leads that moved by more than `CHANGED`, `(n,)`."""
    return (np.abs(after - before) > CHANGED).mean(axis=(1, 2))
