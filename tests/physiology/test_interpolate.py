"""Interpolation is exact for what is band-limited, and for straight lines."""

from __future__ import annotations

import numpy as np
import pytest

from ecgkit.physiology.align import onto_grid, windows


def _slow(t: np.ndarray) -> np.ndarray:
    """Bumps far below half the sampling rate, near 0 at the ends of a window of 100."""
    return np.exp(-((t - 47.3) / 4)**2 / 2) - 0.5 * np.exp(-((t - 60.1) / 3)**2 / 2)


@pytest.mark.parametrize("length", [100, 101])
@pytest.mark.parametrize("start", [10.0, 10.25, 9.5, 10.9])
def test_a_window_may_begin_between_samples(length: int, start: float) -> None:
    signal = np.stack([_slow(np.arange(-10.0, 110)), 0.1 * np.arange(120) - 2])[None].astype(np.float32)
    cut = windows(signal, np.array([0]), np.array([start]), length)[0]
    at = start + np.arange(length)
    np.testing.assert_allclose(cut[0], _slow(at - 10), atol=2e-6)
    np.testing.assert_allclose(cut[1], 0.1 * at - 2, atol=2e-6)


def test_windows_come_from_their_ecg_and_repeat_the_ends() -> None:
    signal = np.arange(24, dtype=np.float32).reshape(2, 2, 6)
    cut = windows(signal, np.array([1, 0]), np.array([-2.0, 4.0]), 4)
    np.testing.assert_allclose(cut[0], [[12, 12, 12, 13], [18, 18, 18, 19]], atol=1e-5)
    np.testing.assert_allclose(cut[1], [[4, 5, 5, 5], [10, 11, 11, 11]], atol=1e-5)


def test_no_windows() -> None:
    assert windows(np.zeros((1, 2, 6), np.float32), np.array([], dtype=np.intp), np.array([]), 4).shape == (0, 2, 4)


@pytest.mark.parametrize("length", [100, 101])
@pytest.mark.parametrize(("first", "step"), [(0.0, 1.0), (20.3, 0.2), (5.0, 0.5)])
def test_a_finer_grid(length: int, first: float, step: float) -> None:
    at = first + step * np.arange(90)
    window = np.stack([_slow(np.arange(length)), 3 - 0.02 * np.arange(length)])
    got = window @ onto_grid(length, first, step, 90)
    np.testing.assert_allclose(got[0], _slow(at), atol=2e-6)
    np.testing.assert_allclose(got[1], 3 - 0.02 * at, atol=2e-6)


def test_samples_keep_their_values_even_if_nothing_is_slow() -> None:
    noise = np.random.default_rng(0).normal(size=64)
    np.testing.assert_allclose(noise @ onto_grid(64, 0.0, 0.5, 127)[:, ::2], noise, atol=1e-5)
