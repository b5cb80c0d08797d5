"""Tests of the rules beside statements and simulated diseases: rows and labels meet, and textbook cases are found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ecgkit.datasets import from_arrays
from ecgkit.physiology import measure
from ecgkit.physiology.agreement import agreement_table
from ecgkit.simulator import ALL_NAMES, Cohort
from ecgkit.study.measurements import _one, on_simulator, on_statements


def test_one_disease_each() -> None:
    assert not _one(0, 3).any()
    for kind in (1, len(ALL_NAMES)):
        severity = _one(kind, 2)
        assert severity.sum() == 2
        assert (severity[:, kind - 1] == 1).all()


def test_statements_and_superclasses_meet_by_record() -> None:
    cohort = Cohort(seed=0, fs=100, variation=0, noise=0)
    severity = np.zeros((4, 12))
    severity[1, cohort.edit_names.index("1AVB")] = severity[3, cohort.edit_names.index("LBBB")] = 1
    signals = cohort.signals(range(4), severity=severity)
    names = [f"r{k}" for k in range(4)]
    records = pd.DataFrame({"record": names, "patient_id": [1, 1, 2, 3], "age": 50.0, "sex": 0.0, "strat_fold": 1})
    statements = from_arrays(signals, np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]),
                             ("NORM", "1AVB", "CLBBB"), 100.0, records=records)
    order = [3, 1]
    coarse = from_arrays(signals[order], np.array([[0, 1], [1, 0]]), ("MI", "CD"), 100.0,
                         records=records.iloc[order].reset_index(drop=True))
    found = on_statements(measure(signals, 100).table, statements, coarse)
    assert found.patients.tolist() == [1, 1, 2, 3]
    rule = dict(zip(found.names, range(len(found.names)), strict=True))
    assert found.truth[:, rule["first-degree AV block"]].tolist() == [False, True, False, False]
    assert found.truth[:, rule["complete LBBB"]].tolist() == [False, False, False, True]
    assert found.truth[:, rule["ST elevation"]].tolist() == [False, True, False, False], "MI, by its record"
    assert found.met[:, rule["first-degree AV block"]].tolist() == [0, 1, 0, 0]


def test_textbook_cases_are_found() -> None:
    found = on_simulator(6, fs=250)
    table = agreement_table(found.met, found.truth, found.names, found.patients, n_boot=20)
    for rule in ("complete LBBB", "first-degree AV block", "atrial fibrillation", "long QT"):
        assert table.loc[rule, "sensitivity"] >= 0.5, rule
        assert table.loc[rule, "specificity"] >= 0.8, rule
    assert table.loc["complete LBBB", "positives"] == pytest.approx(6, abs=1)
