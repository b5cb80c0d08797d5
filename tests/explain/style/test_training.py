"""Training of the style generator: its losses, its resumption, and how it fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from ecgkit.errors import EcgkitError
from ecgkit.explain.counterfactual import duel
from ecgkit.explain.style import training as style_training
from ecgkit.explain.style.training import StyleSettings, divergence, spectral_distance, train_style, variety
from ecgkit.models.style import StyleNet
from ecgkit.training.checkpoint import Run
from tests.explain.style_helpers import TINY, drawn_beats, tall


def train(settings: StyleSettings = TINY, checkpoints: Path | None = None) -> tuple[StyleNet, pd.DataFrame]:
    beats = torch.from_numpy(drawn_beats(32))
    return train_style(beats, torch.sigmoid(tall(beats)), tall, settings, Run(checkpoints=checkpoints))


def test_divergence_is_kullback_and_leiblers() -> None:
    p, q = np.array([[0.2, 0.9]]), np.array([[0.5, 0.7]])
    expected = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).sum()
    found = divergence(torch.tensor(p), torch.logit(torch.tensor(q)))
    assert float(found) == pytest.approx(expected, abs=1e-5)
    assert float(divergence(torch.tensor(p), torch.logit(torch.tensor(p)))) == pytest.approx(0, abs=1e-6)


def test_spectral_distance_hears_pitch_but_not_where() -> None:
    time = torch.arange(100) / 100
    slow, fast = torch.sin(2 * torch.pi * 5 * time)[None, None], torch.sin(2 * torch.pi * 20 * time)[None, None]
    assert float(spectral_distance(slow, slow)) == 0
    assert float(spectral_distance(slow, 3 * slow)) == pytest.approx(2 * float(spectral_distance(slow, 0 * slow)))
    shifted = slow.roll(3, dims=-1)
    assert float(spectral_distance(slow, shifted)) < 0.3 * float(spectral_distance(slow, fast))


def test_variety_is_a_share_of_the_real_ones() -> None:
    beats = torch.randn(50, 12, 20, generator=torch.Generator().manual_seed(0))
    assert variety(0.3 * beats + 5, beats) == pytest.approx(0.3, rel=1e-4)
    assert variety(beats[:1].expand(50, -1, -1), beats) == pytest.approx(0, abs=1e-6)


def test_a_killed_run_ends_in_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duel, "ROW", 5)
    whole, history = train()
    steps = style_training._State.train_some

    def killed(self: style_training._State, n_steps: int) -> None:
        if self.step >= 10:
            raise KeyboardInterrupt
        steps(self, n_steps)

    monkeypatch.setattr(style_training._State, "train_some", killed)
    with pytest.raises(KeyboardInterrupt):
        train(checkpoints=tmp_path)
    monkeypatch.setattr(style_training._State, "train_some", steps)
    again, its_history = train(checkpoints=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    pd.testing.assert_frame_equal(history.drop(columns="minutes"), its_history.drop(columns="minutes"))


def test_losses_that_are_not_finite_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    beats = torch.from_numpy(drawn_beats(32))

    def broken(x: Tensor) -> Tensor:
        return tall(x) * float("nan")

    with pytest.raises(EcgkitError, match="diverged at step 0"):
        train_style(beats, torch.sigmoid(tall(beats)), broken, TINY, Run())


def test_a_collapse_is_said() -> None:
    still = replace(TINY, steps=2, learning_rate=0.0, discriminator_rate=0.0)
    beats = torch.from_numpy(20 * drawn_beats(32))
    with pytest.raises(EcgkitError, match="collapsed"):
        train_style(beats, torch.sigmoid(tall(beats)), tall, still, Run())
