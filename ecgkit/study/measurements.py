"""How far measurements can be trusted: repeated, against known boundaries, and beside the delineators of others."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit import __version__
from ecgkit.datasets import ludb
from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.ludb import consensus, halves, truth
from ecgkit.errors import EcgkitError
from ecgkit.leads import N_LEADS
from ecgkit.models.delineator import Delineator
from ecgkit.models.weights import load_delineator
from ecgkit.physiology import delineate, judge, measure
from ecgkit.physiology.verdicts import RULE_EDITS, agreement_table, beside_labels, rule_labels
from ecgkit.physiology.wave_scores import delineation_summary, delineation_table, match
from ecgkit.progress import track
from ecgkit.simulator import ALL_NAMES, EDIT_NAMES, MARKS, WAVES, Cohort
from ecgkit.study.label_runs import MEASURED, label_studies
from ecgkit.training.delineation import DelineationSettings, train_delineator, tuning_half
from ecgkit.training.loop import Schedule
from ecgkit.training.measured import MeasuredFeatures

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


def two_visits(n: int, *, fs: float = 500, model: Delineator | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure two visits of each of `n` simulated patients: two tables of `measure`.

    Without any disease, since severities differ between visits and the truth itself would change. What still differs is
    the day: rate and rhythm, breathing, noise, and a few percent of each wave's size.
    """
    cohort = Cohort(seed=1, fs=fs, visits=2)
    healthy = np.zeros((n, len(EDIT_NAMES)))
    first, second = (measure(cohort.signals(2 * np.arange(n) + visit, severity=healthy), fs, model=model).table
                     for visit in (0, 1))
    return first, second


@dataclass(frozen=True)
class Compared:
    """Boundaries found in ECGs and the true ones, as of `delineation_table`; `fibrillating`, `(n,)`: those of AF."""

    found: Marks
    true: Marks
    span: Marks
    fibrillating: NDArray[np.bool_]

    def only(self, rows: NDArray[np.intp]) -> Compared:
        """Keep some of the ECGs."""
        return Compared(self.found[rows], self.true[rows], self.span[rows], self.fibrillating[rows])

    def false_p(self) -> float:
        """Invented P waves per beat in atrial fibrillation; nan where there is none."""
        if not self.fibrillating.any():
            return float("nan")
        found, true, span = (values[self.fibrillating] for values in (self.found, self.true, self.span))
        return match(found, true, span).false_p_share

    def table(self, n_boot: int) -> pd.DataFrame:
        """`ecgkit.physiology.wave_scores.delineation_table` of these ECGs."""
        return delineation_table(self.found, self.true, self.span, n_boot=n_boot)

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
    """Score the delineator on the same `n` simulated patients in every group, by (`by`, `group`).

    By "class": no disease (NORM), then each alone at severity 1. By "noise": patients with their own diseases, at
    factors of the usual noise. Columns of `Compared.summary`, in ms and shares. The model was trained on another seed's
    patients.
    """
    kinds = ("NORM", *ALL_NAMES)
    plan = [("class", name) for name in kinds] + [("noise", f"{level:g}") for level in NOISE]
    rows = {}
    for by, group in track(plan, "delineating simulated ECGs", unit="group"):
        cohort = Cohort(seed=seed, fs=fs, finer=True, noise=float(group) if by == "noise" else 1.0)
        severity = _one(kinds.index(group), n) if by == "class" else None
        rows[by, group] = simulated_errors(cohort, np.arange(n), severity=severity, model=model).summary()
    return pd.DataFrame(rows.values(), index=pd.MultiIndex.from_tuples(rows, names=["by", "group"]))


def ludb_errors(root: str | Path, *, lead: str | None = None, model: Delineator | None = None) -> Compared:
    """Delineate LUDB's testing half; the truth is the cardiologists' of one `lead`, or the consensus of all leads."""
    records = halves(root)[1]
    return replace(_annotated(root, records, lead), found=_delineated(root, records, model))


def read_others(folder: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What others found in lead II of LUDB (`compare.py`): waves in ms, and the tools with `seconds_per_lead`."""
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
    """Set the delineators in `folder` (`read_others`) beside ours, all by lead II of LUDB in `root`.

    By (`delineator`, `records`): "all", and the "testing" half, ours on the latter only, since it was trained on the
    other. `ecgs`; `failed`, those in which a tool found nothing or crashed, so that all their waves count as missed;
    `leads_per_second` of processor time, of ours measured now and here; columns of `Compared.summary`.
    """
    waves, timings = read_others(folder)
    records, testing = ludb.load(root, task="rhythm").records["record"].tolist(), halves(root)[1]
    known, tested = _annotated(root, records, "II"), np.flatnonzero(np.isin(records, testing))
    rows: dict[tuple[str, str], pd.Series[float]] = {}
    for tool, seconds in track(timings.set_index("tool")["seconds_per_lead"].items(), "scoring delineators"):
        compared = replace(known, found=_marks(waves[(waves["tool"] == tool) & waves["record"].isin(records)], records))
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
        true = np.full((len(ones), max(len(one.ms) for one in ones), len(WAVES), len(MARKS)), np.nan)
        for row, one in zip(true, ones, strict=True):
            row[:len(one.ms)] = one.ms
        span = np.array([one.span for one in ones])
    data = ludb.load(root, task="rhythm")
    fibrillation = np.array([name == FIBRILLATION for name in data.label_names], dtype=np.uint8)
    return Compared(true[:, :0], true, span, data.labels[_rows(data, records)] @ fibrillation > 0)


def _rows(data: ECGDataset, records: Sequence[str]) -> NDArray[np.intp]:
    return pd.Index(data.records["record"]).get_indexer(pd.Index(records))


def _marks(waves: pd.DataFrame, records: Sequence[str]) -> Marks:
    """Boundaries of records, `(n, n_beats, 3, 3)`, from the rows of a table; nan where there is none."""
    n_beats = waves["beat"].to_numpy().max(initial=-1) + 1
    ms = np.full((len(records), n_beats, len(WAVES), len(MARKS)), np.nan)
    rows = pd.Index(records).get_indexer(pd.Index(waves["record"]))
    ms[rows, waves["beat"], waves["wave"].map(WAVES.index)] = waves[list(MARKS)]
    return ms


@dataclass(frozen=True)
class Judged:
    """Verdicts on `names` of rules (1 met, 0 not met, nan not measurable) and truth, `(n, n_rules)`, of patients."""

    met: NDArray[np.float64]
    truth: NDArray[np.bool_]
    names: tuple[str, ...]
    patients: NDArray[np.generic]

    def table(self, n_boot: int) -> pd.DataFrame:
        """`ecgkit.physiology.verdicts.agreement_table` of these ECGs."""
        return agreement_table(self.met, self.truth, self.names, self.patients, n_boot=n_boot)


def on_statements(table: pd.DataFrame, statements: ECGDataset, superclasses: ECGDataset) -> Judged:
    """Judge recorded ECGs, measured in `table`, beside SCP `statements` and, as far as given, `superclasses`."""
    records = statements.records
    coarse = pd.DataFrame(superclasses.labels, superclasses.records["record"], list(superclasses.label_names))
    coarse = coarse.drop(columns=[name for name in coarse if name in statements.label_names])
    labels = np.hstack([statements.labels, coarse.reindex(records["record"], fill_value=0).to_numpy()])
    verdicts = judge(table, records["age"].to_numpy(), records["sex"].to_numpy())
    met, truth, names = beside_labels(verdicts, labels, [*statements.label_names, *coarse], rule_labels())
    return Judged(met, truth, names, records["patient_id"].to_numpy())


def on_simulator(n: int, *, fs: float = 500, model: Delineator | None = None) -> Judged:
    """Judge simulated patients, healthy or with one disease in full, `n` of each; no two ECGs are of one patient."""
    cohort, kinds = Cohort(seed=1, fs=fs, finer=True), len(ALL_NAMES) + 1
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


def delineator(root: Path | None, epochs: int, checkpoints: Path) -> tuple[Delineator, pd.DataFrame | None]:
    """The delineator that comes with the package, or with epochs and LUDB one that is trained now, and its history."""
    model = load_delineator()
    if root is None or not epochs:
        return model, None
    settings = DelineationSettings(schedule=Schedule(epochs=epochs, batch_size=64, learning_rate=4e-3, averaging=0.995))
    return train_delineator(tuning_half(root, model.fs), settings=settings, checkpoints=checkpoints)


def card_of(scores: pd.DataFrame, n_tested: int, epochs: int) -> dict[str, Any]:
    """Model card of a delineator, from the table of its `Compared`."""
    f1 = scores.loc[150.0]["f1"].xs("peak", level="mark").map(percent)
    return {"task": "boundaries of P, QRS and T in twelve-lead ECGs", "epochs": epochs, "seed": 0,
            "learnt_from": "simulated ECGs, and half of LUDB's recordings",
            "tested_on": f"{n_tested} other recordings of LUDB", "f1_of_peaks_150_ms": f1.to_dict(),
            "ecgkit": __version__, "licence": "MIT",
            "intended_use": "research and teaching; not a medical device, not for decisions about patients",
            "limits": "P waves that lie on the T before are often missed; no cardiologist has reviewed its errors"}


def classifiers(cohorts: Mapping[str, ECGDataset], folder: Path, **options: Any) -> pd.DataFrame:
    """Run the label studies of what is trained on measurements alone, for each set of labels."""
    features = MeasuredFeatures(next(iter(cohorts.values())).fs, folder=folder / "measured")
    return label_studies(cohorts, features, folder, wanted=[(task, mode) for task in cohorts for mode in MEASURED],
                         **options)


def percent(share: float) -> str:
    """Print a share."""
    return f"{100 * share:.1f} %"


def words(compared: Compared | None, scores: pd.DataFrame | None, errors: pd.DataFrame) -> dict[str, str]:
    """Words of the page on finding waves: in LUDB (`compared`, and its table), or without it on simulated `errors`."""
    if compared is None or scores is None:
        share = errors.xs("class")["false_p_af"]["AF"]
        return {"found": "LUDB, whose waves cardiologists marked, is not in this run, so nothing is said of recorded "
                         "ECGs",
                "no_p": f"In simulated atrial fibrillation {percent(share)} of the beats were given a P"}
    near = scores.loc[150.0]
    f1, scatter = near["f1"].xs("peak", level="mark").map(percent), near["sd"].map("{:.0f}".format)
    ends = ", ".join(f"{wave} {scatter[wave, 'onset']} and {scatter[wave, 'offset']}" for wave in f1.index)
    return {"found": f"In {len(compared.found)} recordings whose waves cardiologists marked, and which nothing was "
                     f"learnt from, the waves are found with an F1 of P {f1['P']}, QRS {f1['QRS']} and T {f1['T']} "
                     f"within 150 ms; onsets and offsets scatter by {ends} ms",
            "no_p": f"In atrial fibrillation there is no P: {percent(compared.false_p())} of the beats of the "
                    f"{int(compared.fibrillating.sum())} such recordings were given one"}


def words_on_rules(agreement: pd.DataFrame | None, textbook: pd.DataFrame) -> str:
    """Words of the page on the rules: beside statements where there are some, else on simulated textbook cases."""
    if agreement is None:
        middle = textbook[["sensitivity", "specificity"]].median().map(percent)
        return (f"On simulated textbook cases the rules have a median sensitivity of {middle['sensitivity']}, at a "
                f"median specificity of {middle['specificity']}")
    common = agreement[agreement["positives"] >= 20]
    middle, each = common[["sensitivity", "specificity"]].median().map(percent), common["sensitivity"]
    best, worst = str(each.idxmax()), str(each.idxmin())
    return (f"Of the {len(common)} rules with 20 or more ECGs to find in folds 9 and 10, the most sensitive is {best} "
            f"({percent(each[best])}), the least {worst} ({percent(each[worst])}); the median is "
            f"{middle['sensitivity']}, at a median specificity of {middle['specificity']}")
