"""True boundaries follow their rule, beat by beat."""

from __future__ import annotations

import numpy as np
import pytest

from ecgkit.simulator import EDIT_NAMES, Cohort
from ecgkit.simulator.heart import Variation, wavelets
from ecgkit.simulator.rhythm import NORMAL, VENTRICULAR_PREMATURE, Beats
from ecgkit.simulator.waves import Waves, intervals, waves


def _one_beat(severity: np.ndarray, kind: int = NORMAL, stretch: float = 1.0) -> np.ndarray:
    beats = Beats(np.array([[1.0]]), np.array([[0.8]]), np.array([[kind]], dtype=np.int8), np.array([[stretch]]))
    return waves(wavelets(severity[None], Variation.none(1)), beats, 100, 2).ms[0, 0]


def test_a_normal_beat_by_hand() -> None:
    p, qrs, t = _one_beat(np.zeros(12))
    assert p[[0, 2]].tolist() == pytest.approx([1000 - 165 - 2.5 * 16, 1000 - 140 + 2.5 * 18])
    assert qrs[[0, 2]].tolist() == pytest.approx([1000 - 20 - 2.5 * 7, 1000 + 22 + 2.5 * 8.5])
    assert t[[0, 2]].tolist() == pytest.approx([1000 + 215 - 2.5 * 50, 1000 + 265 + 2.5 * 42])
    assert p[1] == pytest.approx(850, abs=10)
    assert qrs[1] == pytest.approx(1000, abs=2)
    assert t[1] == pytest.approx(1265, abs=6)


def test_repolarisation_is_stretched_and_nothing_else() -> None:
    plain, long = _one_beat(np.zeros(12)), _one_beat(np.zeros(12), stretch=1.1)
    np.testing.assert_array_equal(plain[:2], long[:2])
    np.testing.assert_allclose(long[2] - 1000, 1.1 * (plain[2] - 1000))


def test_a_wavelet_too_small_to_see_does_not_count() -> None:
    severity = np.zeros(12)
    right = EDIT_NAMES.index("RBBB")
    severity[right] = 0.01
    assert _one_beat(severity)[1, 2] < 1060
    severity[right] = 0.05
    assert _one_beat(severity)[1, 2] == pytest.approx(1000 + 60 + 2.5 * 17)


def test_a_ventricular_beat_is_wide_and_has_no_p() -> None:
    marks = _one_beat(np.zeros(12), kind=VENTRICULAR_PREMATURE)
    assert np.isnan(marks[0]).all()
    assert marks[1, 2] - marks[1, 0] > 120


def test_marks_are_in_order_and_lie_where_the_beats_are() -> None:
    cohort = Cohort(seed=4, visits=2)
    found = cohort.waves(np.arange(300))
    here = found.kind >= 0
    assert np.isnan(found.ms[~here]).all()
    r = found.ms[here]
    assert np.isfinite(r[:, 1:]).all()
    flat = r.reshape(len(r), 9)
    assert (np.diff(r, axis=2)[np.isfinite(r).all(axis=2)] > 0).all()
    assert (flat[:, 3] < flat[:, 8]).all()
    assert (flat[:, 5] < flat[:, 8]).all()
    assert ((flat[:, 4] > -150) & (flat[:, 4] < 10_150)).all()


def test_the_peak_of_qrs_is_where_the_clean_signal_is_largest() -> None:
    cohort = Cohort(seed=4, fs=500, noise=0)
    ids = np.arange(8)
    healthy = np.zeros((8, 12))
    signals, found = cohort.clean(ids, severity=healthy), cohort.waves(ids, severity=healthy)
    for n in ids:
        for beat in np.flatnonzero(found.kind[n] == NORMAL)[1:-1]:
            on, peak, off = found.samples[n, beat, 1].astype(int)
            size = np.abs(signals[n][:, on:off]).max(axis=0)
            assert abs(size.argmax() + on - peak) <= 12


def test_intervals_are_medians_over_normal_beats() -> None:
    ms = np.full((1, 4, 3, 3), np.nan)
    for beat, pr in enumerate((150, 160, 200)):
        ms[0, beat] = np.array([[0, 5, 10], [pr, pr + 40, pr + 80], [300, 350, pr + 400]]) + 1000 * beat
    ms[0, 2, 0] = np.nan
    found = intervals(Waves(ms, np.array([[0, 0, 0, -1]], dtype=np.int8), np.array([[1000, 900, 1100, np.nan]]), 100))
    assert found.pr[0] == 155
    assert found.qrs[0] == 80
    assert found.qt[0] == 400
    assert found.heart_rate[0] == pytest.approx(60)
    premature = intervals(Waves(ms, np.full((1, 4), 2, dtype=np.int8), np.full((1, 4), 900.0), 100))
    assert np.isnan(premature.pr[0])


def test_samples_are_milliseconds_at_the_rate() -> None:
    ms = np.full((1, 1, 3, 3), 123.0)
    assert (Waves(ms, np.zeros((1, 1), dtype=np.int8), ms[..., 0, 0], 500).samples == 62).all()
