"""Premature beats by hand, in simulated rhythms whose beats are known, and where there is nothing to compare with."""

from __future__ import annotations

import numpy as np
import pytest

from ecgkit.physiology.delineate import delineate
from ecgkit.physiology.rhythm import premature
from ecgkit.simulator import Cohort

FS = 250.0


def ecg(peaks: list[float], broad: tuple[int, ...] = (), no_p: tuple[int, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Beats at some ms: a narrow upright QRS, or a broad one that points down; P waves but where said."""
    at = np.arange(round((peaks[-1] + 1000) * FS / 1000)) * 1000 / FS
    signal, ms = np.zeros(len(at)), np.full((len(peaks), 3, 3), np.nan)
    for k, peak in enumerate(peaks):
        width = 30.0 if k in broad else 12.0
        signal += (-1.5 if k in broad else 1.0) * np.exp(-((at - peak) / width) ** 2 / 2)
        ms[k, 1] = peak - 2.5 * width, peak, peak + 2.5 * width
        if k not in no_p:
            ms[k, 0] = peak - 180, peak - 140, peak - 100
    return np.tile(signal, (12, 1)).astype(np.float32), ms


REGULAR = [500.0 + 800 * k for k in range(10)]


@pytest.mark.parametrize(("shift", "broad", "no_p", "expected"), [
    (0, (), (), 0), (-200, (), (), 1), (-200, (5,), (5,), 2), (-200, (5,), (), 2), (0, (5,), (5,), 2),
    (0, (5,), (), 0), (-100, (), (), 0), (200, (), (), 0)])
def test_by_hand(shift: float, broad: tuple[int, ...], no_p: tuple[int, ...], expected: int) -> None:
    peaks = [peak + (shift if k == 5 else 0) for k, peak in enumerate(REGULAR)]
    signal, ms = ecg(peaks, broad, no_p)
    kind = premature(ms, signal, FS)
    assert kind[5] == expected
    assert not kind[:5].any()


def test_an_early_beat_in_fibrillation_is_none() -> None:
    rng = np.random.default_rng(0)
    peaks = list(500 + np.cumsum(rng.uniform(450, 1100, 14)))
    signal, ms = ecg(peaks, no_p=tuple(range(14)))
    assert not premature(ms, signal, FS).any()
    signal, ms = ecg(peaks, broad=(6,), no_p=tuple(range(14)))
    assert np.flatnonzero(premature(ms, signal, FS)).tolist() == [6]


def test_a_block_is_no_row_of_premature_beats() -> None:
    signal, ms = ecg(REGULAR, broad=tuple(range(10)))
    assert not premature(ms, signal, FS).any()


def test_too_few_beats() -> None:
    signal, ms = ecg([500.0, 900.0, 1700.0], broad=(1,))
    assert premature(ms, signal, FS).tolist() == [0, 0, 0]
    assert premature(ms[:0], signal, FS).tolist() == []


def test_the_gain_does_not_matter() -> None:
    signal, ms = ecg([peak - 200 * (k == 5) for k, peak in enumerate(REGULAR)], broad=(5,))
    np.testing.assert_array_equal(premature(ms, signal, FS), premature(ms, 7 * signal, FS))


@pytest.mark.parametrize(("kind", "least"), [(1, 0.6), (2, 0.85)])
def test_simulated_premature_beats_are_found(kind: int, least: float) -> None:
    cohort = Cohort(seed=7, fs=250, finer=True)
    true = cohort.waves(range(6000))
    rows = np.flatnonzero((true.kind == kind).any(axis=1) & (true.kind != 3 - kind).all(axis=1))[:40]
    found = delineate(cohort.signals(rows), 250)
    hits = [np.abs(ms[kinds == kind][:, 1, 1] - peak).min(initial=np.inf) < 100
            for ms, kinds, row in zip(found.ms, found.kind, rows, strict=True)
            for peak in true.ms[row][true.kind[row] == kind][:, 1, 1]]
    assert np.mean(hits) > least
