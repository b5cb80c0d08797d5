"""Tests of the slow network: it moves as the formula says, learns nothing by itself, and stands still in eval mode."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from ecgkit.losses import byol
from ecgkit.models.encoders import build_encoder
from ecgkit.models.windowed import Embedder
from ecgkit.training.methods import Momentum, Target, momentum_at
from ecgkit.training.views import PretrainSettings

VIEWS = torch.randn(6, 2, 12, 100, generator=torch.Generator().manual_seed(0))


def learner(n_steps: int = 4) -> Momentum:
    torch.manual_seed(0)
    encoder = build_encoder("xresnet1d18", widths=[4, 4, 4, 4])
    return Momentum(Embedder(encoder, fs=100, crop_len=100), PretrainSettings(projection=6, momentum=0.9),
                    n_steps)


def step(model: Momentum, optimizer: torch.optim.Optimizer) -> None:
    predictions, targets = model(VIEWS)
    optimizer.zero_grad()
    byol(predictions[:, 0], predictions[:, 1], targets[:, 0], targets[:, 1]).backward()
    optimizer.step()


def test_the_coefficient_rises_to_one_by_a_cosine() -> None:
    assert momentum_at(0.99, 0, 10) == pytest.approx(0.99)
    assert momentum_at(0.99, 5, 10) == pytest.approx(0.995)
    assert momentum_at(0.99, 10, 10) == pytest.approx(1.0)
    assert momentum_at(0.9, 2, 8) == pytest.approx(1 - 0.1 * (1 + 0.5**0.5) / 2)


def test_the_target_moves_as_the_formula_says() -> None:
    target, online = Target(nn.Linear(2, 2), 0.8, n_steps=2), nn.Linear(2, 2)
    weights = [target.network.weight.clone()]
    for keep in (0.8, 0.9, 1.0):
        target.follow(online)
        weights.append(keep * weights[-1] + (1 - keep) * online.weight.detach())
        torch.testing.assert_close(target.network.weight, weights[-1])
    assert int(target.step) == 3


def test_training_moves_it_after_each_step_of_the_optimizer() -> None:
    model = learner()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    name = "2.weight"
    expected = model.projector[0].weight.detach().clone()
    for taken in range(3):
        keep = 1 - 0.1 * (1 + torch.cos(torch.tensor(torch.pi * taken / 4))) / 2
        expected = keep * expected + (1 - keep) * model.projector[0].weight.detach()
        step(model, optimizer)
        torch.testing.assert_close(model.target.network[1][0].weight, expected, msg=name)
    assert not model.projector[0].weight.equal(expected)


def test_it_gets_no_gradient_and_no_place_in_the_optimizer() -> None:
    model = learner()
    predictions, targets = model(VIEWS)
    assert predictions.requires_grad
    assert not targets.requires_grad
    byol(predictions[:, 0], predictions[:, 1], targets[:, 0], targets[:, 1]).backward()
    assert all(p.grad is None and not p.requires_grad for p in model.target.parameters())
    assert model.embedder.encoder.stem[0][0].weight.grad.abs().sum() > 0


def test_it_starts_as_the_network_and_shares_nothing_with_it() -> None:
    model = learner()
    pairs = list(zip(model.target.network[0].parameters(), model.embedder.parameters(), strict=True))
    assert all(own.equal(other) and own.data_ptr() != other.data_ptr() for own, other in pairs)


def test_in_eval_mode_nothing_moves() -> None:
    model = learner().eval()
    before = deepcopy(model.state_dict())
    model(VIEWS)
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_its_state_is_in_the_state_dict() -> None:
    model, other = learner(), learner()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    step(model, optimizer)
    step(model, optimizer)
    other.load_state_dict(model.state_dict())
    assert int(other.target.step) == 2
    assert other.target.network[1][0].weight.equal(model.target.network[1][0].weight)
