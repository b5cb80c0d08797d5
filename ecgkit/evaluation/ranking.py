"""How well scores put ECGs with a label above those without: AUROC, average precision, ROC curves.

All are computed from integer weights, so a bootstrap resample costs one cumulative sum, not one sort. With weights
that are counts, numerators and denominators are whole numbers below 2^53: the values are exact up to one division.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.evaluation.checks import Array, check, check_weights, ratio
from ecgkit.evaluation.resampling import resample_patients


def auroc(y_true: Any, y_score: Any, weights: Any = None) -> Array:
    """Area under the ROC curve of each label: the chance that a positive scores above a negative, ties half.

    The Mann-Whitney statistic (Hanley & McNeil 1982): each positive is worth the mean of the weight of negatives
    strictly below it and at or below it. nan where a label has one class only. Equal to scikit-learn's
    `roc_auc_score` with `sample_weight`.
    """
    return _per_label(_auroc, y_true, y_score, weights)


def average_precision(y_true: Any, y_score: Any, weights: Any = None) -> Array:
    """Average precision of each label: precision at every threshold, weighted by the recall gained there.

    Not interpolated, and tied scores are one threshold; nan where a label has one class only. Equal to scikit-learn's
    `average_precision_score` with `sample_weight`.
    """
    return _per_label(_average_precision, y_true, y_score, weights)


def _per_label(one: Any, y_true: Any, y_score: Any, weights: Any) -> Array:
    truth, score = check(y_true, y_score)
    w = check_weights(weights, len(truth))
    values = np.stack([one(score[t, k], score[~t, k], w, np.flatnonzero(t), np.flatnonzero(~t))
                       for k, t in enumerate(truth.T)], axis=1)
    return values[0] if weights is None else values


def _auroc(positive: Array, negative: Array, w: Array, at_positive: NDArray[np.intp],
           at_negative: NDArray[np.intp]) -> Array:
    order = np.argsort(negative)
    below = _running(w[at_negative[order]])
    first, last = np.searchsorted(negative[order], positive), np.searchsorted(negative[order], positive, "right")
    won = below[first]
    if (first != last).any():  # ties
        won = (won + below[last]) / 2
    w_positive = w[at_positive]
    pairs = w_positive.sum(axis=0) * below[-1]
    return ratio(np.einsum("pb,pb->b", w_positive, won), pairs, pairs > 0)


def _average_precision(positive: Array, negative: Array, w: Array, at_positive: NDArray[np.intp],
                       at_negative: NDArray[np.intp]) -> Array:
    # Scores change sign so that "at or below" reads "at or above": the ECGs called positive at each threshold.
    order, order_negative = np.argsort(-positive), np.argsort(-negative)
    threshold, w_positive = -positive[order], w[at_positive[order]]
    true = _running(w_positive)
    false = _running(w[at_negative[order_negative]])
    hits = true[np.searchsorted(threshold, threshold, "right")]
    called = hits + false[np.searchsorted(-negative[order_negative], threshold, "right")]
    # A threshold that no resampled ECG reaches has no precision, and weighs nothing.
    precision = hits / np.where(called > 0, called, 1)
    return ratio(np.einsum("pb,pb->b", w_positive, precision), true[-1], (true[-1] > 0) & (false[-1] > 0))


def _running(w: Array) -> Array:
    """Cumulative weight before each sorted row and after the last: `(n, n_boot)` to `(n + 1, n_boot)`."""
    total = np.zeros((len(w) + 1, w.shape[1]))
    np.cumsum(w, axis=0, out=total[1:])
    return total


def roc_curve(y_true: Any, y_score: Any, weights: Any = None) -> list[tuple[Array, Array]]:
    """False and true positive rates of each label at every distinct score, from (0, 0) to (1, 1).

    Both are `(n_distinct + 1,)`, all nan where a label has one class only; `weights` have the shape (n, 1).
    """
    truth, score = check(y_true, y_score)
    w = check_weights(weights, len(truth))[:, 0]
    return [_roc(t, s, w) for t, s in zip(truth.T, score.T, strict=True)]


def _roc(truth: NDArray[np.bool_], score: Array, w: Array) -> tuple[Array, Array]:
    order = np.argsort(-score)
    last_of_ties = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)

    def rate(of: NDArray[np.bool_]) -> Array:
        total = np.append(0, np.cumsum((w * of)[order])[last_of_ties])
        return ratio(total, total[-1], total[-1] > 0)

    return rate(~truth), rate(truth)


def roc_band(y_true: Any, y_score: Any, patient_id: Any, fpr: Array, *, n_boot: int = 200,
             seed: int = 0) -> tuple[Array, Array]:
    """Pointwise 95 % bootstrap interval of each label's ROC curve over patients.

    Its low and high ends are true positive rates `(n_labels, n_points)` at the false positive rates `fpr`
    `(n_points,)`; nan where no resample has both classes.
    """
    truth, score = check(y_true, y_score)
    curves = np.full((truth.shape[1], n_boot, len(fpr)), np.nan)
    start = 0
    for w in resample_patients(patient_id, n_boot=n_boot, seed=seed, n=len(truth)):
        for b in range(w.shape[1]):
            for k, (x, y) in enumerate(roc_curve(truth, score, w[:, b:b + 1])):
                curves[k, start + b] = np.interp(fpr, x, y)
        start += w.shape[1]
    low, high = np.full((2, truth.shape[1], len(fpr)), np.nan)
    for k, curve in enumerate(curves):
        usable = curve[~np.isnan(curve).any(axis=1)]
        if len(usable):
            low[k], high[k] = np.quantile(usable, [(1 - 0.95) / 2, (1 + 0.95) / 2], axis=0)
    return low, high
