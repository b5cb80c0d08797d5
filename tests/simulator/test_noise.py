"""Noise: its kinds at the electrodes, where each lies in frequency, and mains only where the rate allows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import welch

from ecgkit.simulator import noise
from ecgkit.simulator.keyed import Keyed

IDS = np.arange(240)
BREATH = np.full(240, 0.25)


def _density(fs: float, ids: NDArray[np.int64] = IDS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median power density over ECGs, uV^2/Hz, of each electrode."""
    potential = noise.electrode_noise(Keyed(2), ids, BREATH[:len(ids)], fs, round(10 * fs))
    frequency, power = welch(1000 * potential.astype(float), fs, nperseg=round(4 * fs))
    return frequency, np.median(power, axis=0)


def test_wander_lies_below_and_muscle_above_one_hertz() -> None:
    frequency, power = _density(100)
    slow, fast = power[:, (frequency > 0.2) & (frequency < 0.4)].mean(), power[:, frequency > 20].mean()
    assert slow > 100 * fast
    flat = power[:, (frequency > 10) & (frequency < 20)].mean() / power[:, frequency > 30].mean()
    assert flat == pytest.approx(1, abs=0.2)


def test_muscle_noise_has_the_same_density_at_every_rate_and_ends_at_the_amplifiers_low_pass() -> None:
    low, at_100 = _density(100, IDS[:80])
    high, at_500 = _density(500, IDS[:80])
    band = (10, 40)
    ratio = at_500[:, (high > band[0]) & (high < band[1])].mean() / at_100[:, (low > band[0]) & (low < band[1])].mean()
    assert ratio == pytest.approx(1, abs=0.35)
    assert at_500[:, high > 200].mean() < 0.1 * at_500[:, (high > 20) & (high < 40)].mean()


def test_arms_are_noisier_than_the_chest() -> None:
    frequency, power = _density(100)
    level = power[:, frequency > 20].mean(axis=1)
    assert level[:2].min() > 4 * level[3:].max()


@pytest.mark.parametrize(("fs", "there"), [(100.0, False), (128.0, False), (250.0, True), (500.0, True)])
def test_mains_are_there_only_where_the_rate_allows(fs: float, there: bool) -> None:
    frequency, power = _density(fs, IDS[:40])
    line = power[:, np.abs(frequency - 50) < 0.3].mean() / power[:, (frequency > 40) & (frequency < 48)].mean()
    assert (line > 1.3) == there


def test_motion_moves_one_electrode_of_some_ecgs() -> None:
    potential = np.zeros((240, 9, 1000), dtype=np.float32)
    noise._add_motion(potential, Keyed(3), IDS, np.arange(1000) / 100)
    moved = np.abs(potential).max(axis=2) > 0
    assert set(moved.sum(axis=1)) <= {0, 1}
    assert 8 < moved.sum() < 40
    assert len(np.flatnonzero(moved.any(axis=0))) > 4


def test_the_spline_has_unit_variance() -> None:
    spline = noise._spline(1000, 0.01)
    assert (spline**2).sum(axis=0).mean() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(spline.sum(axis=0), spline.sum(axis=0)[0], rtol=1e-4)
