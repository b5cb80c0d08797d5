"""How well found boundaries of P, QRS and T agree with true ones: marks matched one to one, then counts and errors.

Boundaries are milliseconds from the start of the recording, `(n, n_beats, 3, 3)`: P, QRS, T (`WAVES`) and their onset,
peak, offset (`MARKS`), nan where there is none. Each of the nine is scored by itself, as the literature does: a found
mark is right where it is matched with a true one within the tolerance (AAMI EC57 has 150 ms). Beats need not be paired
beforehand, in order, or of one number in both arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import Bootstrap, resample_patients, with_ends
from ecgkit.evaluation.checks import Array, ratio
from ecgkit.simulator import MARKS, WAVES

#: Milliseconds: that of AAMI EC57, and half of it.
TOLERANCES = (150.0, 75.0)
_P, _QRS, _PEAK = WAVES.index("P"), WAVES.index("QRS"), MARKS.index("peak")


@dataclass(frozen=True)
class Matches:
    """Found and true marks of some ECGs, matched one to one.

    `error` `(n, n_beats, 3, 3)` is found minus true in ms, for each true mark, nan where it was missed, or is none; the
    counts `(n, 3, 3)` are the marks of each ECG that were found, invented and missed.
    """

    error: Array
    true_positive: NDArray[np.int64]
    false_positive: NDArray[np.int64]
    false_negative: NDArray[np.int64]

    @property
    def false_p_share(self) -> float:
        """Invented P waves (peaks) per true QRS complex of all ECGs; nan where there is no QRS complex."""
        beats = (self.true_positive + self.false_negative)[:, _QRS, _PEAK].sum()
        return float(self.false_positive[:, _P, _PEAK].sum() / beats) if beats else float("nan")


def match(found: Any, true: Any, span: Any, *, tolerance: float = TOLERANCES[0]) -> Matches:
    """Match the marks of each ECG, wave and kind one to one: as many as can be, and then with the least error.

    `found` `(n, n_found, 3, 3)` and `true` `(n, n_beats, 3, 3)` are boundaries in ms; `span` `(n, 2)` the first and the
    last ms that the truth covers: a found wave whose peak (its middle, where it has no peak) lies outside may be
    matched, but is not counted as invented. `tolerance` is the greatest error of a match in ms, itself included.

    A mark that the truth leaves out of a wave (nan beside numbers) is neither missed, nor is a found wave that was
    matched with that wave by another mark counted as invented there. An `EcgkitError` is raised where the arrays do not
    fit together, or a number is infinite.
    """
    found_ms, true_ms, ends = (np.asarray(values, dtype=np.float64) for values in (found, true, span))
    for name, values in (("found", found_ms), ("true", true_ms)):
        if values.ndim != 4 or values.shape[2:] != (len(WAVES), len(MARKS)) or not len(values):
            raise EcgkitError(f"{name} boundaries of shape {values.shape}; expected (n, n_beats, 3, 3) in ms, n >= 1")
        if np.isinf(values).any():
            raise EcgkitError(f"{name} boundaries of ECG {np.argwhere(np.isinf(values))[0, 0]} are infinite; "
                              "give nan where there is no mark")
    if not len(found_ms) == len(true_ms) == len(ends) or ends.shape[1:] != (2,) or not (ends[:, 0] <= ends[:, 1]).all():
        raise EcgkitError(f"{len(found_ms)} ECGs found, {len(true_ms)} true, spans of shape {ends.shape}; expected one "
                          "each, and spans (n, 2) with first <= last ms")
    if not tolerance > 0:
        raise EcgkitError(f"a tolerance of {tolerance} ms: give a positive number")
    partner = np.full(true_ms.shape, -1)
    for ecg, wave, mark in np.ndindex(len(true_ms), len(WAVES), len(MARKS)):
        partner[ecg, :, wave, mark] = _partners(found_ms[ecg, :, wave, mark], true_ms[ecg, :, wave, mark], tolerance)
    matched, exists = partner >= 0, np.isfinite(true_ms)
    # One more beat of nan is what a true mark without a partner is given.
    padded = np.pad(found_ms, ((0, 0), (0, 1), (0, 0), (0, 0)), constant_values=np.nan)
    at_partner = np.take_along_axis(padded, np.where(matched, partner, found_ms.shape[1]), axis=1)
    invented = np.isfinite(found_ms) & _inside(found_ms, ends) & ~_accounted(partner, exists, found_ms.shape[1])
    return Matches(at_partner - true_ms, matched.sum(axis=1), invented.sum(axis=1), (exists & ~matched).sum(axis=1))


def delineation_table(found: Any, true: Any, span: Any, *, tolerances: Sequence[float] = TOLERANCES,
                      n_boot: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Score boundaries, wave by wave and mark by mark.

    Parameters
    ----------
    found, true : array_like, shape (n, n_found, 3, 3) and (n, n_beats, 3, 3)
        Boundaries in ms.
    span : array_like, shape (n, 2)
        First and last ms that the truth covers; see `match`.
    tolerances : sequence of float
        Greatest errors of a match in ms.
    n_boot, seed : int
        Number of resamples of the ECGs and their seed.

    Returns
    -------
    DataFrame, indexed by (tolerance, wave, mark)
        `n` true marks, `true_positive`, `false_positive`, `false_negative`; `sensitivity`, `precision`, `f1` (each nan
        where nothing determines it); `mean` and `sd` of the error of the matched marks in ms (found minus true). `f1`,
        `mean` and `sd` come with the ends `_low` and `_high` of their 95 % intervals.
    """
    tables = {tolerance: _scores(match(found, true, span, tolerance=tolerance), n_boot, seed)
              for tolerance in tolerances}
    return pd.concat(tables, names=["tolerance", "wave", "mark"])


def delineation_summary(found: Any, true: Any, span: Any, *,
                        tolerances: Sequence[float] = TOLERANCES) -> pd.Series[float]:
    """Score boundaries in one row, to be set beside others; arguments as of `delineation_table`.

    For each tolerance `<wave>_f1_<tolerance>` and `<wave>_precision_<tolerance>` of the waves' peaks, and
    `false_p_<tolerance>`, invented P waves per true beat; of the matches within the first tolerance
    `<wave>_<onset or offset>_mean` and `_sd`, the error in ms.
    """
    row: dict[str, float] = {}
    for number, tolerance in enumerate(tolerances):
        matches = match(found, true, span, tolerance=tolerance)
        once = _sums(matches).sum(axis=0).reshape(len(WAVES), len(MARKS), -1)
        for k, wave in enumerate(WAVES):
            row[f"{wave}_f1_{tolerance:g}"] = float(_f1(once[k, _PEAK]))
            row[f"{wave}_precision_{tolerance:g}"] = float(_precision(once[k, _PEAK]))
            for mark in ("onset", "offset") if number == 0 else ():
                row[f"{wave}_{mark}_mean"] = float(_mean(once[k, MARKS.index(mark)]))
                row[f"{wave}_{mark}_sd"] = float(_sd(once[k, MARKS.index(mark)]))
        row[f"false_p_{tolerance:g}"] = matches.false_p_share
    return pd.Series(row)


def printed_delineation(table: pd.DataFrame) -> pd.DataFrame:
    """Round a `delineation_table` for print: shares in percent, errors as mean ± SD in ms."""
    percent = 100 * table
    return pd.DataFrame({
        "marks": table["n"].map("{:,}".format), "sensitivity %": percent["sensitivity"].map("{:.1f}".format),
        "precision %": percent["precision"].map("{:.1f}".format), "F1 %": with_ends(percent, "f1", digits=1),
        "error, ms": table["mean"].map("{:+.1f}".format) + " ± " + table["sd"].map("{:.1f}".format)})


def _scores(matches: Matches, n_boot: int, seed: int) -> pd.DataFrame:
    """Table of one tolerance; resamples weigh the sums of each ECG."""
    sums = _sums(matches)
    once = sums.sum(axis=0)
    drawn = np.concatenate([np.einsum("nb,nks->bks", counts, sums)
                            for counts in resample_patients(np.arange(len(sums)), n_boot=n_boot, seed=seed)])
    tp, fp, fn = once[:, :3].astype(np.int64).T
    columns: dict[str, Any] = {"n": tp + fn, "true_positive": tp, "false_positive": fp, "false_negative": fn,
                               "sensitivity": ratio(tp, tp + fn, tp + fn > 0),
                               "precision": _precision(once)}
    for name, statistic in (("f1", _f1), ("mean", _mean), ("sd", _sd)):
        columns |= Bootstrap(statistic(once), statistic(drawn)).columns(name)
    return pd.DataFrame(columns, index=pd.MultiIndex.from_product([WAVES, MARKS], names=["wave", "mark"]))


def _sums(matches: Matches) -> Array:
    """Of each ECG, wave and mark: the three counts, the sum of errors and that of their squares, `(n, 9, 5)`."""
    error = matches.error
    sums = np.stack([matches.true_positive, matches.false_positive, matches.false_negative,
                     np.nansum(error, axis=1), np.nansum(error**2, axis=1)], axis=-1, dtype=np.float64)
    return sums.reshape(len(sums), len(WAVES) * len(MARKS), -1)


def _precision(sums: Array) -> Array:
    tp, claimed = sums[..., 0], sums[..., 0] + sums[..., 1]
    return ratio(tp, claimed, claimed > 0)


def _f1(sums: Array) -> Array:
    tp, wrong = sums[..., 0], sums[..., 1] + sums[..., 2]
    return ratio(2 * tp, 2 * tp + wrong, tp + wrong > 0)


def _mean(sums: Array) -> Array:
    return ratio(sums[..., 3], sums[..., 0], sums[..., 0] > 0)


def _sd(sums: Array) -> Array:
    """Standard deviation with n - 1."""
    n = sums[..., 0]
    squares = sums[..., 4] - ratio(sums[..., 3]**2, n, n > 1)
    return np.sqrt(ratio(np.maximum(squares, 0), n - 1, n > 1))


def _partners(found: Array, true: Array, tolerance: float) -> NDArray[np.int64]:
    """For each true mark the number of its found one, or -1.

    A pair beyond the tolerance costs more than all pairs within it together, so the cheapest assignment has as many
    pairs within as there can be.
    """
    partner = np.full(len(true), -1)
    rows, columns = np.flatnonzero(np.isfinite(true)), np.flatnonzero(np.isfinite(found))
    distance = np.abs(true[rows, None] - found[columns])
    far = distance > tolerance
    row, column = linear_sum_assignment(np.where(far, tolerance * (min(far.shape) + 1), distance))
    near = ~far[row, column]
    partner[rows[row[near]]] = columns[column[near]]
    return partner


def _inside(found: Array, span: Array) -> NDArray[np.bool_]:
    """Whether the peak, or else the middle, of each found wave is within the span: `(n, n_found, 3, 1)`."""
    onset, peak, offset = np.moveaxis(found, -1, 0)
    middle = np.where(np.isnan(onset), offset, np.where(np.isnan(offset), onset, (onset + offset) / 2))
    place = np.where(np.isnan(peak), middle, peak)
    return ((place >= span[:, :1, None]) & (place <= span[:, 1:, None]))[..., None]


def _accounted(partner: NDArray[np.int64], exists: NDArray[np.bool_], n_found: int) -> NDArray[np.bool_]:
    """Found marks that are matched, or whose wave is matched with a true wave that has no such mark."""
    accounted = np.zeros((len(partner), n_found, len(WAVES), len(MARKS)), dtype=bool)
    ecg, beat, wave, mark = np.nonzero(partner >= 0)
    at = partner[ecg, beat, wave, mark]
    np.logical_or.at(accounted, (ecg, at, wave), ~exists[ecg, beat, wave])
    accounted[ecg, at, wave, mark] = True
    return accounted
