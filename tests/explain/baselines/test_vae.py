"""Tests of latent ascent: it trains, resumes, reaches targets within the code, and keeps what the code cannot draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ecgkit.datasets.base import ECGDataset, from_arrays
from ecgkit.errors import EcgkitError
from ecgkit.explain.baselines import vae
from ecgkit.explain.baselines.vae import LatentAscent, train_autoencoder
from ecgkit.leads import from_independent, limb_residual
from ecgkit.models.autoencoder import Autoencoder
from ecgkit.training.loop import Schedule
from tests.explain.baselines.toys import LABELS, Linear

SHORT = Schedule(epochs=2, batch_size=8, learning_rate=3e-3)
SMALL = {"channels": 4, "widths": (8, 8, 8)}
#: What the decoder of `drawing` adds to V1, in mV, for a unit of its code.
STEP = 0.25


def data(n: int = 12, sig_len: int = 300, fs: float = 100) -> ECGDataset:
    eight = np.random.default_rng(0).normal(0, 0.1, (n, 8, sig_len)).astype(np.float32)
    return from_arrays(from_independent(eight), np.zeros((n, 0)), (), fs, name="noise")


@pytest.fixture(scope="module")
def drawing() -> Autoencoder:
    """A random autoencoder."""
    torch.manual_seed(0)
    return Autoencoder(**SMALL)


def test_what_the_code_cannot_draw_stays(drawing: Autoencoder) -> None:
    x = data().signals
    explain = LatentAscent(Linear(200.0), label_names=LABELS, fs=100, steps=200, autoencoder=drawing.train())
    found = explain(x, {"A": 0.95})
    assert drawing.training
    assert found.valid.all()
    drawing.eval()
    with torch.no_grad():
        code = drawing.encode(torch.from_numpy(x))[0]
        own = drawing.decode(code, 300).numpy()
    edit = found.signals - x
    assert 0 < np.abs(edit).mean() < 0.5 * np.abs(own - x).mean(), "the noise is not in the code, but in the answer"
    assert np.abs(limb_residual(found.signals)).max() < 1e-5


def test_an_ecg_that_is_there_already_is_not_changed(drawing: Autoencoder) -> None:
    x = data().signals.copy()
    x[:, 6] += 1
    found = LatentAscent(Linear(), label_names=LABELS, fs=100, autoencoder=drawing)(x, {"A": 0.95})
    np.testing.assert_allclose(found.signals, x, atol=1e-5)


def test_the_plain_form_is_a_drawing(drawing: Autoencoder) -> None:
    x = data().signals
    found = LatentAscent(Linear(), label_names=LABELS, fs=100, plain=True, steps=0, autoencoder=drawing)(
        x, {"A": 0.95})
    with torch.no_grad():
        np.testing.assert_allclose(found.signals, drawing.eval()(torch.from_numpy(x)).numpy(), atol=1e-5)


def test_a_killed_training_ends_in_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(checkpoints: Path | None, seed: int = 0) -> Autoencoder:
        return train_autoencoder(data(), schedule=SHORT, seed=seed, checkpoints=checkpoints, **SMALL)[0]

    whole, other = trained(None), trained(None, seed=1)
    calls, real = 0, vae.elbo_loss

    def killed(*arguments: object) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls > 4:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(vae, "elbo_loss", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path)
    monkeypatch.setattr(vae, "elbo_loss", real)
    again = trained(tmp_path)
    for name, weight in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight)
    assert not torch.equal(whole.encoder[0].weight, other.encoder[0].weight)


def test_fitting_gives_an_explainer_with_its_history() -> None:
    explain = LatentAscent(Linear(), label_names=LABELS, fs=100, schedule=SHORT).fit(data(), seed=3)
    assert list(explain.history["epoch"]) == [1, 2]
    assert explain(data(2).signals, {"A": 0.5}).signals.shape == (2, 12, 300)


def test_mistakes_are_told() -> None:
    explain = LatentAscent(Linear(), label_names=LABELS, fs=100)
    with pytest.raises(EcgkitError, match="call fit"):
        explain(data().signals, {"A": 0.95})
    with pytest.raises(EcgkitError, match="noise is at 250 Hz; this explainer is for 100 Hz"):
        explain.fit(data(fs=250))
    with pytest.raises(EcgkitError, match="the autoencoder's windows have 250"):
        explain.fit(data(sig_len=200))
