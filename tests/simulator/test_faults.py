"""Tests of planted faults: each is what it says it is."""

from __future__ import annotations

import numpy as np
import pytest

from ecgkit.leads import limb_residual, swapped
from ecgkit.simulator import Cohort, faults


@pytest.mark.parametrize("fs", [100, 500])
def test_noise_has_its_size_and_obeys_einthoven_only_where_made_at_electrodes(fs: int) -> None:
    own = faults.white_noise(3, fs, millivolts=0.3, seed=1)
    assert own.shape == (3, 12, 10 * fs)
    assert own.std() == pytest.approx(0.3, rel=0.03)
    assert np.abs(limb_residual(own)).max() > 0.3
    for made in (faults.white_noise(3, fs, at_electrodes=True), faults.coloured_noise(3, fs)):
        assert made[:, 0].std() == pytest.approx(0.3, rel=0.15)
        np.testing.assert_allclose(limb_residual(made), 0, atol=1e-6)
    np.testing.assert_array_equal(own, faults.white_noise(3, fs, millivolts=0.3, seed=1))


def test_a_square_wave_has_two_levels_in_all_leads() -> None:
    made = faults.square_wave(4, 100, millivolts=2.0)
    assert set(np.unique(made)) == {0.0, 2.0}
    assert (made == made[:, :1]).all()


def test_amplifiers_rail_and_clip() -> None:
    signals = Cohort(seed=1).signals(range(3))
    assert np.abs(faults.railed(signals, 100.0)).max() == np.float32(faults.RAIL)
    middle = np.median(signals, axis=2, keepdims=True)
    half = faults.clipped(signals, 0.5)
    np.testing.assert_allclose(np.abs(half - middle).max(axis=2), np.abs(signals - middle).max(axis=2) / 2, rtol=1e-5)
    assert ((half == signals).mean(axis=2) > 0.5).all(), "the rest stays as it is"


@pytest.mark.parametrize("fs", [100, 500])
def test_spikes_stand_where_they_were_put_and_nowhere_else(fs: int) -> None:
    signals = np.zeros((2, 12, 10 * fs), dtype=np.float32)
    times = np.arange(500.0, 9500, 800)
    made = faults.paced(signals, fs, [times, times[:3]], seed=2)
    np.testing.assert_allclose(limb_residual(made), 0, atol=1e-5)
    for row, told in zip(made, (times, times[:3]), strict=True):
        at = np.flatnonzero(np.abs(row).max(axis=0) > 1e-6) * 1000 / fs
        assert np.abs(at[:, None] - told).min(axis=1).max() <= 1000 / fs
        assert np.abs(at[:, None] - told).min(axis=0).max() <= 1000 / fs


@pytest.mark.parametrize("pair", ["RA-LA", "RA-LL", "LA-LL"])
def test_exchanged_limb_electrodes_keep_einthoven_and_the_chest_leads(pair: str) -> None:
    signals = Cohort(seed=1).signals(range(2))
    made = swapped(signals, pair)
    np.testing.assert_allclose(limb_residual(made), 0, atol=1e-5)
    np.testing.assert_array_equal(made[:, 6:], signals[:, 6:])
