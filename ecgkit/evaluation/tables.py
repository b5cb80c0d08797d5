"""The tables that a paper prints: scores with intervals, paired differences, subgroups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ecgkit.errors import EcgkitError
from ecgkit.evaluation.checks import check
from ecgkit.evaluation.probabilities import brier, ece, f1
from ecgkit.evaluation.ranking import auroc, average_precision
from ecgkit.evaluation.resampling import Metric, bootstrap, macro, paired_p

MACRO = "macro"


def score_table(y_true: Any, y_score: Any, label_names: Sequence[str], patient_id: Any, *, thresholds: Any = None,
                n_boot: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Score a classifier, label by label and on average.

    Parameters
    ----------
    y_true, y_score, patient_id, n_boot, seed
        As the package describes them; scores are probabilities.
    label_names : sequence of str
    thresholds : float or array_like, shape (n_labels,), optional
        For `f1`, chosen on validation ECGs; without them that column is nan.

    Returns
    -------
    DataFrame, one row per label and a last row "macro"
        `n` and `n_positive` (ECGs), `auroc` and `average_precision` with the ends `_low` and `_high` of their 95 %
        intervals, `f1`, `brier`, `ece`. The row "macro" is the mean over the labels whose value is not nan, its
        `n_positive` the ECGs with any label.
    """
    truth, score = check(y_true, y_score, label_names, probabilities=True)
    columns: dict[str, Any] = {"n": len(truth), "n_positive": np.append(truth.sum(axis=0), truth.any(axis=1).sum())}
    for metric in (auroc, average_precision):
        result = bootstrap(metric, truth, score, patient_id, n_boot=n_boot, seed=seed)
        columns |= result.with_macro.columns(metric.__name__)
    called = np.full(len(label_names), np.nan) if thresholds is None else f1(truth, score, thresholds=thresholds)
    for name, values in (("f1", called), ("brier", brier(truth, score)), ("ece", ece(truth, score))):
        columns[name] = np.append(values, macro(values))
    return pd.DataFrame(columns, index=_index(label_names))


def paired_difference(y_true: Any, score_a: Any, score_b: Any, patient_id: Any, *, label_names: Sequence[str],
                      metric: Metric = auroc, n_boot: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Compare two classifiers on the same ECGs, both on the same resamples of the patients.

    Parameters
    ----------
    y_true, score_a, score_b : array_like, shape (n, n_labels)
        Truth, and the scores of either classifier.
    patient_id, label_names, n_boot, seed
        As for `score_table`.
    metric : callable
        As `bootstrap` takes it.

    Returns
    -------
    DataFrame, one row per label and a last row "macro"
        `a`, `b`, `difference` (a - b), the ends `low` and `high` of its 95 % interval, and `p` (`paired_p`).
    """
    truth, _ = check(y_true, score_a, label_names)
    check(y_true, score_b, label_names)
    a, b = (bootstrap(metric, truth, score, patient_id, n_boot=n_boot, seed=seed).with_macro
            for score in (score_a, score_b))
    difference = a - b
    low, high = difference.interval()
    return pd.DataFrame({"a": a.estimate, "b": b.estimate, "difference": difference.estimate, "low": low, "high": high,
                         "p": [paired_p(column) for column in difference.samples.T]}, index=_index(label_names))


def subgroup_table(y_true: Any, y_score: Any, label_names: Sequence[str], patient_id: Any, groups: Any, *,
                   thresholds: Any = None, n_boot: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Score a classifier in each group of ECGs: `score_table` by sex, age band, device.

    Parameters
    ----------
    groups : array_like or Categorical, shape (n,)
        The group of each ECG; those without one (None, nan) are left out.

    Returns
    -------
    DataFrame, indexed by (group, label)
        Groups in their order where `groups` is a Categorical (such as `pandas.cut` gives), else sorted.
    """
    truth, score = check(y_true, y_score, label_names, probabilities=True)
    column = pd.Series(groups).reset_index(drop=True)
    ids = np.asarray(patient_id)
    if not len(column) == len(ids) == len(truth):
        raise EcgkitError(f"{len(column)} groups and {len(ids)} patients for {len(truth)} ECGs")
    members = column.groupby(column, observed=True).indices
    if not members:
        raise EcgkitError("no ECG has a group; the column is empty")
    tables = {group: score_table(truth[rows], score[rows], label_names, ids[rows], thresholds=thresholds, n_boot=n_boot,
                                 seed=seed) for group, rows in members.items()}
    return pd.concat(tables, names=["group", "label"])


def printed(table: pd.DataFrame) -> pd.DataFrame:
    """Round a `score_table` for print: each score in one column of text, with its interval where it has one."""
    columns = {"ECGs": table["n_positive"].map("{:,}".format)}
    for name, words in (("auroc", "AUROC"), ("average_precision", "average precision")):
        columns[words] = with_ends(table, name, digits=3)
    for name, words in (("f1", "F1"), ("brier", "Brier"), ("ece", "ECE")):
        columns[words] = table[name].map("{:.3f}".format)
    return pd.DataFrame(columns)


def printed_difference(table: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """Round a `paired_difference` for print, its two classifiers by name."""
    number, signed = "{:.3f}".format, "{:+.3f}".format
    low, high = (table[end].map(signed) for end in ("low", "high"))
    return pd.DataFrame({a: table["a"].map(number), b: table["b"].map(number),
                         "difference": table["difference"].map(signed), "95 % interval": low + " to " + high,
                         "p": table["p"].map(number)})


def with_ends(table: pd.DataFrame, name: str = "estimate", *, digits: int = 2, sign: str = "", to: str = "–",
              unknown: str = "") -> pd.Series[str]:
    """A column with the ends of its interval as text: ``0.53 (0.48–0.58)``.

    The ends are in columns `<name>_low` and `<name>_high`, or else in `low` and `high`; `to` stands between them.
    `sign` is "+" for a sign before all numbers, `unknown` what stands for nan, which is written by default.
    """
    number = f"{{:{sign}.{digits}f}}".format
    ends = (f"{name}_{end}" if f"{name}_{end}" in table else end for end in ("low", "high"))
    columns = (table[column].map(number) for column in (name, *ends))
    words = [f"{value} ({low}{to}{high})" for value, low, high in zip(*columns, strict=True)]
    text = pd.Series(words, index=table.index, dtype=object)
    return text.where(table[name].notna(), unknown) if unknown else text


def seeds_table(scores: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Mean, lowest and highest of one score over the seeds of each method, as text; rows are methods."""
    return pd.DataFrame({name: {"seeds": str(len(values)), "mean": f"{np.mean(values):.3f}",
                                "lowest": f"{np.min(values):.3f}", "highest": f"{np.max(values):.3f}"}
                         for name, values in scores.items()}).T


def _index(label_names: Sequence[str]) -> pd.Index[str]:
    return pd.Index([*label_names, MACRO], name="label")
