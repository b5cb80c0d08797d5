"""Realism: how far made ECGs lie from real ones, whether they obey the limb-lead algebra, how much of them is new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.covariance import ledoit_wolf

from ecgkit.errors import EcgkitError
from ecgkit.evaluation.checks import Array, ratio
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


def cosine(before: NDArray[Any], after: NDArray[Any]) -> Array:
    """Cosine of embeddings `(n, n_features)` before and after, `(n,)`; nan where one is 0."""
    a, b = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    size = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return ratio((a * b).sum(axis=1), size, size > 0)


def reidentification_rank(queries: NDArray[Any], query_patients: Any, query_records: Any, gallery: NDArray[Any],
                          gallery_patients: Any, gallery_records: Any) -> Array:
    """Where a patient's other ECG ranks among all by similarity to the edited one.

    Parameters
    ----------
    queries : ndarray, shape (n, n_features)
        Embeddings of edited ECGs; those of the originals give the rank to compare with.
    query_patients, query_records : array_like, shape (n,)
        Whose ECG was edited, and which.
    gallery : ndarray, shape (m, n_features)
        Embeddings of real ECGs. The ECG that was edited may be among them; it is not compared with its own edit.
    gallery_patients, gallery_records : array_like, shape (m,)

    Returns
    -------
    ndarray, shape (n,)
        1 is the most similar of all; the best rank where a patient has several others; equals share the middle of
        their ranks, so that embeddings that are all alike give about half of m. nan for a patient without other ECG.

    Notes
    -----
    Similarity is the cosine after the gallery's mean is taken from all embeddings: what all ECGs have in common tells
    no patient from another.

    Raises
    ------
    EcgkitError
        Where the arrays do not fit together.
    """
    patients, records = np.asarray(query_patients), np.asarray(query_records)
    known, names = np.asarray(gallery_patients), np.asarray(gallery_records)
    if not (len(queries) == len(patients) == len(records) and len(gallery) == len(known) == len(names)):
        raise EcgkitError(f"{len(queries)} queries with {len(patients)} patients and {len(records)} records, and "
                          f"{len(gallery)} in the gallery with {len(known)} and {len(names)}: give one of each per ECG")
    middle = gallery.mean(axis=0, dtype=np.float64)
    likeness = _unit(queries - middle) @ _unit(gallery - middle).T
    likeness[records[:, None] == names] = np.nan
    mates = (patients[:, None] == known) & ~np.isnan(likeness)
    best = np.where(mates, likeness, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    strangers = ~mates & ~np.isnan(likeness)
    above = (strangers & (likeness > best)).sum(axis=1) + (strangers & (likeness == best)).sum(axis=1) / 2
    return np.where(mates.any(axis=1), 1 + above, np.nan)


def _unit(vectors: NDArray[Any]) -> NDArray[np.float64]:
    size = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(size > 0, size, 1)


#: Hz.
ABOVE = (25.0, 40.0)


def share_above(edit: NDArray[Any], fs: float, above: Sequence[float] = ABOVE) -> Array:
    """Share of an edit's energy above some frequencies.

    Parameters
    ----------
    edit : ndarray, shape (n, n_leads, sig_len)
        Differences of ECGs, or any signal that begins and ends on the same level: no taper is used, so that the
        shares are of the whole energy (Parseval), and a jump from the end to the start would count as high
        frequencies.
    fs : float
        Sampling rate in Hz.
    above : sequence of float
        Frequencies in Hz.

    Returns
    -------
    ndarray, shape (n, len(above))
        nan where the edit is nothing.
    """
    power = np.abs(np.fft.rfft(np.asarray(edit, dtype=np.float64), axis=-1)) ** 2
    n = edit.shape[-1]
    # All but the first and, where the length is even, the last stand for two frequencies, one of them negative.
    power[..., 1:(n + 1) // 2] *= 2
    power = power.sum(axis=1)
    frequency = np.fft.rfftfreq(n, 1 / fs)
    total = power.sum(axis=-1)
    return np.stack([ratio(power[:, frequency > limit].sum(axis=-1), total, total > 0) for limit in above], axis=1)


def class_differences(beats: NDArray[Any], has: Any, *, n_pairs: int = 500, seed: int = 0) -> NDArray[np.float64]:
    """How real ECGs with and without a label differ, for `share_above`: beats of patients with it minus without.

    Parameters
    ----------
    beats : ndarray, shape (n, 12, length)
        Median beats (`ecgkit.physiology.Measurements.beats.signals`), aligned at R. Those with nan are left out. Mind
        their rate, `beats.fs`: shares of energy may be compared between rates.
    has : array_like of bool, shape (n,)
        Which ECGs have the label.
    n_pairs, seed : int
        Pairs to draw, and the seed.

    Returns
    -------
    ndarray, shape (n_pairs, 12, length)
        Two patients differ by more than the label, and R peaks of two patients never match fully. Their mean is the
        difference of the classes, in which what patients do not share (and much of the steepest) cancels. So the pairs
        err to the high frequencies, and their mean to the low ones.

    Raises
    ------
    EcgkitError
        Where one class has no usable beat.
    """
    usable = np.isfinite(beats).all(axis=(1, 2))
    label = np.asarray(has, dtype=bool)
    groups = [np.flatnonzero(usable & label), np.flatnonzero(usable & ~label)]
    if min(map(len, groups)) == 0:
        raise EcgkitError(f"{len(groups[0])} usable beats with the label and {len(groups[1])} without: both are needed")
    generator = np.random.default_rng(seed)
    sick, well = (generator.choice(group, n_pairs) for group in groups)
    return beats[sick].astype(np.float64) - beats[well]
