"""Tests of the classifier and of its weights on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ecgkit.errors import EcgkitError
from ecgkit.models import Classifier, build_encoder, load_classifier, model_card, save_classifier, shipped


def classifier(**options: object) -> Classifier:
    torch.manual_seed(0)
    encoder = build_encoder("xresnet1d18", widths=(8, 8, 8, 8))
    return Classifier(encoder, ("NORM", "MI"), fs=100, crop_len=250, **options).eval()  # type: ignore[arg-type]


def test_a_long_ecg_scores_the_mean_or_the_maximum_of_its_windows() -> None:
    x = torch.randn(3, 12, 375)
    for aggregate, reduce in (("mean", torch.mean), ("max", torch.amax)):
        model = classifier(aggregate=aggregate)
        windows = torch.stack([model(x[..., :250]), model(x[..., 125:])])
        torch.testing.assert_close(model(x), reduce(windows, dim=0))


def test_millivolts_are_divided_by_one_number() -> None:
    x = torch.randn(2, 12, 250)
    torch.testing.assert_close(classifier(millivolts=0.2)(0.2 * x), classifier()(x), rtol=1e-4, atol=1e-5)


def test_predict_gives_probabilities_whatever_the_batch_and_leaves_the_mode() -> None:
    model = classifier().train()
    x = np.random.default_rng(0).normal(size=(5, 12, 300)).astype(np.float32)
    one, many = model.predict(x, batch_size=1), model.predict(x, batch_size=64)
    assert model.training
    np.testing.assert_allclose(one, many, atol=1e-6)
    assert ((one > 0) & (one < 1)).all()
    assert model.predict(x[:0]).shape == (0, 2)


def test_narrowed_gives_the_same_scores_for_the_labels_that_stay() -> None:
    model, x = classifier(), torch.randn(2, 12, 300)
    narrow = model.narrowed(("MI",))
    torch.testing.assert_close(narrow(x), model(x)[:, 1:])
    assert (narrow.label_names, model.label_names) == (("MI",), ("NORM", "MI"))
    assert not narrow.training


def test_gradients_reach_the_signal() -> None:
    x = torch.randn(1, 12, 500, requires_grad=True)
    classifier()(x)[0, 1].backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(dim=(0, 2)) > 0).all()


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(EcgkitError, match=r"expected \(batch, 12, sig_len\)"):
        classifier()(torch.randn(2, 8, 250))
    with pytest.raises(EcgkitError, match="longer recording"):
        classifier()(torch.randn(2, 12, 100))
    with pytest.raises(EcgkitError, match="choose mean or max"):
        classifier(aggregate="median")


def test_weights_come_back_the_same_with_their_card(tmp_path: Path) -> None:
    model, file = classifier(millivolts=0.3, aggregate="max"), tmp_path / "m.safetensors"
    save_classifier(model, file, {"data": "made up", "n_train": 3})
    again = load_classifier(file)
    x = torch.randn(2, 12, 400)
    assert torch.equal(model(x), again(x))
    assert not again.training
    assert (again.label_names, again.fs, again.aggregate) == (("NORM", "MI"), 100, "max")
    assert model_card(file) == {"data": "made up", "n_train": 3}
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_damaged_foreign_and_missing_weights_are_named(tmp_path: Path) -> None:
    file = tmp_path / "m.safetensors"
    save_classifier(classifier(), file, {})
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(EcgkitError, match="not a readable file of weights") as caught:
        load_classifier(file)
    assert str(file) in str(caught.value)
    save_file({"a": torch.zeros(1)}, file)
    with pytest.raises(EcgkitError, match="holds no classifier"):
        load_classifier(file)
    with pytest.raises(EcgkitError, match="no such file of weights; shipped are"):
        load_classifier(tmp_path / "none.safetensors")


def test_shipped_classifiers_are_small_and_say_what_they_are() -> None:
    for name, path in shipped().items():
        assert path.stat().st_size <= 4 * 2**20
        assert load_classifier(name).label_names
        assert {"data", "n_train", "test_auroc", "licence", "intended_use"} <= set(model_card(name))
