"""Tests of contrastive predictive coding."""

from __future__ import annotations

import math

import pytest
import torch

from ecgkit.errors import EcgkitError
from ecgkit.losses import cpc
from tests.losses import slow
from tests.losses.slow import random


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("horizon", [1, 3, 9])
def test_cpc_with_every_step_as_negative_equals_its_formula(horizon: int) -> None:
    predictions, targets = random(2, 6, horizon, 4), random(2, 6, 4, seed=1)
    assert cpc(predictions, targets, None).item() == pytest.approx(slow.cpc(predictions, targets))


def test_more_negatives_than_steps_are_all_steps() -> None:
    predictions, targets = random(2, 6, 3, 4), random(2, 6, 4, seed=1)
    assert cpc(predictions, targets, 99).item() == cpc(predictions, targets, None).item()


def test_a_step_is_never_its_own_negative() -> None:
    """All scores alike: a prediction has one candidate more than its sequence's drawn steps that are not its own."""
    steps, drawn = 10, 4
    loss = cpc(torch.zeros(200, steps, 1, 3), random(200, steps, 3).float(), drawn, generator=generator()).item()
    # A target step, 1 to 9, is among the four of ten with probability 0.4.
    assert loss == pytest.approx(0.6 * math.log(1 + drawn) + 0.4 * math.log(drawn), rel=0.01)


def test_sampled_negatives_have_the_same_scale_as_a_subset_should() -> None:
    predictions, targets = random(2, 12, 2, 4), random(2, 12, 4, seed=1)
    sampled = cpc(predictions, targets, 5, generator=generator()).item()
    assert 0 < sampled < cpc(predictions, targets, None).item()


def test_negatives_come_from_the_same_sequence_only() -> None:
    predictions, targets = random(3, 8, 2, 4), random(3, 8, 4, seed=1)
    each = [cpc(predictions[n:n + 1], targets[n:n + 1], None).item() for n in range(3)]
    assert cpc(predictions, targets, None).item() == pytest.approx(sum(each) / 3)


def test_predictions_beyond_the_end_do_not_count() -> None:
    predictions, targets = random(1, 5, 3, 4).requires_grad_(), random(1, 5, 4, seed=1)
    gradient, = torch.autograd.grad(cpc(predictions, targets, None), predictions)
    used = gradient.abs().sum(dim=-1)[0] > 0
    assert used.tolist() == [[t + 1 + k < 5 for k in range(3)] for t in range(5)]


def test_foresight_is_rewarded_and_a_low_temperature_sharpens_it() -> None:
    targets = torch.eye(6)[None]
    predictions = torch.zeros(1, 6, 1, 6)
    predictions[:, :-1, 0] = targets[:, 1:]
    assert cpc(predictions, targets, None).item() == pytest.approx(math.log(1 + 5 * math.exp(-1)), rel=1e-5)
    assert cpc(predictions, targets, None, temperature=1e-4).item() == 0


def test_a_seed_repeats_and_leaves_the_global_generator_alone() -> None:
    predictions, targets = random(2, 12, 2, 4), random(2, 12, 4, seed=1)
    before = torch.random.get_rng_state()
    first, second, other = (cpc(predictions, targets, 3, generator=generator(seed)).item() for seed in (1, 1, 2))
    assert first == second != other
    assert torch.equal(torch.random.get_rng_state(), before)


def test_gradients_are_those_of_finite_differences() -> None:
    predictions, targets = random(2, 4, 2, 3).requires_grad_(), random(2, 4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda p, z: cpc(p, z, 2, generator=generator()), (predictions, targets))


def test_order_of_sequences_does_not_matter_and_one_is_enough() -> None:
    predictions, targets = random(3, 8, 2, 4), random(3, 8, 4, seed=1)
    turned = cpc(predictions.flip(0), targets.flip(0), None)
    assert turned.item() == pytest.approx(cpc(predictions, targets, None).item())
    assert cpc(predictions[:1], targets[:1], 3, generator=generator()).isfinite()


def test_mistakes_are_told_in_one_line() -> None:
    with pytest.raises(EcgkitError, match="no future"):
        cpc(random(2, 1, 1, 3), random(2, 1, 3))
    with pytest.raises(EcgkitError, match="expected \\(batch, steps, horizon, d\\)"):
        cpc(random(2, 5, 1, 3), random(2, 4, 3))
