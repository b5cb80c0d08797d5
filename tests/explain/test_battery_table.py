"""Tests of the battery's table: means, intervals, and the mark on what flatters the attack."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ecgkit.study.battery import STATISTICS, battery_table, printed_battery, printed_estimates, with_interval


def examined(valid: float, size: float, n: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"patient_id": np.arange(n) // 2, "valid": (np.arange(n) < valid * n).astype(float),
                         "abstained": 0.0, "transfer": np.where(np.arange(n) < 4, np.nan, 0.75),
                         "size": size + rng.normal(0, 1, n), "rule away": np.nan})


def test_the_mean_is_of_what_is_known_and_the_interval_holds_it() -> None:
    found = with_interval([1.0, 3.0, np.nan, np.inf], [1, 2, 3, 4])
    assert (found["estimate"], found["n"]) == (2.0, 2)
    assert found["low"] == 1.0
    assert found["high"] == 3.0


def test_all_ecgs_of_a_patient_come_together() -> None:
    """One patient with a hundred zeros and one with a single one: resamples hold one, the other, or both."""
    values = np.append(np.zeros(100), 1.0)
    found = with_interval(values, np.append(np.zeros(100), 1), n_boot=400)
    assert (found["low"], found["high"]) == (0.0, 1.0)


def test_nothing_known_is_nan_of_none() -> None:
    found = with_interval([np.nan, np.nan], [1, 2])
    assert found["n"] == 0
    assert np.isnan(found["estimate"])


def test_the_table_has_every_explainer_and_leaves_out_what_nobody_has() -> None:
    table = battery_table({"GAN": examined(0.5, 30), "PGD": examined(1.0, 5)}, n_boot=50)
    assert table.loc[("valid: reached, plausible", "GAN"), "estimate"] == pytest.approx(0.5)
    assert table.loc[("followed by unseen networks", "GAN"), "n"] == 36
    assert "disease away: defining rule no longer met" not in table.index.get_level_values("metric")


def test_a_metric_that_the_attack_wins_is_marked_and_a_tie_too() -> None:
    shown = printed_battery(battery_table({"GAN": examined(0.5, 30), "PGD": examined(1.0, 5)}, n_boot=50))
    note = shown["note"]
    assert note["valid: reached, plausible ↑"] == "flatters the attack"
    assert note["mean size of the edit, µV ↓"] == "flatters the attack"
    assert note["followed by unseen networks ↑"] == "flatters the attack", "it is as good as the best"
    better = printed_battery(battery_table({"GAN": examined(1.0, 2), "PGD": examined(0.5, 5)}, n_boot=50))
    assert better["note"]["valid: reached, plausible ↑"] == ""
    assert better["best"]["valid: reached, plausible ↑"] == "GAN"
    assert better["GAN"]["valid: reached, plausible ↑"] == "1.00 (1.00–1.00)"


def test_estimates_are_printed_with_their_intervals_and_what_stands_beside() -> None:
    table = pd.DataFrame([[0.123, 0.1, 0.15, 9, 0.987], [np.nan, np.nan, np.nan, 0, 0.5]],
                         columns=[*STATISTICS, "answered"], index=pd.Index(["a", "b"], name="label"))
    shown = printed_estimates(table, "movement")
    assert shown.to_dict("list") == {"movement": ["0.12 (0.10–0.15)", "–"], "answered": [0.99, 0.5], "n": [9, 0]}
    assert shown.index.name == "label"
    assert list(printed_estimates(table.head(0), "movement")) == list(shown), "no run of it, an empty table"
