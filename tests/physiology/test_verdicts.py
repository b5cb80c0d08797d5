"""Verdicts beside labels: the matrices hold what the tidy table says, and each rule finds its simulated disease."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.physiology import judge, load_rules, measure
from ecgkit.physiology.verdicts import RULE_EDITS, beside_labels, rule_labels, verdict_matrix
from ecgkit.simulator import ALL_NAMES, Cohort


def _tidy(rows: list[list[str]]) -> pd.DataFrame:
    return pd.DataFrame({"ecg": np.repeat(np.arange(len(rows)), 3), "rule": ["a", "b", "c"] * len(rows),
                         "verdict": [verdict for row in rows for verdict in row]})


VERDICTS = _tidy([["met", "not met", "not measurable"], ["not met", "met", "met"]])


def test_the_matrix_holds_the_verdicts() -> None:
    met, names = verdict_matrix(VERDICTS)
    assert names == ("a", "b", "c")
    np.testing.assert_array_equal(met, [[1, 0, np.nan], [0, 1, 1]])


def test_rules_of_every_ecg_must_be_there_in_order() -> None:
    for broken in (VERDICTS.iloc[:-1], VERDICTS.iloc[::-1].iloc[[1, 0, 2, 3, 4, 5]], VERDICTS.iloc[[0, 1, 2, 4, 3, 5]]):
        with pytest.raises(EcgkitError, match="give the table of ecgkit.physiology.judge as it is"):
            verdict_matrix(broken)


def test_any_of_a_rules_labels_is_its_truth_and_rules_without_label_are_left_out() -> None:
    labels = np.array([[1, 0, 0], [0, 0, 1]])
    stands_for = {"a": ("x", "y"), "c": ("q", "z"), "b": ("q",)}
    met, truth, names = beside_labels(VERDICTS, labels, ["x", "y", "z"], stands_for)
    assert names == ("a", "c")
    np.testing.assert_array_equal(met, [[1, np.nan], [0, 1]])
    assert truth.tolist() == [[True, False], [False, True]]
    none = beside_labels(VERDICTS, labels, ["x", "y", "z"], {})
    assert none[0].shape == none[1].shape == (2, 0)
    with pytest.raises(EcgkitError, match=r"labels of shape \(2, 3\) for 2 ECGs judged and 1 label names"):
        beside_labels(VERDICTS, labels, ["x"], {})


def test_labels_and_edits_are_of_rules_and_diseases_that_exist() -> None:
    labels = rule_labels()
    assert list(labels) == load_rules()["rule"].unique().tolist()
    assert labels["acute lateral infarction"] == ("LMI", "ALMI", "ILMI", "IPLMI")
    assert labels["normal QRS"] == ("NORM",)
    assert set(RULE_EDITS) <= set(labels)
    assert {edit for edits in RULE_EDITS.values() for edit in edits} <= set(ALL_NAMES)


def test_full_diseases_of_the_catalogue_meet_their_rules() -> None:
    """The standard heart; PMI and IRBBB of the simulator stay short of the published criteria (R/S in V1, S in I)."""
    cohort = Cohort(fs=500, variation=0, noise=0, finer=True)
    ids, severity = np.arange(31), np.vstack([np.zeros(30), np.eye(30)])
    table = measure(cohort.signals(ids, severity=severity), 500, cohort.waves(ids, severity=severity)).table
    met, truth, names = beside_labels(judge(table, 60, 0), severity >= 0.8, cohort.edit_names, RULE_EDITS)
    assert set(names) == set(RULE_EDITS)
    assert not met[0].any()
    found = {(rule, ALL_NAMES[row - 1]) for row, column in np.argwhere(truth & (met == 1)) for rule in [names[column]]}
    for rule, edit in (("complete LBBB", "LBBB"), ("complete RBBB", "RBBB"), ("first-degree AV block", "1AVB"),
                       ("left posterior fascicular block", "LPFB"), ("pre-excitation", "WPW"),
                       ("acute anterior infarction", "AMI_acute"), ("acute inferior infarction", "IMI_acute"),
                       ("old anterior infarction", "AMI"), ("old inferior infarction", "IMI"),
                       ("old lateral infarction", "LMI"), ("lateral ischaemia", "ISCLA"),
                       ("inferior ischaemia", "ISCIN"), ("ST depression", "STD"), ("LVH Sokolow-Lyon", "LVH"),
                       ("LVH with strain", "LVH"), ("left atrial enlargement", "LAE"), ("long QT", "LQT"),
                       ("low voltage", "LVOLT")):
        assert (rule, edit) in found, (rule, edit)
    assert ("old posterior infarction", "PMI") not in found
    assert ("incomplete RBBB", "IRBBB") not in found
