"""Tests of fine-tuning: stage 1 is the probe and spares the encoder, stage 2 is gentle and of fixed length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ecgkit.datasets import synthetic
from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.models import Classifier, build_encoder
from ecgkit.models.windowed import Embedder
from ecgkit.training import finetune as module
from ecgkit.training.checkpoint import weights_digest
from ecgkit.training.finetune import FinetuneSettings, classifier_of, finetune, learning_rates
from ecgkit.training.loop import fit
from ecgkit.training.probe import Standard, linear_probe
from ecgkit.transforms import Perturb

TINY: dict[str, dict[str, Any]] = {
    "xresnet1d18": {"widths": [8, 8, 8, 8]},
    "dual_stream": {"widths": [4, 4, 4, 4]},
    "cpc": {"width": 8, "hidden": 8},
    "s4d": {"width": 8, "state": 4, "blocks": 2},
}
QUICK = FinetuneSettings(steps=6, epochs=0, batch_size=8, learning_rate=1e-2, anchor=0.0)


@pytest.fixture(scope="module")
def data() -> ECGDataset:
    return synthetic.load(n_patients=60, seconds=2.5)


@pytest.fixture
def embedder() -> Embedder:
    return make("xresnet1d18")


def make(name: str) -> Embedder:
    """A tiny encoder whose batch normalisation has seen other data than it starts with, in eval mode."""
    torch.manual_seed(0)
    embedder = Embedder(build_encoder(name, **TINY[name]), fs=100, crop_len=125, millivolts=0.3)
    with torch.no_grad():
        for _ in range(3):
            embedder.train()(0.5 * torch.randn(16, 12, 125))
    return embedder.eval()


def tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", TINY)
def test_before_stage_two_the_classifier_gives_the_logits_of_the_probe(data: ECGDataset, name: str) -> None:
    embedder = make(name)
    features = embedder.embed(data.signals)
    probe = linear_probe(features[:40], data.labels[:40], groups=np.arange(40), seed=0, standard=Standard.of(features))
    classifier = classifier_of(embedder, probe, data.label_names)
    assert not classifier.training
    with torch.no_grad():
        logits = classifier(torch.from_numpy(data.signals)).numpy()
    np.testing.assert_allclose(logits, probe.logits(features), atol=1e-4)


def test_the_classifier_keeps_the_logits_where_a_feature_hardly_varies(data: ECGDataset, embedder: Embedder) -> None:
    last = list(embedder.encoder.parameters())[-1]
    with torch.no_grad():
        for parameter in embedder.encoder.parameters():
            parameter.mul_(0.3 if parameter is not last else 1e-3)
    features = embedder.embed(data.signals)
    probe = linear_probe(features, data.labels, groups=np.arange(len(data)), seed=0)
    assert probe.standard.spread.min() < 1e-3, "far below what batch normalisation adds"
    with torch.no_grad():
        logits = classifier_of(embedder, probe, data.label_names)(torch.from_numpy(data.signals)).numpy()
    np.testing.assert_allclose(logits, probe.logits(features), atol=1e-3)


def test_stage_one_changes_neither_weights_nor_statistics(data: ECGDataset, embedder: Embedder,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    before, seen = tensors(embedder), list[dict[str, Tensor]]()

    def caught(model: Classifier, *args: Any, **options: Any) -> Any:
        seen.append(tensors(model.encoder))
        return fit(model, *args, **options)

    monkeypatch.setattr(module, "fit", caught)
    tuned, _ = finetune(embedder, data, settings=QUICK)
    assert any(name.endswith("running_mean") for name in seen[0])
    assert equal(seen[0], tensors(embedder.encoder)), "where stage 2 begins"
    assert equal(before, tensors(embedder)), "the embedder is left as it was"
    assert not embedder.training
    assert not equal(tensors(tuned.encoder), tensors(embedder.encoder)), "stage 2 trains everything"


def statistics(model: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in tensors(model).items() if "running" in name or "tracked" in name}


def test_statistics_stay_unless_asked(data: ECGDataset, embedder: Embedder) -> None:
    kept, _ = finetune(embedder, data, settings=QUICK)
    assert equal(statistics(embedder.encoder), statistics(kept.encoder))
    moved, _ = finetune(embedder, data, settings=replace(QUICK, keep_statistics=False))
    assert not equal(statistics(embedder.encoder), statistics(moved.encoder))


@pytest.mark.parametrize("n", [1, 5, 50])
def test_the_steps_are_as_many_however_few_ecgs(data: ECGDataset, embedder: Embedder, n: int,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: Counter[int] = Counter()

    def counted(logits: Tensor, y: Tensor) -> Tensor:
        sizes[len(logits)] += 1
        return nn.functional.binary_cross_entropy_with_logits(logits, y)

    monkeypatch.setattr(module, "binary_cross_entropy_with_logits", counted)
    _, history = finetune(embedder, data.subset(np.arange(n)), settings=QUICK)
    assert sizes == {8: 6}
    assert np.isfinite(history["loss"]).all()


def test_more_ecgs_get_more_steps_in_whole_stretches() -> None:
    settings = FinetuneSettings(steps=300, epochs=30, batch_size=64)
    assert [settings.steps_for(n) for n in (26, 255, 640, 1000, 2553)] == [300, 300, 300, 475, 1200]
    assert replace(settings, epochs=0).steps_for(10_000) == 300


def test_more_ecgs_outweigh_the_anchor(data: ECGDataset, embedder: Embedder,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(module, "_pull", lambda model, strength: seen.append(strength) or (lambda _: 0.0))
    for n in (5, 50):
        finetune(embedder, data.subset(np.arange(n)), settings=replace(QUICK, anchor=25.0))
    assert seen == [5.0, 0.5]


def test_it_learns_and_only_watches_validation(data: ECGDataset, embedder: Embedder) -> None:
    longer = replace(QUICK, steps=50, learning_rate=3e-3, dropout=0.0)
    watched, history = finetune(embedder, data.train, validation=data.validation, settings=longer)
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert history["validation_auroc"].notna().iloc[-1]
    blind, _ = finetune(embedder, data.train, settings=longer)
    assert equal(tensors(watched), tensors(blind))
    assert watched.label_names == data.label_names
    assert not watched.training


def test_the_seed_decides_everything(data: ECGDataset, embedder: Embedder) -> None:
    random = replace(QUICK, perturb=Perturb())
    one, same, other = (tensors(finetune(embedder, data, settings=random, seed=seed)[0]) for seed in (0, 0, 1))
    assert equal(one, same)
    assert not equal(one, other)


def test_an_anchor_holds_the_weights_back(data: ECGDataset, embedder: Embedder) -> None:
    start = tensors(embedder.encoder)
    moves = []
    for anchor in (0.0, 0.1 * len(data), 100.0 * len(data)):
        tuned, _ = finetune(embedder, data, settings=replace(QUICK, steps=20, anchor=anchor))
        moves.append(sum((value - start[name]).square().sum().item() for name, value in
                         tensors(tuned.encoder).items()) ** 0.5)
    assert moves[0] > moves[1] > moves[2] > 0
    assert moves[2] < 0.5 * moves[0]


def test_the_anchor_is_half_the_squared_distance() -> None:
    net = nn.Linear(2, 1)
    pull = module._pull(net, 3.0)
    with torch.no_grad():
        net.weight.add_(torch.tensor([[1.0, 2.0]]))
        net.bias.sub_(3.0)
    value = pull(net)
    assert isinstance(value, Tensor)
    assert value.item() == pytest.approx(0.5 * 3.0 * (1 + 4 + 9), rel=1e-5)


@pytest.mark.parametrize("name", TINY)
def test_rates_rise_with_depth_alike_in_every_stream(name: str) -> None:
    model = Classifier(build_encoder(name, **TINY[name]), ("A",), fs=100, crop_len=125)
    share = learning_rates(model, 0.1)
    names = [parameter for parameter, _ in model.named_parameters()]
    assert all(share(one) == 1 for one in names if one.startswith("head."))
    streams = [[one for one in names if one.startswith(prefix)] for prefix in
               (("encoder.nets.0.", "encoder.nets.1.") if name == "dual_stream" else ("encoder.",))]
    for stream in streams:
        shares = [share(one) for one in stream]
        assert shares == sorted(shares)
        assert shares[0] == pytest.approx(0.1)
        assert shares[-1] == pytest.approx(0.1 ** 0.2)
        np.testing.assert_allclose(np.diff(np.log10(sorted(set(shares)))), 0.2)
        assert shares == [share(one) for one in streams[0]]


class Stopped(Exception):
    """Stands for a kill."""


def test_a_run_stopped_and_resumed_equals_an_uninterrupted_one(data: ECGDataset, embedder: Embedder, tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    longer = replace(QUICK, steps=26)  # two stretches of 13
    whole, whole_history = finetune(embedder, data, settings=longer)
    calls: Iterator[int] = iter(range(100))

    def stopping(logits: Tensor, y: Tensor) -> Tensor:
        if next(calls) > 20:
            raise Stopped
        return nn.functional.binary_cross_entropy_with_logits(logits, y)

    with monkeypatch.context() as patch:
        patch.setattr(module, "binary_cross_entropy_with_logits", stopping)
        with pytest.raises(Stopped):
            finetune(embedder, data, settings=longer, checkpoints=tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    resumed, history = finetune(embedder, data, settings=longer, checkpoints=tmp_path)
    assert weights_digest(resumed) == weights_digest(whole)
    assert history.equals(whole_history)
    finetune(embedder, data, settings=replace(longer, input_share=0.2), checkpoints=tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2, "another setting is another run"


def test_mistakes_are_told_in_one_line(data: ECGDataset, embedder: Embedder) -> None:
    with pytest.raises(EcgkitError, match="100 Hz, and the encoder expects 500 Hz; load the data at fs=500"):
        finetune(Embedder(embedder.encoder, fs=500, crop_len=125), data)
    with pytest.raises(EcgkitError, match=r"2\.5 s are shorter than the encoder's window of 3 s"):
        finetune(Embedder(embedder.encoder, fs=100, crop_len=300), data)
    with pytest.raises(EcgkitError, match="labels or rate differ"):
        finetune(embedder, data, validation=data.with_labels(["MI"]))
    with pytest.raises(EcgkitError, match="n from 1 on"):
        finetune(embedder, data.subset(np.arange(0)))
