"""Tests of the battery's study: runs are found, baselines named, and an attack spends the norm it is given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import ecgkit
from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.examine import Answers, Bench
from ecgkit.models import Classifier, build_encoder, pretrained
from ecgkit.study.battery import BASELINES, attack_like, baselines, printed_shortcut


@pytest.fixture(scope="module")
def data() -> ecgkit.ECGDataset:
    return ecgkit.load("synthetic", n_patients=24, seconds=4.0)


@pytest.fixture(scope="module")
def classifier(data: ecgkit.ECGDataset) -> Classifier:
    torch.manual_seed(0)
    encoder = build_encoder("xresnet1d18", widths=(8, 8, 8, 8))
    return Classifier(encoder, data.label_names, fs=100.0, crop_len=250).eval()


def test_baselines_come_by_their_printed_names(data: ecgkit.ECGDataset, classifier: Classifier) -> None:
    made = baselines(["neighbour", "wachter", "wachter-smooth"], classifier, data)
    assert list(made) == [BASELINES[name] for name in ("neighbour", "wachter", "wachter-smooth")]
    with pytest.raises(EcgkitError, match="no baseline 'lime'"):
        baselines(["lime"], classifier, data)


def test_the_attack_spends_the_norm_of_the_other_edits(data: ecgkit.ECGDataset, classifier: Classifier) -> None:
    asked = pd.DataFrame({"row": [0, 3, 5], "label": ["MI", "MI", "CD"], "wanted": [0.05, 0.95, 0.95]})
    before = data.batch([0, 3, 5])
    edits = np.random.default_rng(0).normal(0, [[[0.01]], [[0.02]], [[0.03]]], before.shape).astype(np.float32)
    answers = Answers(before + edits, np.zeros((3, 5)), np.array(["valid"] * 3), np.ones(3))
    attacked = attack_like(answers, Bench(data, classifier, {}, {}, pretrained()), asked, classifier)
    spent = np.sqrt(np.square(attacked.signals - before).sum(axis=(1, 2)))
    np.testing.assert_allclose(spent, np.sqrt(np.square(edits).sum(axis=(1, 2))), rtol=1e-3)


def test_the_shortcut_is_printed_and_may_be_missing() -> None:
    row = {"n": 268, "answered": 0.978, "before": 101.6, "after": 16.37, "low": 14.98, "high": 17.9}
    shown = printed_shortcut(pd.DataFrame([row], index=["artefact away"]))
    assert shown.loc["artefact away"].tolist() == [268, 0.98, 102.0, "16 (15–18)"]
    assert printed_shortcut(pd.DataFrame(columns=list(row))).empty
