"""The generator's losses against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ecgkit.explain.counterfactual.duel import (
    ENOUGH,
    HALF_CHANGED,
    SEGMENT,
    Weights,
    cycle_loss,
    edit_loss,
    gradient_penalty,
    hinge,
    reach_loss,
    variety_loss,
    warp_loss,
)
from ecgkit.leads import INDEPENDENT, LEADS
from ecgkit.models.generator import Edited

NOTHING = Weights(*[0.0] * 11)
TERMS = ("size", "count", "group", "smooth", "local")


def only(name: str) -> Weights:
    return Weights(**{**vars(NOTHING), name: 1.0})


def done(edit: Tensor, local: float = 0.0, shift: float = 0.0) -> Edited:
    return Edited(torch.zeros(len(edit), 12, edit.shape[-1]), edit, torch.full_like(edit, local),
                  torch.full((len(edit), edit.shape[-1]), shift))


@pytest.mark.parametrize("c", [0.0, HALF_CHANGED, 0.4])
def test_what_a_constant_edit_costs(c: float) -> None:
    of = done(torch.full((2, 8, 25), -c), local=0.2, shift=-3.0)
    expected = {"size": c, "count": c**2 / (c**2 + HALF_CHANGED**2), "group": np.sqrt(c**2 + 1e-6), "smooth": 0.0,
                "local": 0.2}
    assert float(warp_loss(of)) == pytest.approx(3.0)
    for name in TERMS:
        assert float(edit_loss(of, only(name))) == pytest.approx(expected[name], rel=1e-5, abs=1e-9), name
    weights = Weights()
    total = sum(getattr(weights, name) * expected[name] for name in TERMS)
    assert float(edit_loss(of, weights)) == pytest.approx(total, rel=1e-5)


def test_a_change_of_half_a_change_counts_half() -> None:
    assert float(edit_loss(done(torch.full((1, 8, 20), HALF_CHANGED)), only("count"))) == pytest.approx(0.5)


def test_an_edit_in_one_segment_is_cheaper_than_one_spread_over_many() -> None:
    gathered, spread = torch.zeros(1, 8, 10 * SEGMENT), torch.zeros(1, 8, 10 * SEGMENT)
    gathered[0, 0, :SEGMENT], spread[0, 0, ::SEGMENT] = 1.0, 1.0
    for name in ("size", "count"):
        assert float(edit_loss(done(gathered), only(name))) == pytest.approx(float(edit_loss(done(spread), only(name))))
    floor = 79 * 1e-3
    assert float(edit_loss(done(gathered), only("group"))) == pytest.approx((1 + floor) / 80, rel=1e-3)
    assert float(edit_loss(done(spread), only("group"))) == pytest.approx(10 * SEGMENT**-0.5 / 80, rel=0.05)


def test_steps_cost_their_height() -> None:
    edit = torch.zeros(1, 8, 21)
    edit[..., 7:] = 0.5
    assert float(edit_loss(done(edit), only("smooth"))) == pytest.approx(0.5 / 20)


def test_reaching_costs_by_hubers_loss_of_what_is_asked_and_what_is_kept() -> None:
    asked, kept = torch.tensor([[True, False, False]] * 2), torch.tensor([[False, True, False]] * 2)
    wanted = torch.tensor([[3.0, 0.0, 0.0]] * 2)
    logits = torch.tensor([[2.5, 2.0, 99.0], [1.0, 0.0, 99.0]])
    reach, keep = reach_loss(logits, wanted, asked, kept)
    # Huber: half the square below 1, and the distance less a half beyond.
    assert float(reach) == pytest.approx((0.5 * 0.5**2 + (2 - 0.5)) / 2)
    assert float(keep) == pytest.approx(((2 - 0.5) + 0) / 2)
    assert [float(term) for term in reach_loss(wanted, wanted, asked, kept)] == [0, 0]
    assert [float(term) for term in reach_loss(logits, wanted, ~asked & False, kept & False)] == [0, 0]


def test_beyond_the_range_a_logit_still_has_a_slope() -> None:
    logits = torch.tensor([[-20.0]], requires_grad=True)
    all_ = torch.ones(1, 1, dtype=torch.bool)
    reach, _ = reach_loss(logits, torch.tensor([[3.0]]), all_, ~all_)
    reach.backward()
    assert logits.grad is not None
    assert float(logits.grad) == pytest.approx(-0.1)


def test_the_way_back_counts_independent_leads_in_millivolts() -> None:
    x = torch.randn(2, 12, 30, generator=torch.Generator().manual_seed(0))
    assert float(cycle_loss(x, x)) == 0
    assert float(cycle_loss(x + 0.3, x)) == pytest.approx(0.3, rel=1e-5)
    derived = [k for k, lead in enumerate(LEADS) if lead not in INDEPENDENT]
    other = x.clone()
    other[:, derived] += 5
    assert float(cycle_loss(other, x)) == 0


def test_variety_is_paid_in_units_of_the_edit_up_to_enough() -> None:
    x, edit = torch.zeros(3, 12, 40), torch.full((3, 8, 40), 0.5)
    assert float(variety_loss(x, x, edit)) == 0
    assert float(variety_loss(x, x + 0.1, edit)) == pytest.approx(-0.1 / 0.501, rel=1e-5)
    assert float(variety_loss(x, x + 9, edit)) == pytest.approx(-ENOUGH)


def test_hinge_is_spent_where_both_sides_are_clear_by_one() -> None:
    assert float(hinge(torch.tensor([1.0, 5.0]), torch.tensor([-1.0, -9.0]))) == 0
    assert float(hinge(torch.tensor([0.0, -1.0]), torch.tensor([0.5, -2.0]))) == pytest.approx(1.5 + 0.75)


class Plane(nn.Module):
    """A discriminator that is linear: its slope is its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(12, 20, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return (x * self.weights).sum(dim=(1, 2)) + condition[:, 0]


def test_the_gradient_penalty_is_half_the_squared_slope() -> None:
    plane, x = Plane(), torch.randn(4, 12, 20)
    penalty = gradient_penalty(plane, x, torch.ones(4, 1))
    assert float(penalty.detach()) == pytest.approx(0.5 * float(plane.weights.detach().square().sum()), rel=1e-5)
    penalty.backward()
    assert plane.weights.grad is not None
    torch.testing.assert_close(plane.weights.grad, plane.weights.detach())
    assert not x.requires_grad
