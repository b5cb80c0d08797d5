"""Truth, scores and patients to score, and the slow way to resample them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def cohort(n: int = 120, *, decimals: int | None = None, seed: int = 0) -> tuple[Any, Any, Any]:
    """Three labels of unequal frequency, scores in 0..1 (tied where rounded), patients with one to several ECGs."""
    rng = np.random.default_rng(seed)
    y_true = (rng.random((n, 3)) < [0.6, 0.3, 0.15]).astype(int)
    y_score = 1 / (1 + np.exp(-(y_true + rng.normal(size=y_true.shape))))
    return y_true, y_score if decimals is None else y_score.round(decimals), rng.integers(0, n // 2, n)


def explicit_resamples(patient_id: Any, n_boot: int, seed: int) -> Iterator[Any]:
    """Rows of each resample, patient after patient, with repeats: what weights stand for."""
    rng = np.random.default_rng(seed)
    patients = np.unique(patient_id)
    for _ in range(n_boot):
        drawn = rng.integers(len(patients), size=len(patients))
        yield np.concatenate([np.flatnonzero(patient_id == patients[k]) for k in drawn])
