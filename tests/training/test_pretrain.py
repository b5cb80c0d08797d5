"""Tests of `pretrain`: every method runs, learns, repeats, resumes after a kill, and says what is wrong."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from ecgkit.datasets.base import ECGDataset, from_arrays
from ecgkit.errors import EcgkitError
from ecgkit.leads import from_independent
from ecgkit.models.encoders import build_encoder
from ecgkit.models.windowed import Embedder
from ecgkit.training import views
from ecgkit.training.loop import Schedule
from ecgkit.training.methods import METHODS
from ecgkit.training.pretrain import PretrainSettings, monitors, pretrain, warn_if_collapsed
from ecgkit.training.views import Augment
from tests.training.test_methods import OPTIONS

TINY = Schedule(epochs=2, batch_size=16, learning_rate=2e-3, validate_every=2)
SIMULATED = ("simulator", "simulator_contrast")


def settings(method: str, schedule: Schedule = TINY, **changes) -> PretrainSettings:
    encoder = changes.get("encoder") or METHODS[method].encoder
    return PretrainSettings(encoder_options=OPTIONS[encoder], crop_seconds=1.0, projection=16, horizon=3,
                            simulated_per_epoch=16, schedule=schedule, **changes)


def people(n: int = 32, noise: float = 0.3, sig_len: int = 250) -> ECGDataset:
    """Each patient has a beat of their own in two ECGs of some length; label b holds where V1 is upright."""
    rng = np.random.default_rng(0)
    shape = np.repeat(rng.normal(size=(n // 2, 8, 1)), 2, axis=0)
    beat = np.tile(np.exp(-np.linspace(-3, 3, 50)**2), sig_len // 50)
    x = from_independent(shape * beat + noise * rng.normal(size=(n, 8, sig_len)))
    records = pd.DataFrame({"record": np.arange(n).astype(str), "patient_id": np.arange(n) // 2})
    upright = shape[:, 2] > 0
    return from_arrays(x, np.hstack([~upright, upright]), ("a", "b"), 100, records=records)


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains(method: str) -> None:
    data, setting = people(), settings(method)
    embedder, history = pretrain(None if method in SIMULATED else data, method=method, settings=setting, watch=data)
    assert list(history["epoch"]) == [1, 2]
    assert np.isfinite(history["loss"]).all()
    monitored = history[["alignment", "uniformity", "effective_rank", "knn"]]
    assert monitored.iloc[0].isna().all()
    assert np.isfinite(monitored.iloc[1]).all()
    assert isinstance(embedder, Embedder)
    assert not embedder.training
    assert (embedder.fs, embedder.crop_len) == (100, 100)
    assert embedder.embed(data.signals).shape == (32, embedder.n_features)
    torch.manual_seed(0)
    random = build_encoder(METHODS[method].encoder, **OPTIONS[METHODS[method].encoder])
    assert not same(random, embedder.encoder), "it has learnt something"


@pytest.mark.parametrize("method", ["simclr", "byol"])
def test_on_a_toy_problem_windows_of_an_ecg_come_closer_and_neighbours_tell_its_label(method: str) -> None:
    schedule = Schedule(epochs=15, batch_size=32, learning_rate=2e-2, validate_every=1)
    quiet = settings(method, schedule, augment=Augment(angle=10, scale=1.1, mask=0.1))
    data = people(64, noise=1.0, sig_len=200)
    _, history = pretrain(data, method=method, settings=quiet, watch=data)
    assert history["alignment"].iloc[-1] < 0.8 * history["alignment"].iloc[0]
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert history["knn"].iloc[-1] > max(0.7, history["knn"].iloc[0])


class Stopped(Exception):
    """Stands for a kill in the middle of an epoch."""


@pytest.mark.parametrize("method", ["utah", "byol"])
def test_a_run_stopped_and_resumed_equals_an_uninterrupted_one(method: str, tmp_path: Path, monkeypatch) -> None:
    data, setting = people(), settings(method, replace(TINY, epochs=3))
    whole, whole_history = pretrain(data, method=method, settings=setting, seed=3)
    read, calls = views.Recordings.__call__, 0

    def stopping(self, items, generator):
        nonlocal calls
        calls += 1
        if calls > 3:
            raise Stopped
        return read(self, items, generator)

    with monkeypatch.context() as patch:
        patch.setattr(views.Recordings, "__call__", stopping)
        with pytest.raises(Stopped):
            pretrain(data, method=method, settings=setting, seed=3, checkpoints=tmp_path)
    resumed, history = pretrain(data, method=method, settings=setting, seed=3, checkpoints=tmp_path)
    assert calls == 4
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    assert same(whole, resumed)
    assert history.equals(whole_history)


def test_the_seed_decides_everything_and_the_global_generator_is_spared() -> None:
    before = torch.random.get_rng_state()
    first, second, other = (pretrain(people(), method="simclr", settings=settings("simclr"), seed=seed)[0]
                            for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert same(first, second)
    assert not same(first, other)


def test_another_method_ablation_or_start_is_another_run(tmp_path: Path) -> None:
    start = build_encoder("xresnet1d18", **OPTIONS["xresnet1d18"])
    once = replace(TINY, epochs=1)
    pretrain(people(), method="simclr", settings=settings("simclr", once), checkpoints=tmp_path)
    pretrain(people(), method="simclr", settings=settings("simclr", once), start=start, checkpoints=tmp_path)
    pretrain(people(), method="cmsc", settings=settings("cmsc", once), checkpoints=tmp_path)
    for without in (("dual-stream",), ("dual-stream", "vcg")):
        pretrain(people(), settings=settings("utah", once, without=without, encoder="xresnet1d18"),
                 checkpoints=tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 5


@pytest.mark.parametrize("whole", [True, False])
def test_it_starts_from_the_weights_given_and_leaves_them_alone(whole: bool) -> None:
    encoder = build_encoder("xresnet1d18", **OPTIONS["xresnet1d18"])
    start = Embedder(encoder, fs=100, crop_len=100) if whole else encoder
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    still = settings("simclr", replace(TINY, learning_rate=1e-12))
    embedder, _ = pretrain(people(), method="simclr", settings=still, start=start)
    assert all(torch.allclose(p, before[name], atol=1e-6) for name, p in embedder.encoder.named_parameters())
    assert all(value.equal(before[name]) for name, value in encoder.state_dict().items())


def test_signals_are_scaled_by_one_number() -> None:
    data = people()
    embedder, _ = pretrain(data, method="simclr", settings=settings("simclr"))
    assert float(embedder.millivolts) == pytest.approx(data.signals.std(), rel=1e-5)


def test_an_embedding_of_ecgs_that_are_all_the_same_is_told_as_collapsed() -> None:
    data = people()
    dull = replace(data, store=np.zeros_like(data.store))
    with pytest.warns(RuntimeWarning, match="cmsc: the embedding has collapsed"):
        pretrain(dull, method="cmsc", settings=settings("cmsc"))


def test_simulated_methods_are_watched_without_data_and_take_the_rate_of_data() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        _, history = pretrain(None, method="simulator_contrast", settings=settings("simulator_contrast"))
        at_50, _ = pretrain(replace(people(), fs=50.0), method="simulator", settings=settings("simulator"))
    assert history["alignment"].iloc[-1] > 0
    assert (at_50.fs, at_50.crop_len) == (50, 50)


def unlabelled() -> ECGDataset:
    return people().with_labels(())


MISTAKES = {
    "no method 'simclear'; choose from simclr": (people, "simclear", {}),
    "cmsc has no ingredients to leave out": (people, "cmsc", {"without": ("vcg",)}),
    "only utah and physiology have": (people, "cmsc", {"without": ("vcg",)}),
    "physiology has no ingredient 'vcg'": (people, "physiology", {"without": ("vcg",)}),
    "utah has no ingredient 'vgc'": (people, "utah", {"without": ("vgc",)}),
    "cannot have the encoder dual_stream": (people, "utah", {"without": ("dual-stream",), "encoder": "dual_stream"}),
    "the encoder xresnet1d18 has no lead groups; choose dual_stream": (people, "utah", {"encoder": "xresnet1d18"}),
    "no data, but this method learns from recordings": (lambda: None, "cmsc", {}),
    "has no labels, but this method learns from them": (unlabelled, "supcon", {}),
    "give no views of 1 s at 100 Hz": (lambda: people(sig_len=50), "simclr", {}),
    "a signal of 150 samples has no window of 200": (lambda: people(sig_len=150), "cmsc", {}),
    "temperature is 0": (people, "cmsc", {"temperature": 0.0}),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_told_in_one_line(message: str) -> None:
    data, method, changes = MISTAKES[message]
    setting = replace(settings("cmsc"), encoder_options=OPTIONS["xresnet1d18"], **changes)
    with pytest.raises(EcgkitError, match=message) as told:
        pretrain(data(), method=method, settings=setting)
    assert "\n" not in str(told.value)


def test_a_start_of_another_size_or_for_the_simulator_is_refused() -> None:
    start = build_encoder("xresnet1d18", widths=[4, 4, 4, 4])
    with pytest.raises(EcgkitError, match="no xresnet1d18 of the same size"):
        pretrain(people(), method="simclr", settings=settings("simclr"), start=start)
    with pytest.raises(EcgkitError, match="simulator starts from random weights"):
        pretrain(None, method="simulator", settings=settings("simulator"), start=start)


def test_watched_ecgs_have_the_same_rate() -> None:
    with pytest.raises(EcgkitError, match="at 500 Hz give no views of 1 s at 100 Hz"):
        pretrain(people(), method="simclr", settings=settings("simclr"), watch=replace(people(), fs=500.0))


class FirstSample(nn.Module):
    """Embeds a window as the first sample of each lead."""

    n_features = 12

    def forward(self, x: Tensor) -> Tensor:
        return x[..., 0]


class Tiny(FirstSample):
    """The same, shrunk and moved away from zero."""

    def __init__(self, spread: float, offset: float) -> None:
        super().__init__()
        self.spread, self.offset = spread, offset

    def forward(self, x: Tensor) -> Tensor:
        return self.spread * x[..., 0] + self.offset


class Line(FirstSample):
    """All features are the same."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1, 0].expand(-1, 12)


def data(labels: Any = None, owners: Any = None, n: int = 40) -> ECGDataset:
    """ECGs that do not change in time; the class, if there is one, is the sign of lead I."""
    x = np.random.default_rng(0).normal(size=(n, 12, 1)) * np.ones(100)
    labels = np.zeros((n, 0)) if labels is None else np.asarray(labels)
    x[:, 0] += 10 * (2 * labels[:, :1] - 1) if labels.size else 0
    owners = np.arange(n) if owners is None else owners
    records = pd.DataFrame({"record": np.arange(n).astype(str), "patient_id": owners})
    return from_arrays(x, labels, tuple("ab"[:labels.shape[1]]), 100, records=records)


def test_a_good_embedding() -> None:
    labels = (np.arange(40) % 2)[:, None]
    found = monitors(Embedder(FirstSample(), fs=100, crop_len=50), data(labels))
    assert found["alignment"] == pytest.approx(0, abs=1e-6)
    assert found["uniformity"] < -1
    assert found["effective_rank"] > 3
    assert found["knn"] == 1.0
    assert not warn_if_collapsed(pd.DataFrame([found]), "x")


@pytest.mark.parametrize("spread", [0.0, 1e-6])
def test_embeddings_that_are_all_alike_are_said_once_to_have_collapsed(spread: float) -> None:
    found = monitors(Embedder(Tiny(spread, offset=1.0), fs=100, crop_len=50), data())
    assert found == {"alignment": 0, "uniformity": 0, "effective_rank": 0}
    with pytest.warns(RuntimeWarning, match=r"byol: the embedding has collapsed \(effective rank 0.00") as said:
        assert warn_if_collapsed(pd.DataFrame([found]), "byol")
    assert len(said) == 1


def test_embeddings_on_a_line_have_collapsed() -> None:
    found = monitors(Embedder(Line(), fs=100, crop_len=50), data())
    assert found["effective_rank"] == pytest.approx(1, abs=1e-2)
    with pytest.warns(RuntimeWarning):
        assert warn_if_collapsed(pd.DataFrame([found]), "x")


def test_a_common_offset_is_no_collapse() -> None:
    plain, moved = (monitors(Embedder(Tiny(1.0, offset), fs=100, crop_len=50), data()) for offset in (0.0, 30.0))
    assert moved["effective_rank"] == pytest.approx(plain["effective_rank"], rel=1e-3)
    assert moved["uniformity"] == pytest.approx(plain["uniformity"], rel=1e-3)


def test_without_labels_there_are_no_neighbours_to_ask() -> None:
    embedder = Embedder(FirstSample(), fs=100, crop_len=50)
    assert "knn" not in monitors(embedder, data())
    assert "knn" not in monitors(embedder, data(np.ones((40, 1))))


def test_a_patients_own_ecgs_have_no_vote() -> None:
    # Each patient's two ECGs are the same, and labels are drawn by patient: only the patient's own ECG tells them.
    rng, embedder = np.random.default_rng(1), Embedder(FirstSample(), fs=100, crop_len=50)
    labels = rng.integers(0, 2, (60, 1)).repeat(2, axis=0)
    x = rng.normal(size=(60, 12, 1)).repeat(2, axis=0) * np.ones(100)
    records = pd.DataFrame({"record": np.arange(120).astype(str), "patient_id": np.arange(120) // 2})
    own = monitors(embedder, from_arrays(x, labels, ("a",), 100, records=records))["knn"]
    anyone = monitors(embedder, from_arrays(x, labels, ("a",), 100))["knn"]
    assert abs(own - 0.5) < 0.2
    assert anyone > own + 0.05


def test_few_ecgs_are_enough() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = monitors(Embedder(FirstSample(), fs=100, crop_len=50), data((np.arange(4) % 2)[:, None], n=4))
    assert 0 <= found["knn"] <= 1
