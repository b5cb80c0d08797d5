"""The shipped explainer: found with its classifier, and one line where there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ecgkit
from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.realism import einthoven_residual
from ecgkit.explain.counterfactual.gan import CounterfactualGAN
from ecgkit.explain.counterfactual.gan import DEFAULT, load
from ecgkit.models import model_card, save_classifier, shipped, weights
from ecgkit.models.weights import shipped_explainers
from tests.explain.gan_helpers import TINY, dataset, signals
from tests.explain.test_counterfactual import small


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as a package ships them: the classifiers `small` and `other`, and an explainer of the first."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "shipped" / "explainers").mkdir(parents=True)
    for seed, name in enumerate(("small", "other")):
        save_classifier(small(seed), folder / "shipped" / f"{name}.safetensors", {})
    explainer = CounterfactualGAN(small(0), settings=replace(TINY, steps=1)).fit(dataset(4))
    explainer.save(folder / "shipped" / "explainers" / "small.safetensors", {"data": "heights"})
    return folder


@pytest.fixture
def shipping(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(weights, "files", lambda package: folder)
    return folder / "shipped"


def test_a_shipped_one_brings_its_classifier(shipping: Path) -> None:
    explainer = load("small")
    found = explainer(signals(2), {"A": 0.95})
    assert found.signals.shape == (2, 12, 100)
    assert list(shipped_explainers()) == ["small"]


def test_a_file_of_ones_own_needs_its_classifier(shipping: Path) -> None:
    file = shipping / "explainers" / "small.safetensors"
    np.testing.assert_array_equal(load(file, "small")(signals(1), {"A": 0.9}).signals,
                                  load("small")(signals(1), {"A": 0.9}).signals)
    with pytest.raises(EcgkitError, match="give also the classifier that it explains"):
        load(file)
    with pytest.raises(EcgkitError, match="explains another classifier"):
        load(file, "other")
    with pytest.raises(EcgkitError, match="holds no explainer"):
        load(shipping / "small.safetensors", "small")


def test_where_none_is_shipped_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "files", lambda package: tmp_path)
    with pytest.raises(EcgkitError, match="no such explainer is shipped .there are none.") as caught:
        load()
    assert "\n" not in str(caught.value)


def test_what_is_shipped_is_small_says_what_it_is_and_answers() -> None:
    assert DEFAULT in shipped(), "its classifier"
    for name, path in shipped_explainers().items():
        assert path.stat().st_size <= 4 * 2**20
        assert {"data", "licence", "intended_use"} <= set(model_card(path))
        explainer = load(name)
        found = explainer(np.zeros((1, 12, round(10 * explainer.fs)), np.float32), {explainer.label_names[0]: 0.95})
        assert found.probabilities.shape == (1, len(explainer.label_names))


def test_the_one_that_comes_with_the_package_answers_and_says_how_it_was_tested() -> None:
    explainer = load()
    card = model_card(shipped_explainers()[DEFAULT])
    assert "not a medical device" in card["intended_use"]
    assert {"GAN", "an attack of the same norm"} == set(card["battery"])
    assert len(card["battery"]["GAN"]) >= 6
    assert card["battery_data"]
    x = ecgkit.load("synthetic", n_patients=8).signals[:4]
    found = explainer(x, {"MI": 0.95})
    assert found.signals.shape == x.shape
    assert found.probabilities.shape == (4, 5)
    assert einthoven_residual(found.signals).max() < 1e-5
    assert found.valid.any(), "simulated hearts, which it was not trained on, included"
    assert (found.probabilities[found.valid, explainer.label_names.index("MI")] >= 0.9 - 1e-6).all()
