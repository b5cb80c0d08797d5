"""LUDB: ten-second ECGs with cardiologists' boundaries of the P wave, the QRS complex and the T wave in every lead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.datasets.base import ECGDataset, multi_hot
from ecgkit.datasets.reader import find_records, inside, read_record
from ecgkit.datasets.splits import assign_folds, patient_order
from ecgkit.datasets.store import Source, check_on_error, open_store, read_table
from ecgkit.errors import EcgkitError, RecordError
from ecgkit.leads import LEADS
from ecgkit.simulator.waves import MARKS, WAVES, Waves

#: Sampling rate in Hz of the recordings, and so of the boundaries.
FS = 500
SECONDS = 10
#: Stored units of a millivolt, in every lead: the headers' gains make the range of every lead 1 mV. The stored numbers
#: obey Einthoven's law, so one gain holds for all; that it is 1000 is inferred (the median R of V5 is then 1.6 mV).
GAIN = 1000.0
#: Records in LUDB 1.0.1; a folder with fewer is a sample and is called so.
N_RECORDS = 200
_AXIS = "Electric axis of the heart"
#: Which columns of ``ludb.csv`` give the labels of a task.
TASKS: dict[str, tuple[str, ...]] = {
    "rhythm": ("Rhythms",),
    "axis": (_AXIS,),
    "diagnosis": ("Conduction abnormalities", "Extrasystolies", "Hypertrophies", "Cardiac pacing", "Ischemia",
                  "Non-specific repolarization abnormalities", "Other states"),
}
TASKS["all"] = sum(TASKS.values(), ())
_WAVES = {"p": "P", "N": "QRS", "t": "T"}


def load(root: str | Path, *, task: str = "all", fs: float = FS, on_error: str = "exclude",
         cache: str | Path | None = None, processes: int | None = None) -> ECGDataset:
    """Load LUDB.

    Parameters
    ----------
    root : path
        Folder that holds ``ludb.csv``, ``RECORDS`` and ``data``.
    task : {"rhythm", "axis", "diagnosis", "all"}
        Which statements are labels. Where a statement goes on with a place or a type (``Ischemia: inferior wall``),
        the label is what stands before it; of the electric axis, what stands behind.
    fs : float
        Sampling rate in Hz; the recordings have 500.
    on_error, cache, processes
        See `ecgkit.datasets.ptbxl.load`.

    Returns
    -------
    ECGDataset
        `record` is the path below `root` (``data/1``), `sex` 0 male and 1 female. Each patient has one record;
        `strat_fold` is stratified over the labels. Signals have the one gain `GAIN`, not those of the headers.

    References
    ----------
    Kalyakulina et al. 2020, *LUDB: a new open-access validation tool for ECG delineation algorithms*, IEEE Access 8.
    """
    check_on_error(on_error)
    if task not in TASKS:
        raise EcgkitError(f"LUDB has no task {task!r}; choose from {', '.join(TASKS)}")
    root = Path(root).expanduser()
    table = _table(root)
    listed = root / "RECORDS"
    names = [path.relative_to(root).as_posix() for path in find_records(listed)] if listed.is_file() else \
        [f"data/{number}" for number in table.index]
    unknown = [name for name in names if _number(name) not in table.index]
    if unknown:
        raise EcgkitError(f"{root / 'ludb.csv'}: has no row for the record {unknown[0]}")
    source = Source("ludb", root, names, [(f"{name}.hea", f"{name}.dat") for name in names], partial(_read, fs),
                    round(SECONDS * fs), {"fs": fs, "gain": GAIN})
    store = open_store(source, cache=cache, processes=processes)
    rows = table.loc[[_number(name) for name in names]].reset_index(drop=True)
    labels, label_names = _labels(rows, TASKS[task])
    records = pd.DataFrame({"record": names, "patient_id": names, "age": rows["Age"].map(_age),
                            "sex": rows["Sex"].map(_lines).map(lambda lines: {"M": 0.0, "F": 1.0}.get("".join(lines)))})
    records["strat_fold"] = assign_folds(records["patient_id"].to_numpy(), labels)
    name = "LUDB" if len(names) >= N_RECORDS else "LUDB sample"
    return store.dataset(records, labels, label_names, fs=float(fs), name=name, on_error=on_error)


def boundaries(root: str | Path, record: str) -> pd.DataFrame:
    """Cardiologists' boundaries of one record.

    Parameters
    ----------
    root, record : path, str
        Folder of LUDB, and record as `load` names it: ``"data/1"``.

    Returns
    -------
    DataFrame
        One row per wave and lead: `lead`, `wave` (P, QRS or T) and `onset`, `peak`, `offset` in samples at 500 Hz,
        missing where not marked. The first and the last second of a recording are not annotated. `RecordError` says
        which annotation file is missing or damaged.
    """
    import wfdb

    root = Path(root).expanduser()
    waves: list[dict[str, Any]] = []
    for lead in LEADS:
        file = inside(root, f"{record}.{lead.lower()}", record)
        if not file.is_file():
            raise RecordError(record, f"has no annotation file {file.name} for lead {lead}")
        try:
            marks = wfdb.rdann(str(file.with_suffix("").absolute()), lead.lower())
        except Exception as error:  # wfdb raises whatever its arithmetic meets in a damaged file
            raise RecordError(record, f"its annotation file {file.name} is damaged ({type(error).__name__})") from None
        waves += [{"lead": lead, **wave} for wave in _waves(marks.symbol, marks.sample)]
    table = pd.DataFrame(waves, columns=["lead", "wave", "onset", "peak", "offset"])
    return table.astype({"onset": "Int64", "peak": "Int64", "offset": "Int64"})


def _waves(symbols: list[str], samples: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Join ``( N )`` into waves; an onset or offset without a peak says nothing and is left out."""
    waves: list[dict[str, Any]] = []
    onset, open_wave = None, False
    for symbol, sample in zip(symbols, samples, strict=True):
        if symbol == "(":
            onset, open_wave = int(sample), False
        elif symbol in _WAVES:
            waves.append({"wave": _WAVES[symbol], "onset": onset, "peak": int(sample), "offset": None})
            onset, open_wave = None, True
        elif symbol == ")":
            if open_wave:
                waves[-1]["offset"] = int(sample)
            onset, open_wave = None, False
    return waves


def _read(fs: float, root: Path, record: str) -> tuple[NDArray[np.float32], dict[str, str]]:
    return read_record(root / record, fs, seconds=SECONDS, root=root, record=record, gain=GAIN)[0], {}


def _table(root: Path) -> pd.DataFrame:
    table = read_table(root / "ludb.csv", f"{root}: no ludb.csv here; give root= the folder of LUDB",
                       ("ID", "Sex", "Age", *TASKS["all"]), "lacks the column {!r}; is this LUDB's file?", dtype=str)
    return table.set_index(table["ID"].str.strip())


def _number(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _lines(cell: Any) -> list[str]:
    """Statements of a cell: one per line, without the closing full stop."""
    return [line.strip().rstrip(".") for line in cell.splitlines() if line.strip()] if isinstance(cell, str) else []


def _age(cell: Any) -> float:
    """Years; ``>89`` is 90."""
    digits = re.search(r"(>?)\s*(\d+)", cell) if isinstance(cell, str) else None
    return float(digits[2]) + bool(digits[1]) if digits else float("nan")


def _labels(rows: pd.DataFrame, columns: tuple[str, ...]) -> tuple[NDArray[np.uint8], list[str]]:
    found = [{(column, _label(column, line)) for column in columns for line in _lines(row[column])}
             for _, row in rows.iterrows()]
    names = sorted(set().union(*found), key=lambda item: (columns.index(item[0]), item[1]))
    return multi_hot(found, names), [name for _, name in names]


def _label(column: str, line: str) -> str:
    if column == _AXIS:
        return "Electric axis " + line.rsplit(":", 1)[-1].strip()
    return re.split(r"[:,]", line, maxsplit=1)[0].strip()


#: Peaks of different leads that lie further apart, in ms, are of different waves. In LUDB, peaks of one wave follow
#: each other within 150 ms, and those of the next wave of the kind come 200 ms later or more.
JOIN = 150.0
_P, _QRS, _T = range(len(WAVES))
_LISTED = list(MARKS)


@dataclass(frozen=True)
class Consensus:
    """Boundaries of one record over its leads.

    `ms`, `(n_beats, 3, 3)`, are onset, peak, offset of P, QRS, T from the start of the recording; nan where there is no
    such wave. A wave without its beat (a P that no QRS follows) has a row of its own. `spread` is their standard
    deviation over the leads, nan where fewer than two have the mark, and `votes`, `(n_beats, 3)`, the number of leads
    that mark the wave. Nothing is known outside of `span`, the first and last ms that are annotated.
    """

    ms: NDArray[np.float64]
    spread: NDArray[np.float64]
    votes: NDArray[np.int64]
    span: NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """The `Consensus` of some records: boundaries, and `spread`, `votes` and `span` with a first axis of records."""

    waves: Waves
    spread: NDArray[np.float64]
    votes: NDArray[np.int64]
    span: NDArray[np.float64]


def consensus(boundaries: pd.DataFrame) -> Consensus:
    """Join the leads' annotations of one record, as `ecgkit.datasets.ludb.boundaries` gives them.

    Waves count where at least half of the leads are annotated; of one lead only (``table[table["lead"] == "II"]``),
    that lead's own annotation is returned. A table without a wave raises `EcgkitError`.
    """
    if boundaries.empty:
        raise EcgkitError("no wave is annotated, so there is nothing to join; give the boundaries of one record")
    waves = _boundary_waves(boundaries)
    rows = _rows(waves)
    shape = (max(rows) + 1, len(WAVES))
    ms, spread, votes = np.full((*shape, 3), np.nan), np.full((*shape, 3), np.nan), np.zeros(shape, dtype=np.int64)
    at = (rows, waves["wave"].to_numpy())
    ms[at] = waves[_LISTED]
    spread[at] = waves[[f"{mark}_sd" for mark in MARKS]]
    votes[at] = waves["votes"]
    return Consensus(ms, spread, votes, np.array([np.nanmin(ms), np.nanmax(ms)]))


def truth(root: str | Path, records: Sequence[str]) -> Truth:
    """Boundaries of some records of a folder of LUDB (``"data/1"``), over their leads.

    Beats are not judged: `kind` is 0 for every QRS and -1 for rows without one.
    """
    found = [consensus(boundaries(root, record)) for record in records]
    n_beats = max((len(one.ms) for one in found), default=0)
    ms = np.full((len(found), n_beats, len(WAVES), len(MARKS)), np.nan)
    spread, votes = ms.copy(), np.zeros(ms.shape[:3], dtype=np.int64)
    for k, one in enumerate(found):
        ms[k, :len(one.ms)], spread[k, :len(one.ms)], votes[k, :len(one.ms)] = one.ms, one.spread, one.votes
    peak = pd.DataFrame(ms[:, :, _QRS, 1])
    rr = (peak - peak.ffill(axis=1).shift(axis=1)).to_numpy()
    kind = np.where(np.isnan(peak), -1, 0).astype(np.int8)
    return Truth(Waves(ms, kind, rr, float(FS)), spread, votes, np.array([one.span for one in found]))


def halves(root: str | Path, *, seed: int = 0) -> tuple[list[str], list[str]]:
    """Split the records that a folder of LUDB holds into two halves with the same share of each rhythm.

    The first is to train and choose on, the second to report on; each patient has one record. The same seed and folder
    give the same halves.
    """
    data = load(root, task="rhythm")
    records = data.records["record"].to_numpy()
    order = patient_order(records, data.labels, seed)
    first = np.isin(records, order[:len(order) // 2])
    return records[first].tolist(), records[~first].tolist()


def _boundary_waves(boundaries: pd.DataFrame) -> pd.DataFrame:
    """Waves that the leads agree on, in the order of their peaks: medians in ms, spread and votes."""
    marks = boundaries.assign(wave=boundaries["wave"].map(WAVES.index))
    marks[_LISTED] = marks[_LISTED].astype("Float64").to_numpy(np.float64, na_value=np.nan) * 1000 / FS
    marks = marks.sort_values(["wave", "peak"], ignore_index=True)
    marks["group"] = (marks.groupby("wave")["peak"].diff().fillna(np.inf) > JOIN).cumsum()
    group = marks.groupby("group")
    waves = group[_LISTED].median().join(group[_LISTED].std(), rsuffix="_sd")
    waves = waves.assign(wave=group["wave"].first(), votes=group["lead"].nunique())
    annotated = _annotated(marks, waves["peak"])
    agreed = (2 * waves["votes"] >= annotated) & (2 * annotated >= marks["lead"].nunique())
    return waves[agreed].sort_values("peak", ignore_index=True)


def _annotated(marks: pd.DataFrame, peak: pd.Series[float]) -> pd.Series[int]:
    """How many leads mark each wave, or have their first mark before its peak and their last mark after it."""
    by_lead = marks.groupby("lead")[_LISTED]
    first, last = by_lead.min().min(axis=1), by_lead.max().max(axis=1)
    at = peak.to_numpy()
    counts = (first.to_numpy()[:, None] <= at) & (at <= last.to_numpy()[:, None])
    counts[first.index.get_indexer(pd.Index(marks["lead"])), marks["group"] - 1] = True
    return pd.Series(counts.sum(axis=0), index=peak.index)


def _rows(waves: pd.DataFrame) -> list[int]:
    """The row of each wave: a QRS takes the last P since the QRS before, a T goes to the last QRS if that has none."""
    rows: list[int] = []
    n_rows, waiting_p, waiting_qrs = 0, -1, -1
    for wave in waves["wave"]:
        joined = {_P: -1, _QRS: waiting_p, _T: waiting_qrs}[wave]
        rows.append(n_rows if joined < 0 else joined)
        n_rows += joined < 0
        waiting_p = {_P: rows[-1], _QRS: -1}.get(wave, waiting_p)
        waiting_qrs = {_QRS: rows[-1], _T: -1}.get(wave, waiting_qrs)
    return rows
