"""The shape of beats: known numbers of simulated hearts, changed one at a time and measured again."""

from __future__ import annotations

import numpy as np
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.explain.discovery.shape import NAMES, PARTS, TIMES, UNITS, Shapes
from ecgkit.leads import from_vcg, limb_residual
from ecgkit.simulator import Cohort

FS = 250.0


@pytest.fixture(scope="module")
def hearts() -> tuple[Cohort, Shapes]:
    """Eight clean ECGs and their true waves."""
    cohort = Cohort(seed=1, fs=FS, seconds=5, noise=0)
    healthy = np.zeros((8, 12))
    return cohort, Shapes(cohort.signals(range(8), severity=healthy), cohort.waves(range(8), severity=healthy))


def test_times_are_those_of_the_simulator(hearts: tuple[Cohort, Shapes]) -> None:
    cohort, shapes = hearts
    true = cohort.intervals(range(8), severity=np.zeros((8, 12)))
    told = dict(zip(NAMES, shapes.numbers.T, strict=True))
    np.testing.assert_allclose(told["QRS onset"] - told["P onset"], true.pr, atol=3)
    np.testing.assert_allclose(told["QRS end"] - told["QRS onset"], true.qrs, atol=3)
    # QT follows the rate from beat to beat, so a mean and a median may differ a little.
    np.testing.assert_allclose(told["T end"] - told["QRS onset"], true.qt, atol=6)


def test_every_number_is_known_and_has_a_unit(hearts: tuple[Cohort, Shapes]) -> None:
    numbers = hearts[1].numbers
    assert numbers.shape == (8, len(UNITS))
    assert np.isfinite(numbers).all()
    assert {UNITS[name] for name in TIMES} == {"ms"}
    assert len(NAMES) == len(TIMES) + 3 * len(PARTS) == 27


@pytest.mark.parametrize("name", [name for name in NAMES if name not in TIMES])
def test_an_amplitude_changes_as_asked_and_no_other_does(hearts: tuple[Cohort, Shapes], name: str) -> None:
    _, shapes = hearts
    by = np.linspace(-0.1, 0.1, 8)
    after = Shapes(shapes.changed(name, by), shapes.waves).numbers
    wanted = np.zeros_like(after)
    wanted[:, NAMES.index(name)] = by
    # Inverse Dower undoes Dower within a hundredth.
    np.testing.assert_allclose(after - shapes.numbers, wanted, atol=0.004)


@pytest.mark.parametrize("name", TIMES)
def test_a_time_moves_the_wave_and_leaves_the_rest(hearts: tuple[Cohort, Shapes], name: str) -> None:
    _, shapes = hearts
    moved = shapes.changed(name, np.full(8, 8.0))
    marks = shapes.waves.ms * FS / 1000
    wave, mark = TIMES[name]
    k = ("P", "QRS", "T").index(wave)
    beat = int(np.flatnonzero(np.isfinite(marks[0]).all(axis=(1, 2)) & (shapes.waves.kind[0] == 0))[1])
    at = marks[0, beat, k, mark]
    # What was at the mark is found 8 ms later, and what was at the marks of other waves where it was.
    old, new = (np.interp([at, at + 0.008 * FS], np.arange(x.shape[2]), x[0, 1]) for x in (shapes.signals, moved))
    assert abs(new[1] - old[0]) < 0.02
    for other in range(3):
        if other != k:
            place = round(marks[0, beat, other, 1])
            np.testing.assert_allclose(moved[0, :, place], shapes.signals[0, :, place], atol=0.02)


@pytest.mark.parametrize("name", ["T, left", "P onset", "mid QRS, back"])
def test_limb_lead_algebra_stays(hearts: tuple[Cohort, Shapes], name: str) -> None:
    changed = hearts[1].changed(name, np.full(8, 0.2 if "," in name else 10.0))
    assert np.abs(limb_residual(changed)).max() < 1e-5


def test_nothing_asked_changes_nothing(hearts: tuple[Cohort, Shapes]) -> None:
    shapes = hearts[1]
    for name in ("T, left", "QRS end"):
        for by in (np.zeros(8), np.full(8, np.nan)):
            np.testing.assert_allclose(shapes.changed(name, by), shapes.signals, atol=1e-6)


def test_no_wave_overtakes_another(hearts: tuple[Cohort, Shapes]) -> None:
    shapes = hearts[1]
    far = shapes.changed("P end", np.full(8, 500.0))
    near = shapes.changed("P end", np.full(8, 400.0))
    np.testing.assert_allclose(far, near)  # both are cut off at the same place
    assert np.isfinite(far).all()


def test_without_a_p_wave_its_numbers_are_missing() -> None:
    cohort = Cohort(seed=2, fs=FS, seconds=5, noise=0)
    fibrillating = np.zeros((2, 12))
    fibrillating[:, cohort.edit_names.index("AF")] = 1
    shapes = Shapes(cohort.signals([0, 1], severity=fibrillating), cohort.waves([0, 1], severity=fibrillating))
    told = dict(zip(NAMES, shapes.numbers.T, strict=True))
    assert np.isnan(told["P onset"]).all()
    assert np.isnan(told["late P, left"]).all()
    assert np.isfinite(told["T, left"]).all()
    np.testing.assert_array_equal(shapes.changed("late P, left", np.full(2, 0.1)), shapes.signals)


def test_a_constant_heart_vector_has_amplitude_nought(hearts: tuple[Cohort, Shapes]) -> None:
    """Amplitudes count from the level before QRS, so a level that is the same everywhere is none."""
    shapes = hearts[1]
    level = from_vcg(np.ones((8, 3, shapes.signals.shape[2]), dtype=np.float32))
    lifted = Shapes(shapes.signals + level, shapes.waves).numbers
    np.testing.assert_allclose(lifted, shapes.numbers, atol=1e-3)


def test_what_is_no_ecg_or_no_number_is_refused(hearts: tuple[Cohort, Shapes]) -> None:
    with pytest.raises(EcgkitError, match=r"expected \(n, 12, sig_len\)"):
        Shapes.of(np.zeros((3, 8, 500), dtype=np.float32), FS)
    with pytest.raises(EcgkitError, match="no number 'U wave'"):
        hearts[1].changed("U wave", np.zeros(8))
