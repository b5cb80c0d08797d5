"""Tests of the delineator's training: targets by hand, unknown stretches left out, and something is learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ecgkit.datasets import ludb
from ecgkit.physiology.delineate import delineate
from ecgkit.simulator import Cohort
from ecgkit.simulator.waves import Waves
from ecgkit.training.delineation import (
    Annotated,
    DelineationSettings,
    _rare,
    _recorded,
    coverage,
    train_delineator,
    tuning_half,
)
from ecgkit.training.loop import Schedule

TINY = DelineationSettings(options={"widths": [8, 8, 8], "kernel_size": 5}, seconds=2.5, ecgs_per_epoch=128,
                           schedule=Schedule(epochs=3, batch_size=16, learning_rate=1e-2))


def one(ms: list[list[float]], fs: float = 100.0) -> Waves:
    return Waves(np.array([[ms]], dtype=float), np.zeros((1, 1), dtype=np.int8), np.full((1, 1), np.nan), fs)


def test_coverage_by_hand() -> None:
    nan = [np.nan] * 3
    cover = coverage(one([[20, 40, 60], [90, 100, 117], nan]), 20, 100)[0]
    np.testing.assert_allclose(cover[0, :9], [0, 0, 0.5, 1, 1, 1, 0.5, 0, 0])
    np.testing.assert_allclose(cover[1, 8:14], [0, 0.5, 1, 1, 0.2, 0], atol=1e-6)
    assert not cover[2].any()


def test_the_area_is_the_length_wherever_a_wave_lies() -> None:
    for shift in np.linspace(0, 10, 7):
        cover = coverage(one([[50 + shift, 80, 133 + shift], [np.nan] * 3, [np.nan] * 3]), 40, 100)
        assert cover.sum() == pytest.approx(8.3, abs=1e-5)


def test_half_a_wave_makes_its_surroundings_unknown() -> None:
    cover = coverage(one([[np.nan, 400, 450], [np.nan] * 3, [np.nan] * 3]), 100, 100)[0, 0]
    assert np.isnan(cover[20:45]).all()
    assert np.isfinite(cover[50:]).all()


def annotated(n: int = 4) -> Annotated:
    cohort = Cohort(seed=8, fs=250, seconds=6)
    return Annotated(cohort.signals(range(n)), cohort.waves(range(n)), np.tile([1000.0, 5000.0], (n, 1)))


def test_recordings_count_only_where_someone_looked() -> None:
    given = annotated()
    x, target = _recorded(given, 64, 625, 250.0, torch.Generator().manual_seed(0))
    assert x.shape == (64, 12, 625)
    known = torch.isfinite(target[:, :3]).float().mean()
    assert 0.5 < known < 1


def test_it_learns_and_the_seed_decides() -> None:
    model, history = train_delineator(annotated(), settings=TINY)
    assert history["loss"].iloc[-1] < 0.85 * history["loss"].iloc[0]
    again, _ = train_delineator(annotated(), settings=TINY)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    other, _ = train_delineator(settings=TINY)
    assert not torch.equal(other.head.weight, model.head.weight)
    found = delineate(Cohort(seed=1, fs=500, seconds=5).signals(range(2)), 500, model=model)
    assert found.fs == 500


def test_what_is_rare_is_searched_for() -> None:
    cohort = Cohort(seed=0, fs=100, seconds=4, finer=True)
    early, on_t = _rare(cohort, 3000)
    assert 0 < len(early) < 600
    assert (cohort.waves(early).kind > 0).any(axis=1).all()
    assert not (cohort.waves(np.setdiff1d(np.arange(3000), early)).kind > 0).any()
    assert 0 < len(on_t) < 1500
    ms = cohort.waves(on_t).ms
    assert (np.nanmin(ms[:, 1:, 0, 0] - ms[:, :-1, 2, 2], axis=1) < 20).all()


@pytest.mark.real
def test_the_tuning_half_of_ludb(data_root: Path) -> None:
    root = data_root / "ludb-sample"
    known = tuning_half(root, 250)
    assert known.signals.shape == (50, 12, 2500)
    tuning, testing = ludb.halves(root)
    assert not set(tuning) & set(testing)
    np.testing.assert_array_equal(known.waves.ms, ludb.truth(root, tuning).waves.ms)
    qrs = np.nanmin(known.waves.ms[:, :, 1, 1], axis=1) / 4
    heights = [np.abs(x[:, round(at) - 15:round(at) + 15]).max() for x, at in zip(known.signals, qrs, strict=True)]
    assert np.median(heights) > 1, "the waves lie where the signals have them, in mV"
