"""How far two measurements of the same thing lie apart: Bland and Altman's limits of agreement, and repeatability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgkit.errors import EcgkitError
from ecgkit.evaluation.checks import Array, ratio
from ecgkit.evaluation.resampling import Bootstrap, resample_patients

#: Angles in degrees among the measurements of `ecgkit.physiology`.
ANGLES = ("axis", "p_axis", "t_axis")
STATISTICS = ("bias", "sd", "lower", "upper", "repeatability", "p95")
_Z = 1.96
#: Decimals in print, of other units 2.
_DIGITS = {"ms": 1, "degrees": 1, "1/min": 1, "mV": 3}


def limits_of_agreement(first: pd.DataFrame, second: pd.DataFrame, patients: Any = None, *,
                        circular: Sequence[str] = ANGLES, n_boot: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Compare two measurements of the same ECGs or patients, measurement by measurement.

    Parameters
    ----------
    first, second : DataFrame, shape (n, n_measurements)
        The same measurements in the same order; row by row a pair. nan where one could not be made.
    patients : array_like, shape (n,), optional
        Whose pair each row is; each row another patient by default. Intervals are over `n_boot` resamples of patients.
    circular : sequence of str
        Measurements that are angles in degrees, of which -179 and 179 are 2 apart; names that are not in the tables
        are passed over.

    Returns
    -------
    DataFrame, indexed by `measurement`
        `n` pairs; `missing`, the share of rows that are no pair, since one or both are nan; `disputed`, the share of
        rows where just one is. Of the differences, second minus first, in the unit of the measurement:

        - `bias` and `sd`: mean and standard deviation (n - 1);
        - `lower` and `upper`: bias ± 1.96 SD, the approximate 95 % limits of agreement, between which 95 % of
          differences lie if they are normal (Bland & Altman 1986, Lancet 327(8476));
        - `repeatability`: 1.96 times their root mean square. That is the repeatability coefficient of Bland & Altman
          1986 (ISO 5725's repeatability limit): two measurements by one method have no true bias, so the mean is taken
          as 0, and a bias that there is makes the coefficient larger;
        - `p95`: the smallest size that 95 % of differences do not exceed, which asks for no distribution.

        Each comes with the ends `_low` and `_high` of its 95 % interval. nan where the pairs do not determine it.

    Raises
    ------
    EcgkitError
        Where the tables do not fit together, or hold something else than numbers.
    """
    a, b = _numbers(first, second)
    difference = b - a
    angle = np.isin(first.columns, list(circular))
    difference[:, angle] = (difference[:, angle] + 180) % 360 - 180
    pair = np.isfinite(difference)
    columns: dict[str, Any] = {"n": pair.sum(axis=0), "missing": 1 - pair.mean(axis=0),
                               "disputed": (np.isnan(a) != np.isnan(b)).mean(axis=0)}
    drawn = [_statistics(difference, counts) for counts in resample_patients(
        np.arange(len(a)) if patients is None else patients, n_boot=n_boot, seed=seed, n=len(a))]
    once, samples = _statistics(difference, np.ones((len(a), 1)))[:, 0], np.concatenate(drawn, axis=1)
    for k, name in enumerate(STATISTICS):
        columns |= Bootstrap(once[k], samples[k]).columns(name)
    return pd.DataFrame(columns, index=pd.Index(first.columns, name="measurement"))


def printed_limits(table: pd.DataFrame, units: Mapping[str, str]) -> pd.DataFrame:
    """Round a `limits_of_agreement` for print.

    `units` has each measurement's unit; what stands behind a semicolon is left out, so that
    `ecgkit.physiology.COLUMNS` will do.
    """
    unit = [units[name].split(";")[0] for name in table.index]
    digits = [_DIGITS.get(one, 2) for one in unit]
    shown = {name: pd.Series([f"{x:.{k}f}" for x, k in zip(table[name], digits, strict=True)], table.index)
             for name in (*STATISTICS, "repeatability_low", "repeatability_high")}
    return pd.DataFrame({
        "unit": unit, "pairs": table["n"].map("{:,}".format),
        "not measured %": (100 * table["missing"]).map("{:.1f}".format), "bias": shown["bias"],
        "limits of agreement": shown["lower"] + " to " + shown["upper"],
        "repeatability": shown["repeatability"] + " (" + shown["repeatability_low"] + "–" +
        shown["repeatability_high"] + ")", "95th percentile": shown["p95"]}, index=table.index)


def _numbers(first: pd.DataFrame, second: pd.DataFrame) -> tuple[Array, Array]:
    if first.shape != second.shape or list(first.columns) != list(second.columns) or first.empty:
        raise EcgkitError(f"tables of shapes {first.shape} and {second.shape}: give two of the same measurements, "
                          "columns in the same order, of the same rows")
    try:
        a, b = first.to_numpy(np.float64), second.to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise EcgkitError(f"a measurement is not a number: {error}") from error
    for values in (a, b):
        if np.isinf(values).any():
            row, column = np.argwhere(np.isinf(values))[0]
            raise EcgkitError(f"{first.columns[column]} is infinite in row {row}; give nan where it was not measured")
    return a, b


def _statistics(difference: Array, weights: Array) -> Array:
    """`STATISTICS` of differences `(n, m)` where rows count as in weights `(n, n_boot)`: `(6, n_boot, m)`."""
    pair = np.isfinite(difference)
    d = np.where(pair, difference, 0.0)
    n, total, squares = (weights.T @ values for values in (pair.astype(np.float64), d, d**2))
    bias = ratio(total, n, n > 0)
    sd = np.sqrt(ratio(np.maximum(squares - ratio(total**2, n, n > 1), 0), n - 1, n > 1))
    repeatability = _Z * np.sqrt(ratio(squares, n, n > 0))
    p95 = np.stack([_quantile(np.abs(d[known, k]), weights[known], 0.95) for k, known in enumerate(pair.T)], axis=1)
    return np.stack([bias, sd, bias - _Z * sd, bias + _Z * sd, repeatability, p95])


def _quantile(values: Array, weights: Array, share: float) -> Array:
    """The smallest value that `share` of the rows do not exceed, `(n_boot,)`; nan where there is no row."""
    order = np.argsort(values)
    below = np.cumsum(weights[order], axis=0)
    if not len(below):
        return np.full(weights.shape[1], np.nan)
    enough = below >= share * below[-1]
    return np.where(below[-1] > 0, values[order][enough.argmax(axis=0)], np.nan)


def repeatability() -> dict[str, float]:
    """What a measurement must change by before the change means anything.

    By measurement (`ecgkit.physiology.COLUMNS`), in its unit: the distance that 95 of 100 pairs of the first and the
    second half of the same ten seconds do not exceed. From the PTB-XL sample, whose table is in the book's page on
    measurements; `repeatability.csv` also tells of how many ECGs.
    """
    table = pd.read_csv(Path(__file__).with_name("repeatability.csv"), index_col="measurement")
    return {str(name): float(value) for name, value in table["p95"].items()}
