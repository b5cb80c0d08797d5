"""Tests of the gate: planted faults are withheld or told, ECGs pass, exchanged electrodes are found and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgkit.datasets import cinc2011, ptbxl
from ecgkit.errors import EcgkitError
from ecgkit.leads import BACKWARDS, resample, swapped
from ecgkit.physiology import delineate, unswapped, usable
from ecgkit.physiology.electrodes import SWAPS
from ecgkit.simulator import Cohort, faults

N = 24


def ecgs(fs: float, n: int = N) -> np.ndarray:
    return Cohort(seed=6, fs=fs).signals(range(n))


@pytest.mark.parametrize("fs", [100, 500])
def test_simulated_ecgs_are_usable_and_their_electrodes_right(fs: int) -> None:
    found = usable(ecgs(fs), fs)
    assert found.usable.all()
    assert set(found.swaps) == {""}
    assert not {code for told in found.warnings for code in told} & {"clipped", "paced", "flat_leads"}
    assert found.document(0)["usable"] is True
    assert "reasons" not in found.document(0)


@pytest.mark.parametrize("fs", [100, 500])
@pytest.mark.parametrize(("name", "codes"), [
    ("noise", {"not_an_ecg", "no_beats"}), ("electrodes' noise", {"not_an_ecg", "no_beats"}),
    ("motion", {"not_an_ecg", "no_beats"}), ("flat", {"flat"}), ("nothing", {"flat"}), ("square", {"not_an_ecg"}),
    ("railed", {"amplitude", "clipped"}), ("microvolts", {"amplitude"}), ("missing", {"missing"}),
    ("drowned", {"noise", "not_an_ecg"})])
def test_what_is_no_ecg_is_withheld_and_says_why(name: str, codes: set[str], fs: int) -> None:
    made = {
        "noise": lambda: faults.white_noise(N, fs), "flat": lambda: faults.white_noise(N, fs, millivolts=0.02),
        "electrodes' noise": lambda: faults.white_noise(N, fs, at_electrodes=True),
        "motion": lambda: faults.coloured_noise(N, fs), "square": lambda: faults.square_wave(N, fs),
        "nothing": lambda: np.zeros((N, 12, 10 * fs)), "railed": lambda: faults.railed(ecgs(fs)),
        "microvolts": lambda: 1000 * ecgs(fs), "missing": lambda: np.full((N, 12, 10 * fs), np.nan),
        "drowned": lambda: ecgs(fs) + faults.white_noise(N, fs, millivolts=0.6, at_electrodes=True)}[name]()
    found = usable(made, fs)
    assert not found.usable.any()
    assert set().union(*found.reasons) <= codes
    assert found.document(0)["reasons"][0]["text"]
    assert all(not told for told in found.warnings)


def test_a_short_recording_is_withheld_and_another_shape_refused() -> None:
    found = usable(ecgs(100)[:2, :, :200], 100)
    assert found.reasons[0] == {"too_short": "too short: 2 s of the 2.5 s that beats are sought in"}
    with pytest.raises(EcgkitError, match="expected"):
        usable(ecgs(100)[0], 100)


@pytest.mark.parametrize("fs", [100, 500])
def test_clipped_and_lost_leads_are_named_and_do_not_withhold(fs: int) -> None:
    signals = ecgs(fs)
    signals[:, 7] = faults.clipped(signals, 0.5)[:, 7]
    signals[:, 10] = 0
    signals[:, 11, :50] = np.nan
    found = usable(signals, fs)
    assert found.usable.all()
    assert np.mean(["V2" in told.get("clipped", "") for told in found.warnings]) >= 0.9
    for told, faulty in zip(found.warnings, found.faults, strict=True):
        assert told["flat_leads"] == "flat or off: leads V5"
        assert told["missing_leads"] == "missing samples in leads V6"
        assert faulty[10] == "flat"
    assert found.table.columns.tolist() == ["usable", "reasons", "warnings", "swap"]


def test_pacing_spikes_are_found_at_500_hz() -> None:
    signals = ecgs(500)
    onsets = [ms[np.isfinite(ms)] - 25 for ms in delineate(signals, 500).ms[:, :, 1, 0]]
    made = faults.paced(signals, 500, onsets, seed=1)
    assert np.mean(["paced" in told for told in usable(made, 500).warnings]) >= 0.9
    at_100 = resample(made, 500, 100).astype(np.float32)
    assert np.mean(["paced" in told for told in usable(at_100, 100).warnings]) < 0.5, "the low-pass takes them away"


@pytest.mark.parametrize(("pair", "least"), [("RA-LA", 0.95), ("RA-LL", 0.9), ("V1-V6", 0.9), (BACKWARDS, 0.9)])
def test_exchanged_electrodes_of_real_ecgs_are_found_and_plugged_back(pair: str, least: float,
                                                                      sample_root: Path) -> None:
    data = ptbxl.load(sample_root, keep_unlabelled=True)
    signals = data.test.signals
    wrong = swapped(signals, pair)
    found = usable(wrong, data.fs)
    right = np.array([swap == pair for swap in found.swaps])
    assert right.mean() >= least
    assert SWAPS[pair][0] in found.warnings[int(right.argmax())].values()
    np.testing.assert_array_equal(unswapped(wrong, found.swaps)[right], signals[right])
    as_they_are = usable(signals, data.fs)
    assert np.mean([swap != "" for swap in as_they_are.swaps]) <= 0.02
    assert as_they_are.usable.all()


def test_acceptable_ecgs_of_telephones_pass(data_root: Path) -> None:
    signals = cinc2011.load(data_root / "cinc2011-unlabelled").signals[::4]
    assert usable(signals, 100).usable.mean() >= 0.99
