"""Intervals by drawing patients with replacement: all ECGs of a patient come as often as the patient was drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ecgkit.errors import EcgkitError
from ecgkit.evaluation.checks import Array, check, ratio

#: ``metric(y_true, y_score, weights)``, as the room's docstring describes it.
Metric = Callable[..., Array]

#: Numbers of one block of weights: 2 MB, so that memory does not grow with the number of ECGs.
_BLOCK = 2**18


@dataclass(frozen=True)
class Bootstrap:
    """A metric on all ECGs, `estimate` `(n_labels,)`, and on each resample, `samples` `(n_boot, n_labels)`.

    nan where a resample does not determine it.
    """

    estimate: Array
    samples: Array

    def __sub__(self, other: Bootstrap) -> Bootstrap:
        """How much it lies above another, where both are of the same resamples."""
        return Bootstrap(self.estimate - other.estimate, self.samples - other.samples)

    @property
    def macro(self) -> Bootstrap:
        """The mean over labels, as a bootstrap with one column."""
        return Bootstrap(macro(self.estimate[None]), macro(self.samples)[:, None])

    @property
    def with_macro(self) -> Bootstrap:
        """The labels, and their mean as the last column."""
        mean = self.macro
        return Bootstrap(np.append(self.estimate, mean.estimate), np.hstack([self.samples, mean.samples]))

    def interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Low and high ends of the percentile interval of each column, over the resamples that determine it."""
        ends = np.full((2, len(self.estimate)), np.nan)
        for k, column in enumerate(self.samples.T):
            known = column[~np.isnan(column)]
            if len(known):
                ends[:, k] = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
        return ends[0], ends[1]

    def columns(self, name: str) -> dict[str, Array]:
        """Columns of a table: what was estimated under a name, and the ends of its interval, `_low` and `_high`."""
        low, high = self.interval()
        return {name: self.estimate, f"{name}_low": low, f"{name}_high": high}


def macro(values: Array) -> Array:
    """Mean over the labels whose value is not nan, `(..., n_labels)` to `(...)`; nan where there is none."""
    known = ~np.isnan(values)
    count = known.sum(axis=-1)
    return ratio(np.where(known, values, 0).sum(axis=-1), count, count > 0)[()]  # a number, not an array of none


def bootstrap(metric: Metric, y_true: Any, y_score: Any, patient_id: Any, *, n_boot: int = 1000,
              seed: int = 0) -> Bootstrap:
    """Compute a metric on all ECGs and on `n_boot` resamples of the patients.

    Parameters
    ----------
    metric : callable
        `auroc`, `average_precision`, `brier`, `ece`, ``functools.partial(f1, thresholds=...)``, or any function that
        takes weights as they do.
    y_true, y_score, patient_id, n_boot
        As the package describes them.
    seed : int
        The same seed and patients give the same resamples, whatever the metric and the scores.

    Raises
    ------
    EcgkitError
        Where the arrays do not fit together, or a patient has no id.
    """
    truth, score = check(y_true, y_score)
    samples = [metric(truth, score, w) for w in resample_patients(patient_id, n_boot=n_boot, seed=seed, n=len(truth))]
    return Bootstrap(metric(truth, score, None), np.concatenate(samples))


def resample_patients(patient_id: Any, *, n_boot: int = 1000, seed: int = 0, n: int | None = None) -> Iterator[Array]:
    """Draw patients with replacement, as many as there are, `n_boot` times; the order of the rows does not matter.

    `patient_id` `(n,)`, numbers or strings, says whose ECG each row is; `n` is how many there must be. Yields how often
    each ECG counts in each resample, in blocks of `(n, block)` that together hold `n_boot` columns.
    """
    code, n_patients = _patients(patient_id, n)
    if n_boot < 1:
        raise EcgkitError(f"n_boot is {n_boot}; give at least 1")
    rng = np.random.default_rng(seed)
    block = max(8, _BLOCK // len(code))
    for start in range(0, n_boot, block):
        size = min(block, n_boot - start)
        drawn = rng.integers(n_patients, size=(size, n_patients)) * size + np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=n_patients * size).reshape(n_patients, size)
        yield counts.astype(np.float64)[code]


def _patients(patient_id: Any, n: int | None) -> tuple[Any, int]:
    ids = np.asarray(patient_id)
    if ids.ndim != 1 or len(ids) == 0 or (n is not None and len(ids) != n):
        raise EcgkitError(f"patient_id has shape {ids.shape}; expected ({'n' if n is None else n},), one id per ECG")
    missing = pd.isna(ids)
    if missing.any():
        raise EcgkitError(f"patient_id is missing in row {int(np.argmax(missing))}; give each ECG a patient")
    code, unique = pd.factorize(ids, sort=True)
    return code, len(unique)


def paired_p(differences: Array) -> float:
    """Two-sided bootstrap p of "no difference", from the differences on each resample, `(n_boot,)`.

    Twice the smaller share of resamples on either side of 0, zero counted on both, one added to each count so that p is
    never 0 (Davison & Hinkley 1997, section 4.2); nan where no resample determines the difference.
    """
    known = differences[~np.isnan(differences)]
    if not len(known):
        return float("nan")
    beyond = min((known <= 0).sum(), (known >= 0).sum())
    return float(min(1.0, 2 * (1 + beyond) / (1 + len(known))))


def means(values: Any, patient_id: Any, *, n_boot: int = 1000, seed: int = 0) -> Bootstrap:
    """Mean of each column of `values` `(n, n_columns)` over what is finite, on all rows and on resamples."""
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)

    def mean(weights: Array) -> Array:
        count = weights.T @ known
        return ratio(weights.T @ filled, count, count > 0)

    drawn = [mean(weights) for weights in resample_patients(patient_id, n_boot=n_boot, seed=seed, n=len(filled))]
    return Bootstrap(mean(np.ones((len(filled), 1)))[0], np.concatenate(drawn))
