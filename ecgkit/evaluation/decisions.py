"""What a classifier says once a threshold is set: F1, its best threshold, which labels are called for which."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.evaluation.checks import Array, check, check_thresholds, check_weights, ratio


def f1(y_true: Any, y_score: Any, weights: Any = None, *, thresholds: Any = 0.5) -> Array:
    """F1 of each label, 2 TP / (2 TP + FP + FN); a label is called where its score is at or above its threshold.

    Parameters
    ----------
    y_true : array_like of 0 and 1, shape (n, n_labels)
        Truth.
    y_score : array_like, shape (n, n_labels)
        Scores.
    weights : array_like, shape (n, n_boot), optional
        How often each ECG counts in each resample.
    thresholds : float or array_like, shape (n_labels,)
        Chosen on other ECGs than these: see `best_f1_thresholds`.

    Returns
    -------
    ndarray, shape (n_labels,), or (n_boot, n_labels) with weights
        nan where a label has one class only.
    """
    truth, score = check(y_true, y_score)
    w = check_weights(weights, len(truth)).T
    called = score >= check_thresholds(thresholds, truth.shape[1])
    n_true, n_called, n_all = w @ truth, w @ called, w.sum(axis=1, keepdims=True)
    both_classes = (n_true > 0) & (n_true < n_all)
    values = ratio(2 * (w @ (truth & called)), n_true + n_called, both_classes)
    return values[0] if weights is None else values


def best_f1_thresholds(y_true: Any, y_score: Any) -> Array:
    """Threshold of each label with the highest F1; to be chosen on validation ECGs.

    Halfway between two neighbouring scores, so that rounding on another machine changes no decision; the highest of
    equally good ones.

    Returns
    -------
    ndarray, shape (n_labels,)
        inf (never called) where a label has no positive.
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
    """How often label j is called in ECGs that have label i.

    Labels exclude nothing here, so an ECG with both i and j is no confusion when j is called: off the diagonal, only
    ECGs with i *and without j* count, and every call is a false one. On the diagonal stands the sensitivity of i.

    Parameters
    ----------
    y_true, y_score : array_like, shape (n, n_labels)
        Truth and scores.
    thresholds : float or array_like, shape (n_labels,)
        A label is called where its score is at or above its threshold.

    Returns
    -------
    ndarray, shape (n_labels, n_labels)
        True label i in rows, called label j in columns; rates from 0 to 1, nan where no ECG counts.
    """
    truth, score = check(y_true, y_score)
    n_labels = truth.shape[1]
    called = (score >= check_thresholds(thresholds, n_labels)).astype(np.float64)
    counts = truth[:, :, None] & (~truth[:, None, :] | np.eye(n_labels, dtype=bool))
    rates = np.einsum("nij,nj->ij", counts, called)
    total = counts.sum(axis=0)
    return ratio(rates, total, total > 0)
