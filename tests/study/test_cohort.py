"""Tests of the gate's table: planted faults are found, ECGs as they are pass."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import ecgkit
from ecgkit.simulator import Cohort
from ecgkit.study.cohort import DRAWN, PLANTED, SWAPS, gallery, gate_table, held_out, printed_gate, words


def test_planted_faults_are_found_and_ecgs_pass() -> None:
    sets = {f"{fs} Hz": (Cohort(seed=9, fs=fs).signals(range(12)), float(fs)) for fs in (100, 500)}
    table = gate_table(sets, most=10)
    assert (table["n"] == 10).all()
    for name in sets:
        part = table.loc[name]
        assert (part.loc["none", ["found", "withheld"]] == 0).all()
        for fault in ("white noise, 0.3 mV", "flat, noise of 20 µV", "square wave", "railed amplifier"):
            assert part.loc[fault, "withheld"] == 1
        assert part.loc["clipped at half", "withheld"] == 0
        assert part.loc["clipped at half", "found"] == 1
        assert part.loc["arm electrodes reversed", "found"] > 0.5
    assert "pacing spikes" not in table.loc["100 Hz"].index, "the recorder's low-pass has taken them away"
    assert table.loc[("500 Hz", "pacing spikes"), "found"] >= 0.9


def test_the_gallery_has_words_for_each() -> None:
    shown = gallery(Cohort(seed=9, fs=500).signals([3])[0], 500.0)
    assert shown["railed amplifier"][1].startswith("withheld: impossible amplitude")
    assert shown["pacing spikes"][1].startswith("paced")
    assert shown["white noise, 0.3 mV"][0].shape == (12, 5000)
    assert set(DRAWN) <= set(shown)


@pytest.fixture
def table() -> pd.DataFrame:
    """Every fault is found in nine of ten ECGs; without a fault one in a hundred is withheld and two warned of."""
    names = [*PLANTED, *(told for told, *_ in SWAPS.values())]
    rows = {("held out", "none"): {"n": 100, "found": 0.02, "withheld": 0.01},
            **{("held out", name): {"n": 100, "found": 0.9, "withheld": 0.0} for name in names},
            ("LUDB", "none"): {"n": 50, "found": 0.0, "withheld": 0.0}}
    return pd.DataFrame(rows.values(), index=pd.MultiIndex.from_tuples(rows, names=["set", "fault"]))


def test_print_tells_false_alarms_first_and_of_how_many(table: pd.DataFrame) -> None:
    printed = printed_gate(table)
    assert list(printed) == ["held out (n = 100)", "LUDB (n = 50)"]
    assert list(printed.index[:2]) == ["none: answer withheld", "none: electrodes said to be exchanged"]
    assert list(printed.iloc[:2, 0]) == ["1.0 %", "2.0 %"]
    assert printed.loc["square wave"].tolist() == ["90.0 %", "–"]


def test_words_are_those_of_the_first_set(table: pd.DataFrame) -> None:
    told = words(table)
    assert told["n"] == "100"
    assert told["false"] == "1.0%"
    assert told["warned"] == "2.0%"
    assert {told[name] for name in ("noise", "arms", "leg", "left", "chest")} == {"90.0%"}


def test_sets_that_are_not_there_are_passed_over(tmp_path: Path) -> None:
    cohort = ecgkit.load("synthetic", n_patients=60)
    (name, (signals, fs)), = held_out(cohort, tmp_path, ludb="ludb-sample", cinc2011="none").items()
    assert name == "simulated ECGs, folds 9 and 10"
    assert len(signals) == len(cohort.validation) + len(cohort.test)
    assert fs == cohort.fs
