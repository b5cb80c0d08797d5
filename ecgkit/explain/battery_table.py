"""The battery's table: every metric of every explainer with its interval, and which metrics flatter an attack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.evaluation import resample_patients
from ecgkit.evaluation.checks import ratio

#: The adversarial control among the explainers: small, plausible to no one, and it reaches every target.
ADVERSARIAL = "PGD"
STATISTICS = ("estimate", "low", "high", "n")


@dataclass(frozen=True)
class Metric:
    """A row of the table.

    Parameters
    ----------
    column : str
        Of the table of `ecgkit.explain.battery.examine`.
    title : str
        As it is printed.
    higher : bool
        Whether more is better.
    digits : int
        In print.
    """

    column: str
    title: str
    higher: bool = True
    digits: int = 2


METRICS = (
    Metric("reached", "target reached"), Metric("valid", "valid: reached, plausible"),
    Metric("abstained", "abstained", False),
    Metric("transfer", "followed by unseen networks"),
    Metric("rule away", "disease away: defining rule no longer met"),
    Metric("rule there", "disease there: defining rule met"), Metric("unrelated", "unrelated measurements kept"),
    Metric("labels kept", "other labels: mean change", False, 3),
    Metric("survives low-pass 15 Hz", "survives low-pass 15 Hz"),
    Metric("survives low-pass 25 Hz", "survives low-pass 25 Hz"),
    Metric("survives low-pass 40 Hz", "survives low-pass 40 Hz"),
    Metric("survives noise 20 dB", "survives noise, 20 dB"),
    Metric("above 25 Hz", "edit's energy above 25 Hz", False, 3),
    Metric("above 40 Hz", "edit's energy above 40 Hz", False, 3),
    Metric("changed", "signal changed by over 20 µV", False), Metric("size", "mean size of the edit, µV", False, 0),
    Metric("identity", "same patient: cosine of embeddings"),
    Metric("Einthoven", "largest breach of Einthoven's law, µV", False, 0),
    Metric("IoU", "IoU with the true mask"), Metric("distance", "distance to the true counterfactual", False),
    Metric("correlation", "correlation with the true difference"), Metric("ms", "ms per ECG", False, 0),
)


def with_interval(values: Any, patients: Any, *, n_boot: int = 1000, seed: int = 0) -> dict[str, float]:
    """Mean of what is not nan, with its 95 % interval over patients: `STATISTICS`, the last how many there are.

    Parameters
    ----------
    values : array_like, shape (n,)
    patients : array_like, shape (n,)
        Whose ECG each value is of.
    n_boot, seed : int
        Resamples of the patients and their seed.
    """
    value = np.asarray(values, dtype=np.float64)
    known = np.isfinite(value)
    if not known.any():
        return dict(zip(STATISTICS, (np.nan, np.nan, np.nan, 0), strict=True))
    filled = np.where(known, value, 0)
    drawn = [_means(filled, known, weights)
             for weights in resample_patients(patients, n_boot=n_boot, seed=seed, n=len(value))]
    low, high = np.nanquantile(np.concatenate(drawn), [0.025, 0.975])
    return {"estimate": float(value[known].mean()), "low": float(low), "high": float(high), "n": int(known.sum())}


def battery_table(examined: Mapping[str, pd.DataFrame], *, n_boot: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Summarise what `ecgkit.explain.battery.examine` gave for several explainers of one classifier.

    Returns
    -------
    DataFrame
        Indexed by `metric` (its title) and `explainer`, with the columns `STATISTICS`; metrics that no explainer has
        are left out.
    """
    rows = [{"metric": metric.title, "explainer": name,
             **with_interval(table[metric.column], table["patient_id"], n_boot=n_boot, seed=seed)}
            for metric in METRICS if any(metric.column in table for table in examined.values())
            for name, table in examined.items() if metric.column in table]
    table = pd.DataFrame(rows).set_index(["metric", "explainer"])
    return table[table.groupby("metric", sort=False)["n"].transform("sum") > 0]


def printed_battery(table: pd.DataFrame, adversarial: str = ADVERSARIAL) -> pd.DataFrame:
    """The table for print: a row for each metric, a column for each explainer, and which is best.

    A metric that the adversarial control wins says nothing of meaning, and is marked so.
    """
    shown = {metric.title: metric for metric in METRICS}
    lines: dict[str, dict[str, str]] = {}
    for title in table.index.get_level_values("metric").unique():
        metric, part = shown[str(title)], table.loc[title]
        line = {str(name): printed_value(row, metric.digits) for name, row in part.iterrows()}
        best = best_of(part["estimate"], metric)
        flattered = any(name.startswith(adversarial) for name in best)
        line["best"] = in_words(best)
        line["note"] = "flatters the attack" if flattered else ""
        lines[f"{title} {'↑' if metric.higher else '↓'}"] = line
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("metric")


def best_of(estimates: pd.Series[float], metric: Metric) -> list[str]:
    """Names of the explainers that a metric ranks first."""
    value = estimates.dropna() if metric.higher else -estimates.dropna()
    return [str(name) for name in value.index[value >= value.max() - 1e-9]]


def in_words(best: list[str]) -> str:
    """Who is best, for print."""
    return "several" if len(best) > 2 else ", ".join(best)


def _means(filled: NDArray[np.float64], known: NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    total, count = filled @ weights, known.astype(np.float64) @ weights
    return ratio(total, count, count > 0)


def printed_estimates(table: pd.DataFrame, name: str, digits: int = 2) -> pd.DataFrame:
    """`STATISTICS` for print: the estimate with its interval in a column `name`, all other columns, and `n`."""
    words = [printed_value(row, digits) for _, row in table.iterrows()]
    rest = table.drop(columns=list(STATISTICS)).round(digits)
    return pd.DataFrame({name: words}, index=table.index, dtype=object).join(rest).assign(n=table["n"].astype(int))


def printed_value(row: pd.Series[float], digits: int = 2) -> str:
    """An estimate with its interval, for print; a dash where nothing is known."""
    if not row["n"]:
        return "–"
    return f"{row['estimate']:.{digits}f} ({row['low']:.{digits}f}–{row['high']:.{digits}f})"
