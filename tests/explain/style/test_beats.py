"""Median beats for a classifier: where they begin and end, how they are measured, and what a coordinate's name says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import ecgkit
from ecgkit.errors import EcgkitError
from ecgkit.explain.style.beats import (
    NAMED,
    NOTHING,
    coordinate_name,
    measured_beats,
    measured_effects,
    said,
    style_beats,
    telling,
    tiled,
)
from ecgkit.physiology import COLUMNS, MedianBeats, measure

MARKS = [[-200.0, -150.0, -100.0], [-50.0, 0.0, 50.0], [150.0, 250.0, 350.0]]


def ones(rr: float, marks: object = MARKS, n: int = 1) -> MedianBeats:
    """Median beats that are 1 mV everywhere, so that what is left of them is the weight."""
    return MedianBeats(np.ones((n, 12, 1200), dtype=np.float32), np.array([marks] * n, dtype=float),
                       np.full(n, 9), np.full(n, rr))


def test_the_r_peak_lies_350_ms_into_the_beat() -> None:
    beats = ones(1000.0)
    ms = np.arange(-450, 750)
    beats.signals[:] = np.exp(-0.5 * (ms / 15) ** 2)
    found = style_beats(beats, 100.0)
    assert found.signals.shape == (1, 12, 100)
    assert found.signals[0].argmax(axis=1).tolist() == [35] * 12
    np.testing.assert_allclose(found.signals[0, 0, 30:41], np.exp(-0.5 * (np.arange(-50, 51, 10) / 15) ** 2), atol=0.01)


@pytest.mark.parametrize(("rr", "first", "last"), [(1500.0, -350, 640), (800.0, -350, 600), (600.0, -250, 400)])
def test_a_beat_lies_between_the_t_before_and_the_p_after(rr: float, first: int, last: int) -> None:
    weight = style_beats(ones(rr), 100.0).signals[0, 0]
    ms = np.arange(-350, 650, 10)
    assert not weight[(ms <= first) | (ms >= last)].any()
    np.testing.assert_allclose(weight[(ms >= first + 60) & (ms <= last - 60)], 1, atol=1e-3)
    assert weight[ms == first + 30] == pytest.approx(0.5, abs=1e-3)
    assert weight[ms == last - 30] == pytest.approx(0.5, abs=1e-3)


def test_without_p_and_t_the_next_qrs_ends_a_beat() -> None:
    nothing = [np.nan] * 3
    weight = style_beats(ones(500.0, [nothing, MARKS[1], nothing]), 100.0).signals[0, 0]
    ms = np.arange(-350, 650, 10)
    assert not weight[ms >= 500 - 50 - 40].any()
    assert weight[ms == -290] == pytest.approx(1, abs=1e-3)


def test_an_ecg_without_a_beat_is_left_out_and_none_at_all_is_said() -> None:
    beats = ones(1000.0, n=3)
    beats.signals[1] = np.nan
    assert style_beats(beats, 100.0).rows.tolist() == [0, 2]
    beats.signals[:] = np.nan
    with pytest.raises(EcgkitError, match="none of 3 ECGs has a usable median beat"):
        style_beats(beats, 100.0)


def test_tiles_repeat_and_pass_gradients_to_the_one_beat() -> None:
    beat = torch.arange(24.0).reshape(1, 12, 2).requires_grad_()
    strip = tiled(beat, 5)
    assert torch.equal(strip[..., [0, 2, 4]], beat[..., [0, 0, 0]])
    strip.sum().backward()
    assert beat.grad is not None
    assert beat.grad[0, 0].tolist() == [3, 2]
    np.testing.assert_array_equal(tiled(beat.detach().numpy(), 5), strip.detach().numpy())
    with pytest.raises(EcgkitError, match="expected"):
        tiled(np.zeros((12, 5)), 10)


def table(**shift: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measurements of 60 beats with unit spread each, and the same after some of them moved."""
    rng = np.random.default_rng(0)
    before = pd.DataFrame(rng.normal(size=(60, len(NAMED))), columns=list(NAMED))
    after = before + 0.001 * rng.normal(size=before.shape)
    for name, by in shift.items():
        after[name] += by
    return before, after


def test_every_named_measurement_exists() -> None:
    assert set(NAMED) <= set(COLUMNS)


def test_effects_are_mean_changes_with_intervals() -> None:
    before, after = table(qrs=18, axis=200)
    effects = measured_effects(before, after, n_boot=100)
    assert effects.loc["qrs", "effect"] == pytest.approx((after["qrs"] - before["qrs"]).mean())
    assert effects.loc["axis", "effect"] == pytest.approx(-160, abs=0.1)  # The short way round.
    assert (effects["effect_low"] <= effects["effect"]).all()
    assert effects.loc["r_V5", "spread"] == pytest.approx(before["r_V5"].std())
    assert effects.loc["qrs", "spread"] == 5  # Less than 5 ms does not matter.
    assert effects.loc[["qrs", "r_V5"], ["says", "unit"]].to_numpy().tolist() == [["QRS", "ms"], ["R V5", "mV"]]


def test_a_name_tells_the_largest_change_of_each_kind() -> None:
    before, after = table(qrs=18, r_V5=0.4, r_V4=0.3, s_V1=-0.2, t_II=0.04, pr=6)
    effects = measured_effects(before, after, n_boot=100)
    assert coordinate_name(effects, 60) == "QRS +18 ms, R V5 +0.40 mV, S V1 −0.20 mV"
    assert coordinate_name(effects, 60, n_parts=1) == "QRS +18 ms"
    assert telling(effects, 60, n_parts=9) == ["qrs", "r_V5", "s_V1"]


def test_nothing_is_named_without_a_sure_and_common_change() -> None:
    before, after = table()
    assert coordinate_name(measured_effects(before, after, n_boot=100), 60) == NOTHING
    before, after = table(qt=30)
    after.loc[:40, "qt"] = np.nan
    assert coordinate_name(measured_effects(before, after, n_boot=100), 60) == NOTHING
    after["pr"] = before["pr"] + np.where(np.arange(60) % 2, 300, -290)
    assert coordinate_name(measured_effects(before, after, n_boot=100), 60) == NOTHING


def test_units() -> None:
    assert [said("pr", -12.4), said("axis", 31.2), said("st60_V2", -0.106)] == \
        ["PR −12 ms", "axis +31°", "ST60 V2 −0.11 mV"]


def test_a_taller_beat_measures_taller() -> None:
    data = ecgkit.load("synthetic", n_patients=12, task="class", fs=100)
    beats = style_beats(measure(data.signals, 100.0).beats, 100.0).signals
    before, after = measured_beats(beats, 100.0), measured_beats(1.5 * beats, 100.0)
    effects = measured_effects(before, after, n_boot=50)
    assert effects.loc["r_V5", "effect"] == pytest.approx(0.5 * before["r_V5"].mean(), rel=0.15)
    assert abs(effects.loc["pr", "effect"]) < 8
