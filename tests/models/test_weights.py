"""Tests of encoders on disk: the same after a round trip, named errors, and what is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import ecgkit
from ecgkit.errors import EcgkitError
from ecgkit.models import (
    ENCODERS,
    Classifier,
    Embedder,
    build_encoder,
    load_classifier,
    load_encoder,
    model_card,
    pretrained,
    save_classifier,
    save_encoder,
    shipped,
    shipped_encoders,
    weights,
)
from ecgkit.models.generator import Discriminator, Generator
from ecgkit.models.weights import load_backbone, load_explainer, save_explainer, shipped_explainers


def embedder(name: str = "xresnet1d18") -> Embedder:
    torch.manual_seed(0)
    encoder = build_encoder(name, **({"widths": (8, 8, 8, 8)} if name.startswith("xresnet") else {}))
    return Embedder(encoder, fs=100, crop_len=250, millivolts=0.3).eval()


@pytest.fixture
def shipping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that ships the encoder `small` and the classifier `scores`, and nothing else."""
    monkeypatch.setattr(weights, "files", lambda package: tmp_path)
    folder = tmp_path / "shipped" / "encoders"
    folder.mkdir(parents=True)
    save_encoder(embedder(), folder / "small.safetensors", {"data": "made up"})
    save_classifier(Classifier(embedder().encoder, ("A",), fs=100, crop_len=250),
                    tmp_path / "shipped" / "scores.safetensors", {"labels": 1})
    return folder


@pytest.mark.parametrize("name", [name for name in ENCODERS if name not in ("xresnet1d34", "xresnet1d101")])
def test_an_encoder_comes_back_the_same_with_its_card(name: str, tmp_path: Path) -> None:
    model, file = embedder(name), tmp_path / "e.safetensors"
    save_encoder(model.train(), file, {"data": "made up", "n_train": 3})
    again, x = load_encoder(file), torch.randn(2, 12, 400)
    assert torch.equal(model.eval()(x), again(x))
    assert not any(module.training for module in again.modules())
    assert (again.fs, again.crop_len, again.n_features) == (100, 250, model.n_features)
    assert model_card(file) == {"data": "made up", "n_train": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["e.safetensors"]


def test_weights_that_share_memory_are_kept(tmp_path: Path) -> None:
    model, file = embedder(), tmp_path / "e.safetensors"
    one, other = (model.encoder.get_submodule(name) for name in ("blocks.0.residual.0.0", "blocks.1.residual.0.0"))
    one.weight = other.weight
    save_encoder(model, file, {})
    assert torch.equal(load_encoder(file).encoder.get_parameter("blocks.0.residual.0.0.weight"), other.weight)


def test_kinds_are_not_taken_for_each_other(shipping: Path) -> None:
    encoder, classifier = shipping / "small.safetensors", shipping.parent / "scores.safetensors"
    with pytest.raises(EcgkitError, match=r"holds no encoder of this package; make it with ecgkit\.save_encoder"):
        load_encoder(classifier)
    with pytest.raises(EcgkitError, match=r"holds no classifier of this package; make it with ecgkit\.save_class"):
        load_classifier(encoder)
    assert (model_card(encoder), model_card(classifier)) == ({"data": "made up"}, {"labels": 1})


def test_damaged_foreign_and_missing_files_are_named(tmp_path: Path) -> None:
    file = tmp_path / "e.safetensors"
    save_encoder(embedder(), file, {})
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(EcgkitError, match="not a readable file of weights") as caught:
        load_encoder(file)
    assert str(file) in str(caught.value)
    save_file({"a": torch.zeros(1)}, file)
    for read in (load_encoder, model_card):
        with pytest.raises(EcgkitError, match="holds no"):
            read(file)
    with pytest.raises(EcgkitError, match="no such file of weights; shipped are"):
        load_encoder(tmp_path / "none.safetensors")


def test_what_is_shipped_is_found_by_name(shipping: Path) -> None:
    assert shipped_encoders() == {"small": shipping / "small.safetensors"}
    assert list(shipped()) == ["scores"]
    x = torch.randn(1, 12, 300)
    assert torch.equal(pretrained("small")(x), load_encoder("small")(x))
    assert not pretrained("small").training
    assert model_card("small") == {"data": "made up"}
    assert model_card("scores") == {"labels": 1}


def test_a_backbone_is_an_encoder_or_a_classifier_and_a_textbook_goes_before_its_encoder(shipping: Path) -> None:
    assert isinstance(load_backbone("small"), Embedder)
    for name in ("scores", shipping.parent / "scores.safetensors"):
        assert isinstance(load_backbone(name), Classifier)
    assert isinstance(load_backbone(shipping / "small.safetensors"), Embedder)
    (shipping.parent / "textbooks").mkdir()
    save_classifier(Classifier(embedder().encoder, ("MI",), fs=100, crop_len=250),
                    shipping.parent / "textbooks" / "small.safetensors", {})
    taught = load_backbone("small")
    assert isinstance(taught, Classifier)
    assert taught.label_names == ("MI",)
    with pytest.raises(EcgkitError, match="big: no such file of weights; shipped are "):
        load_backbone("big")
    save_file({"a": torch.zeros(1)}, shipping / "other.safetensors")
    with pytest.raises(EcgkitError, match="holds no classifier or encoder of this package"):
        load_backbone(shipping / "other.safetensors")


def test_an_unknown_name_says_which_exist(shipping: Path) -> None:
    # A file of one's own is no shipped encoder, even where a path is given.
    for name in ("big", str(shipping / "small.safetensors"), "scores"):
        with pytest.raises(EcgkitError, match="is shipped; there are small"):
            pretrained(name)
    with pytest.raises(EcgkitError, match="big: no such file of weights; shipped are small$"):
        load_encoder("big")
    with pytest.raises(EcgkitError, match="shipped are small, scores$"):
        model_card("big")


def test_the_best_is_the_default(shipping: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pretrained.__defaults__ == (weights.BEST,)
    (shipping / "small.safetensors").rename(shipping / f"{weights.BEST}.safetensors")
    assert isinstance(pretrained(), Embedder)


def test_shipped_encoders_are_small_and_say_what_they_are() -> None:
    assert not set(shipped_encoders()) & set(shipped()), "one name, one model card"
    for name, path in shipped_encoders().items():
        assert path.stat().st_size <= 4 * 2**20
        model = pretrained(name)
        assert model(torch.zeros(1, 12, round(10 * model.fs))).shape == (1, model.n_features)
        assert {"data", "licence", "intended_use"} <= set(model_card(name))


def test_the_package_gives_them_at_its_door() -> None:
    assert ecgkit.pretrained is pretrained
    assert (ecgkit.load_encoder, ecgkit.save_encoder, ecgkit.Embedder) == (load_encoder, save_encoder, Embedder)


def networks() -> tuple[Generator, Discriminator, list[Classifier]]:
    torch.manual_seed(0)
    generator = Generator(6, widths=(8, 8), kernel_size=3, warp_ms=50.0, fs=250.0)
    return generator, Discriminator(4, widths=(8, 8), kernel_size=3), [
        Classifier(embedder().encoder, ("A", "B"), fs=250, crop_len=250, aggregate="max").train() for _ in range(2)]


def test_an_explainer_comes_back_in_half_precision_with_what_was_told_about_it(tmp_path: Path) -> None:
    generator, discriminator, twins = networks()
    file, before = tmp_path / "e.safetensors", [value.clone() for value in generator.state_dict().values()]
    save_explainer(generator, discriminator, twins, file, {"limits": [0.5, -1.0]}, {"data": "made up"})
    assert all(map(torch.equal, generator.state_dict().values(), before)), "what is saved stays as it was"
    assert twins[0].training
    parts, about = load_explainer(file)
    assert about == {"limits": [0.5, -1.0]}
    assert model_card(file) == {"data": "made up"}
    assert list(parts) == ["generator", "discriminator", "twin0", "twin1"]
    assert not any(module.training for module in parts.modules())
    for model, again in zip((generator, discriminator, *twins), parts.values(), strict=True):
        assert type(again) is type(model)
        for name, value in model.state_dict().items():
            kept = again.state_dict()[name]
            assert kept.dtype == value.dtype
            assert torch.equal(kept, value.half().to(value.dtype)), name
    assert (parts["generator"].config, parts["discriminator"].config) == (generator.config, discriminator.config)
    again = parts["twin1"]
    assert isinstance(again, Classifier)
    assert (again.label_names, again.fs, again.crop_len, again.aggregate) == (("A", "B"), 250, 250, "max")
    assert [path.name for path in tmp_path.iterdir()] == ["e.safetensors"]


def test_an_explainer_without_twins_is_half_the_size_of_its_weights(tmp_path: Path) -> None:
    generator, discriminator, _ = networks()
    save_explainer(generator, discriminator, [], tmp_path / "e.safetensors", {}, {})
    numbers = sum(value.numel() for model in (generator, discriminator) for value in model.state_dict().values())
    assert 2 * numbers < (tmp_path / "e.safetensors").stat().st_size < 2 * numbers + 20_000


def test_explainers_are_shipped_by_name_and_not_taken_for_others(shipping: Path) -> None:
    folder = shipping.parent / "explainers"
    folder.mkdir()
    generator, discriminator, twins = networks()
    save_explainer(generator, discriminator, twins, folder / "why.safetensors", {"n": 1}, {"explains": "scores"})
    assert shipped_explainers() == {"why": folder / "why.safetensors"}
    assert load_explainer("why")[1] == {"n": 1}
    assert model_card("why") == {"explains": "scores"}
    with pytest.raises(EcgkitError, match="holds no explainer of this package"):
        load_explainer(shipping / "small.safetensors")
    with pytest.raises(EcgkitError, match="holds no classifier of this package"):
        load_classifier(folder / "why.safetensors")
    with pytest.raises(EcgkitError, match="none: no such file of weights; shipped are why$"):
        load_explainer("none")
    (folder / "why.safetensors").write_bytes((folder / "why.safetensors").read_bytes()[:-50])
    with pytest.raises(EcgkitError, match="not a readable file of weights"):
        load_explainer("why")


@pytest.mark.parametrize(("old", "new", "said"), [
    (b'{\\"encoder\\"', b'[\\"encoder\\"', "its configuration or model card is damaged"),
    (b"aggregate", b"aggre^ate", "do not fit the configuration"),
    (b'"config"', b'"confih"', "its configuration or model card is damaged")])
def test_a_damaged_configuration_is_told_in_one_line(shipping: Path, old: bytes, new: bytes, said: str) -> None:
    file = shipping.parent / "scores.safetensors"
    assert old in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(old, new, 1))
    with pytest.raises(EcgkitError, match=f"^[^\n]*{said}[^\n]*$"):
        load_classifier(file)


def test_an_explainer_without_what_is_told_about_it_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "e.safetensors"
    save_explainer(*networks(), file, {}, {})
    file.write_bytes(file.read_bytes().replace(b"about", b"abouz", 1))
    with pytest.raises(EcgkitError, match="do not fit the configuration"):
        load_explainer(file)


def test_a_name_that_an_explainer_shares_gives_the_classifiers_card(shipping: Path) -> None:
    folder = shipping.parent / "explainers"
    folder.mkdir()
    save_explainer(*networks(), folder / "scores.safetensors", {}, {"explains": "scores"})
    assert model_card("scores") == {"labels": 1}
    assert model_card(folder / "scores.safetensors") == {"explains": "scores"}
