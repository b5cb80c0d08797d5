"""Your own archive: a CSV with one row per ECG, and WFDB, NumPy or CSV files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache as remember
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.reader import check_not_flat, cut, inside, read_record, record_base
from ecgkit.datasets.splits import assign_folds
from ecgkit.datasets.store import Source, check_on_error, open_store, read_table
from ecgkit.errors import EcgkitError, RecordError
from ecgkit.leads import LEADS, canonical, standardise

#: Columns of the table that are never labels.
RESERVED = ("record", "patient_id", "strat_fold", "age", "sex")
#: Columns whose name starts so are labels; what follows is the label's name.
PREFIX = "label:"


def load(root: str | Path, table: str | Path, *, labels: Sequence[str] | None = None, fs: float | None = None,
         file_fs: float | None = None, units: str = "mV", lead_names: Sequence[str] = LEADS,
         seconds: float | None = None, on_error: str = "exclude", cache: str | Path | None = None,
         processes: int | None = None) -> ECGDataset:
    """Load your own recordings.

    Parameters
    ----------
    root : path
        Folder of the recordings; nothing outside it is opened.
    table : path
        CSV with one row per ECG: a path from where you stand, or else relative to `root`. Column `record` names the
        file relative to `root`: a WFDB record, a ``.npy`` array `(n_leads, sig_len)` or `(sig_len, n_leads)`, or a
        ``.csv`` file with one column per lead. Optional: `patient_id` (otherwise every ECG is its own patient),
        `strat_fold` (1 to 10; otherwise given by patient), `age` in years, `sex` 0 male / 1 female. All columns are
        kept.
    labels : sequence of str, optional
        Columns that hold labels, 0 or 1; an empty list for none. By default those that begin with ``label:``, else
        all that hold nothing but 0 and 1.
    fs : float, optional
        Sampling rate of the dataset in Hz; others are resampled. By default that of the first record.
    file_fs, units : float, str, optional
        Sampling rate in Hz, by default `fs`, and unit of NumPy and CSV files, which do not say them.
    lead_names : sequence of str
        Leads of NumPy files, in order. CSV files name their own.
    seconds : float, optional
        Keep the first so many seconds; shorter records are left out. By default the length of the first record, which
        all others must have.
    on_error, cache, processes
        See `ecgkit.datasets.ptbxl.load`.

    Returns
    -------
    ECGDataset
        Named after the folder.
    """
    check_on_error(on_error)
    root = Path(root).expanduser()
    path = Path(table).expanduser()
    path = path if path.is_file() else root / path
    records = _table(path)
    multi_hot, label_names = _labels(records, labels, path)
    names = records["record"].tolist()
    files = _Files(fs, file_fs or fs, units, tuple(lead_names), seconds)
    sig_len, rate = _first(files, root, names)
    options = {"fs": rate, "file_fs": file_fs, "units": units, "lead_names": list(lead_names), "seconds": seconds,
               "table": os.path.realpath(path)}
    source = Source("folder", root, names, _listed(root, names), partial(_signal, replace(files, fs=rate)), sig_len,
                    options)
    store = open_store(source, cache=cache, processes=processes)
    if "strat_fold" not in records:
        records["strat_fold"] = assign_folds(records["patient_id"].to_numpy(), multi_hot)
    return store.dataset(records, multi_hot, label_names, fs=rate, name=root.resolve().name, on_error=on_error)


@dataclass(frozen=True)
class _Files:
    """How files are read; the options of `load`."""

    fs: float | None
    file_fs: float | None
    units: str
    lead_names: tuple[str, ...]
    seconds: float | None

    def read(self, root: Path, record: str) -> tuple[NDArray[np.float32], float]:
        """Read one file of any of the three kinds: signal `(12, sig_len)` and its sampling rate in Hz."""
        path, seconds = inside(root, record, record), self.seconds
        if path.suffix.lower() not in (".npy", ".csv"):
            return read_record(path, self.fs, seconds=seconds, root=root, record=record)[:2]
        if self.file_fs is None:
            raise RecordError(record, "NumPy and CSV files do not say their sampling rate; give fs= or file_fs= in Hz")
        if not path.is_file():
            raise RecordError(record, f"has no {path.suffix} file")
        rows, names = _numpy(path, self.lead_names, record) if path.suffix.lower() == ".npy" else _csv(path, record)
        if seconds is not None:
            rows = cut(rows, self.file_fs, seconds, record)
        target = self.fs or self.file_fs
        signal = standardise(rows, names, fs=self.file_fs, target_fs=target, units=self.units, record=record)
        if seconds is not None:
            signal = signal[:, :round(seconds * target)]
        check_not_flat(signal, record)
        return signal, target


def _signal(files: _Files, root: Path, record: str) -> tuple[NDArray[np.float32], dict[str, str]]:
    return files.read(root, record)[0], {}


def _numpy(path: Path, lead_names: tuple[str, ...], record: str) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # a damaged header fails in whatever way Python's parser and its numbers do
        raise RecordError(record, "is not a NumPy array of numbers (Python objects are never unpickled)") from None
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "iuf":
        raise RecordError(record, "is not a two-dimensional NumPy array of numbers")
    if array.shape[0] != len(lead_names):
        array = array.T
    if array.shape[0] != len(lead_names):
        raise RecordError(record, f"has the shape {array.T.shape}; one side should be the {len(lead_names)} leads of "
                                  "lead_names")
    return np.array(array, dtype=np.float64), lead_names


def _csv(path: Path, record: str) -> tuple[NDArray[np.float64], list[str]]:
    try:
        table = pd.read_csv(path)
        table = table[[name for name in table.columns if canonical(str(name))]].astype(np.float64)
    except (OSError, ValueError) as error:
        raise RecordError(record, f"cannot be read as CSV of numbers ({' '.join(str(error).split())[:100]})") from None
    if table.empty:
        raise RecordError(record, "has no column named after a lead; its first line should name them (I, II, ...)")
    return table.to_numpy().T, [str(name) for name in table.columns]


def _first(files: _Files, root: Path, names: Sequence[str]) -> tuple[int, float]:
    """Length and rate of the first record that can be read; they become those of the dataset."""
    first: RecordError | None = None
    for name in names:
        try:
            signal, rate = files.read(root, name)
            return signal.shape[1], float(rate)
        except RecordError as error:
            first = first or error
    raise EcgkitError(f"{root}: none of {len(names):,} records can be used; the first: {first}")


def _listed(root: Path, names: Sequence[str]) -> list[list[str]]:
    """Files of each record: the file itself, or all that share a WFDB header's name; the header must be there."""
    @remember
    def by_stem(folder: Path) -> dict[str, list[str]]:
        stems: dict[str, list[str]] = {}
        for name in sorted(os.listdir(root / folder)) if (root / folder).is_dir() else ():
            stems.setdefault(Path(name).stem, []).append(name)
        return stems

    def files(name: str) -> list[str]:
        if name.lower().endswith((".npy", ".csv")):
            return [name]
        base = record_base(name)
        found = by_stem(base.parent).get(base.name, [])
        return [str(base) + ".hea", *(str(base.parent / file) for file in found if not file.endswith(".hea"))]

    return [files(name) for name in names]


def _table(path: Path) -> pd.DataFrame:
    table = read_table(path, f"{path}: no such file; give table= a CSV with a column `record`", dtype={"record": str},
                       skipinitialspace=True)
    if "record" not in table:
        raise EcgkitError(f"{path}: lacks the column record, which names each ECG's file; it has "
                          f"{', '.join(map(str, table.columns))}")
    if not len(table):
        raise EcgkitError(f"{path}: has no rows")
    table["record"] = table["record"].str.strip()
    twice = table["record"][table["record"].duplicated()]
    if len(twice) or table["record"].isna().any():
        what = f"names the record {twice.iloc[0]} twice" if twice.notna().any() else "has a row without a record"
        raise EcgkitError(f"{path}: {what}")
    if "patient_id" not in table:
        table["patient_id"] = table["record"]
    elif table["patient_id"].isna().any():
        record = table["record"][table["patient_id"].isna()].iloc[0]
        raise EcgkitError(f"{path}: record {record} has no patient_id; fill it, or leave the whole column out")
    if "strat_fold" in table:
        wrong = ~table["strat_fold"].isin(range(1, 11))
        if wrong.any():
            record = table["record"][wrong].iloc[0]
            raise EcgkitError(f"{path}: the strat_fold of record {record} is not a whole number from 1 to 10")
        table["strat_fold"] = table["strat_fold"].astype("int64")
    return table


def _labels(table: pd.DataFrame, labels: Sequence[str] | None, path: Path) -> tuple[NDArray[np.uint8], list[str]]:
    others = [str(column) for column in table.columns if column not in RESERVED]
    if labels is None:
        columns = [column for column in others if column.startswith(PREFIX)] or \
            [column for column in others if table[column].isin([0, 1]).all()]
        if not columns:
            raise EcgkitError(f"{path}: no column holds only 0 and 1; name the labels with labels=[...], or none "
                              "with labels=[]")
    else:
        columns = [label if label in others else PREFIX + label for label in labels]
        unknown = [label for label, column in zip(labels, columns, strict=True) if column not in others]
        if unknown:
            raise EcgkitError(f"{path}: has no column {unknown[0]!r} to be a label; it has "
                              f"{', '.join(others) or 'none'}")
    for column in columns:
        wrong = ~table[column].isin([0, 1])
        if wrong.any():
            row = table[wrong].iloc[0]
            raise EcgkitError(f"{path}: label {column!r} of record {row['record']} is {row[column]}, not 0 or 1")
    multi_hot = table[columns].to_numpy(dtype=np.uint8) if columns else np.zeros((len(table), 0), dtype=np.uint8)
    return multi_hot, [column.removeprefix(PREFIX) for column in columns]
