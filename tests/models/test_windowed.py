"""Tests of the classifier and the embedder: windows, scale, batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.models import (
    Classifier,
    Embedder,
    Regressor,
    build_encoder,
    load_classifier,
    load_regressor,
    model_card,
    save_classifier,
    save_regressor,
    shipped,
    windowed,
)


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


class LeadMeans(nn.Module):
    """An encoder whose answer is known: the mean of each lead over the window."""

    n_features = 12

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=-1)


def embedder(**options: float) -> Embedder:
    torch.manual_seed(0)
    return Embedder(build_encoder("xresnet1d18", widths=(8, 8, 8, 8)), fs=100, crop_len=250, **options).eval()


def test_an_embedding_is_the_mean_over_windows_by_hand() -> None:
    ramp = torch.arange(8.0).expand(2, 12, 8)
    # Windows of four, half overlapping: means 1.5, 3.5, 5.5.
    found = Embedder(LeadMeans(), fs=100, crop_len=4, millivolts=2.0)(ramp)
    torch.testing.assert_close(found, torch.full((2, 12), 3.5 / 2))


def test_an_embedding_is_the_mean_over_windows_of_a_net() -> None:
    model, x = embedder(), torch.randn(3, 12, 375)
    windows = torch.stack([model(x[..., :250]), model(x[..., 125:])])
    torch.testing.assert_close(model(x), windows.mean(dim=0))
    assert model(x).shape == (3, model.n_features)
    assert model.n_features == model.encoder.n_features


def test_millivolts_of_an_embedder_are_divided_by_one_number() -> None:
    x = torch.randn(2, 12, 250)
    torch.testing.assert_close(embedder(millivolts=0.2)(0.2 * x), embedder()(x), rtol=1e-4, atol=1e-5)


def test_embed_is_forward_whatever_the_batch_and_gives_float32_arrays() -> None:
    model = embedder()
    x = np.random.default_rng(0).normal(size=(5, 12, 300)).astype(np.float32)
    expected = model(torch.from_numpy(x)).detach().numpy()
    for batch_size in (1, 2, 64):
        found = model.embed(x, batch_size=batch_size)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert model.embed(x[:0]).shape == (0, model.n_features)


def test_embed_takes_read_only_and_double_arrays() -> None:
    x = np.random.default_rng(0).normal(size=(2, 12, 250))
    fixed = x.astype(np.float32)
    fixed.flags.writeable = False
    np.testing.assert_array_equal(embedder().embed(fixed), embedder().embed(x))  # type: ignore[arg-type]


def test_embed_leaves_the_mode_of_each_module_and_its_weights() -> None:
    model = embedder().train()
    model.encoder.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.embed(np.ones((3, 12, 250), dtype=np.float32))
    assert model.training
    assert not any(module.training for module in model.encoder.modules()), "a frozen encoder stays frozen"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_mode_comes_back_after_an_error() -> None:
    model = embedder().train()
    with pytest.raises(EcgkitError, match="longer recording"):
        model.embed(np.ones((1, 12, 100), dtype=np.float32))
    assert all(module.training for module in model.modules())


def test_a_bar_counts_many_batches_and_only_many(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, str]] = []

    def watch(items: range, doing: str, *, unit: str) -> range:
        told.append((len(items), doing))
        return items

    monkeypatch.setattr(windowed, "track", watch)
    model = Embedder(LeadMeans(), fs=100, crop_len=4)
    x = np.ones((windowed.MANY_BATCHES + 1, 12, 4), dtype=np.float32)
    model.embed(x[1:], batch_size=1)
    assert told == []
    model.embed(x, batch_size=1)
    assert told == [(len(x), "embedding")]


def test_gradients_reach_the_encoder() -> None:
    model = embedder()
    model(torch.randn(2, 12, 300)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(("shape", "words"), [((2, 8, 250), r"expected \(batch, 12, sig_len\)"),
                                              ((12, 250), "expected"), ((2, 12, 100), "longer recording")])
def test_wrong_shapes_of_an_embedder_are_refused(shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(EcgkitError, match=words):
        embedder()(torch.randn(shape))


def test_state_dicts_of_embedder_and_classifier_hold_the_same_encoder() -> None:
    """Files of weights depend on these names."""
    model = embedder(millivolts=0.3)
    classifier = Classifier(model.encoder, ("A",), fs=100, crop_len=250)
    encoder = {f"encoder.{name}" for name in model.encoder.state_dict()}
    assert set(model.state_dict()) == {"millivolts"} | encoder
    assert {name for name in classifier.state_dict() if not name.startswith("head.")} == {"millivolts"} | encoder


def regressor() -> Regressor:
    model = classifier()
    return Regressor(model.encoder, ("qrs", "age"), units=("ms", "years"), centre=(100, 60), scale=(10, 5), fs=100,
                     crop_len=250).eval()


def test_a_regressor_predicts_in_units() -> None:
    model, x = regressor(), np.random.default_rng(0).normal(size=(3, 12, 300)).astype(np.float32)
    with torch.no_grad():
        outputs = model(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(model.predict(x), outputs * (10, 5) + (100, 60), rtol=1e-5)


def test_a_regressor_comes_back_from_its_file_and_is_no_classifier(tmp_path: Path) -> None:
    model, file = regressor(), tmp_path / "r.safetensors"
    save_regressor(model, file, {"data": "made up"})
    again, x = load_regressor(file), np.zeros((2, 12, 300), np.float32)
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert (again.label_names, again.units, again.scale.tolist()) == (("qrs", "age"), ("ms", "years"), [10, 5])
    with pytest.raises(EcgkitError, match="holds no classifier"):
        load_classifier(file)


def test_a_narrowed_regressor_keeps_units_and_scale() -> None:
    model, x = regressor(), np.zeros((2, 12, 300), np.float32)
    narrow = model.narrowed(("age",))
    np.testing.assert_array_equal(narrow.predict(x), model.predict(x)[:, 1:])
    assert narrow.units == ("years",)  # type: ignore[attr-defined]


def test_every_quantity_has_a_unit() -> None:
    with pytest.raises(EcgkitError, match="1 units of 2 quantities"):
        Regressor(classifier().encoder, ("qrs", "age"), units=("ms",), fs=100, crop_len=250)
