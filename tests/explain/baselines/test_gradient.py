"""Tests of descent in the signal and in a code, and of attacks, on classifiers whose best edits are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ecgkit.datasets.base import ECGDataset, from_arrays
from ecgkit.errors import EcgkitError
from ecgkit.explain.baselines import gradient
from ecgkit.explain.baselines.gradient import LADDER, PGD, SMOOTH_HZ, LatentAscent, Wachter, unit
from ecgkit.leads import from_independent, limb_residual
from ecgkit.models.autoencoder import Autoencoder
from ecgkit.training.loop import Schedule
from ecgkit.transforms import filtered, gaussian
from tests.explain.baselines.toys import LABELS, Linear, ecgs

V1, V6 = 6, 11


@pytest.mark.parametrize("smooth", [False, True])
def test_wachter_reaches_the_target_where_the_classifier_looks(smooth: bool) -> None:
    x = ecgs()
    found = Wachter(Linear(), label_names=LABELS, fs=100, smooth=smooth, learning_rate=0.01)(x, {"A": 0.95})
    assert found.valid.all()
    assert (found.reason == "").all()
    edit = found.signals - x
    assert (edit[:, V1].mean(axis=1) > 0).all()
    np.testing.assert_allclose(np.delete(edit, V1, axis=1), 0, atol=1e-6)
    assert (found.probabilities[:, 0] < 0.93).all(), "it stops where the target begins"


def test_wachter_leaves_an_ecg_alone_that_is_there_already() -> None:
    x = ecgs()
    x[:, V1] += 1
    x[0, V1] -= 2
    found = Wachter(Linear(), label_names=LABELS, fs=100, learning_rate=0.05)(x, {"A": 0.95})
    np.testing.assert_array_equal(found.signals[1:], x[1:])
    assert np.abs(found.signals[0] - x[0]).max() > 0.1


def test_wachter_tells_what_it_did_not_reach_and_gives_the_closest() -> None:
    x = ecgs()
    found = Wachter(Linear(), label_names=LABELS, fs=100, steps=5)(x, {"A": 0.95})
    assert not found.valid.any()
    assert found.reason[0].startswith("not reached: A is 0.")
    before = 1 / (1 + np.exp(-20 * x[:, V1].mean(axis=1)))
    assert (found.probabilities[:, 0] > before).all()


def test_a_smaller_edit_costs_less() -> None:
    """Of two ways to the target, through four samples or through all, the price of the edit decides."""

    class TwoWays(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.few = nn.Parameter(torch.tensor(1.0))

        def forward(self, x: Tensor) -> Tensor:
            return self.few * x[:, 0, :4].sum(dim=1, keepdim=True) * 20 + 0.02 * x.sum(dim=(1, 2))[:, None]

    x = np.zeros((1, 12, 100), dtype=np.float32)
    shares = []
    for weight in (0.0, 2000.0):
        found = Wachter(TwoWays(), label_names=("A",), fs=100, weight=weight)(x, {"A": 0.95})
        assert found.valid.all()
        shares.append(np.abs(found.signals[0, 0, :4]).sum() / np.abs(found.signals).sum())
    assert shares[1] > 5 * shares[0]


def test_a_smooth_edit_has_nothing_above_25_hz() -> None:
    sharp = torch.zeros(1, 12, 1000)
    sharp[:, :, 500] = 1
    taps = gaussian(SMOOTH_HZ, 100)
    power = np.abs(np.fft.rfft(filtered(sharp, taps)[0, 0].numpy())) ** 2
    hz = np.fft.rfftfreq(1000, 0.01)
    assert power[hz == SMOOTH_HZ] == pytest.approx(0.5, abs=0.01)
    assert power[hz >= 25].max() < 0.02
    assert power[0] == pytest.approx(1)
    x = ecgs(sig_len=400)
    for smooth, least, most in ((True, 0, 0.02), (False, 0.2, 1)):
        # This classifier looks at single samples: without a filter the edit is all spikes.
        found = Wachter(Spikes(), label_names=("A",), fs=100, smooth=smooth, steps=100)(x, {"A": 0.95})
        power = np.abs(np.fft.rfft(found.signals - x)) ** 2
        share = power[..., np.fft.rfftfreq(400, 0.01) > 25].sum() / power.sum()
        assert least <= share <= most


class Spikes(nn.Module):
    """The logit is the sum of every tenth sample."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x[..., ::10].sum(dim=(1, 2))[:, None]


def test_an_attack_on_a_linear_classifier_is_its_slope_times_the_norm() -> None:
    x, norms = ecgs(), np.array([0.0, 0.5, 1.0, 2.0, 4.0])
    found = PGD(Linear(), label_names=LABELS)(x, {"A": 0.95}, norms=norms)
    edit = found.signals - x
    np.testing.assert_allclose(np.linalg.norm(edit, axis=(1, 2)), norms, rtol=1e-4)
    np.testing.assert_allclose(edit[:, V1], norms[:, None] / 10 * np.ones(100), atol=1e-4)
    assert found.valid[-1]
    down = PGD(Linear(), label_names=LABELS, norm=2.0)(x, {"A": 0.05}).signals - x
    np.testing.assert_allclose(down[:, V1], -0.2, atol=1e-4)


def test_the_smallest_norm_of_the_ladder_is_taken() -> None:
    x = np.zeros((3, 12, 100), dtype=np.float32)
    x[1, V1] = 1.0
    x[2, V1] = -5.0
    found = PGD(Linear(), label_names=LABELS)(x, {"A": 0.95})
    rms = np.linalg.norm(found.signals - x, axis=(1, 2)) / np.sqrt(1200)
    # The mean of V1 that a logit of 2.2 needs, and what an edit of one lead amounts to over all twelve.
    needed = np.log(9) / 20 / np.sqrt(12)
    assert rms[0] == pytest.approx(min(step for step in LADDER if step > needed), rel=1e-3)
    assert rms[1] == 0
    assert rms[2] == pytest.approx(LADDER[-1], rel=1e-3)
    assert found.valid.tolist() == [True, True, False]


def test_an_attack_on_a_classifier_without_slope_has_its_norm_and_its_seed() -> None:
    x = ecgs()
    edits = [PGD(Linear(0.0), label_names=LABELS, norm=1.0, seed=seed)(x, {"A": 0.95}).signals - x
             for seed in (0, 0, 1)]
    np.testing.assert_allclose(np.linalg.norm(edits[0], axis=(1, 2)), 1, rtol=1e-4)
    np.testing.assert_array_equal(edits[0], edits[1])
    assert np.abs(edits[0] - edits[2]).max() > 0.01


def test_an_attack_is_no_worse_than_one_step() -> None:
    """On a bent classifier several steps on the sphere go further than one along the first slope."""

    class Bent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Conv1d(12, 8, 5)
            self.out = nn.Linear(8, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(torch.tanh(3 * self.mix(x)).mean(dim=-1))

    torch.manual_seed(0)
    classifier, x = Bent(), ecgs(20)
    one, many = (PGD(classifier, label_names=("A",), norm=3.0, steps=steps)(x, {"A": 0.95}).probabilities[:, 0]
                 for steps in (1, 20))
    assert (many >= one - 1e-6).all()
    assert (many > one + 1e-3).mean() > 0.5


def test_the_published_forms_break_the_limb_lead_algebra() -> None:
    class LeadOne(Linear):
        def forward(self, x: Tensor) -> Tensor:
            return self.slope * x[:, :2].mean(dim=-1)

    x = np.zeros((2, 12, 100), dtype=np.float32)
    for explain in (Wachter(LeadOne(), label_names=LABELS, fs=100, steps=100), PGD(LeadOne(), label_names=LABELS)):
        assert np.abs(limb_residual(explain(x, {"A": 0.95}).signals)).max() > 0.05


@pytest.mark.parametrize("norms", [[1.0, 2.0], -1.0, np.nan, np.full((5, 1), 1.0)])
def test_other_norms_are_refused(norms: object) -> None:
    with pytest.raises(EcgkitError, match="give one of 0 mV or more for each of 5 ECGs"):
        PGD(Linear(), label_names=LABELS)(ecgs(), {"A": 0.95}, norms=norms)


def test_unit_gives_nothing_where_there_is_nothing() -> None:
    x = torch.stack([torch.ones(12, 3), torch.zeros(12, 3)])
    assert unit(x).norm(dim=(1, 2)).tolist() == pytest.approx([1, 0])


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
        explain = LatentAscent(Linear(), label_names=LABELS, fs=100, schedule=SHORT)
        found = explain.fit(data(), seed=seed, checkpoints=checkpoints, **SMALL).autoencoder
        assert found is not None
        return found

    whole, other = trained(None), trained(None, seed=1)
    calls, real = 0, gradient.elbo_loss

    def killed(*arguments: object) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls > 4:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(gradient, "elbo_loss", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path)
    monkeypatch.setattr(gradient, "elbo_loss", real)
    again = trained(tmp_path)
    for name, weight in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight)
    assert not torch.equal(whole.encoder[0].weight, other.encoder[0].weight)


def test_fitting_gives_an_explainer_with_its_history() -> None:
    explain = LatentAscent(Linear(), label_names=LABELS, fs=100, schedule=SHORT).fit(data(), seed=3)
    assert list(explain.history["epoch"]) == [1, 2]
    assert explain(data(2).signals, {"A": 0.5}).signals.shape == (2, 12, 300)


def test_mistakes_before_and_in_fitting_are_told() -> None:
    explain = LatentAscent(Linear(), label_names=LABELS, fs=100)
    with pytest.raises(EcgkitError, match="call fit"):
        explain(data().signals, {"A": 0.95})
    with pytest.raises(EcgkitError, match="noise is at 250 Hz; this explainer is for 100 Hz"):
        explain.fit(data(fs=250))
    with pytest.raises(EcgkitError, match="the autoencoder's windows have 250"):
        explain.fit(data(sig_len=200))
