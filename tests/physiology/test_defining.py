"""What defines a label: names that exist, no measurement on both sides, and the simulator's diseases bear it out."""

from __future__ import annotations

import numpy as np
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.physiology import COLUMNS, judge, load_rules, measure
from ecgkit.physiology.verdicts import DEFINITIONS, definition, excludes_broad_qrs, verdict_matrix
from ecgkit.simulator import EDIT_NAMES, Cohort

#: What two halves of an ECG differ by at most in 19 of 20, rounded up.
REPEATABLE = {"heart_rate": 10, "rr_cv": 0.12, "p_share": 0.25, "pr": 10, "p_duration": 11, "p_II": 0.05, "qrs": 6,
              "qt": 14, "axis": 11, "r_II": 0.08, "r_V5": 0.12, "s_V1": 0.11}


def test_superclasses_and_simulated_diseases_are_defined_by_rules_and_columns_that_exist() -> None:
    assert set(DEFINITIONS) == {"MI", "STTC", "CD", "HYP", *EDIT_NAMES}
    rules = set(load_rules()["rule"])
    for name, found in DEFINITIONS.items():
        assert found.rules, name
        assert set(found.rules) <= rules, name
        assert found.unrelated, name
        assert set(found.unrelated) <= set(COLUMNS), name
        assert len(set(found.unrelated)) == len(found.unrelated), name
    assert set(REPEATABLE) == {name for found in DEFINITIONS.values() for name in found.unrelated}


def test_no_unrelated_measurement_is_a_sign_of_the_disease() -> None:
    table = load_rules()
    for name, found in DEFINITIONS.items():
        rows = table[table["rule"].isin(found.rules)]
        rows = rows[~((rows["measurement"] == "qrs") & rows["rule"].map(excludes_broad_qrs))]
        signs = {str(measurement).format(lead=lead) for measurement, leads in zip(rows["measurement"], rows["leads"],
                                                                                 strict=True)
                 for lead in str(leads).split() or [""]}
        assert not signs & set(found.unrelated), name


def test_a_label_without_rule_and_a_rule_that_does_not_exist_are_said() -> None:
    with pytest.raises(EcgkitError, match="no rule defines 'NORM'; rules define MI, STTC"):
        definition("NORM")
    with pytest.raises(EcgkitError, match="no rule 'LBBB'; there are normal QRS"):
        excludes_broad_qrs("LBBB")


def test_qrs_is_a_sign_of_blocks_and_an_exclusion_elsewhere() -> None:
    exclusion = {rule: excludes_broad_qrs(rule) for rule in load_rules()["rule"].unique()}
    assert exclusion["ST depression"]
    assert exclusion["old anterior infarction"]
    assert exclusion["left anterior fascicular block"]
    assert not any(exclusion[rule] for rule in ("complete LBBB", "incomplete RBBB", "pre-excitation", "normal QRS",
                                                "first-degree AV block", "LVH Cornell"))


def test_full_diseases_meet_a_defining_rule_and_leave_unrelated_measurements_alone() -> None:
    """The standard heart with and without each disease; the boundaries of the waves are the true ones."""
    cohort = Cohort(fs=500, variation=0, noise=0)
    ids, severity = np.zeros(13, dtype=int), np.vstack([np.zeros(12), np.eye(12)])
    found = measure(cohort.signals(ids, severity=severity), 500, cohort.waves(ids, severity=severity))
    met, names = verdict_matrix(judge(found.table, 60, 0))
    normal = found.table.iloc[0]
    for k, disease in enumerate(EDIT_NAMES):
        told = DEFINITIONS[disease]
        columns = [names.index(rule) for rule in told.rules]
        # The standard heart's LAFB is 1 ms short of the 45 ms to the peak of R in aVL.
        assert (met[k + 1, columns] == 1).any() or disease == "LAFB", disease
        assert not (met[0, columns] == 1).any(), disease
        for name in told.unrelated:
            assert abs(found.table[name].iloc[k + 1] - normal[name]) <= REPEATABLE[name], (disease, name)
