"""How far measurements can be trusted: repeated, against known boundaries, and beside the delineators of others."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.datasets import ludb
from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.ludb import consensus, halves, truth
from ecgkit.errors import EcgkitError
from ecgkit.leads import N_LEADS
from ecgkit.models.delineator import Delineator
from ecgkit.physiology import delineate, judge, measure
from ecgkit.physiology.verdicts import RULE_EDITS, beside_labels, rule_labels
from ecgkit.physiology.wave_scores import MARKS, WAVES, delineation_summary, match
from ecgkit.progress import track
from ecgkit.simulator import ALL_NAMES, EDIT_NAMES, Cohort

Marks = NDArray[np.float64]

#: Factors of the simulator's usual noise.
NOISE = (0.0, 0.5, 1.0, 2.0, 4.0)
#: Milliseconds from the start and the end of a simulated recording. Nearer to them the simulator does not tell all
#: waves (those of a beat whose R lies outside), so that nothing found there counts as invented; true waves count up to
#: a tolerance (150 ms) further out, to be there for what is found at the border. No wave that counts is cut off.
ENDS = (600.0, 400.0)
OUTER_ENDS = (450.0, 250.0)
FIBRILLATION = "Atrial fibrillation"
OURS = "ecgkit, twelve leads"


def two_halves(signals: NDArray[np.float32], fs: float, *,
               model: Delineator | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure the first and the second half of each recording, `(n, 12, sig_len)` in mV: two tables of `measure`."""
    middle = signals.shape[-1] // 2
    first, second = (measure(part, fs, model=model).table for part in (signals[..., :middle], signals[..., -middle:]))
    return first, second


def two_visits(n: int, *, fs: float = 500, seed: int = 1,
               model: Delineator | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure two visits of each of `n` simulated patients: two tables of `measure`.

    The patients are as they would be without any disease: an acute infarction is an old one at the second visit, and
    severities differ a little, so that with diseases the truth itself would change. What still differs is the day:
    rate and rhythm, breathing, noise, and a few percent of each wave's size.
    """
    cohort = Cohort(seed=seed, fs=fs, visits=2)
    healthy = np.zeros((n, len(EDIT_NAMES)))
    first, second = (measure(cohort.signals(2 * np.arange(n) + visit, severity=healthy), fs, model=model).table
                     for visit in (0, 1))
    return first, second


@dataclass(frozen=True)
class Compared:
    """Boundaries that were found in some ECGs, and the true ones.

    Parameters
    ----------
    found, true, span
        As `ecgkit.physiology.wave_scores.delineation_table` takes them.
    fibrillating : ndarray of bool, shape (n,)
        Which ECGs are of atrial fibrillation.
    """

    found: Marks
    true: Marks
    span: Marks
    fibrillating: NDArray[np.bool_]

    def only(self, rows: NDArray[np.intp]) -> Compared:
        """Keep some of the ECGs."""
        return Compared(self.found[rows], self.true[rows], self.span[rows], self.fibrillating[rows])

    def false_p(self, tolerance: float = 150.0) -> float:
        """Invented P waves per beat in atrial fibrillation; nan where there is none."""
        if not self.fibrillating.any():
            return float("nan")
        found, true, span = (values[self.fibrillating] for values in (self.found, self.true, self.span))
        return match(found, true, span, tolerance=tolerance).false_p_share

    def summary(self) -> pd.Series[float]:
        """The summary of `delineation_summary`, and `false_p_af`: invented P waves per beat in atrial fibrillation."""
        row = delineation_summary(self.found, self.true, self.span)
        return pd.concat([row, pd.Series({"false_p_af": self.false_p()})])


def simulated_errors(cohort: Cohort, indices: Sequence[int] | NDArray[np.int64], *,
                     severity: NDArray[np.float64] | None = None, model: Delineator | None = None) -> Compared:
    """Delineate simulated ECGs, whose boundaries are known."""
    severity = cohort.severity(indices) if severity is None else severity
    found = delineate(cohort.signals(indices, severity=severity), cohort.fs, model=model).ms
    true, end = cohort.waves(indices, severity=severity).ms, cohort.seconds * 1000
    peak = true[..., 1:2]
    true = np.where((peak >= OUTER_ENDS[0]) & (peak <= end - OUTER_ENDS[1]), true, np.nan)
    span = np.tile([ENDS[0], end - ENDS[1]], (len(true), 1))
    return Compared(found, true, span, severity[:, EDIT_NAMES.index("AF")] > 0)


def delineation_errors(n: int, *, fs: float = 500, seed: int = 1, model: Delineator | None = None) -> pd.DataFrame:
    """Score the delineator on simulated ECGs, by disease and by noise.

    Parameters
    ----------
    n : int
        ECGs of each disease and noise level; the same patients in all.
    fs : float
        Sampling rate in Hz.
    seed : int
        Of the patients; the delineator was trained on those of seed 0.
    model : Delineator, optional
        By default the one that comes with the package.

    Returns
    -------
    DataFrame, indexed by (`by`, `group`)
        By "class": no disease (NORM), then each alone at severity 1. By "noise": patients with their own diseases, at
        factors of the usual noise. Columns of `Compared.summary`, in ms and shares.
    """
    kinds = dict(zip(("NORM", *ALL_NAMES), np.vstack([np.zeros(len(ALL_NAMES)), np.eye(len(ALL_NAMES))]), strict=True))
    plan = [("class", name) for name in kinds] + [("noise", f"{level:g}") for level in NOISE]
    rows = {}
    for by, group in track(plan, "delineating simulated ECGs", unit="group"):
        cohort = Cohort(seed=seed, fs=fs, finer=True, noise=float(group) if by == "noise" else 1.0)
        severity = np.tile(kinds[group], (n, 1)) if by == "class" else None
        rows[by, group] = simulated_errors(cohort, np.arange(n), severity=severity, model=model).summary()
    return pd.DataFrame(rows.values(), index=pd.MultiIndex.from_tuples(rows, names=["by", "group"]))


def ludb_errors(root: str | Path, *, lead: str | None = None, model: Delineator | None = None) -> Compared:
    """Delineate the testing half of LUDB, from all twelve leads.

    Parameters
    ----------
    root : path
        Folder of LUDB.
    lead : str, optional
        Compare with the cardiologists' boundaries of this lead (published figures are mostly of lead II); by default
        with the consensus of all leads (`ecgkit.datasets.ludb`).
    model : Delineator, optional
        By default the one that comes with the package; the tuning half is what it was trained on.
    """
    records = halves(root)[1]
    return replace(_annotated(root, records, lead), found=_delineated(root, records, model))


def read_others(folder: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read what the delineators of others found in lead II of LUDB (`notebooks/delineators/compare.py`).

    Returns
    -------
    waves : DataFrame
        `tool`, `record`, `beat`, `wave`, and `onset`, `peak`, `offset` in ms; nan where the tool gives none.
    timings : DataFrame
        `tool`, `version`, `licence`, `leads`, `failed`, `seconds_per_lead`.

    Raises
    ------
    EcgkitError
        Where a file or a column is missing.
    """
    columns = {"lead_ii.csv.gz": ["tool", "record", "beat", "wave", *MARKS],
               "timings.csv": ["tool", "version", "licence", "leads", "failed", "seconds_per_lead"]}
    tables = []
    for name, wanted in columns.items():
        try:
            tables.append(pd.read_csv(Path(folder) / name)[wanted])
        except (OSError, ValueError, KeyError) as error:
            raise EcgkitError(f"{Path(folder) / name}: not a table with the columns {', '.join(wanted)} "
                              f"({' '.join(str(error).split())[:80]}); run compare.py, which writes it") from None
    return tables[0], tables[1]


def others_table(root: str | Path, folder: str | Path, *, model: Delineator | None = None) -> pd.DataFrame:
    """Set the delineators of others beside ours, all by the cardiologists' boundaries of lead II.

    Parameters
    ----------
    root : path
        Folder of LUDB.
    folder : path
        Of `read_others`.
    model : Delineator, optional
        By default the one that comes with the package.

    Returns
    -------
    DataFrame, indexed by (`delineator`, `records`)
        On "all" records and on the "testing" half, ours on the latter only, since it was trained on the other. `ecgs`;
        `failed`, those in which a tool found nothing or crashed, so that all their waves count as missed;
        `leads_per_second` of processor time, of ours measured now and here; columns of `Compared.summary`.
    """
    waves, timings = read_others(folder)
    records, testing = ludb.load(root, task="rhythm").records["record"].tolist(), halves(root)[1]
    known, tested = _annotated(root, records, "II"), np.flatnonzero(np.isin(records, testing))
    rows: dict[tuple[str, str], pd.Series[float]] = {}
    for tool, seconds in track(timings.set_index("tool")["seconds_per_lead"].items(), "scoring delineators"):
        by_record = {str(record): part for record, part in waves[waves["tool"] == tool].groupby("record")}
        compared = replace(known, found=_stacked(_marks(by_record.get(record)) for record in records))
        rows[str(tool), "all"] = _row(compared, 1 / seconds)
        rows[str(tool), "testing"] = _row(compared.only(tested), 1 / seconds)
    begin = time.process_time()
    found = _delineated(root, [records[row] for row in tested], model)
    speed = found.shape[0] * N_LEADS / (time.process_time() - begin)
    rows[OURS, "testing"] = _row(replace(known.only(tested), found=found), speed)
    return pd.DataFrame(rows.values(), index=pd.MultiIndex.from_tuples(rows, names=["delineator", "records"]))


def _row(compared: Compared, speed: float) -> pd.Series[float]:
    n_marks = np.isfinite(compared.found).sum(axis=(1, 2, 3))
    first = {"ecgs": float(len(n_marks)), "failed": float((n_marks == 0).sum()), "leads_per_second": speed}
    return pd.concat([pd.Series(first), compared.summary()])


def _delineated(root: str | Path, records: Sequence[str], model: Delineator | None) -> Marks:
    data = ludb.load(root, task="rhythm")
    return delineate(data.batch(_rows(data, records)), data.fs, model=model).ms


def _annotated(root: str | Path, records: Sequence[str], lead: str | None) -> Compared:
    """The cardiologists' boundaries of one lead, or of all, with nothing found yet."""
    if lead is None:
        known = truth(root, records)
        true, span = known.waves.ms, known.span
    else:
        tables = (ludb.boundaries(root, record) for record in track(records, "reading boundaries", unit="record"))
        ones = [consensus(table[table["lead"] == lead]) for table in tables]
        true, span = _stacked(one.ms for one in ones), np.array([one.span for one in ones])
    data = ludb.load(root, task="rhythm")
    fibrillation = np.array([name == FIBRILLATION for name in data.label_names], dtype=np.uint8)
    return Compared(true[:, :0], true, span, data.labels[_rows(data, records)] @ fibrillation > 0)


def _rows(data: ECGDataset, records: Sequence[str]) -> NDArray[np.intp]:
    return pd.Index(data.records["record"]).get_indexer(pd.Index(records))


def _marks(waves: pd.DataFrame | None) -> Marks:
    """Boundaries of one record, `(n_beats, 3, 3)`, from the rows of a table."""
    if waves is None:
        return np.empty((0, len(WAVES), len(MARKS)))
    ms = np.full((int(waves["beat"].max()) + 1, len(WAVES), len(MARKS)), np.nan)
    ms[waves["beat"], waves["wave"].map(WAVES.index)] = waves[list(MARKS)]
    return ms


def _stacked(records: Iterable[Marks]) -> Marks:
    """Boundaries of some records in one array, with beats of nan at the end of the shorter ones."""
    each = list(records)
    ms = np.full((len(each), max(len(one) for one in each), len(WAVES), len(MARKS)), np.nan)
    for row, one in zip(ms, each, strict=True):
        row[:len(one)] = one
    return ms


@dataclass(frozen=True)
class Judged:
    """Verdicts and truth, for `ecgkit.physiology.agreement.agreement_table`.

    Parameters
    ----------
    met : ndarray, shape (n, n_rules)
        1 met, 0 not met, nan not measurable.
    truth : ndarray of bool, shape (n, n_rules)
        Whether the ECG has what the rule stands for.
    names : tuple of str
        The rules.
    patients : ndarray, shape (n,)
        Whose ECGs these are.
    """

    met: NDArray[np.float64]
    truth: NDArray[np.bool_]
    names: tuple[str, ...]
    patients: NDArray[np.generic]


def on_statements(table: pd.DataFrame, statements: ECGDataset, superclasses: ECGDataset) -> Judged:
    """Judge recorded ECGs beside what cardiologists stated.

    Parameters
    ----------
    table : DataFrame
        Measurements of `statements`, ECG for ECG.
    statements : ECGDataset
        With SCP statements as labels (task ``"all"``), and `age` and `sex` in its records.
    superclasses : ECGDataset
        The same recordings with superclasses as labels; an ECG that has none may be missing.
    """
    records = statements.records
    coarse = pd.DataFrame(superclasses.labels, superclasses.records["record"], list(superclasses.label_names))
    coarse = coarse.drop(columns=[name for name in coarse if name in statements.label_names])
    labels = np.hstack([statements.labels, coarse.reindex(records["record"], fill_value=0).to_numpy()])
    verdicts = judge(table, records["age"].to_numpy(), records["sex"].to_numpy())
    met, truth, names = beside_labels(verdicts, labels, [*statements.label_names, *coarse], rule_labels())
    return Judged(met, truth, names, records["patient_id"].to_numpy())


def on_simulator(n: int, *, fs: float = 500, seed: int = 1, model: Delineator | None = None) -> Judged:
    """Judge simulated patients, healthy or with one disease in full, `n` of each; no two ECGs are of one patient."""
    cohort, kinds = Cohort(seed=seed, fs=fs, finer=True), len(ALL_NAMES) + 1
    tables, people = [], []
    for kind in track(range(kinds), "judging simulated ECGs", unit="disease"):
        ids = np.arange(kind * n, (kind + 1) * n)
        tables.append(measure(cohort.signals(ids, severity=_one(kind, n)), fs, model=model).table)
        people.append(cohort.records(ids)[["age", "sex"]])
    who = pd.concat(people, ignore_index=True)
    verdicts = judge(pd.concat(tables, ignore_index=True), who["age"].to_numpy(), who["sex"].to_numpy())
    labels = np.vstack([_one(kind, n) for kind in range(kinds)]) > 0
    met, truth, names = beside_labels(verdicts, labels, ALL_NAMES, RULE_EDITS)
    return Judged(met, truth, names, np.arange(kinds * n))


def _one(kind: int, n: int) -> NDArray[np.float64]:
    """Severities `(n, n_diseases)`: none for the kind 0, else one disease in full."""
    severity = np.zeros((n, len(ALL_NAMES)))
    severity[:, kind - 1:kind] = 1
    return severity
