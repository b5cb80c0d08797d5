"""Tests of Wachter's descent and of attacks, on classifiers whose best edits are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.explain.baselines.gradient import LADDER, PGD, SMOOTH_HZ, Wachter, unit
from ecgkit.leads import limb_residual
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
