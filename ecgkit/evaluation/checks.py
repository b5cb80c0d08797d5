"""What every function of this room asks of its arrays, and what it answers where a value is not determined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError

Array = NDArray[np.float64]


def check(y_true: Any, y_score: Any, label_names: Sequence[str] | None = None, *,
          probabilities: bool = False) -> tuple[NDArray[np.bool_], Array]:
    """Return truth as bool and scores as float64, both `(n, n_labels)`.

    Where the shapes differ, there is no ECG or no label, the truth is not 0/1, or a score is not finite or, where they
    are `probabilities`, not in 0 to 1, an EcgkitError names the label by `label_names`, or by its column.
    """
    truth, score = np.asarray(y_true), _numbers(y_score)
    if truth.ndim != 2 or truth.shape != score.shape:
        raise EcgkitError(f"y_true has shape {truth.shape} and y_score {score.shape}; both must be (n, n_labels)")
    if truth.size == 0:
        raise EcgkitError(f"nothing to score: y_true has shape {truth.shape}, (n, n_labels)")
    if label_names is not None and len(label_names) != truth.shape[1]:
        raise EcgkitError(f"{len(label_names)} label names for {truth.shape[1]} labels")
    wrong = ~((truth == 0) | (truth == 1))
    _refuse(wrong, truth, label_names, "y_true", "must be 0 or 1")
    _refuse(~np.isfinite(score), score, label_names, "y_score", "must be finite")
    if probabilities:
        _refuse((score < 0) | (score > 1), score, label_names, "y_score", "must be a probability from 0 to 1")
    return truth.astype(bool), score


def check_weights(weights: Any, n: int) -> Array:
    """Return weights `(n, n_boot)` as float64; every ECG once where there are none."""
    if weights is None:
        return np.ones((n, 1))
    array = _numbers(weights)
    if array.ndim != 2 or len(array) != n:
        raise EcgkitError(f"weights of shape {array.shape} for {n} ECGs; expected (n, n_boot)")
    return array


def check_thresholds(thresholds: Any, n_labels: int) -> Array:
    """Return one threshold per label as float64; a single number is used for all labels."""
    array = _numbers(thresholds)
    if array.ndim > 1 or (array.ndim == 1 and len(array) != n_labels) or np.isnan(array).any():
        raise EcgkitError(f"thresholds of shape {array.shape} for {n_labels} labels; give one number each, not nan")
    return np.broadcast_to(array, (n_labels,))


def ratio(above: Any, below: Any, known: Any) -> Array:
    """Divide; nan where the quotient is not `known`."""
    quotient: Array = np.divide(above, below, out=np.full(np.shape(above), np.nan), where=known)
    return quotient


def _numbers(values: Any) -> Array:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise EcgkitError(f"expected numbers: {error}") from error


def _refuse(wrong: NDArray[np.bool_], values: NDArray[Any], label_names: Sequence[str] | None, what: str,
            rule: str) -> None:
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        label = f"label {label_names[column]}" if label_names is not None else f"column {column}"
        raise EcgkitError(f"{what} of {label} is {values[row, column]} in row {row}; it {rule}")
