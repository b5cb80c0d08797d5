"""Beats are moved to where they agree, to a tenth of a sample, and medians are those of the finite values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.physiology.align import align, grouped_median
from ecgkit.physiology.median_beat import LEAST_LIKENESS
from ecgkit.simulator import Cohort


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.one_of(st.floats(-9, 9), st.just(np.nan))), max_size=25))
def test_grouped_median_is_the_median_of_each_group(pairs: list[tuple[int, float]]) -> None:
    pairs.sort(key=lambda pair: pair[0])
    group = np.array([pair[0] for pair in pairs], dtype=np.intp)
    values = np.array([[pair[1], 1.0] for pair in pairs]).reshape(-1, 2)
    got = grouped_median(values, group, 5)
    for k in range(5):
        mine = [value for number, value in pairs if number == k and np.isfinite(value)]
        expected = np.median(mine) if mine else np.nan
        np.testing.assert_allclose(got[k, 0], expected)
        assert np.isnan(got[k, 1]) == (k not in group)


@pytest.fixture(scope="module", params=[100.0, 250.0, 500.0])
def recordings(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Signals, and ECG and R peak (samples) of the normal beats well within them."""
    cohort = Cohort(seed=8, fs=request.param)
    found = cohort.waves(range(12))
    peak = found.ms[:, :, 1, 1]
    ecg, slot = np.nonzero((found.kind == 0) & (peak > 500) & (peak < 9500))
    return cohort.signals(range(12)), ecg, peak[ecg, slot] * request.param / 1000, request.param


def test_beats_in_place_stay_there(recordings: tuple[np.ndarray, np.ndarray, np.ndarray, float]) -> None:
    signals, ecg, at, fs = recordings
    got, likeness = align(signals, ecg, at, fs)
    assert np.abs(got - at).max() * 1000 / fs < 1.5
    assert np.median(np.abs(got - at)) * 1000 / fs < 0.1
    assert (likeness > 0.95).all()


def test_misplaced_beats_are_put_in_place(recordings: tuple[np.ndarray, np.ndarray, np.ndarray, float]) -> None:
    signals, ecg, at, fs = recordings
    error = np.random.default_rng(1).uniform(-45, 45, len(at)) * fs / 1000
    got, _ = align(signals, ecg, at + error, fs)
    off = got - at - grouped_median(got - at, ecg, len(signals))[ecg]
    assert np.abs(off).max() * 1000 / fs < 1.5
    assert np.median(np.abs(off)) * 1000 / fs < 0.15
    np.testing.assert_allclose(grouped_median(got - at - error, ecg, len(signals)), 0, atol=1e-9)


def test_another_shape_is_not_alike() -> None:
    cohort = Cohort(seed=8, fs=500)
    found = cohort.waves(range(300))
    usable = (found.ms[:, :, 1, 1] > 500) & (found.ms[:, :, 1, 1] < 9500)
    with_premature = np.flatnonzero(((found.kind == 2) & usable).any(axis=1))
    ecg, slot = np.nonzero(usable[with_premature])
    kind = found.kind[with_premature][ecg, slot]
    _, likeness = align(cohort.signals(with_premature), ecg, found.ms[with_premature][ecg, slot, 1, 1] / 2, 500)
    assert len(with_premature) > 5
    assert (likeness[kind == 2] < LEAST_LIKENESS).mean() > 0.9
    assert (likeness[kind == 0] > LEAST_LIKENESS).mean() > 0.99


def test_no_signal_is_like_nothing() -> None:
    at = np.array([500.0, 1000.0])
    got, likeness = align(np.zeros((1, 12, 2000), np.float32), np.array([0, 0]), at, 500)
    assert np.isfinite(got).all()
    assert (likeness == 0).all()
