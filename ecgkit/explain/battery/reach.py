"""Reach: how often the wanted output is obtained, how closely it is followed, and whether other labels stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from ecgkit.errors import EcgkitError
from ecgkit.evaluation.checks import Array, ratio
from ecgkit.explain.results import Counterfactuals, kept_labels

#: What becomes of a request.
OUTCOMES = ("valid", "failed", "abstained")
#: How the reason of a failure begins; any other reason is one for not answering.
FAILURE = "not reached"


def outcomes(found: Counterfactuals) -> NDArray[np.str_]:
    """One of `OUTCOMES` for each ECG, `(n,)`: an answer that misses the target failed; without an answer, abstained."""
    failed = np.char.startswith(np.asarray(found.reason, dtype=str), FAILURE)
    return np.select([found.valid, failed], OUTCOMES[:2], OUTCOMES[2])


def validity_table(outcome: Any, target: Any) -> pd.DataFrame:
    """Shares of the `OUTCOMES` by target.

    Parameters
    ----------
    outcome : array_like of str, shape (n,)
        As `outcomes` gives them.
    target : array_like, shape (n,)
        What was asked: a wanted probability, or a text such as ``"MI 0.05"``.

    Returns
    -------
    DataFrame, indexed by target
        `n` requests, and the shares of them that were `valid`, `failed` and `abstained`.
    """
    what = pd.Series(np.asarray(outcome), name="outcome")
    if not what.isin(OUTCOMES).all():
        raise EcgkitError(f"an outcome is none of {', '.join(OUTCOMES)}; give what ecgkit.explain.scoring's "
                          "outcomes returns")
    by = pd.Series(np.asarray(target), name="target")
    counts = pd.crosstab(by, what).reindex(columns=list(OUTCOMES), fill_value=0)
    total = counts.sum(axis=1)
    return pd.concat([total.rename("n"), counts.div(total, axis=0)], axis=1)


@dataclass(frozen=True)
class Follows:
    """How closely a classifier's output follows what was wanted.

    Parameters
    ----------
    spearman : float
        Rank correlation of wanted and obtained over all pairs.
    per_ecg : ndarray, shape (n,)
        The same within each ECG; nan with fewer than two different values.
    error : ndarray, shape (n,)
        Mean absolute difference of obtained and wanted.
    """

    spearman: float
    per_ecg: Array
    error: Array


def follows(wanted: Any, obtained: Any) -> Follows:
    """Compare wanted and obtained probabilities of a label.

    Parameters
    ----------
    wanted, obtained : array_like, shape (n, k)
        k wishes for each ECG; nan in `obtained` where the explainer abstained, which is left out.

    Raises
    ------
    EcgkitError
        Where the shapes differ.
    """
    aim, got = np.asarray(wanted, dtype=np.float64), np.asarray(obtained, dtype=np.float64)
    if aim.shape != got.shape or aim.ndim != 2:
        raise EcgkitError(f"wanted has shape {aim.shape} and obtained {got.shape}; both must be (n, k)")
    aim = np.where(np.isnan(got), np.nan, aim)
    there = ~np.isnan(got)
    count = there.sum(axis=1)
    error = ratio(np.where(there, np.abs(got - aim), 0).sum(axis=1), count, count > 0)
    return Follows(float(_spearman(aim.reshape(1, -1), got.reshape(1, -1))[0]), _spearman(aim, got), error)


def kept(before: Any, after: Any, label: str, label_names: Sequence[str]) -> Array:
    """How much the labels that were to stay changed: mean absolute change of their probabilities, `(n,)`.

    Parameters
    ----------
    before, after : array_like, shape (n, n_labels)
        Probabilities.
    label : str
        The label that was to change; `ecgkit.explain.results.kept_labels` says which are to stay.
    label_names : sequence of str

    Returns
    -------
    ndarray, shape (n,)
        nan where no label is to stay.
    """
    if label not in label_names:
        raise EcgkitError(f"no label {label!r}; there are {', '.join(label_names)}")
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 2 or first.shape[1] != len(label_names):
        raise EcgkitError(f"probabilities of shapes {first.shape} and {second.shape} for {len(label_names)} labels; "
                          "both must be (n, n_labels)")
    stay = kept_labels(label_names)[list(label_names).index(label)]
    total = np.abs(second - first)[:, stay].sum(axis=1)
    return ratio(total, stay.sum(), np.full(len(first), stay.any()))


def _spearman(a: Array, b: Array) -> Array:
    """Rank correlation of each row, `(n,)`; pairs with nan are left out, nan where a side does not vary."""
    ranks = [rankdata(values, axis=1, nan_policy="omit") for values in (a, b)]
    count = (~np.isnan(a)).sum(axis=1, keepdims=True)
    x, y = (np.nan_to_num(rank - (count + 1) / 2) for rank in ranks)
    scale = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return ratio((x * y).sum(axis=1), scale, scale > 0)
