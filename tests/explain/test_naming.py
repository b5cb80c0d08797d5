"""Names of style coordinates: what changed is what the name says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import ecgkit
from ecgkit.explain.style.beats import (
    NAMED,
    NOTHING,
    coordinate_name,
    measured_beats,
    measured_effects,
    said,
    style_beats,
    telling,
)
from ecgkit.physiology import COLUMNS, measure


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
