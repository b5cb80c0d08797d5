"""Whether a probability means what it says: Brier score, expected calibration error, reliability curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.evaluation.checks import Array, check, check_weights


def brier(y_true: Any, y_score: Any, weights: Any = None) -> Array:
    """Mean squared difference between probability and truth of each label (Brier 1950).

    Parameters
    ----------
    y_true : array_like of 0 and 1, shape (n, n_labels)
        Truth.
    y_score : array_like, shape (n, n_labels)
        Probabilities.
    weights : array_like, shape (n, n_boot), optional
        How often each ECG counts in each resample.

    Returns
    -------
    ndarray, shape (n_labels,), or (n_boot, n_labels) with weights
        Also where a label has one class only.
    """
    truth, score = check(y_true, y_score, probabilities=True)
    w = check_weights(weights, len(truth))
    values: Array = w.T @ (score - truth) ** 2 / w.sum(axis=0)[:, None]
    return values[0] if weights is None else values


def ece(y_true: Any, y_score: Any, weights: Any = None, *, n_bins: int = 10) -> Array:
    """Expected calibration error of each label: mean probability against share of positives, bin by bin.

    Bins are of equal width, ``[0, 1/n_bins), ..., [1 - 1/n_bins, 1]``, so that they are the same for every model and
    every resample (Naeini et al. 2015). Parameters and shapes as in `brier`. Resampled values lie above
    the estimate on average: noise within a bin only ever adds to an absolute value.
    """
    truth, score = check(y_true, y_score, probabilities=True)
    w = check_weights(weights, len(truth))
    bins = _bin(score, n_bins)
    gap = np.stack([w.T @ np.where(bins == b, score - truth, 0) for b in range(n_bins)])
    values: Array = np.abs(gap).sum(axis=0) / w.sum(axis=0)[:, None]
    return values[0] if weights is None else values


def reliability(y_true: Any, y_score: Any, n_bins: int = 10, *,
                label_names: Sequence[str] | None = None) -> pd.DataFrame:
    """Points of each label's reliability curve, over the bins of `ece`.

    Returns
    -------
    DataFrame, one row per label and bin that holds an ECG
        `label` (name or column number), `bin` (from 0), `n`, `mean_score`, `positive_rate`.
    """
    truth, score = check(y_true, y_score, label_names, probabilities=True)
    names = list(range(truth.shape[1])) if label_names is None else list(label_names)
    table = pd.DataFrame({"label": np.repeat(np.arange(len(names)), len(truth)), "bin": _bin(score, n_bins).T.ravel(),
                          "score": score.T.ravel(), "truth": truth.T.ravel()})
    points = table.groupby(["label", "bin"], as_index=False).agg(
        n=("truth", "size"), mean_score=("score", "mean"), positive_rate=("truth", "mean"))
    return points.assign(label=[names[k] for k in points["label"]])


def _bin(score: Array, n_bins: int) -> NDArray[np.intp]:
    if n_bins < 1:
        raise EcgkitError(f"n_bins is {n_bins}; give at least 1")
    return np.minimum((score * n_bins).astype(np.intp), n_bins - 1)
