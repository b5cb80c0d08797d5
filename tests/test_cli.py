"""Tests of the command line, as a user calls it: output, one-line errors, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecgkit.leads import LEADS
from ecgkit.models import Classifier, build_encoder, save_classifier
from ecgkit.simulator import Cohort

NAMES = ("NORM", "MI", "STTC", "CD", "HYP")


def ecgkit(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "ecgkit.cli", *map(str, arguments)], capture_output=True, text=True,
                          cwd=cwd, check=False, env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"})


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    encoder = build_encoder("xresnet1d18", widths=(8, 8, 8, 8))
    save_classifier(Classifier(encoder, NAMES, fs=100, crop_len=250), path, {})
    return path


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same ECG three times: as the contract has it, and in other spelling, order, unit and rate; one damaged."""
    folder = tmp_path_factory.mktemp("records")
    signal = {fs: Cohort(seed=1, fs=fs, noise=0.0).signals([0])[0].T.astype(float) for fs in (100, 500)}
    # One count is a quarter of a microvolt: coarser steps than that would differ between the units.
    common = {"fmt": ["16"] * 12, "adc_gain": [4000.0] * 12, "baseline": [0] * 12, "write_dir": str(folder)}
    wfdb.wrsamp("plain", fs=100, units=["mV"] * 12, sig_name=list(LEADS), p_signal=signal[100], **common)
    order = np.random.default_rng(0).permutation(12)
    wfdb.wrsamp("other", fs=500, units=["uV"] * 12, sig_name=[LEADS[k].upper() for k in order],
                p_signal=1000 * signal[500][:, order], **{**common, "adc_gain": [4.0] * 12})
    wfdb.wrsamp("broken", fs=100, units=["mV"] * 12, sig_name=list(LEADS), p_signal=signal[100], **common)
    (folder / "broken.dat").write_bytes((folder / "broken.dat").read_bytes()[:1000])
    return folder


def test_predict_reads_any_spelling_order_unit_and_rate_alike(weights: Path, records: Path) -> None:
    done = ecgkit("predict", records / "plain", records / "other.hea", "--model", weights, "--json")
    assert done.returncode == 0, done.stderr
    plain, other = (json.loads(line) for line in done.stdout.splitlines())
    assert set(plain) == {"record", "probabilities"}
    assert plain["record"].endswith("plain")
    assert tuple(plain["probabilities"]) == NAMES
    for name in NAMES:
        assert plain["probabilities"][name] == pytest.approx(other["probabilities"][name], abs=0.02)
    assert "not a medical device" in done.stderr


def test_one_damaged_record_does_not_lose_the_rest(weights: Path, records: Path) -> None:
    done = ecgkit("predict", records, "--model", weights)
    assert done.returncode == 2
    assert sum("plain" in line or "other" in line for line in done.stdout.splitlines()) == 2
    assert "broken" in done.stderr
    assert "1 of 3 records could not be classified" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_records_file_is_taken(weights: Path, records: Path) -> None:
    (records / "RECORDS").write_text("plain\nother\n")
    done = ecgkit("predict", records / "RECORDS", "--model", weights, "--json")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize(("arguments", "words"), [
    (["predict", "nowhere"], "nowhere"),
    (["predict", "nowhere", "--model", "none.safetensors"], "none.safetensors: no such file of weights"),
    (["data", "show", "nosuch"], "no source of ECGs is called 'nosuch'"),
    (["data", "show", "ptbxl", "nowhere"], "nowhere"),
    (["data", "show", "ptbxl"], "needs the option 'root'"),
    (["train", "synthetic", "-o", "m.safetensors", "--encoder", "resnet"], "unknown encoder 'resnet'"),
])
def test_a_mistake_is_one_line_and_exit_code_2(arguments: list[str], words: str, tmp_path: Path) -> None:
    done = ecgkit(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_train_does_not_overwrite(tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").write_text("precious")
    done = ecgkit("train", "synthetic", "-o", tmp_path / "mine.safetensors")
    assert done.returncode == 2
    assert "exists" in done.stderr
    assert (tmp_path / "mine.safetensors").read_text() == "precious"


def test_help_says_what_each_verb_does() -> None:
    done = ecgkit("--help")
    assert done.returncode == 0
    for verb in ("data", "train", "predict", "bench", "book", "not a medical device"):
        assert verb in done.stdout
    assert ecgkit("predict", "--help").returncode == 0


def test_version() -> None:
    assert ecgkit("--version").stdout.strip() == "0.1.0"
