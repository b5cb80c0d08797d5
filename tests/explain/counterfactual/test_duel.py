"""What all duels share: the discriminator's losses against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ecgkit.explain.counterfactual.duel import (
    gradient_penalty,
    hinge,
)


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
