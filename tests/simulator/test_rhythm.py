"""Rhythm: rates, irregularity, pauses, and QT that follows the rate slowly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.signal import welch
from scipy.stats import skew

from ecgkit.simulator import rhythm
from ecgkit.simulator.keyed import Keyed


def _beats(n: int, *, rate: float = 60, af_rate: float = 90, ectopy: tuple[float, float] = (0, 0), af: float = 0,
           variability: tuple[float, float, float] = (0, 0, 0), seconds: float = 60) -> rhythm.Beats:
    every: Any = lambda *values: np.tile(values, (n, 1)).astype(float)  # noqa: E731
    return rhythm.beats(Keyed(1), np.arange(n), heart_rate=every(rate, af_rate), respiration=np.full(n, 0.25),
                        variability=every(*variability), ectopy=every(*ectopy), fibrillation=np.full(n, af),
                        seconds=seconds)


def test_a_regular_rhythm_is_regular_and_covers_the_recording() -> None:
    beats = _beats(20, rate=75, seconds=10)
    np.testing.assert_allclose(np.diff(beats.time, axis=1), 0.8)
    assert (beats.time[:, 0] <= -rhythm.LEAD_IN).all()
    assert (beats.time[:, -1] > 10).all()


def test_the_fastest_rhythm_covers_the_recording() -> None:
    beats = _beats(200, af_rate=150, af=1, ectopy=(0.2, 0.2), seconds=10)
    assert (beats.time[:, -1] > 10.4).all()
    assert beats.rr.min() >= rhythm.SHORTEST_RR


def test_sinus_rhythm_is_modulated_at_the_tenth_and_the_quarter_of_a_hertz() -> None:
    beats = _beats(1, variability=(0.05, 0.03, 0), seconds=300)
    grid = np.arange(0, 300, 0.25)
    tachogram = np.interp(grid, beats.time[0], beats.rr[0])
    frequency, power = welch(tachogram - tachogram.mean(), 4, nperseg=800)
    assert frequency[power.argmax()] == pytest.approx(0.1, abs=0.01)
    respiratory = frequency > 0.17
    assert frequency[respiratory][power[respiratory].argmax()] == pytest.approx(0.25, abs=0.01)


def test_fibrillation_is_irregular_skewed_and_uncorrelated() -> None:
    rr = _beats(400, af=1).rr
    spread = rr.std(axis=1) / rr.mean(axis=1)
    assert spread.min() > 0.15
    assert skew(rr.ravel() / np.repeat(rr.mean(axis=1), rr.shape[1])) > 0.5
    centred = rr - rr.mean(axis=1, keepdims=True)
    assert abs((centred[:, 1:] * centred[:, :-1]).mean() / (centred**2).mean()) < 0.03
    assert rr.mean() == pytest.approx(60 / 90, rel=0.02)


def test_premature_beats_come_early_and_the_ventricular_pause_is_compensatory() -> None:
    beats = _beats(50, ectopy=(0.1, 0.1))
    for kind in (rhythm.ATRIAL_PREMATURE, rhythm.VENTRICULAR_PREMATURE):
        row, beat = np.nonzero(beats.kind[:, :-1] == kind)
        assert len(row) > 50
        assert (beats.rr[row, beat] < 0.75).all()
        assert (beats.rr[row, beat + 1] > 1).all()
        pair = beats.rr[row, beat] + beats.rr[row, beat + 1]
        if kind == rhythm.VENTRICULAR_PREMATURE:
            np.testing.assert_allclose(pair, 2)
        else:
            assert (pair < 2).all()
    premature = beats.kind != rhythm.NORMAL
    assert not (premature[:, 1:] & premature[:, :-1]).any()


@pytest.mark.parametrize("rate", [45, 60, 100])
def test_qt_in_a_steady_rhythm(rate: float) -> None:
    """QT = 0.49 - 0.09 / RR seconds."""
    stretch = _beats(1, rate=rate).stretch
    np.testing.assert_allclose(0.03 + 0.370 * stretch, 0.49 - 0.09 * rate / 60, atol=1e-9)


def test_qt_remembers_for_25_seconds() -> None:
    """The closed form equals the recursion beat by beat."""
    rr = np.r_[np.full(40, 1.0), np.full(80, 0.6)][None]
    elapsed = np.cumsum(rr, axis=1) - rr[:, :1]
    mean, memory = 0.9, np.empty(rr.shape[1])
    recent = mean
    for beat, interval in enumerate(rr[0]):
        recent += (1 - np.exp(-interval / 25)) * (interval - recent)
        memory[beat] = recent
    stretch = rhythm._stretch(elapsed, rr, np.array([[mean]]))
    np.testing.assert_allclose(stretch[0], 1 + rhythm.qt_change(memory) / 0.370, atol=1e-9)


def test_f_waves_have_their_rms_and_frequency() -> None:
    n, sig_len = 60, 6000
    vector = np.zeros((n, 3, sig_len), dtype=np.float32)
    amount = np.ones(n)
    amount[-1] = 0
    rhythm.add_f_waves(vector, Keyed(0), np.arange(n), amount, 100)
    rms = 1000 * np.sqrt((vector**2).mean(axis=2))
    assert (rms[-1] == 0).all()
    for axis, (low, high) in enumerate(((15, 45), (15, 40), (25, 70))):
        assert low * 0.98 < rms[:-1, axis].min() < rms[:-1, axis].max() < high * 1.08
    frequency, power = welch(vector[:-1, 0], 100, nperseg=1024)
    peak = frequency[power.argmax(axis=1)]
    assert peak.min() > 2.6
    assert peak.max() < 7.4
