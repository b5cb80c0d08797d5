"""What an edit did to the measurements of an ECG: differences, which of them count, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from ecgkit.errors import EcgkitError
from ecgkit.explain.results import Explainer, classify, probability
from ecgkit.leads import LEADS, N_LEADS
from ecgkit.physiology import COLUMNS, measure
from ecgkit.physiology.repeat import ANGLES
from ecgkit.physiology.verdicts import WORDS

#: Measurements that every table shows.
MAIN = ("heart_rate", "pr", "qrs", "qt", "qtc_fridericia", "axis")
#: Measurements of one lead that a table may show beside them: voltages that people read on paper.
VOLTAGES = tuple(f"{wave}_{lead}" for wave in ("p", "q", "r", "s", "t", "st60") for lead in LEADS)
_NAMES = {
    **WORDS,
    "rr_mean": "mean RR", "rr_sd": "RR SD", "rr_rmssd": "RR RMSSD", "n_beats": "usable beats",
    "ectopic_share": "share of ectopic beats", "qt": "QT", "qtc_bazett": "QTc (Bazett)", "p_duration": "duration of P",
    "t_duration": "duration of T", "p_axis": "P axis", "t_axis": "T axis", "s_{lead}": "S",
    "s_ms_{lead}": "duration of S", "rp_ms_{lead}": "duration of R′", "j_{lead}": "J point",
    "notched_{lead}": "notched R",
}
_UNITS = {"degrees": "°", "1/min": "/min", "ratio": "%", "count": "", "0 or 1": ""}


def name_of(column: str) -> str:
    """A measurement in words: `QRS`, `R in V5`."""
    base, _, lead = column.rpartition("_")
    return _NAMES[column] if column in _NAMES else f"{_NAMES[f'{base}_{{lead}}']} in {lead}"


def unit_of(column: str) -> str:
    """Its unit as it is printed."""
    unit = COLUMNS[column].split(";")[0]
    return _UNITS.get(unit, unit)


def number(column: str, value: float, *, signed: bool = False) -> str:
    """A value, or a change, of a measurement without its unit; a dash where there is none."""
    if not np.isfinite(value):
        return "–"
    unit = unit_of(column)
    text = f"{100 * value if unit == '%' else value:{'+' if signed else ''}z.{2 if unit == 'mV' else 0}f}"
    return ("0" if not text.strip("+0.") else text).replace("-", "−")


def difference(before: pd.Series[float] | pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """After minus before, of the same columns; angles the shorter way round."""
    change = after - before[after.columns]
    angles = [column for column in ANGLES if column in change]
    change[angles] = (change[angles] + 180) % 360 - 180
    return change


def beyond(change: pd.DataFrame, repeatability: Mapping[str, float]) -> pd.DataFrame:
    """Which changes `(k, n_measurements)` are larger than what measuring twice gives.

    `repeatability` is for each measurement the size that 95 % of differences between two measurements of the same do
    not exceed: column `p95` of `ecgkit.physiology.repeat`. A measurement that is not in it is never beyond, nor is one
    that could be made on one side only.
    """
    return change.abs() > _limits(change.columns, repeatability)


def _limits(columns: Iterable[str], repeatability: Mapping[str, float]) -> pd.Series[float]:
    return pd.Series({column: repeatability.get(column, np.nan) for column in columns}, dtype=float)


def shown_columns(change: pd.DataFrame, repeatability: Mapping[str, float], most: int = 6) -> list[str]:
    """`MAIN`, and up to `most` of the `VOLTAGES` that changed beyond repeatability, the most changed first."""
    times = (change[list(VOLTAGES)].abs().max() / _limits(VOLTAGES, repeatability).clip(lower=0.01)).dropna()
    changed = times[beyond(change, repeatability).any()[times.index]]
    return [*MAIN, *changed.sort_values(ascending=False, kind="stable").index[:most]]


def written(after: pd.DataFrame, change: pd.DataFrame, columns: list[str],
            repeatability: Mapping[str, float]) -> list[list[tuple[str, str, bool]]]:
    """For each answer and column: the measurement, its change, and whether that is beyond repeatability."""
    counts = beyond(change, repeatability)
    return [[(number(name, after[name].iloc[k]), number(name, change[name].iloc[k], signed=True),
              bool(counts[name].iloc[k])) for name in columns] for k in range(len(after))]


def in_words(before: pd.Series[float], after: pd.Series[float], repeatability: Mapping[str, float],
             most: int = 6) -> list[str]:
    """The changes beyond repeatability, with `most` voltages: `QRS 148 → 96 ms`, `R in V5 1.20 → 0.84 mV`."""
    change = difference(before, after.to_frame().T)
    counts = beyond(change, repeatability).iloc[0]
    return [f"{name_of(column)} {number(column, before[column])} → {number(column, after[column])} {unit_of(column)}"
            .replace(" °", "°").replace(" /min", "/min")
            for column in shown_columns(change, repeatability, most) if counts[column]]


#: Wanted probabilities that are asked unless others are given.
WANTED = np.linspace(0.05, 0.95, 13)


@dataclass(frozen=True)
class Sweep:
    """Answers to several wanted probabilities of one label, for one ECG.

    Parameters
    ----------
    label, fs : str, float
        The label that was asked about; sampling rate in Hz.
    original, now, before : ndarray, shape (12, sig_len), float, Series
        The ECG in mV, the classifier's probability of the label for it, and its measurements: a row of
        `ecgkit.physiology.measure`'s table.
    wanted, obtained, valid : ndarray, shape (k,)
        Probabilities, wanted ones rising, and whether each was reached.
    signals, measured : ndarray, shape (k, 12, sig_len), DataFrame, k rows
        The answers in mV, and their measurements.
    """

    label: str
    fs: float
    original: NDArray[np.float32]
    now: float
    wanted: NDArray[np.float64]
    obtained: NDArray[np.float64]
    valid: NDArray[np.bool_]
    signals: NDArray[np.float32]
    before: pd.Series[float]
    measured: pd.DataFrame

    def __post_init__(self) -> None:
        k = len(self.wanted)
        if self.original.shape[:1] != (N_LEADS,) or self.signals.shape != (k, *self.original.shape) or not k:
            raise EcgkitError(f"an ECG of shape {self.original.shape}, {k} wanted probabilities and answers of shape "
                              f"{self.signals.shape}; expected (12, sig_len), k and (k, 12, sig_len)")
        if not len(self.obtained) == len(self.valid) == len(self.measured) == k:
            raise EcgkitError(f"{k} wanted probabilities, {len(self.obtained)} obtained, {len(self.valid)} verdicts, "
                              f"{len(self.measured)} rows of measurements; give as many of each")
        if (np.diff(self.wanted) <= 0).any():
            raise EcgkitError("the wanted probabilities do not rise; sort the answers by them")


def ask_sweep(explainer: Explainer, classifier: nn.Module, x: NDArray[np.float32], label: str, *,
              label_names: tuple[str, ...], fs: float, wanted: NDArray[np.float64] = WANTED) -> Sweep:
    """Ask an explainer about one ECG at several wanted probabilities of a label, and measure the answers.

    `x` `(12, sig_len)` is in mV at `fs` Hz, `label_names` are those of the `classifier` that is explained, and `wanted`
    `(k,)` rising probabilities between 0 and 1.
    """
    answers = explainer(np.repeat(x[None], len(wanted), axis=0), {label: wanted})
    place = label_names.index(label)
    now = float(probability(classify(classifier, x[None]))[0, place])
    table = measure(np.concatenate([x[None], answers.signals]), fs).table
    return Sweep(label, fs, x, now, wanted, answers.probabilities[:, place], answers.valid, answers.signals,
                 table.iloc[0], table.iloc[1:].reset_index(drop=True))
