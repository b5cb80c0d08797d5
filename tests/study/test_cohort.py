"""Tests of the gate's table: planted faults are found, ECGs as they are pass."""

from __future__ import annotations

from ecgkit.simulator import Cohort
from ecgkit.study.cohort import gallery, gate_table


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
