"""Patients: who has what, what rules out what, and what stays from visit to visit."""

from __future__ import annotations

import numpy as np
import pytest

from ecgkit.simulator.catalogue import EDIT_NAMES
from ecgkit.simulator.keyed import Keyed
from ecgkit.simulator.population import LEAST_SEVERITY, RULES_OUT, examine

MANY = examine(Keyed(0), np.arange(20_000), 1, 1.0)


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
