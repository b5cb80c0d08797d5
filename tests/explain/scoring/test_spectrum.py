"""Spectrum: energies add up to the whole, and the differences of classes are differences of classes."""

from __future__ import annotations

import numpy as np
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.realism import class_differences, share_above


@pytest.mark.parametrize("n", [200, 201])
def test_shares_are_of_the_energy_in_all_leads(n: int) -> None:
    fs = 100.0 * n / 200  # so that all frequencies fit a whole number of times
    t = np.arange(n) / fs
    edit = np.zeros((2, 12, n))
    edit[0, 0], edit[0, 6] = np.sin(2 * np.pi * 10 * t), 2 * np.sin(2 * np.pi * 30 * t)
    edit[0, 8] = 3 * np.sin(2 * np.pi * 45 * t)
    np.testing.assert_allclose(share_above(edit, fs)[0], [13 / 14, 9 / 14])
    assert np.isnan(share_above(edit, fs)[1]).all()


def test_every_share_is_parsevals() -> None:
    edit = np.random.default_rng(0).normal(size=(3, 2, 64)) + 0.3
    full = np.abs(np.fft.fft(edit, axis=-1)) ** 2
    high = np.abs(np.fft.fftfreq(64, 1 / 100)) > 30
    expected = full[..., high].sum(axis=(1, 2)) / (64 * (edit**2).sum(axis=(1, 2)))
    np.testing.assert_allclose(share_above(edit, 100, above=[30])[:, 0], expected)


def test_pairs_are_with_minus_without_and_unusable_beats_are_left_out() -> None:
    beats = np.zeros((6, 12, 5), np.float32)
    has = np.array([1, 1, 1, 0, 0, 0])
    beats[has == 1] = 3
    beats[has == 0] = 1
    beats[0, 4, 2] = np.nan
    found = class_differences(beats, has, n_pairs=20, seed=1)
    assert found.shape == (20, 12, 5)
    np.testing.assert_array_equal(found, 2)


def test_draws_follow_the_seed() -> None:
    beats = np.arange(10.0)[:, None, None] * np.ones((1, 12, 3))
    has = np.arange(10) < 5
    first, again, other = (class_differences(beats, has, n_pairs=30, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_class_without_beats_is_said() -> None:
    with pytest.raises(EcgkitError, match="2 usable beats with the label and 0 without"):
        class_differences(np.zeros((2, 12, 5)), [1, 1])
