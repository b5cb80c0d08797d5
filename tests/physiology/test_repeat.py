"""Tests of the table of repeatability: known names, sensible numbers, of real recordings."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ecgkit.leads import LEADS
from ecgkit.physiology import COLUMNS, repeat, repeatability


def test_it_gives_a_number_for_measurements_that_exist() -> None:
    found = repeatability()
    assert set(found) <= set(COLUMNS)
    assert {"pr", "qrs", "qt", "axis", "heart_rate", "r_V5", "st60_V2"} <= set(found)
    assert all(0 <= value < 1000 for value in found.values())
    assert all(found[name] > 0 for name in ("pr", "qrs", "qt", "axis", "r_V5", "st60_V2"))


def test_intervals_and_voltages_are_in_their_units() -> None:
    found = repeatability()
    assert 2 < found["qrs"] < 20, "ms"
    assert found["qrs"] < found["qt"] < 50, "QT is harder to measure"
    for lead in LEADS:
        assert all(found[f"{wave}_{lead}"] < 1 for wave in ("q", "r", "s", "t", "j", "st60")), "mV"


def test_the_table_says_of_how_many_ecgs() -> None:
    table = pd.read_csv(Path(repeat.__file__).with_name("repeatability.csv"), index_col="measurement")
    assert table.index.is_unique
    assert (table["n"] >= 100).all()
    assert repeatability() == table["p95"].to_dict()
