"""PTB-XL in PhysioNet's layout, with the tasks of the PTB-XL benchmark and the official folds."""

from __future__ import annotations

import ast
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.datasets.base import ECGDataset, multi_hot
from ecgkit.datasets.reader import read_record
from ecgkit.datasets.store import Source, check_on_error, open_store, read_table
from ecgkit.errors import EcgkitError, RecordError

#: Records in PTB-XL 1.0.3; a folder with fewer is a sample and is called so.
N_RECORDS = 21_799
SECONDS = 10
#: Superclasses, in the order in which the benchmark's paper lists them.
SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
#: Each task: which flag an SCP statement must have, and which column gives the label (None: the code itself).
TASKS: dict[str, tuple[str | None, str | None]] = {
    "superclass": ("diagnostic", "diagnostic_class"),
    "subclass": ("diagnostic", "diagnostic_subclass"),
    "diagnostic": ("diagnostic", None),
    "form": ("form", None),
    "rhythm": ("rhythm", None),
    "all": (None, None),
}
_FILENAME = {100: "filename_lr", 500: "filename_hr"}
_COLUMNS = {
    "ptbxl_database.csv": sorted({"patient_id", "scp_codes", "strat_fold", *_FILENAME.values()}),
    "scp_statements.csv": ("diagnostic", "diagnostic_class", "diagnostic_subclass", "form", "rhythm"),
}
_OLDEST = 90.0


def load(root: str | Path, *, task: str = "superclass", fs: int = 100, keep_unlabelled: bool = False,
         on_error: str = "exclude", cache: str | Path | None = None, processes: int | None = None) -> ECGDataset:
    """Load PTB-XL, or any folder in its layout.

    Parameters
    ----------
    root : path
        Folder that holds ``ptbxl_database.csv``, ``scp_statements.csv`` and ``records100`` or ``records500``.
    task : {"superclass", "subclass", "diagnostic", "form", "rhythm", "all"}
        Which labels. By the benchmark's rules a record has a label where one of its SCP codes stands for it, whatever
        the likelihood given; the labels are those that occur.
    fs : {100, 500}
        Sampling rate in Hz, of the published files of that rate.
    keep_unlabelled : bool
        Records that have no label of the task are dropped, as the benchmark does; True keeps them.
    on_error : {"exclude", "raise"}
        Whether records that cannot be used are left out (and listed in `excluded`) or raised. A record with a flat
        lead counts as one, so the full data may lose a few that the benchmark kept.
    cache, processes : path, int, optional
        Folder that keeps what was read (else ``ECGKIT_CACHE``, else ``~/.cache/ecgkit``); how many processes read.

    Returns
    -------
    ECGDataset
        With the official columns. `record` is the file's name, `patient_id` an integer, `strat_fold` the official
        fold, `sex` 0 male and 1 female; an `age` of 300, which stands for "over 89", becomes 90.

    References
    ----------
    Wagner et al. 2020, *PTB-XL, a large publicly available electrocardiography dataset*, Sci Data 7:154.
    Strodthoff et al. 2020, *Deep learning for ECG analysis: benchmarks and insights from PTB-XL*, arXiv 2004.13701.
    """
    check_on_error(on_error)
    if task not in TASKS:
        raise EcgkitError(f"PTB-XL has no task {task!r}; choose from {', '.join(TASKS)}")
    if fs not in _FILENAME:
        raise EcgkitError(f"PTB-XL is published at 100 and 500 Hz, not at {fs} Hz")
    fs = int(fs)  # 100.0 is as good, but counts no samples
    root = Path(root).expanduser()
    database, statements = read_tables(root)
    names = database[_FILENAME[fs]].astype(str).tolist()
    source = Source("ptbxl", root, names, [(f"{name}.hea", f"{name}.dat") for name in names], partial(_read, fs),
                    SECONDS * fs, {"fs": fs})
    store = open_store(source, cache=cache, processes=processes)
    records = _records(database, names)
    labels, label_names = task_labels(records["scp_codes"], statements, task)
    name = "PTB-XL" if len(records) >= N_RECORDS else "PTB-XL sample"
    data = store.dataset(records, labels, label_names, fs=float(fs), name=name, on_error=on_error)
    if keep_unlabelled:
        return data
    return replace(data.subset(data.labels.any(axis=1)), excluded=data.excluded)


def read_tables(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read ``ptbxl_database.csv`` and ``scp_statements.csv`` (indexed by SCP code)."""
    database, statements = (
        read_table(root / name, f"{root}: no {name} here; give root= the folder of PTB-XL "
                   "(fetch it with `ecgkit data download ptbxl`)", columns,
                   "lacks the column {}; is this PTB-XL's file?") for name, columns in _COLUMNS.items())
    if not len(database):
        raise EcgkitError(f"{root / 'ptbxl_database.csv'}: has no rows")
    return database, statements.set_index(statements.columns[0])


def task_labels(scp_codes: pd.Series[Any], statements: pd.DataFrame,
                task: str) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Multi-hot labels `(n, n_labels)` of a task, and their names: those that occur, as in `SUPERCLASSES`, else A to Z.

    `scp_codes` have likelihoods, which do not matter here; `statements` is ``scp_statements.csv``, indexed by code.
    """
    flag, column = TASKS[task]
    chosen = statements if flag is None else statements[statements[flag] == 1]
    target = chosen[column].dropna() if column else pd.Series(chosen.index, index=chosen.index)
    of_code = target.to_dict()
    sets = [{of_code[code] for code in codes if code in of_code} for codes in scp_codes]
    present = set().union(*sets)
    names = [name for name in SUPERCLASSES if name in present] if task == "superclass" else sorted(present)
    return multi_hot(sets, names), tuple(names)


def _read(fs: int, root: Path, record: str) -> tuple[NDArray[np.float32], dict[str, str]]:
    signal, _, header = read_record(root / record, root=root, record=record)
    if header.fs != fs or signal.shape[1] < SECONDS * fs:
        raise RecordError(record, f"is {signal.shape[1]} samples at {header.fs:g} Hz; {SECONDS} s at {fs} Hz expected")
    return signal[:, :SECONDS * fs], {}


def _records(database: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The official table, with `record`, whole `patient_id` and `strat_fold`, parsed `scp_codes` and a true age."""
    table = database.assign(record=names, scp_codes=database["scp_codes"].astype(str).map(_codes))
    for column in ("patient_id", "strat_fold"):
        try:
            table[column] = table[column].astype("int64")
        except (ValueError, TypeError):
            raise EcgkitError(f"ptbxl_database.csv: column {column} has a value that is not a whole number") from None
    if "age" in table:
        table["age"] = table["age"].where(table["age"] < _OLDEST, _OLDEST).where(table["age"].notna())
    return table


def _codes(text: str) -> dict[str, float]:
    """Parse ``{'NORM': 100.0, 'SR': 0.0}``."""
    try:
        codes = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        codes = None
    if not isinstance(codes, dict):
        raise EcgkitError(f"ptbxl_database.csv: cannot read the scp_codes {text[:60]!r}")
    return codes
