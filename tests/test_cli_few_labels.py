"""The command line with few labels: `train --method few-label`, and `predict` with what it made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pandas as pd
import pytest
import torch

from ecgkit import bench
from ecgkit.cli import learning
from ecgkit.explain.attribution.forest import reasons_for
from ecgkit.leads import swapped
from ecgkit.models import Classifier, Embedder, build_encoder, model_card, save_classifier, save_encoder, weights
from ecgkit.simulator import Cohort
from ecgkit.training import METHODS, FewLabelClassifier
from tests.conftest import Run
from tests.datasets.helpers import write_record

NAMES = ("NORM", "MI", "STTC", "CD", "HYP")


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder, and a small classifier."""
    folder = tmp_path_factory.mktemp("backbones")
    torch.manual_seed(0)
    embedder = Embedder(build_encoder("xresnet1d18", widths=(8, 8, 8, 8)), fs=100, crop_len=250)
    save_encoder(embedder, folder / "encoder.safetensors", {})
    save_classifier(Classifier(embedder.encoder, NAMES, fs=100, crop_len=250), folder / "classifier.safetensors", {})
    return folder


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory, backbones: Path) -> Path:
    """A small few-label classifier that says it learnt from the shipped network's ECGs."""
    path = tmp_path_factory.mktemp("few") / "joined.safetensors"
    cohort = Cohort(seed=1, seconds=5)
    labels = np.random.default_rng(0).integers(2, size=(30, 5))
    model = FewLabelClassifier(encoder=weights.load_backbone(backbones / "encoder.safetensors"), n_trees=5)
    model.fit(cohort.signals(range(30)), labels, label_names=NAMES).save(
        path, {"fingerprint": model_card("ptbxl-superclass")["fingerprint"]})
    return path


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    ecg = Cohort(seed=3, noise=0.3).signals([3])
    for name, x in (("ecg", ecg), ("arms", swapped(ecg, "RA-LA"))):
        write_record(folder, name, x[0].astype(float))
    return folder


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty ECGs in PTB-XL's layout: 40 to train on, ten each to watch and to test."""
    root = bench.write_records(tmp_path_factory.mktemp("archive"), 60)
    table = pd.read_csv(root / "ptbxl_database.csv")
    table["strat_fold"] = [1, 2, 3, 4, 9, 10] * 10
    table.to_csv(root / "ptbxl_database.csv", index=False)
    return root


@pytest.mark.parametrize("backbone", ["encoder", "classifier"])
def test_a_few_label_classifier_is_trained_scored_and_asked(run: Run, archive: Path, backbones: Path, records: Path,
                                                            tmp_path: Path, backbone: str) -> None:
    file = tmp_path / "few.safetensors"
    told = str(backbones / f"{backbone}.safetensors")
    arguments = ("train", "ptbxl", "--root", archive, "--cache", tmp_path / "cache", "--method", "few-label",
                 "--encoder", told, "--fraction", "0.5", "--seed", "3", "-o", file)
    code, output, errors = run(*arguments)
    assert code == 0, errors
    assert "macro" in output
    card = model_card(file)
    assert (card["n_train"], card["n_test"], card["seed"]) == (20, 10, 3)
    assert card["settings"] == {"method": "few-label", "encoder": told, "n_trees": FewLabelClassifier().n_trees,
                                "n_unlabelled": 20}
    assert {"data", "fingerprint", "test_auroc", "ecgkit", "licence", "intended_use", "limits"} <= set(card)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "few.checkpoints", "few.safetensors"]
    code, output, errors = run("predict", records / "ecg", "--model", file, "--json")
    assert code == 0, errors
    assert tuple(json.loads(output)["probabilities"]) == tuple(FewLabelClassifier.load(file).label_names)
    code, _, errors = run(*arguments)
    assert code == 2
    assert "few.safetensors exists" in errors


def test_predict_says_what_the_library_says_and_what_it_would_plugged_back(run: Run, few: Path, records: Path) -> None:
    code, output, errors = run("predict", records, "--model", few, "--json")
    assert code == 0, errors
    arms, ecg = map(json.loads, output.splitlines())
    assert set(ecg) == {"record", "usable", "warnings", "novelty", "probabilities"}
    assert (ecg["novelty"], arms["novelty"]) == (None, None), "a file of one's own has none"
    p = FewLabelClassifier.load(few).predict_proba(Cohort(seed=3, noise=0.3).signals([3]))[0]
    assert list(ecg["probabilities"].values()) == pytest.approx(p, abs=0.02)
    label = max(ecg["probabilities"], key=lambda name: ecg["probabilities"][name])
    (warning,) = arms["warnings"]
    assert f"the classifier would say {label} {ecg['probabilities'][label]:.2f}" in warning["text"]


def test_predict_tells_what_moved_the_forest(run: Run, few: Path, records: Path) -> None:
    code, output, errors = run("predict", records, "--model", few, "--why", "--json")
    assert code == 0, errors
    arms, ecg = map(json.loads, output.splitlines())
    model = FewLabelClassifier.load(few)
    seen = model.see(Cohort(seed=3, noise=0.3).signals([3]))
    assert set(ecg["reasons_for"]) == set(arms["reasons_for"]) == set(NAMES)
    assert all(1 <= len(told) <= 6 for told in ecg["reasons_for"].values())
    plain = json.loads(run("predict", records / "ecg", "--model", few, "--json")[1])
    assert plain == {name: value for name, value in ecg.items() if name != "reasons_for"}
    close = [len(set(told) & set(mine)) for told, mine in zip(
        ecg["reasons_for"].values(), reasons_for(model, seen.measured[0]).values(), strict=True)]
    assert sum(close) > 0.5 * sum(map(len, ecg["reasons_for"].values())), "but for the file's microvolts"
    code, output, _ = run("predict", records / "ecg", "--model", few, "--why")
    label = max(ecg["probabilities"], key=lambda name: ecg["probabilities"][name])
    assert output.splitlines()[-len(ecg["reasons_for"][label]) - 1:] == [
        f"  for {label}, says its forest:", *(f"    {text}" for text in ecg["reasons_for"][label])]


def test_why_is_asked_of_few_label_models_only(run: Run, records: Path) -> None:
    code, output, errors = run("predict", records / "ecg", "--why", "--model", "ptbxl-superclass")
    assert (code, output, len(errors.splitlines())) == (2, "", 1)
    assert "--why needs a few-label model, and ptbxl-superclass is a network" in errors


def test_a_shipped_one_has_the_novelty_of_the_network_of_its_ecgs(run: Run, few: Path, records: Path, tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    shipping = replace(weights._FEW_LABELS, folder=str(tmp_path))
    monkeypatch.setattr(weights, "_FEW_LABELS", shipping)
    monkeypatch.setattr(weights, "_KINDS", (*weights._KINDS, shipping))
    (tmp_path / "joined.safetensors").write_bytes(few.read_bytes())
    FewLabelClassifier.load(few).save(tmp_path / "others.safetensors", {"fingerprint": "of other ECGs"})
    network, joined, others = (json.loads(run("predict", records / "ecg", "--model", name, "--json")[1])
                               for name in ("ptbxl-superclass", "joined", "others"))
    assert joined["novelty"] == network["novelty"]
    assert joined["probabilities"] != network["probabilities"]
    assert joined["probabilities"] == others["probabilities"]
    assert others["novelty"] is None


@pytest.mark.parametrize(("arguments", "words"), [
    (("--fraction", "0.5"), "--fraction does not apply to --method network; leave it out"),
    (("--method", "few-label", "--epochs", "30"), "--epochs does not apply to --method few-label; leave it out"),
    (("--method", "few-label", "--device", "cpu"), "--device does not apply to --method few-label"),
    (("--method", "few-label", "--fs", "100"), "--fs does not apply to --method few-label"),
    (("--method", "few-label", "--fraction", "2"), "label fraction 2.0: give a number above 0 and up to 1"),
    (("--method", "few-label", "--encoder", "xresnet1d18"), "xresnet1d18: no such file of weights; shipped are"),
    (("--method", "few-label", "--encoder", "unet"), "unet: no such file of weights"),
    (("--method", "forest"), "no method 'forest' trains a classifier; choose network or few-label"),
])
def test_a_mistake_is_one_line(run: Run, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    code, output, errors = run("train", "synthetic", "-o", tmp_path / "m.safetensors", *arguments)
    assert (code, output) == (2, "")
    assert words in errors
    assert len(errors.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_the_methods_that_help_lists_are_those_there_are() -> None:
    told = get_type_hints(learning.pretrain, include_extras=True)["method"].__metadata__[0].help
    assert told.removesuffix(".").replace(" or ", ", ").split(", ") == list(METHODS)
