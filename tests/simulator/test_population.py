"""Patients: who has what, what rules out what, and what stays from visit to visit."""

from __future__ import annotations

import numpy as np
import pytest

from ecgkit.simulator.catalogue import ALL_NAMES, EDIT_NAMES, FINER_NAMES, SLOTS
from ecgkit.simulator.keyed import Keyed
from ecgkit.simulator.population import (
    FINER_PREVALENCE,
    FINER_RULES_OUT,
    LEAST_SEVERITY,
    PREVALENCE,
    RULES_OUT,
    examine,
)

MANY = examine(Keyed(0), np.arange(20_000), 1, 1.0)
FINER = examine(Keyed(0), np.arange(20_000), 1, 1.0, finer=True)


def _has(name: str) -> np.ndarray:
    return MANY.severity[:, EDIT_NAMES.index(name)] > 0


def test_about_half_are_healthy_and_some_have_several_diseases() -> None:
    count = (MANY.severity > 0).sum(axis=1)
    assert 0.4 < (count == 0).mean() < 0.6
    assert 0.05 < (count > 1).mean() < 0.25
    assert ((MANY.severity > 0).mean(axis=0) > 0.015).all()


def test_what_rules_out_what_never_meets() -> None:
    for first, *others in RULES_OUT:
        for other in others:
            assert not (_has(first) & _has(other)).any(), (first, other)


def test_shares_are_told_in_the_order_of_the_columns() -> None:
    assert tuple(PREVALENCE) == EDIT_NAMES
    assert tuple(FINER_PREVALENCE) == FINER_NAMES


@pytest.mark.parametrize("visits", [1, 2])
def test_what_rules_out_what_never_meets_among_the_finer(visits: int) -> None:
    has = examine(Keyed(0), np.arange(20_000), visits, 1.0, finer=True).severity > 0
    for first, *others in RULES_OUT + FINER_RULES_OUT:
        for other in others:
            both = has[:, ALL_NAMES.index(first)] & has[:, ALL_NAMES.index(other)]
            # at a second visit an acute infarction has healed into an old one beside whatever else the patient had
            if visits == 1 or first in FINER_NAMES or other in FINER_NAMES:
                assert not both.any(), (first, other)


@pytest.mark.parametrize(("one", "other"), [
    ("LBBB", "PRWP"), ("WPW", "IRBBB"), ("WPW", "LAE"), ("AF", "LAE"), ("RBBB", "IRBBB"), ("RBBB", "IVCD"),
    ("LAFB", "LPFB"), ("AMI", "ASMI"), ("AMI", "PRWP"), ("AMI_acute", "STD"), ("IMI_acute", "ISCLA"),
    ("IMI", "IMI_mild"), ("LVH", "VCLVH"), ("LVH", "LVOLT"), ("VCLVH", "LVOLT"), ("VCLVH", "RVH"), ("ASMI", "PRWP"),
    ("ISCLA", "ISCIN"), ("ISCLA", "STD"), ("ISCAN", "NDT"), ("ISCIN", "DIG"), ("NDT", "DIG")])
def test_contradictions_never_meet(one: str, other: str) -> None:
    """By name, whatever the rules say."""
    severity = FINER.severity[:, [ALL_NAMES.index(one), ALL_NAMES.index(other)]]
    assert not severity.all(axis=1).any()


def test_finer_diseases_change_nothing_of_the_twelve_nor_of_who_the_patients_are() -> None:
    np.testing.assert_array_equal(FINER.severity[:, :12], MANY.severity)
    for name in ("age", "sex", "variability", "ectopy", "respiration", "breath_depth"):
        np.testing.assert_array_equal(getattr(FINER, name), getattr(MANY, name))


def test_patients_of_a_finer_cohort_differ_more() -> None:
    wider, usual = (np.log(who.variation.gain).std() for who in (FINER, MANY))
    assert 1.4 < wider / usual < 1.7
    shift = np.asarray(FINER.variation.shift)
    assert shift[:, SLOTS.index("R")].std() == pytest.approx(1.3 * 0.12, rel=0.1)
    assert not shift[:, SLOTS.index("S2")].any(), "what a normal beat lacks is not made up"
    assert MANY.variation.shift == 0


def test_finer_diseases_are_there_and_independent_of_the_twelve() -> None:
    share = (FINER.severity[:, 12:] > 0).mean(axis=0)
    assert (share > 0.012).all()
    assert (share < 0.06).all()
    assert 0.15 < (FINER.severity == 0).all(axis=1).mean() < 0.35
    values = FINER.severity[:, ALL_NAMES.index("PMI")]
    assert LEAST_SEVERITY <= values[values > 0].min() < 0.15
    # LAE is not ruled out by first-degree block or old infarction: their draws must not be the same numbers
    lae = FINER.severity[:, ALL_NAMES.index("LAE")] > 0
    for name in ("LBBB", "1AVB", "LVH"):
        assert np.corrcoef(lae, _has(name))[0, 1] == pytest.approx(0, abs=0.04)


def test_sinus_rates_spread_wider_with_finer_diseases() -> None:
    assert MANY.heart_rate[:, 0].max() == 115
    assert 120 < FINER.heart_rate[:, 0].max() <= 140
    assert FINER.heart_rate[:, 0].min() == 42
    assert FINER.heart_rate[:, 0].std() > 1.2 * MANY.heart_rate[:, 0].std()
    np.testing.assert_array_equal(FINER.heart_rate[:, 1], MANY.heart_rate[:, 1])


@pytest.mark.parametrize("name", ["AMI", "IMI", "LVH", "AF", "RBBB"])
def test_diseases_of_age(name: str) -> None:
    assert MANY.age[_has(name)].mean() > MANY.age[~_has(name)].mean() + 1


def test_infarction_is_rarer_in_women_and_long_qt_commoner() -> None:
    assert MANY.sex[_has("AMI")].mean() < 0.4
    assert MANY.sex[_has("LQT")].mean() > 0.5
    assert MANY.sex.mean() == pytest.approx(0.48, abs=0.02)


def test_severities_span_their_range() -> None:
    values = MANY.severity[_has("LVH"), EDIT_NAMES.index("LVH")]
    assert values.min() >= LEAST_SEVERITY
    assert values.max() <= 1
    assert np.histogram(values, bins=3, range=(LEAST_SEVERITY, 1))[0].min() > 0.2 * len(values)


def test_a_patient_is_the_same_at_every_visit_and_the_day_is_not() -> None:
    three = examine(Keyed(0), np.arange(900), 3, 1.0)
    for name in ("age", "sex", "field"):
        value = getattr(three, name).reshape(300, 3, -1)
        np.testing.assert_array_equal(value, np.broadcast_to(value[:, :1], value.shape))
    assert (three.heart_rate.reshape(300, 3, 2).std(axis=1) > 0).mean() > 0.98  # a few at the bounds
    assert (np.abs(np.diff(three.variation.gain.reshape(300, 3, -1), axis=1)) < 0.5).all()
    np.testing.assert_array_equal(three.field[::3], examine(Keyed(0), np.arange(300), 1, 1.0).field)


def test_an_acute_infarction_is_an_old_one_at_the_next_visit() -> None:
    two = examine(Keyed(0), np.arange(4000), 2, 1.0).severity.reshape(2000, 2, 12)
    for acute, old in (("AMI_acute", "AMI"), ("IMI_acute", "IMI")):
        before, after = two[:, 0, EDIT_NAMES.index(acute)] > 0, two[:, 1]
        assert before.sum() > 20
        assert (after[before, EDIT_NAMES.index(old)] > 0).all()
        assert (after[:, EDIT_NAMES.index(acute)] == 0).all()


def test_without_variation_all_are_the_standard_patient() -> None:
    plain = examine(Keyed(0), np.arange(5), 1, 0.0)
    np.testing.assert_allclose(plain.field, np.broadcast_to(plain.field[0], plain.field.shape))
    np.testing.assert_array_equal(plain.variation.gain, 1)
    np.testing.assert_array_equal(plain.variation.tempo, 1)
    np.testing.assert_array_equal(plain.variation.delay, 0)
    np.testing.assert_array_equal(plain.heart_rate, 60)
    assert not plain.ectopy.any()
    assert not plain.breath_depth.any()
