"""Tests of MoCo v3, BYOL, Barlow Twins and VICReg."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ecgkit.errors import EcgkitError
from ecgkit.losses import barlow_twins, byol, moco_v3, vicreg
from tests.losses import slow
from tests.losses.slow import random

LOSSES = {"moco_v3": moco_v3, "byol": byol, "barlow_twins": barlow_twins, "vicreg": vicreg}
each_loss = pytest.mark.parametrize("name", LOSSES)


def inputs(name: str, n: int = 5, d: int = 4) -> list[Tensor]:
    return [random(n, d, seed=seed) for seed in range(4 if name in ("moco_v3", "byol") else 2)]


def test_moco_equals_its_formula() -> None:
    q_a, q_b, k_a, k_b = inputs("moco_v3")
    total = 0.0
    for query, key in ((q_a, k_b), (q_b, k_a)):
        total += sum(slow.info_nce(query[i], key[i], [key[j] for j in range(5) if j != i], 0.2) for i in range(5)) / 5
    assert moco_v3(q_a, q_b, k_a, k_b).item() == pytest.approx(2 * 0.2 * total)


def test_moco_at_any_temperature_has_a_gradient_of_the_same_scale() -> None:
    same = random(1, 4).expand(6, 4)
    for temperature in (0.1, 1.0):
        assert moco_v3(same, same, same, same, temperature).item() == pytest.approx(4 * temperature * math.log(6))


def test_byol_runs_from_agreement_to_opposition() -> None:
    a, b = random(5, 4), random(5, 4, seed=1)
    assert byol(a, b, 3 * b, 2 * a).item() == pytest.approx(0, abs=1e-12)
    assert byol(a, b, -b, -a).item() == pytest.approx(8)


def test_byol_equals_its_formula() -> None:
    p_a, p_b, t_a, t_b = inputs("byol")
    each = [4 - 2 * slow.cosine(p_a[i], t_b[i]) - 2 * slow.cosine(p_b[i], t_a[i]) for i in range(5)]
    assert byol(p_a, p_b, t_a, t_b).item() == pytest.approx(sum(each) / 5)


@pytest.mark.parametrize("loss", [moco_v3, byol])
def test_no_gradient_flows_into_the_target(loss) -> None:
    tensors = [z.requires_grad_() for z in inputs("byol")]
    loss(*tensors).backward()
    assert all(z.grad is not None and z.grad.any() for z in tensors[:2])
    assert all(z.grad is None for z in tensors[2:])


def test_barlow_twins_equals_its_formula() -> None:
    a, b = inputs("barlow_twins", n=7)
    expected = 0.0
    for i in range(4):
        for j in range(4):
            x, y = a[:, i] - a[:, i].mean(), b[:, j] - b[:, j].mean()
            c = float((x * y).mean() / (x.square().mean().sqrt() * y.square().mean().sqrt()))
            expected += (1 - c)**2 if i == j else 0.05 * c**2
    assert barlow_twins(a, b, 0.05).item() == pytest.approx(expected, rel=1e-4)


def test_barlow_twins_of_uncorrelated_equal_views_is_zero() -> None:
    z = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    assert barlow_twins(z, 5 * z + 2).item() == pytest.approx(0, abs=1e-8)
    doubled = z[:, [0, 0]]
    assert barlow_twins(doubled, doubled).item() == pytest.approx(2 * 5e-3, rel=1e-3)


def test_barlow_twins_survives_a_dead_feature() -> None:
    z = torch.stack([torch.ones(6), torch.arange(6.0)], dim=1).requires_grad_()
    loss = barlow_twins(z, z)
    loss.backward()
    assert loss.item() == pytest.approx(1, rel=1e-3)
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_vicreg_equals_its_formula() -> None:
    a, b = (0.4 * z for z in inputs("vicreg", n=7))
    expected = 25 * sum(float((x - y)**2) for x, y in zip(a.flatten(), b.flatten(), strict=True)) / 28
    for z in (a, b):
        covariance = torch.tensor([[sum((z[n, i] - z[:, i].mean()) * (z[n, j] - z[:, j].mean()) for n in range(7)) / 6
                                    for j in range(4)] for i in range(4)])
        expected += 25 * sum(max(0.0, 1 - math.sqrt(covariance[i, i] + 1e-4)) for i in range(4)) / 4
        expected += float(sum(covariance[i, j]**2 for i in range(4) for j in range(4) if i != j)) / 4
    assert vicreg(a, b).item() == pytest.approx(expected)


def test_vicreg_of_a_collapse_is_the_variance_term() -> None:
    point = torch.ones(8, 3)
    assert vicreg(point, point).item() == pytest.approx(25 * 2 * (1 - 0.01), rel=1e-5)
    assert vicreg(point, point, variance=0).item() == 0
    assert vicreg(point, 3 * point, invariance=1, variance=0).item() == pytest.approx(4)


@each_loss
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    tensors = inputs(name)
    free = 2  # targets are detached, so only predictions and views are followed
    loss = LOSSES[name]
    assert torch.autograd.gradcheck(lambda a, b: loss(a, b, *tensors[free:]), [z.requires_grad_() for z in tensors[:2]])


@each_loss
def test_views_may_be_exchanged_and_records_reordered(name: str) -> None:
    tensors, loss, order = inputs(name), LOSSES[name], torch.tensor([3, 0, 4, 2, 1])
    original = loss(*tensors).item()
    exchanged = [tensors[k] for k in ([1, 0, 3, 2] if len(tensors) == 4 else [1, 0])]
    assert loss(*exchanged).item() == pytest.approx(original)
    assert loss(*(z[order] for z in tensors)).item() == pytest.approx(original)


@each_loss
def test_half_precision_is_raised(name: str) -> None:
    tensors = [z.bfloat16() for z in inputs(name)]
    loss = LOSSES[name](*tensors)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(LOSSES[name](*(z.double() for z in tensors)).item(), rel=1e-4)


@each_loss
def test_a_batch_of_one_is_finite_or_refused(name: str) -> None:
    tensors = inputs(name, n=1)
    if name in ("moco_v3", "byol"):
        assert LOSSES[name](*tensors).isfinite()
    else:
        with pytest.raises(EcgkitError, match="a batch of 1 has no variance"):
            LOSSES[name](*tensors)


@each_loss
def test_different_shapes_are_refused(name: str) -> None:
    tensors = inputs(name)
    with pytest.raises(EcgkitError, match="the same for all"):
        LOSSES[name](tensors[0][:3], *tensors[1:])
