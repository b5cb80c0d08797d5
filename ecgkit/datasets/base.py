"""`ECGDataset`: signals, one row per ECG, multi-hot labels. Every source of ECGs is read into this one type."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.datasets.splits import patient_order
from ecgkit.errors import EcgkitError, RecordError
from ecgkit.leads import N_LEADS

#: PTB-XL's official use of its ten folds; sources without folds are given ten in the same way.
TRAIN_FOLDS, VALIDATION_FOLDS, TEST_FOLDS = tuple(range(1, 9)), (9,), (10,)


@dataclass(frozen=True)
class ECGDataset:
    """A set of twelve-lead ECGs of one length and sampling rate.

    Subsets share the signals of the set that they come from, so a memory-mapped store is never copied.

    Parameters
    ----------
    store : ndarray of float32, shape (n_stored, 12, sig_len)
        Signals in millivolts, leads in the order of `ecgkit.leads.LEADS`; may be memory-mapped.
    records : DataFrame, one row per ECG
        At least `record` (its name) and `patient_id`; `strat_fold` (1 to 10) where there are splits.
        Further columns (`age` in years, `sex` 0 male / 1 female, ...) are kept as the source gives them.
    labels : ndarray of uint8, shape (n, n_labels)
        Multi-hot.
    label_names : sequence of str
        One name per column of `labels`.
    fs, name : float, str
        Sampling rate in Hz; what the data are, as figures and tables say it: ``"PTB-XL sample"``.
    rows : ndarray of int, shape (n,), optional
        Where each ECG lies in `store`; all in order by default.
    excluded : tuple of RecordError
        Recordings that were left out, and why.
    """

    store: NDArray[np.float32]
    records: pd.DataFrame
    labels: NDArray[np.uint8]
    label_names: tuple[str, ...]
    fs: float
    name: str
    rows: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    excluded: tuple[RecordError, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.records)
        if self.rows.size == 0 and n:
            object.__setattr__(self, "rows", np.arange(n))
        object.__setattr__(self, "label_names", tuple(self.label_names))
        if self.store.ndim != 3 or self.store.shape[1] != N_LEADS:
            raise EcgkitError(f"{self.name}: signals of shape {self.store.shape}; expected (n, {N_LEADS}, sig_len)")
        if self.labels.shape != (n, len(self.label_names)) or len(self.rows) != n:
            raise EcgkitError(f"{self.name}: {n} records, labels of shape {self.labels.shape}, "
                              f"{len(self.label_names)} label names and {len(self.rows)} signals do not fit together")
        missing = {"record", "patient_id"} - set(self.records.columns)
        if missing:
            raise EcgkitError(f"{self.name}: the table of records lacks the column {sorted(missing)[0]}")

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return (f"<{self.name}: {len(self):,} ECGs of {self.n_patients:,} patients, {self.sig_len / self.fs:g} s at "
                f"{self.fs:g} Hz, {len(self.label_names)} labels>")

    @property
    def sig_len(self) -> int:
        """Samples per lead."""
        return self.store.shape[2]

    @property
    def n_patients(self) -> int:
        """Number of different patients."""
        return int(self.records["patient_id"].nunique())

    @property
    def signals(self) -> NDArray[np.float32]:
        """All signals, `(n, 12, sig_len)` in mV; a copy in memory unless the set is its whole store."""
        if len(self) == len(self.store) and (self.rows == np.arange(len(self))).all():
            return self.store
        return self.store[self.rows]

    def batch(self, indices: Any) -> NDArray[np.float32]:
        """Signals of some ECGs, read into memory: `(len(indices), 12, sig_len)` in mV."""
        return np.ascontiguousarray(self.store[self.rows[indices]])

    def subset(self, which: Any) -> ECGDataset:
        """Keep the ECGs that a boolean mask or an array of positions names."""
        which = np.asarray(which)
        positions = np.flatnonzero(which) if which.dtype == bool else which
        return replace(self, records=self.records.iloc[positions].reset_index(drop=True),
                       labels=self.labels[positions], rows=self.rows[positions], excluded=())

    def folds(self, *folds: int) -> ECGDataset:
        """Keep the ECGs of some folds; `EcgkitError` where the records have no `strat_fold`."""
        if "strat_fold" not in self.records:
            raise EcgkitError(f"{self.name} has no folds; add a column strat_fold (see datasets.splits.assign_folds)")
        return self.subset(self.records["strat_fold"].isin(folds).to_numpy())

    @property
    def train(self) -> ECGDataset:
        """Folds 1 to 8."""
        return self.folds(*TRAIN_FOLDS)

    @property
    def validation(self) -> ECGDataset:
        """Fold 9: every choice is made on it."""
        return self.folds(*VALIDATION_FOLDS)

    @property
    def test(self) -> ECGDataset:
        """Fold 10: opened once."""
        return self.folds(*TEST_FOLDS)

    def label_fraction(self, fraction: float, seed: int = 0) -> ECGDataset:
        """Keep the ECGs of a fraction, in (0, 1], of the patients, stratified over labels.

        Subsets of one seed are nested: the patients at 1 % are among those at 10 %.
        """
        if not 0 < fraction <= 1:
            raise EcgkitError(f"label fraction {fraction}: give a number above 0 and up to 1")
        order = patient_order(self.records["patient_id"].to_numpy(), self.labels, seed)
        kept = order[:max(1, round(fraction * len(order)))]
        return self.subset(self.records["patient_id"].isin(kept).to_numpy())

    def with_labels(self, names: Iterable[str]) -> ECGDataset:
        """Keep some labels, in the order given; every ECG stays."""
        names = tuple(names)
        unknown = [name for name in names if name not in self.label_names]
        if unknown:
            raise EcgkitError(f"{self.name} has no label {unknown[0]!r}; it has {', '.join(self.label_names)}")
        columns = [self.label_names.index(name) for name in names]
        return replace(self, labels=self.labels[:, columns], label_names=names)

    def aligned_to(self, other: ECGDataset) -> ECGDataset:
        """Keep the ECGs of another set, in its order, found by `record`: the same ECGs with other labels."""
        place = pd.Index(self.records["record"]).get_indexer(pd.Index(other.records["record"]))
        if (place < 0).any():
            missing = other.records["record"].to_numpy()[place < 0][0]
            raise EcgkitError(f"{self.name}: has no record {missing!r}, which {other.name} has")
        return self.subset(place)

    def fingerprint(self) -> str:
        """SHA-256 (first 16 hex digits) of the signals, names, labels and rate: the same wherever the data lie."""
        digest = hashlib.sha256(f"{self.fs:g} {self.label_names}".encode())
        digest.update("\n".join(self.records["record"].astype(str)).encode())
        digest.update(np.ascontiguousarray(self.labels).tobytes())
        for start in range(0, len(self), 1024):
            digest.update(self.batch(slice(start, start + 1024)).tobytes())
        return digest.hexdigest()[:16]


def multi_hot(sets: Sequence[Collection[Any]], names: Sequence[Any]) -> NDArray[np.uint8]:
    """Labels `(n, n_labels)`: 1 where the set of an ECG holds the name of a label."""
    found = [[name in present for name in names] for present in sets]
    return np.array(found, dtype=np.uint8).reshape(len(sets), len(names))


def from_arrays(signals: NDArray[Any], labels: NDArray[Any], label_names: Sequence[str], fs: float, *,
                records: pd.DataFrame | None = None, name: str = "arrays") -> ECGDataset:
    """Make a dataset of arrays in memory.

    Parameters
    ----------
    signals : ndarray, shape (n, 12, sig_len)
        Millivolts, leads in the order of `ecgkit.leads.LEADS`.
    labels, label_names : ndarray, shape (n, n_labels), sequence of str
        Multi-hot, and one name for each.
    fs : float
        Sampling rate in Hz.
    records, name : DataFrame, optional, str
        One row per ECG, without which every ECG is its own patient; what the data are, for figures and tables.
    """
    if records is None:
        numbers = [f"{k:05d}" for k in range(len(signals))]
        records = pd.DataFrame({"record": numbers, "patient_id": numbers})
    return ECGDataset(np.asarray(signals, dtype=np.float32), records.reset_index(drop=True),
                      np.asarray(labels, dtype=np.uint8), tuple(label_names), fs, name)


def join(*datasets: ECGDataset, name: str | None = None) -> ECGDataset:
    """Join sets of one rate and length into one unlabelled pool, in memory.

    Parameters
    ----------
    *datasets, name : ECGDataset, str, optional
        Each with a name of its own; that of the pool is by default theirs with ``+`` between them.

    Returns
    -------
    ECGDataset
        Without labels and folds. `records` has `record`, `source` (the set's name) and `patient_id`, which the
        source's name precedes, so that patients of two sources never meet.

    Raises
    ------
    EcgkitError
        Where there is no set, or two differ in rate or length or have the same name.
    """
    if not datasets:
        raise EcgkitError("nothing to join: give at least one dataset")
    first = datasets[0]
    for other in datasets[1:]:
        if (other.fs, other.sig_len) != (first.fs, first.sig_len):
            raise EcgkitError(f"{first.name} has {first.sig_len} samples at {first.fs:g} Hz and {other.name} "
                              f"{other.sig_len} at {other.fs:g} Hz; load them alike to join them")
    names = [data.name for data in datasets]
    if len(set(names)) < len(names):
        twice = next(source for source in names if names.count(source) > 1)
        raise EcgkitError(f"two sets to join are called {twice!r}, so their patients could not be told apart; rename "
                          "one: dataclasses.replace(data, name=...)")
    records = pd.concat([pd.DataFrame({"record": data.records["record"].astype(str),
                                       "patient_id": [f"{data.name}/{one}" for one in data.records["patient_id"]],
                                       "source": data.name}) for data in datasets], ignore_index=True)
    return ECGDataset(np.concatenate([data.signals for data in datasets]), records,
                      np.empty((len(records), 0), np.uint8), (), first.fs, name or " + ".join(names))
