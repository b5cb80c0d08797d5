"""Tests of novelty: training ECGs rank evenly, noise and railed amplifiers rank at the top, a file gives it back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgkit.datasets import load, ptbxl
from ecgkit.models import Classifier, build_encoder, load_classifier
from ecgkit.models.novelty import shipped_novelty
from ecgkit.simulator import faults
from ecgkit.training.gate import fit_novelty


def test_training_ecgs_rank_evenly_and_what_is_none_at_the_top() -> None:
    model = Classifier(build_encoder("xresnet1d18", widths=(8, 8, 8, 8)), ("A",), fs=100, crop_len=250).eval()
    novelty = fit_novelty(model, load("synthetic", n_patients=160, seed=1))
    ranks = novelty.percentile(model, load("synthetic", n_patients=160, seed=2).signals)
    assert np.median(ranks) == pytest.approx(50, abs=20)
    assert (novelty.percentile(model, faults.railed(load("synthetic", n_patients=8, seed=2).signals)) == 100).all()


def test_the_shipped_one_belongs_to_the_shipped_classifier(sample_root: Path) -> None:
    model, novelty = load_classifier("ptbxl-superclass"), shipped_novelty("ptbxl-superclass")
    assert novelty is not None
    ranks = novelty.percentile(model, ptbxl.load(sample_root).validation.signals)
    np.testing.assert_allclose(np.quantile(ranks, [0.25, 0.5, 0.75]), [25, 50, 75], atol=8)
    assert np.median(novelty.percentile(model, faults.white_noise(8, 100))) > 90
    assert np.median(novelty.percentile(model, faults.square_wave(8, 100))) > 99


def test_other_classifiers_have_none() -> None:
    assert shipped_novelty("mine.safetensors") is None
    assert shipped_novelty("../novelty/ptbxl-superclass") is None
