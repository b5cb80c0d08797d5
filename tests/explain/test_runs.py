"""Runs of explainers are found by the ECGs that they explain, and a missing one is said in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import ecgkit
from ecgkit.errors import EcgkitError
from ecgkit.explain.results import classify
from ecgkit.models import Classifier, build_encoder, save_classifier
from ecgkit.study.counterfactuals import runs_in

DATA = ecgkit.load("synthetic", n_patients=12, seconds=4.0)


def network(seed: int) -> Classifier:
    torch.manual_seed(seed)
    encoder = build_encoder("xresnet1d18", widths=(8, 8, 8, 8))
    return Classifier(encoder, DATA.label_names, fs=100.0, crop_len=250).eval()


def write_run(folder: Path, model: Classifier, data: ecgkit.ECGDataset = DATA, **about: str) -> None:
    folder.mkdir()
    save_classifier(model, folder / "classifier.safetensors", {})
    (folder / "about.json").write_text(json.dumps({"method": "gan", "data": data.name,
                                                   "fingerprint": data.fingerprint(), **about}))


def test_runs_are_found_by_what_they_are_and_what_they_explain(tmp_path: Path) -> None:
    other = ecgkit.load("synthetic", n_patients=13, seconds=4.0)
    write_run(tmp_path / "a", network(1), kind="random")
    write_run(tmp_path / "b", network(0), kind="trained")
    write_run(tmp_path / "c", network(2), other, kind="trained")
    write_run(tmp_path / "d", network(3), kind="trained", method="cyclegan")
    found = runs_in(tmp_path, DATA)
    assert list(found) == ["trained", "random", "cyclegan"]
    np.testing.assert_allclose(classify(found["trained"].classifier(), DATA.signals[:2]),
                               classify(network(0), DATA.signals[:2]))
    assert runs_in(tmp_path, other)["trained"].folder.name == "c"
    assert list(runs_in(tmp_path / "b", DATA)) == ["trained"]


def test_no_trained_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EcgkitError, match="no run of kind trained .* there is nothing. Run 09_counterfactuals"):
        runs_in(tmp_path, DATA)
    write_run(tmp_path / "a", network(1), kind="random")
    with pytest.raises(EcgkitError, match=f"explains {DATA.name}; there is {DATA.name}"):
        runs_in(tmp_path, DATA)
