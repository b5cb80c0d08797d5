"""What probabilities are worth: whether they mean what they say, and what is called once a threshold is set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.evaluation.checks import Array, check, check_thresholds, check_weights, ratio


def brier(y_true: Any, y_score: Any, weights: Any = None) -> Array:
    """Mean squared difference between probability and truth of each label (Brier 1950); also with one class only."""
    truth, score = check(y_true, y_score, probabilities=True)
    w = check_weights(weights, len(truth))
    values: Array = w.T @ (score - truth) ** 2 / w.sum(axis=0)[:, None]
    return values[0] if weights is None else values


def ece(y_true: Any, y_score: Any, weights: Any = None, *, n_bins: int = 10) -> Array:
    """Expected calibration error of each label: mean probability against share of positives, bin by bin.

    Bins are of equal width, ``[0, 1/n_bins), ..., [1 - 1/n_bins, 1]``, so that they are the same for every model and
    every resample (Naeini et al. 2015). Resampled values lie above the estimate on average: noise within a bin only
    ever adds to an absolute value.
    """
    truth, score = check(y_true, y_score, probabilities=True)
    w = check_weights(weights, len(truth))
    bins = _bin(score, n_bins)
    gap = np.stack([w.T @ np.where(bins == b, score - truth, 0) for b in range(n_bins)])
    values: Array = np.abs(gap).sum(axis=0) / w.sum(axis=0)[:, None]
    return values[0] if weights is None else values


def reliability(y_true: Any, y_score: Any, n_bins: int = 10, *,
                label_names: Sequence[str] | None = None) -> pd.DataFrame:
    """Points of each label's reliability curve, a row per label and bin of `ece` that holds an ECG.

    Columns are `label` (name or column number), `bin` (from 0), `n`, `mean_score`, `positive_rate`.
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


def f1(y_true: Any, y_score: Any, weights: Any = None, *, thresholds: Any = 0.5) -> Array:
    """F1 of each label, 2 TP / (2 TP + FP + FN); a label is called where its score is at or above its threshold.

    nan where a label has one class only. Thresholds, one or one per label, are chosen on other ECGs than these: see
    `best_f1_thresholds`.
    """
    truth, score = check(y_true, y_score)
    w = check_weights(weights, len(truth)).T
    called = score >= check_thresholds(thresholds, truth.shape[1])
    n_true, n_called, n_all = w @ truth, w @ called, w.sum(axis=1, keepdims=True)
    both_classes = (n_true > 0) & (n_true < n_all)
    values = ratio(2 * (w @ (truth & called)), n_true + n_called, both_classes)
    return values[0] if weights is None else values


def best_f1_thresholds(y_true: Any, y_score: Any) -> Array:
    """Threshold of each label with the highest F1, `(n_labels,)`; to be chosen on validation ECGs.

    Halfway between two neighbouring scores, so that rounding on another machine changes no decision; the highest of
    equally good ones; inf (never called) where a label has no positive.
    """
    truth, score = check(y_true, y_score)
    return np.array([_best(t, s) for t, s in zip(truth.T, score.T, strict=True)])


def _best(truth: NDArray[np.bool_], score: Array) -> float:
    if not truth.any():
        return float("inf")
    order = np.argsort(-score)
    lowest_called = score[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(lowest_called)), len(score) - 1)
    value = 2 * np.cumsum(truth[order])[last_of_ties] / (truth.sum() + last_of_ties + 1)
    best = last_of_ties[np.argmax(value)]
    if best == len(score) - 1:
        return float(lowest_called[best])
    above, below = lowest_called[best], lowest_called[best + 1]
    middle = below + (above - below) / 2
    return float(middle if middle > below else above)


def confusion_of_labels(y_true: Any, y_score: Any, thresholds: Any = 0.5) -> Array:
    """How often label j (columns) is called in ECGs that have label i: `(n_labels, n_labels)`, nan where no ECG counts.

    Labels exclude nothing here, so an ECG with both i and j is no confusion when j is called: off the diagonal, only
    ECGs with i *and without j* count, and every call is a false one. On the diagonal stands the sensitivity of i.
    """
    truth, score = check(y_true, y_score)
    n_labels = truth.shape[1]
    called = (score >= check_thresholds(thresholds, n_labels)).astype(np.float64)
    counts = truth[:, :, None] & (~truth[:, None, :] | np.eye(n_labels, dtype=bool))
    rates = np.einsum("nij,nj->ij", counts, called)
    total = counts.sum(axis=0)
    return ratio(rates, total, total > 0)
