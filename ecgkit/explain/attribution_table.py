"""Attributions in tables: means over cases with intervals over patients, and each metric against maps of no model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.evaluation.checks import ratio
from ecgkit.evaluation.resampling import Bootstrap, resample_patients
from ecgkit.explain.attribution_study import MODEL_FREE

#: Columns of `ecgkit.explain.attribution_study.examine`, and whether high values are good.
METRICS: Mapping[str, bool] = {
    "completeness error": False, "deletion": True, "insertion": True, "deletion, absolute": True,
    "insertion, absolute": True, "infidelity": False, "max-sensitivity": False, "consistency": True,
    "consistency, samples": True, "likeness, random": False, "likeness, shuffled": False, "inside the table": True,
    "pointing game": True, "relevance mass": True, "relevance rank": True, "IoU": True, "ms": False}


def means(values: NDArray[np.float64], patients: NDArray[np.generic], *, n_boot: int = 1000,
          seed: int = 0) -> Bootstrap:
    """Mean of each column `(n, n_columns)` over what is not nan, on all rows and on resamples of the patients."""
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)

    def mean(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        count = weights.T @ known
        return ratio(weights.T @ filled, count, count > 0)

    drawn = [mean(weights) for weights in resample_patients(patients, n_boot=n_boot, seed=seed, n=len(values))]
    return Bootstrap(mean(np.ones((len(values), 1)))[0], np.concatenate(drawn))


def mean_maps(sums: NDArray[np.float64], cases: pd.DataFrame, *, n_boot: int = 1000) -> dict[str, NDArray[np.float64]]:
    """Mean lead × segment map of each label with its 95 % interval over patients.

    Parameters
    ----------
    sums : ndarray, shape (n, 12, 5)
        From `ecgkit.explain.attribution_study.summed`.
    cases : DataFrame
        `label` and `patient_id` of each.

    Returns
    -------
    dict of label to ndarray, shape (3, 12, 5)
        Mean, and low and high end of its interval, which is without ends where there is one patient.
    """
    found = {}
    for label, rows in cases.groupby("label", sort=False).indices.items():
        patients = cases["patient_id"].to_numpy()[rows]
        result = means(sums[rows].reshape(len(rows), -1), patients, n_boot=n_boot)
        found[str(label)] = np.stack([result.estimate, *result.interval()]).reshape(3, *sums.shape[1:])
        if len(np.unique(patients)) == 1:
            found[str(label)][1:] = np.array([-np.inf, np.inf])[:, None, None]
    return found


def attribution_table(values: pd.DataFrame, by: str = "method", *, n_boot: int = 1000) -> pd.DataFrame:
    """Mean of every metric that was measured, for each method.

    Parameters
    ----------
    values : DataFrame
        From `ecgkit.explain.attribution_study.examine`.
    by : str
        Column that is grouped by.

    Returns
    -------
    DataFrame, indexed by `by`
        `n` cases; each metric, and the ends `_low` and `_high` of its 95 % interval over patients.
    """
    metrics = [name for name in METRICS if name in values]
    rows: dict[Any, dict[str, float]] = {}
    for name, part in values.groupby(by, sort=False):
        result = means(part[metrics].to_numpy(np.float64), part["patient_id"].to_numpy(), n_boot=n_boot)
        low, high = result.interval()
        rows[name] = {"n": len(part)}
        for metric, *ends in zip(metrics, result.estimate, low, high, strict=True):
            rows[name] |= {metric + end: x for end, x in zip(("", "_low", "_high"), ends, strict=True)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)


def against_model_free(values: pd.DataFrame, *, n_boot: int = 1000) -> pd.DataFrame:
    """The best method of each metric beside the best map that ignores the classifier, on the same cases.

    Returns
    -------
    DataFrame, indexed by `metric`
        `method`, `value`, `model-free`, `its value`; `difference` (first less second) with `low` and `high`, the ends
        of its 95 % interval over patients; `better`: yes or no where the interval lies on one side of 0, else unclear.
        Both were chosen on these cases, so the difference flatters neither much.
    """
    rows = {}
    for metric, high_is_good in METRICS.items():
        if metric == "ms" or metric not in values:
            continue
        wide = values.pivot_table(index=["patient_id", "row", "label"], columns="method", values=metric)
        mean = wide.mean() if high_is_good else -wide.mean()
        arms, free = mean.drop(list(MODEL_FREE), errors="ignore").dropna(), mean.reindex(MODEL_FREE).dropna()
        if arms.empty or free.empty:
            continue
        method, other = str(arms.idxmax()), str(free.idxmax())
        patients = wide.index.get_level_values("patient_id").to_numpy()
        result = means((wide[method] - wide[other]).to_numpy()[:, None], patients, n_boot=n_boot)
        (low,), (high,) = result.interval()
        good, bad = (low > 0, high < 0) if high_is_good else (high < 0, low > 0)
        rows[metric] = {"method": method, "value": wide[method].mean(), "model-free": other,
                        "its value": wide[other].mean(), "difference": result.estimate[0], "low": low, "high": high,
                        "better": "yes" if good else "no" if bad else "unclear"}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")


def printed_attribution(table: pd.DataFrame, metrics: list[str] | None = None) -> pd.DataFrame:
    """An `attribution_table` in words: `0.53 (0.48–0.58)`; a dash where there is no value."""
    shown = {"n": table["n"].map("{:,}".format)}
    for metric in METRICS if metrics is None else metrics:
        if metric not in table:
            continue
        form = "{:.0f}" if metric == "ms" else "{:.2f}"
        ends = [table[metric + end].map(form.format) for end in ("", "_low", "_high")]
        words = ends[0] if metric == "ms" else ends[0] + " (" + ends[1] + " to " + ends[2] + ")"
        shown[metric] = words.where(table[metric].notna(), "–")
    return pd.DataFrame(shown)
