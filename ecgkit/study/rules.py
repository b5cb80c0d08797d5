"""The rules beside what they should say: the statements of cardiologists, and the diseases of simulated ECGs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.datasets.base import ECGDataset
from ecgkit.models.delineator import Delineator
from ecgkit.physiology import judge, measure
from ecgkit.physiology.verdicts import RULE_EDITS, beside_labels, rule_labels
from ecgkit.progress import track
from ecgkit.simulator import ALL_NAMES, Cohort


@dataclass(frozen=True)
class Judged:
    """Verdicts and truth, for `ecgkit.evaluation.agreement_table`.

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
