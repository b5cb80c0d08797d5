"""Tests of pretraining on the simulator: it learns what it is told, and hands its weights on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgkit.datasets.ptbxl import SUPERCLASSES
from ecgkit.errors import EcgkitError
from ecgkit.leads import INDEPENDENT, LEADS
from ecgkit.models import build_encoder
from ecgkit.simulator import ALL_NAMES, EDIT_NAMES, Cohort
from ecgkit.training import Schedule, SimulatedSettings, SupervisedSettings, pretrain_on_simulator, train_classifier
from ecgkit.training.simulated import AFTER, BEFORE, INTERVALS, LINEAR_UP_TO, beat_len, clean_beats
from tests.training.test_supervised import bumps

NARROW = {"widths": [8, 8, 8, 8]}
TINY = SimulatedSettings(encoder_options=NARROW, ecgs_per_epoch=256,
                         schedule=Schedule(epochs=4, batch_size=64, learning_rate=5e-3))


@pytest.fixture(scope="module")
def pretrained() -> tuple[torch.nn.Module, float, float]:
    model, history = pretrain_on_simulator(TINY)
    return model.encoder, history["loss"].iloc[0], history["loss"].iloc[-1]


def test_it_learns(pretrained: tuple[torch.nn.Module, float, float]) -> None:
    _, first, last = pretrained
    assert last < 0.95 * first


def test_its_embedding_tells_a_bundle_branch_block_from_a_normal_ecg(pretrained) -> None:
    cohort, severity = Cohort(seed=99, seconds=2.5), np.zeros((200, len(EDIT_NAMES)))
    severity[::2, EDIT_NAMES.index("LBBB")] = 1
    with torch.no_grad():
        z = pretrained[0](torch.from_numpy(cohort.signals(range(200), severity=severity))).numpy()
    direction = z[:100:2].mean(axis=0) - z[1:100:2].mean(axis=0)
    score = z[100:] @ direction
    assert (score[::2, None] > score[None, 1::2]).mean() > 0.8


def test_the_seed_decides_everything(pretrained) -> None:
    again, _ = pretrain_on_simulator(TINY)
    weights = zip(again.encoder.state_dict().values(), pretrained[0].state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)


def test_a_classifier_starts_from_its_weights(pretrained, tmp_path: Path) -> None:
    settings = SupervisedSettings(encoder_options=NARROW, crop_seconds=1.0,
                                  schedule=Schedule(epochs=1, batch_size=16, learning_rate=1e-9))
    model, _ = train_classifier(bumps(40), settings=settings, start=pretrained[0], checkpoints=tmp_path)
    for name, weight in pretrained[0].named_parameters():
        torch.testing.assert_close(model.encoder.get_parameter(name), weight, rtol=1e-4, atol=1e-5)
    train_classifier(bumps(40), settings=settings, checkpoints=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2, "another start is another run"


def test_an_encoder_of_another_size_is_refused() -> None:
    with pytest.raises(EcgkitError, match="no xresnet1d18 of the same size"):
        train_classifier(bumps(40), settings=SupervisedSettings(crop_seconds=1.0),
                         start=build_encoder("xresnet1d18", **NARROW))


def test_with_the_finer_diseases_it_names_superclasses_too() -> None:
    settings = replace(TINY, finer=True, superclass_weight=0.3, schedule=Schedule(epochs=1, batch_size=64))
    model, _ = pretrain_on_simulator(settings)
    assert model.label_names == (*ALL_NAMES, *SUPERCLASSES, *INTERVALS)
    assert model.narrowed(SUPERCLASSES).predict(Cohort(seconds=10).signals(range(3))).shape == (3, 5)


def test_with_leads_missing_it_learns_to_draw_the_clean_beat() -> None:
    settings = replace(TINY, beat_weight=1.0, interval_weight=0.0, mask=0.25, gain=0.0)
    model, history = pretrain_on_simulator(settings)
    assert model.label_names == (*EDIT_NAMES, *INTERVALS), "the drawing is no label"
    assert history["loss"].iloc[-1] < 0.92 * history["loss"].iloc[0]
    assert not any("pen" in name for name in model.state_dict())
    other, _ = pretrain_on_simulator(replace(settings, beat_weight=0.5))
    assert not torch.equal(model.encoder.stem[0][0].weight, other.encoder.stem[0][0].weight)


@pytest.mark.parametrize("fs", [100, 250])
def test_one_lead_of_one_beat_by_hand(fs: int) -> None:
    cohort = Cohort(seed=3, fs=fs, seconds=4)
    beats = clean_beats(cohort, np.arange(20))
    assert beats.shape == (20, 8, beat_len(fs))
    for index in range(20):
        waves, lead = cohort.waves([index]), cohort.clean([index])[0, LEADS.index("V2")]
        peaks = waves.ms[0, waves.kind[0] == 0, 1, 1] / 1000
        peak = min(peaks, key=lambda second: abs(second - 2))
        expected = [np.arcsinh((lead[at] - np.median(lead)) / LINEAR_UP_TO) if 0 <= at < len(lead) else np.nan
                    for at in np.round(peak * fs).astype(int) + np.arange(-round(BEFORE * fs), round(AFTER * fs))]
        np.testing.assert_allclose(beats[index, INDEPENDENT.index("V2")], expected, atol=1e-5)


def test_r_is_where_it_should_be() -> None:
    cohort = Cohort(seed=0, fs=500, seconds=4, variation=0.0)
    beat = clean_beats(cohort, np.arange(40))[:, INDEPENDENT.index("V5")]
    healthy = cohort.severity(range(40)).sum(axis=1) == 0
    assert healthy.any()
    assert np.abs(beat[healthy].argmax(axis=1) - round(BEFORE * 500)).max() <= 3


def test_noise_does_not_show() -> None:
    quiet, loud = (clean_beats(Cohort(seed=1, seconds=2.5, noise=noise), np.arange(8)) for noise in (0.0, 5.0))
    np.testing.assert_array_equal(quiet, loud)


def test_beyond_the_ends_is_unknown() -> None:
    beats = clean_beats(Cohort(seed=0, seconds=1), np.arange(200))
    assert np.isnan(beats).any()
    assert np.isfinite(beats).mean() > 0.5
