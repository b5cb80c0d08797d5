"""Tests of the perturbations: each does what it says, per ECG, from its own generator."""

from __future__ import annotations

import pytest
import torch

from ecgkit.transforms.disturb import normal, uniform
from ecgkit.transforms.perturb import Perturb, add_noise, add_wander, mask_leads, scale_gain


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_gain_is_one_factor_for_all_leads_of_an_ecg() -> None:
    x = torch.ones(2000, 12, 5)
    y = scale_gain(x, 0.2, generator())
    assert (y == y[:, :1, :1]).all()
    assert y[:, 0, 0].log().std().item() == pytest.approx(0.2, rel=0.1)


def test_masking_takes_whole_leads_of_half_the_ecgs() -> None:
    y = mask_leads(torch.ones(4000, 12, 5), 0.3, generator())
    assert (y == y[..., :1]).all()
    lost = y[..., 0] == 0
    assert lost.float().mean().item() == pytest.approx(0.15, abs=0.01)
    untouched = (~lost).all(dim=1).float().mean().item()
    assert untouched == pytest.approx(0.5 + 0.5 * 0.7**12, abs=0.03)


def test_wander_is_slow_and_bounded() -> None:
    y = add_wander(torch.zeros(50, 12, 1000), 0.1, 100, generator())
    assert y.abs().max() <= 0.1
    power = torch.fft.rfft(y - y.mean(-1, keepdim=True)).abs().square().sum(dim=(0, 1))
    assert power[:16].sum() / power.sum() > 0.95, "0 to 1.5 Hz"


def test_noise_differs_in_strength_between_ecgs() -> None:
    spread = add_noise(torch.zeros(300, 12, 500), 0.2, generator()).std(dim=(1, 2))
    assert spread.max() < 0.21
    assert spread.mean().item() == pytest.approx(0.1, rel=0.15)


def test_all_strengths_zero_changes_nothing() -> None:
    x = torch.randn(3, 12, 250)
    assert torch.equal(Perturb(0, 0, 0, 0)(x, 100, generator()), x)


def test_a_seed_repeats_and_leaves_the_global_generator_alone() -> None:
    x, before = torch.randn(3, 12, 250), torch.random.get_rng_state()
    first, second, other = (Perturb()(x, 100, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_draws_come_from_the_generator_that_is_given() -> None:
    x = torch.empty(1)
    for draw in (uniform, normal):
        assert torch.equal(draw(x, (5,), generator(3)), draw(x, (5,), generator(3)))
        assert not torch.equal(draw(x, (5,), generator(3)), draw(x, (5,), generator(4)))
    assert normal(x, (10_000,), generator()).std().item() == pytest.approx(1, abs=0.05)
    assert uniform(x, (10_000,), generator()).mean().item() == pytest.approx(0.5, abs=0.02)
