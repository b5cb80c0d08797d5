"""Deflections get the names that a reader would give them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.physiology.deflections import LEAST_MS, LEAST_MV, QRSParts, deflections, qrs_parts


def _wave(*pieces: tuple[float, int]) -> np.ndarray:
    """A wave of half sines: height in mV, length in ms."""
    return np.concatenate([height * np.sin(np.pi * (np.arange(n) + 0.5) / n) for height, n in pieces])


def _parts(wave: np.ndarray) -> QRSParts:
    padded = np.concatenate([wave, np.full(7, 5.0)]).astype(np.float32)
    return qrs_parts(padded[None], np.array([len(wave)]))


@pytest.mark.parametrize(("pieces", "amplitude"), [
    ([(-0.1, 20), (1.0, 40), (-0.3, 30)], (-0.1, 1.0, -0.3, 0)),
    ([(0.3, 20), (-0.8, 40)], (0, 0.3, -0.8, 0)),
    ([(0.3, 20), (-0.6, 30), (0.7, 40)], (0, 0.3, -0.6, 0.7)),
    ([(0.3, 20), (-0.6, 30), (0.7, 40), (-0.2, 20)], (0, 0.3, -0.6, 0.7)),
    ([(-0.1, 20), (0.3, 20), (-0.6, 30), (0.7, 40)], (-0.1, 0.3, -0.6, 0.7)),
    ([(-1.2, 80)], (-1.2, 0, 0, 0)),
    ([(1.2, 80)], (0, 1.2, 0, 0)),
    ([(-0.015, 20), (1.2, 60)], (0, 1.2, 0, 0)),
    ([(-0.4, 5), (1.2, 60)], (0, 1.2, 0, 0)),
    ([(0.5, 30), (-0.015, 10), (0.9, 30)], (0, 0.9, 0, 0)),
    ([(0.01, 60)], (0, 0, 0, 0)),
])
def test_names(pieces: list[tuple[float, int]], amplitude: tuple[float, ...]) -> None:
    got = _parts(_wave(*pieces))
    np.testing.assert_allclose(got.amplitude[0], amplitude, atol=0.01)
    assert (got.duration[0] > 0).tolist() == [value != 0 for value in amplitude]
    assert np.isfinite(got.r_peak[0]) == (amplitude[1] > 0)


def test_lengths_are_the_time_beyond_the_least_height() -> None:
    wave = np.zeros(100)
    wave[10:40], wave[40:75], wave[75:90] = -0.1, 0.5, -0.021
    got = _parts(wave)
    assert got.duration[0].tolist() == [30, 35, 15, 0]
    wave[60] = 0.7
    assert _parts(wave).r_peak[0] == 60


@pytest.mark.parametrize(("length", "counts"), [(LEAST_MS - 1, False), (LEAST_MS, True)])
def test_the_shortest_deflection(length: int, counts: bool) -> None:
    wave = np.zeros(60)
    wave[5:5 + length], wave[20:50] = -LEAST_MV - 1e-6, 1.0
    assert (_parts(wave).duration[0, 0] == length) == counts


def test_what_still_rises_at_the_end_is_the_st_segment() -> None:
    rising = np.concatenate([_wave((-1.0, 60)), np.linspace(0, 0.2, 20)])
    assert _parts(rising).amplitude[0].tolist() == pytest.approx([-1.0, 0, 0, 0], abs=0.01)
    beyond = np.concatenate([rising, np.linspace(0.2, 0.17, 5)])
    assert _parts(beyond).amplitude[0, 1] == pytest.approx(0.2)


@pytest.mark.parametrize(("dip", "second", "length", "notched"), [
    (0.05, 0.8, 60, True), (0.01, 0.8, 60, False), (0.3, 0.4, 60, False), (0.05, 0.8, 30, False)])
def test_a_notch_lies_between_two_high_maxima(dip: float, second: float, length: int, notched: bool) -> None:
    wave = np.zeros(100)
    third = length // 3
    wave[10:10 + 3 * third] = second
    wave[10:10 + third] = 1.0
    wave[10 + third:10 + 2 * third] = second - dip
    assert _parts(wave).notched[0] == notched


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([-1.0, -0.05, -0.01, 0.0, 0.015, 0.04, 0.6]), st.integers(1, 15)),
                max_size=8), st.integers(0, 40))
def test_deflections_are_those_of_a_slow_search(pieces: list[tuple[float, int]], more: int) -> None:
    wave = np.repeat([height for height, _ in pieces], [n for _, n in pieces]).astype(np.float32)
    padded = np.stack([np.concatenate([wave, np.full(more + 1, 2.0, np.float32)])] * 2)
    found = deflections(padded, np.array([len(wave), 0]))
    got = [(int(b), int(e), round(float(p), 6)) for b, e, p in zip(found.begin, found.end, found.peak, strict=True)]
    assert got == _slow_search(wave)
    assert (found.wave == 0).all()


def _slow_search(wave: np.ndarray) -> list[tuple[int, int, float]]:
    found: list[tuple[int, int, float]] = []
    k = 0
    while k < len(wave):
        begin, sign = k, np.sign(wave[k]) * (abs(wave[k]) >= np.float32(LEAST_MV))
        while k < len(wave) and np.sign(wave[k]) * (abs(wave[k]) >= np.float32(LEAST_MV)) == sign:
            k += 1
        peak = sign * np.abs(wave[begin:k]).max()
        beyond = abs(peak) - (abs(wave[-1]) if k == len(wave) else 0)
        if sign == 0 or k - begin < LEAST_MS or beyond < LEAST_MV:
            continue
        if found and np.sign(found[-1][2]) == sign:
            found[-1] = (found[-1][0], k, round(float(sign * max(abs(found[-1][2]), abs(peak))), 6))
        else:
            found.append((begin, k, round(float(peak), 6)))
    return found
