"""One record measured: what `ecgkit measure` prints, draws and writes of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.datasets.reader import Header, read_record
from ecgkit.errors import RecordError
from ecgkit.leads import LEADS, resample
from ecgkit.physiology import COLUMNS, Measurements, judge, measure
from ecgkit.physiology.verdicts import WORDS
from ecgkit.simulator import MARKS, WAVES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What can be measured: rates in Hz, lengths in seconds. A higher rate is brought down, a longer record cut.
LOWEST_FS, HIGHEST_FS = 100.0, 1000.0
SHORTEST, LONGEST = 2.5, 60.0
UNITS = {name: meaning.split(";")[0] for name, meaning in COLUMNS.items()}
SEXES = {"m": 0.0, "male": 0.0, "f": 1.0, "female": 1.0}

_RHYTHM = (("heart_rate", "rate"), ("rr_sd", "RR SD"), ("n_beats", "usable beats"),
           ("ectopic_share", "ectopic"), ("p_share", "with P"))
_INTERVALS = (("pr", "PR"), ("qrs", "QRS"), ("qt", "QT"), ("qtc_bazett", "QTcB"), ("qtc_fridericia", "QTcF"))
_AXES = (("p_axis", "P"), ("axis", "QRS"), ("t_axis", "T"))
_LEAD = (("p", "P"), ("q", "Q"), ("r", "R"), ("s", "S"), ("rp", "R'"), ("t", "T"), ("j", "J"), ("st60", "ST60"))


@dataclass(frozen=True)
class Report:
    """Measurements of one record: `signal` `(12, sig_len)` is what was measured, in mV at `fs` Hz."""

    record: Path
    header: Header
    signal: NDArray[np.float32]
    fs: float
    measured: Measurements

    @property
    def numbers(self) -> dict[str, float]:
        """The measurements by name; nan where there is none."""
        return {str(name): float(value) for name, value in self.measured.table.iloc[0].items()}

    @property
    def reasons(self) -> dict[str, str]:
        """Why a measurement is nan."""
        return {str(name): str(reason) for name, reason in self.measured.reasons.iloc[0].items() if reason}

    @property
    def faults(self) -> dict[str, str]:
        """Why a lead is unusable."""
        return {lead: str(fault) for lead, fault in zip(LEADS, self.measured.faults[0], strict=True) if fault}

    @property
    def age(self) -> float:
        """Years; nan where the header does not say."""
        try:
            age = float(self.header.fields.get("age", ""))
        except ValueError:
            return math.nan
        return age if 0 <= age <= 120 else math.nan

    @property
    def sex(self) -> float:
        """0 male, 1 female; nan where the header does not say."""
        return SEXES.get(self.header.fields.get("sex", "").lower(), math.nan)

    @cached_property
    def rules(self) -> pd.DataFrame:
        """The verdict on each rule; see `ecgkit.physiology.judge`."""
        return judge(self.measured.table, self.age, self.sex).drop(columns="ecg")

    @property
    def waves(self) -> pd.DataFrame:
        """`beat, wave, onset, peak, offset`: samples of the record as it is stored, missing where unknown."""
        ms, kind = self.measured.waves.ms[0], self.measured.waves.kind[0]
        samples = np.clip(np.round(ms * self.header.fs / 1000), 0, self.header.sig_len - 1)
        beat, wave = np.nonzero(np.isfinite(ms).any(axis=2) & (kind >= 0)[:, None])
        table = pd.DataFrame({"beat": beat, "wave": np.array(WAVES)[wave]})
        return table.assign(**{mark: pd.array(samples[beat, wave, k], dtype="Int64") for k, mark in enumerate(MARKS)})

    @property
    def document(self) -> dict[str, Any]:
        """All of it, as JSON has it: null where there is no number."""
        verdicts = self.rules.astype(object).to_dict(orient="records")
        return {"record": str(self.record), "fs": self.header.fs, "sig_len": self.header.sig_len,
                "seconds_measured": self.signal.shape[1] / self.fs, "age": _json(self.age),
                "sex": {0.0: "male", 1.0: "female"}.get(self.sex),
                "measurements": {name: _json(value) for name, value in self.numbers.items()}, "reasons": self.reasons,
                "faults": self.faults,
                "rules": [{**verdict, "margin": _json(verdict["margin"])} for verdict in verdicts], "units": UNITS}

    def figure(self) -> Figure:
        """The annotated ECG; its first 10 s where it is longer."""
        from ecgkit.figures import annotated_ecg  # matplotlib takes a second

        cut = ", first 10 s" if self.signal.shape[1] > 10 * self.fs else ""
        waves = self.measured.waves
        return annotated_ecg(self.signal, self.fs, waves.ms[0], waves.kind[0], measurements=self.numbers,
                             faults=self.measured.faults[0], title=f"{self.record.name}{cut}")

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def report(path: Path) -> Report:
    """Read and measure a record; `RecordError` where it cannot be read, or has a rate or a length that is not measured.

    A lead that is flat or has missing samples is no error; it is among the faults.
    """
    signal, fs, header = read_record(path, keep_faulty=True)
    if fs < LOWEST_FS:
        raise RecordError(str(path), f"has {fs:g} Hz; measurements need {LOWEST_FS:g} Hz or more")
    if signal.shape[1] < SHORTEST * fs:
        raise RecordError(str(path), f"is short: {signal.shape[1] / fs:g} s; measurements need {SHORTEST:g} s or more")
    signal, fs = resample(signal[:, :int(LONGEST * fs)], fs, min(fs, HIGHEST_FS)), min(fs, HIGHEST_FS)
    signal = signal[:, :int(LONGEST * fs)]
    return Report(path, header, signal, fs, measure(signal[None], fs))


def _json(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def _lines(of: Report) -> Iterator[str]:
    header, numbers = of.header, of.numbers
    seconds, whole = of.signal.shape[1] / of.fs, header.sig_len / header.fs
    length = f"{whole:g} s" if whole <= LONGEST else f"first {seconds:g} s of {whole:g} s"
    age = "age unknown" if math.isnan(of.age) else f"{of.age:g} years"
    sex = "sex unknown" if math.isnan(of.sex) else ("male", "female")[int(of.sex)]
    yield f"{of.record}: {length} at {header.fs:g} Hz, {age}, {sex}"
    for title, columns in (("rhythm", _RHYTHM), ("intervals", _INTERVALS), ("axes", _AXES)):
        yield f"  {title:<10} " + ", ".join(f"{name} {_with_unit(numbers[column], UNITS[column])}"
                                            for column, name in columns)
    yield f"  {'lead, mV':<10}" + "".join(f"{name:>7}" for _, name in _LEAD)
    for lead in LEADS:
        cells = "".join(f"{_millivolts(numbers[f'{column}_{lead}']):>7}" for column, _ in _LEAD)
        yield f"  {lead:<10}" + (f"   {lead}: {of.faults[lead]}" if lead in of.faults else cells)
    yield from _missing(of)
    yield from _verdicts(of.rules)


def _missing(of: Report) -> Iterator[str]:
    """Each reason for a dash above, once, and what it stands for."""
    names = dict(_RHYTHM + _INTERVALS) | {column: f"{name} axis" for column, name in _AXES}
    names |= {f"{column}_{lead}": f"{name} of the leads" for column, name in _LEAD for lead in LEADS
              if lead not in of.faults}
    found: dict[str, dict[str, None]] = {}
    for column, reason in of.reasons.items():
        if column in names:
            found.setdefault(reason, {})[names[column]] = None
    yield from (f"  – {reason}: {', '.join(what)}" for reason, what in found.items())


def _verdicts(rules: pd.DataFrame) -> Iterator[str]:
    met: list[Any] = list(rules[rules["verdict"] == "met"].itertuples())
    yield f"  rules met  {'(by what margin, decided by what)' if met else 'none'}"
    for row in met:
        yield f"    {row.rule:<36} {_with_unit(row.margin, row.unit, signed=True):>9}  {_binding(str(row.binding))}"
    unknown = rules[rules["verdict"] == "not measurable"]
    if len(unknown):
        yield "  rules that cannot be judged, for want of"
        for binding, rows in unknown.groupby("binding", sort=False):
            yield f"    {_binding(str(binding))}: {', '.join(rows['rule'])}"


def _binding(name: str) -> str:
    """What decides a rule, in words: `rpeak_V5` is `time of the R peak in V5`."""
    base, _, lead = name.rpartition("_")
    return WORDS.get(name) or (f"{WORDS[pattern]} in {lead}" if (pattern := f"{base}_{{lead}}") in WORDS else name)


def _with_unit(value: float, unit: Any, *, signed: bool = False) -> str:
    if math.isnan(value):
        return "–"
    sign = "+" if signed else ""
    if unit == "ratio" and not signed:
        return f"{100 * value:.0f} %"
    digits = 2 if unit in ("mV", "ratio") else 0
    word = {"degrees": "°", "count": "", "ratio": "", "1/min": "/min"}.get(unit, f" {unit}")
    return f"{value:{sign}.{digits}f}{word}"


def _millivolts(value: float) -> str:
    """Two digits; a plain 0 is a deflection that is not there."""
    return "–" if math.isnan(value) else "0" if value == 0 else f"{value:z.2f}"
