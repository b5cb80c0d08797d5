"""Folders of the PhysioNet/CinC Challenges 2020 and 2021: `.hea` + `.mat`, SNOMED-CT codes in the header."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import cache as remember
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.datasets.base import ECGDataset, multi_hot
from ecgkit.datasets.reader import find_records, read_record
from ecgkit.datasets.splits import assign_folds
from ecgkit.datasets.store import Source, check_on_error, open_store
from ecgkit.errors import EcgkitError


def load(root: str | Path, *, labels: str | Sequence[str] = "all", fs: float = 500, seconds: float = 10,
         on_error: str = "exclude", cache: str | Path | None = None, processes: int | None = None) -> ECGDataset:
    """Load a Challenge folder, with all folders below it.

    Parameters
    ----------
    root : path
        Folder of ``.hea`` and ``.mat`` files, or of the sources' folders (``georgia``, ``ningbo``, ...).
    labels : {"all", "scored"} or sequence of str
        Every code that occurs; or the diagnoses that Challenge 2021 scored, with those that it scored as one merged;
        or some codes, abbreviations or names of `snomed`.
    fs, seconds : float
        Sampling rate in Hz, to which other records are resampled; the first so many seconds are kept. A shorter record
        is left out, never padded.
    on_error, cache, processes
        See `ecgkit.datasets.ptbxl.load`.

    Returns
    -------
    ECGDataset
        Labels are the codes' names; a code unknown to `snomed` keeps its number. `record` is the path below `root`,
        `site` the source's folder, `dx` the codes, `sex` 0 male and 1 female. The Challenge names no patients:
        `patient_id` is the record, so two ECGs of one patient may fall into different folds. `strat_fold` is
        stratified over the labels.

    References
    ----------
    Reyna et al. 2021, *Will two do? Varying dimensions in electrocardiography*, Computing in Cardiology 48.
    """
    check_on_error(on_error)
    root = Path(root).expanduser()
    if not root.is_dir():
        raise EcgkitError(f"{root}: no such folder; give root= the folder of a Challenge")
    names = [os.path.relpath(path, root) for path in find_records(root)]
    source = Source("challenge", root, names, [(f"{name}.hea", f"{name}.mat") for name in names],
                    partial(_read, fs, seconds), round(seconds * fs), {"fs": fs, "seconds": seconds})
    store = open_store(source, cache=cache, processes=processes)
    records = _records(root, names, store.facts)
    codes, label_names = _labels(records["dx"], labels)
    records["strat_fold"] = assign_folds(records["patient_id"].to_numpy(), codes)
    return store.dataset(records, codes, label_names, fs=float(fs), name=f"{root.resolve().name} (Challenge)",
                         on_error=on_error)


@remember
def snomed() -> pd.DataFrame:
    """SNOMED-CT codes of the Challenge, indexed by code: abbreviation, name, scored, same_as."""
    table = pd.read_csv(Path(__file__).with_name("snomed.csv"), dtype=str, keep_default_na=False)
    return table.set_index("code")


def _read(fs: float, seconds: float, root: Path, record: str) -> tuple[NDArray[np.float32], dict[str, str]]:
    signal, _, header = read_record(root / record, fs, seconds=seconds, root=root, record=record)
    return signal, {key: header.fields[key] for key in ("age", "sex", "dx") if key in header.fields}


def _records(root: Path, names: Sequence[str], facts: Sequence[Mapping[str, str]]) -> pd.DataFrame:
    sex = {"m": 0.0, "male": 0.0, "f": 1.0, "female": 1.0}
    return pd.DataFrame({
        "record": names,
        "patient_id": names,
        "site": [_site(root, name) for name in names],
        "age": pd.to_numeric(pd.Series([fact.get("age") for fact in facts], dtype=object), errors="coerce"),
        "sex": [sex.get(fact.get("sex", "").lower(), np.nan) for fact in facts],
        "dx": [",".join(re.findall(r"\d+", fact.get("dx", ""))) for fact in facts],
    })


def _site(root: Path, name: str) -> str:
    """Folder of the source; its numbered parts (``georgia/g1``) belong to it."""
    folders = [part for part in Path(name).parent.parts if not re.fullmatch(r"g\d+", part)]
    return folders[-1] if folders else root.resolve().name


def _labels(dx: pd.Series[str], labels: str | Sequence[str]) -> tuple[NDArray[np.uint8], list[str]]:
    table = snomed()
    found = [set(codes.split(",")) - {""} for codes in dx]
    if labels == "scored":
        same = table.loc[(table["scored"] == "1") & (table["same_as"] != ""), "same_as"].to_dict()
        found = [{same.get(code, code) for code in codes} for codes in found]
        wanted = [code for code in table.index[table["scored"] == "1"] if code not in same]
        wanted = [code for code in wanted if any(code in codes for codes in found)]
    elif labels == "all":
        known = {code: place for place, code in enumerate(table.index)}
        wanted = sorted(set().union(*found), key=lambda code: (known.get(code, len(known)), code))
    elif isinstance(labels, str):
        raise EcgkitError(f"labels={labels!r}: give 'all', 'scored' or a list of codes, abbreviations or names")
    else:
        wanted = [_code(label) for label in labels]
    return multi_hot(found, wanted), [str(table["name"].get(code, code)) for code in wanted]


def _code(label: str) -> str:
    table = snomed()
    for column in ("abbreviation", "name"):
        match = table.index[table[column].str.lower() == label.lower()]
        if len(match):
            return str(match[0])
    if label.isdigit():
        return label
    raise EcgkitError(f"no SNOMED-CT code for the label {label!r}; give its number, or see "
                      "ecgkit.datasets.challenge.snomed()")
