"""Tests of the command line, as a user calls it: output, one-line errors, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb

from ecgkit import bench
from ecgkit.cli.options import check_output
from ecgkit.errors import EcgkitError
from ecgkit.leads import LEADS
from ecgkit.models import (
    Classifier,
    Embedder,
    build_encoder,
    load_encoder,
    model_card,
    save_classifier,
    save_encoder,
)
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
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "small.safetensors"
    save_encoder(Embedder(build_encoder("xresnet1d18", widths=(8, 8, 8, 8)), fs=100, crop_len=250), path,
                 {"data": "none", "n": 3})
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
    assert set(plain) == {"record", "usable", "warnings", "novelty", "probabilities"}
    assert (plain["usable"], plain["warnings"], plain["novelty"]) == (True, [], None)
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


def test_embed_gives_what_the_library_gives_and_loses_only_the_damaged(encoder: Path, records: Path,
                                                                       tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    wfdb.wrsamp("brief", fs=100, units=["mV"] * 12, sig_name=list(LEADS), fmt=["16"] * 12, adc_gain=[1000.0] * 12,
                baseline=[0] * 12, p_signal=np.random.default_rng(0).normal(size=(100, 12)), write_dir=str(tmp_path))
    done = ecgkit("embed", records / "broken", tmp_path / "brief", records / "plain", records / "other",
                  "--encoder", encoder, "-o", output)
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 3
    assert "broken: " in lines[0]
    assert "brief: a signal of 100 samples" in lines[1]
    assert f"2 of 4 records could not be embedded; the others are in {output}" in lines[2]
    table = pd.read_parquet(output)
    assert table["record"].tolist() == [str(records / name) for name in ("plain", "other")]
    embeddings = table.drop(columns="record")
    assert embeddings.columns.tolist() == [f"e{k}" for k in range(16)]
    assert (embeddings.dtypes == np.float32).all()
    signal = wfdb.rdrecord(str(records / "plain")).p_signal.T[None]
    np.testing.assert_allclose(embeddings.to_numpy()[:1], load_encoder(encoder).embed(signal), atol=1e-5)
    np.testing.assert_allclose(embeddings.iloc[0], embeddings.iloc[1], atol=0.1)
    gate = table.attrs.pop("gate")
    assert table.attrs == {"encoder": str(encoder), "card": {"data": "none", "n": 3}}
    assert gate[str(records / "plain")]["usable"]
    assert 0 <= gate[str(records / "plain")]["novelty"] <= 100
    assert not list(tmp_path.glob("*.partial"))


def test_embed_replaces_a_file_only_when_told_and_writes_csv(encoder: Path, records: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine.csv"
    output.write_text("precious")
    arguments = ("embed", records / "plain", "--encoder", encoder, "-o")
    done = ecgkit(*arguments, output)
    assert (done.returncode, output.read_text()) == (2, "precious")
    assert "mine.csv exists" in done.stderr
    assert ecgkit(*arguments, output, "--force").returncode == 0
    signal = wfdb.rdrecord(str(records / "plain")).p_signal.T[None]
    np.testing.assert_allclose(pd.read_csv(output).drop(columns="record"), load_encoder(encoder).embed(signal),
                               atol=1e-5)


def test_embed_looks_at_the_output_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(EcgkitError, match="none: no such folder"):
        check_output(tmp_path / "none" / "out.csv", (".csv",), "--output")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(EcgkitError, match="exists"):
        check_output(tmp_path / "folder.csv", (".csv",), "--output", force=True)


def test_embed_writes_nothing_where_no_record_can_be_used(encoder: Path, records: Path, tmp_path: Path) -> None:
    done = ecgkit("embed", records / "broken", "--encoder", encoder, "-o", tmp_path / "out.parquet")
    assert done.returncode == 2
    assert "none of 1 records could be embedded; nothing was written" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("arguments", "words"), [
    (["predict", "nowhere"], "nowhere"),
    (["embed", "nowhere", "-o", "out.txt"], "give --output a name that ends in .parquet or .csv"),
    (["embed", "nowhere", "-o", "out.csv", "--encoder", "none"], "none: no such file of weights; shipped are"),
    (["measure", "nowhere"], "nowhere"),
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


def test_an_encoder_is_pretrained_and_made_a_classifier(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    root = bench.write_records(tmp_path / "archive", 60)
    table = pd.read_csv(root / "ptbxl_database.csv")
    table["strat_fold"] = [1, 2, 3, 4, 9, 10] * 10
    table.to_csv(root / "ptbxl_database.csv", index=False)
    encoder, classifier = tmp_path / "encoder.safetensors", tmp_path / "mine.safetensors"
    shared = ("--root", root, "--cache", tmp_path / "cache")
    done = ecgkit("pretrain", "ptbxl", *shared, "--method", "cmsc", "--epochs", "1", "-o", encoder)
    assert done.returncode == 0, done.stderr
    assert model_card(encoder)["n_ecgs"] == 40, "folds 9 and 10 stay out"
    done = ecgkit("finetune", encoder, "ptbxl", *shared, "--fraction", "0.5", "--steps", "2", "-o", classifier)
    assert done.returncode == 0, done.stderr
    assert model_card(classifier)["n_train"] == 20
    again = ecgkit("pretrain", "ptbxl", *shared, "-o", encoder)
    assert again.returncode == 2
    assert "exists" in again.stderr


def test_help_says_what_each_verb_does() -> None:
    done = ecgkit("--help")
    assert done.returncode == 0
    for verb in ("data", "train", "pretrain", "finetune", "predict", "embed", "measure", "explain", "bench",
                 "book", "not a medical device"):
        assert verb in done.stdout
    assert ecgkit("predict", "--help").returncode == 0


def test_version() -> None:
    assert ecgkit("--version").stdout.strip() == "0.1.0"
