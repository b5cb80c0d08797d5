"""Tests of the methods: each learns, gradients reach its encoder, each part of `utah` matters, and a slow network."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.leads import from_independent
from ecgkit.losses import byol, cmlc, cmsc, guided, view_pair_loss
from ecgkit.models.encoders import build_encoder
from ecgkit.models.windowed import Embedder
from ecgkit.physiology import COLUMNS
from ecgkit.training.measured import measured_loss
from ecgkit.training.methods import (
    INGREDIENTS,
    METHODS,
    TEACHERS,
    Method,
    Momentum,
    Predictive,
    Siamese,
    Streams,
    Target,
    momentum_at,
    physiology,
    utah,
    without_ingredients,
)
from ecgkit.training.views import N_TARGETS, Augment, Batch, PretrainSettings

OPTIONS = {"xresnet1d18": {"widths": [8, 8, 8, 8]}, "dual_stream": {"widths": [8, 8, 8, 8]},
           "cpc": {"width": 8, "hidden": 8}}
CONTRASTS = [name for name, method in METHODS.items() if isinstance(method, Method)]
HOW = PretrainSettings(crop_seconds=1.0, projection=16, horizon=3)


def batch(items: str = "recordings") -> Batch:
    """Eight ECGs, of which each two are of one patient; or eight patients of two ECGs."""
    noise = np.random.default_rng(0).normal(size=(8, 2, 8, 250))
    x = torch.from_numpy(from_independent(noise).astype(np.float32))
    if items == "recordings":
        labels = torch.eye(4, dtype=torch.uint8).repeat(2, 1)
        measured = torch.from_numpy(np.random.default_rng(1).normal(size=(8, N_TARGETS)).astype(np.float32))
        measured[1, 2:9], measured[:, 3] = torch.nan, torch.nan
        return Batch(x[:, 0], torch.arange(8) // 2, labels, measured=measured)
    return Batch(x, torch.arange(8), alone=torch.arange(8) == 3)


def learner(method: Method, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    encoder = build_encoder(method.encoder, **OPTIONS[method.encoder])
    return method.learner(Embedder(encoder, fs=100, crop_len=100), HOW, n_steps=4)


def loss_of(method: Method, model: nn.Module) -> Tensor:
    source = torch.Generator().manual_seed(0)
    items = batch(method.items)
    seen = method.views(items, replace(HOW, augment=method.augment), source)
    return method.loss(model(seen), items, method.temperature, source)


def test_every_method_says_what_it_is() -> None:
    assert set(METHODS) == {"simclr", "cmsc", "cmlc", "cmsmlc", "pclr", "3kg", "supcon", "poly_window", "guided",
                            "physiology", "moco_v3", "byol", "barlow", "vicreg", "cpc", "utah", "simulator",
                            "simulator_contrast"}
    assert len({method.about for method in METHODS.values()}) == len(METHODS)


@pytest.mark.parametrize("name", CONTRASTS)
def test_gradients_reach_the_encoder_and_the_loss_falls_on_one_batch(name: str) -> None:
    method = METHODS[name]
    model = learner(method)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    values = []
    for taken in range(12):
        value = loss_of(method, model)
        optimizer.zero_grad()
        value.backward()
        if taken == 1:  # the residual branches start with a gain of zero
            silent = [key for key, p in model.embedder.encoder.named_parameters() if p.grad is None or not p.grad.any()]
            assert not silent
        optimizer.step()
        values.append(value.item())
    assert np.isfinite(values).all()
    assert min(values[-3:]) < values[0]


def test_every_ingredient_of_utah_changes_the_loss() -> None:
    values = {without: loss_of(method := utah((without,) if without else ()), learner(method)).item()
              for without in ("", *INGREDIENTS)}
    assert np.isfinite(list(values.values())).all()
    assert len(set(values.values())) == len(INGREDIENTS) + 1, values


def test_every_ingredient_of_physiology_changes_the_loss() -> None:
    values = {without: loss_of(method := physiology((without,) if without else ()), learner(method)).item()
              for without in ("", *TEACHERS)}
    assert len(set(values.values())) == len(TEACHERS) + 1, values
    named, targets = torch.zeros(8, N_TARGETS), batch().measured
    only = physiology(("contrast", "measurements")).loss((named, torch.rand(8, 2, 3)), batch(), 0.1, torch.Generator())
    assert only.item() == pytest.approx(measured_loss(named[:, len(COLUMNS):], targets[:, len(COLUMNS):]).item())


@pytest.mark.parametrize(("without", "message"), [
    (["rule"], "physiology has no ingredient 'rule'"), (["measurements", "rules"], "leave out one of two"),
    (["naming", "contrast"], "leave out one of two")])
def test_physiology_needs_something_to_teach_and_to_do(without: list[str], message: str) -> None:
    with pytest.raises(EcgkitError, match=message):
        physiology(without)


@pytest.mark.parametrize("without", [left for n in (2, 3) for left in combinations(INGREDIENTS, n)
                                     if not {"inter-lead", "inter-segment"} <= set(left)])
def test_several_ingredients_may_be_left_out_together(without: tuple[str, ...]) -> None:
    method = utah(without)
    assert torch.isfinite(loss_of(method, learner(method)))


def test_utah_contrasts_groups_within_segments_and_segments_within_groups() -> None:
    z, items = torch.randn(8, 2, 2, 5, generator=torch.Generator().manual_seed(0)), batch()
    source = torch.Generator()
    pairs = [z[:, 0], z[:, 1], z[:, :, 0], z[:, :, 1]]
    each = [view_pair_loss(pair, items.patients).item() for pair in pairs]
    loss = utah(("guided",)).loss(z, items, 0.1, source).item()
    assert loss == pytest.approx(np.mean(each), rel=1e-5)
    guidance = guided(z.flatten(1, 2), items.measured, 0.1).item()
    assert utah().loss(z, items, 0.1, source).item() == pytest.approx(loss + guidance, rel=1e-5)
    assert utah(["inter-segment", "guided"]).loss(z, items, 0.1, source).item() == pytest.approx(
        np.mean(each[:2]), rel=1e-5)
    assert utah(["inter-lead", "guided"]).loss(z[:, :, 0], items, 0.1, source).item() == pytest.approx(
        cmsc(z[:, :, 0], items.patients).item(), rel=1e-5)
    assert utah(["inter-segment", "patients", "guided"]).loss(z[:, :1], items, 0.1, source).item() == pytest.approx(
        cmlc(z[:, 0]).item(), rel=1e-5)


def test_streams_see_their_own_leads_and_groups_as_views_have_the_same_shape() -> None:
    full, single = utah(), utah(["dual-stream"])
    source = torch.Generator().manual_seed(0)
    items, how = batch(), HOW
    streams, views = learner(full).eval(), learner(single).eval()
    assert isinstance(streams, Streams)
    assert isinstance(views, Siamese)
    x = full.views(items, how, source)
    z = streams(x)
    assert z.shape == views(single.views(items, how, source)).shape == (8, 2, 2, 16)
    x[:, :, 6:] = 0
    again = streams(x)
    assert again[:, :, 0].equal(z[:, :, 0])
    assert not again[:, :, 1].isclose(z[:, :, 1]).all()


def test_an_ablation_also_holds_for_augmentations_of_ones_own() -> None:
    own = Augment(gain=0.3, blank=0.2)
    assert without_ingredients(own, ["vcg"]) == Augment(gain=0.3, blank=0.2, angle=0, scale=1)
    assert without_ingredients(own, ["blanking"]) == Augment(gain=0.3)
    assert without_ingredients(own, ["patients"]) == own


@pytest.mark.parametrize(("without", "message"), [
    (["colour"], "utah has no ingredient 'colour' to leave out; it has vcg, blanking"),
    (["inter-lead", "inter-segment"], "contrasts nothing; leave out one of them")])
def test_an_ablation_that_makes_no_sense_is_told(without: list[str], message: str) -> None:
    with pytest.raises(EcgkitError, match=message):
        utah(without)


@pytest.mark.parametrize("kind", [Streams, Predictive])
def test_an_encoder_that_lacks_what_the_method_needs_is_told(kind) -> None:
    embedder = Embedder(build_encoder("xresnet1d18", widths=[8, 8, 8, 8]), fs=100, crop_len=100)
    with pytest.raises(EcgkitError, match="the encoder xresnet1d18 has no .*; choose"):
        kind(embedder, HOW)


@pytest.mark.parametrize("name", ["cpc", "s4d"])
def test_predictions_of_cpc_do_not_see_the_future(name: str) -> None:
    options = OPTIONS["cpc"] if name == "cpc" else {}
    model = Predictive(Embedder(build_encoder(name, **options), fs=100, crop_len=100), HOW).eval()
    x = torch.randn(2, 12, 100, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        predictions, steps = model(x)
        x[..., 60:] = 0
        changed, _ = model(x)
    assert predictions.shape == (*steps.shape[:2], 3, steps.shape[2])
    before = 60 * steps.shape[1] // 100
    torch.testing.assert_close(changed[:, :before], predictions[:, :before], atol=1e-5, rtol=1e-4)
    assert not changed[:, before:].isclose(predictions[:, before:]).all()


VIEWS = torch.randn(6, 2, 12, 100, generator=torch.Generator().manual_seed(0))


def slow_learner(n_steps: int = 4) -> Momentum:
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
    model = slow_learner()
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
    model = slow_learner()
    predictions, targets = model(VIEWS)
    assert predictions.requires_grad
    assert not targets.requires_grad
    byol(predictions[:, 0], predictions[:, 1], targets[:, 0], targets[:, 1]).backward()
    assert all(p.grad is None and not p.requires_grad for p in model.target.parameters())
    assert model.embedder.encoder.stem[0][0].weight.grad.abs().sum() > 0


def test_it_starts_as_the_network_and_shares_nothing_with_it() -> None:
    model = slow_learner()
    pairs = list(zip(model.target.network[0].parameters(), model.embedder.parameters(), strict=True))
    assert all(own.equal(other) and own.data_ptr() != other.data_ptr() for own, other in pairs)


def test_in_eval_mode_nothing_moves() -> None:
    model = slow_learner().eval()
    before = deepcopy(model.state_dict())
    model(VIEWS)
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_its_state_is_in_the_state_dict() -> None:
    model, other = slow_learner(), slow_learner()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    step(model, optimizer)
    step(model, optimizer)
    other.load_state_dict(model.state_dict())
    assert int(other.target.step) == 2
    assert other.target.network[1][0].weight.equal(model.target.network[1][0].weight)
