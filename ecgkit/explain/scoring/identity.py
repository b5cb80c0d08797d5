"""Identity: whether the edited ECG is still that of the same patient, by the encoder's embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.evaluation.checks import Array, ratio


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
