"""Planted features change what they say, and nothing without a dose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.leads import LEADS, limb_residual
from ecgkit.simulator import PLANTS, Cohort
from ecgkit.simulator.heart import wavelets
from ecgkit.simulator.planted import planted
from ecgkit.simulator.waves import waves

IDS = range(12)
HEALTHY = np.zeros((12, 12))


def doses(name: str, dose: float = 1.0) -> np.ndarray:
    found = np.zeros((12, len(PLANTS)))
    found[:, list(PLANTS).index(name)] = dose
    return found


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return Cohort(seed=4, fs=500, seconds=4, noise=0)


def intervals(cohort: Cohort, name: str) -> dict[str, np.ndarray]:
    """True boundaries with a feature, less those without: they follow from the wavelets, not from the signal."""
    who = replace(cohort._examine(np.arange(12)), severity=HEALTHY)
    told = []
    for variation in (who.variation, planted(who.variation, doses(name))):
        ms = waves(wavelets(HEALTHY, variation), cohort._beats(who), cohort.fs, cohort.seconds).ms
        told.append(np.nanmedian(ms, axis=1))
    return dict(zip(("P", "QRS", "T"), np.moveaxis(told[1] - told[0], 1, 0), strict=True))


def test_a_long_p_is_twelve_milliseconds_longer(cohort: Cohort) -> None:
    moved = intervals(cohort, "long P")
    np.testing.assert_allclose(moved["P"][:, 2] - moved["P"][:, 0], 12, atol=3)
    np.testing.assert_allclose(moved["QRS"], 0, atol=1e-6)


def test_a_long_pr_moves_p_alone(cohort: Cohort) -> None:
    moved = intervals(cohort, "long PR")
    np.testing.assert_allclose(moved["P"], -15, atol=2)  # peaks are sought on a grid of 2 ms
    np.testing.assert_allclose(moved["T"], 0, atol=1e-6)


def test_a_late_t_moves_t_alone(cohort: Cohort) -> None:
    moved = intervals(cohort, "late T")
    np.testing.assert_allclose(moved["T"], 15, atol=3)  # on that grid, and stretched as the rate stretches T
    np.testing.assert_allclose(moved["QRS"], 0, atol=1e-6)


@pytest.mark.parametrize("name", PLANTS)
def test_every_feature_changes_the_ecg_in_proportion_and_keeps_the_algebra(cohort: Cohort, name: str) -> None:
    plain = cohort.clean(IDS, severity=HEALTHY)
    none, half, whole = (cohort.clean(IDS, severity=HEALTHY, doses=doses(name, dose)) for dose in (0.0, 0.5, 1.0))
    np.testing.assert_array_equal(none, plain)
    first, second = (np.abs(x - plain).mean() for x in (half, whole))
    assert 0 < first < second < 0.03
    assert np.abs(limb_residual(whole)).max() < 1e-5


def test_a_turned_axis_moves_the_wave_where_it_should(cohort: Cohort) -> None:
    plain = cohort.clean(IDS, severity=HEALTHY)
    change = (cohort.clean(IDS, severity=HEALTHY, doses=doses("T turned")) - plain).sum(axis=2).mean(axis=0)
    # Clockwise is away from I, towards aVF.
    assert change[LEADS.index("I")] < 0 < change[LEADS.index("aVF")]


def test_doses_follow_the_ecgs_not_their_order(cohort: Cohort) -> None:
    given = np.random.default_rng(0).random((12, len(PLANTS)))
    whole = cohort.signals(IDS, doses=given)
    np.testing.assert_array_equal(cohort.signals([7], doses=given[[7]]), whole[[7]])


def test_doses_of_another_shape_are_refused(cohort: Cohort) -> None:
    with pytest.raises(EcgkitError, match=r"doses of shape \(12, 3\)"):
        cohort.signals(IDS, doses=np.zeros((12, 3)))
