"""AttFind on logits whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecgkit.errors import EcgkitError
from ecgkit.explain.style.attfind import Move, moved, select_moves, shift_effects, sufficiency_table

SLOPE = np.array([3.0, -2.0, 0.0, 0.5])
ENDS = torch.tensor([[-1.0, -1, -1, -1], [1, 1, 1, 1]])


def logit(style: Tensor) -> NDArray[np.float64]:
    return style.double().numpy() @ SLOPE - 1.0


def styles(n: int = 40) -> Tensor:
    return 0.5 * torch.rand(n, 4, generator=torch.Generator().manual_seed(0)) - 0.25


def test_moves_leave_the_others_and_the_input_alone() -> None:
    style = styles()
    before = style.clone()
    after = moved(style, [Move(1, 0), Move(3, 1)], ENDS)
    assert torch.equal(style, before)
    assert torch.equal(after[:, [0, 2]], before[:, [0, 2]])
    assert (after[:, 1] == -1).all()
    assert (after[:, 3] == 1).all()


def test_effects_of_a_linear_logit() -> None:
    style = styles()
    expected = (ENDS.numpy().T[None] - style.numpy()[..., None]) * SLOPE[None, :, None]
    np.testing.assert_allclose(shift_effects(logit, style, ENDS), expected, atol=1e-6)


def test_the_strongest_comes_first_at_its_end() -> None:
    table = select_moves(shift_effects(logit, styles(), ENDS), np.full(40, 1.0), 10)
    assert table["coordinate"].tolist() == [0, 1, 3]  # The third does nothing, so its sign is not stable.
    assert table["end"].tolist() == [1, 0, 1]
    assert table["explained"].iloc[0] == 1
    assert select_moves(shift_effects(logit, styles(), ENDS), np.linspace(0.5, 1e3, 40), 1)["explained"].item() < 0.1


def test_picks_go_to_those_who_are_not_yet_explained() -> None:
    effects = np.full((10, 3, 2), 0.01)
    effects[:6, 0, 1], effects[:6, 1, 1], effects[6:, 2, 0] = 2.0, 1.9, 1.0
    table = select_moves(effects, np.full(10, 0.5), 3)
    assert table["coordinate"].tolist() == [0, 2, 1]
    assert table["explained"].tolist() == [0.6, 1.0, 1.0]


def test_an_unstable_coordinate_is_dropped_however_strong() -> None:
    effects = np.full((10, 2, 2), 0.6)
    effects[:7, 0], effects[7:, 0] = 50.0, -0.1
    assert select_moves(effects, np.ones(10), 2)["coordinate"].tolist() == [1]
    assert select_moves(effects, np.ones(10), 2, least_agreement=0.7)["coordinate"].tolist() == [0, 1]
    with pytest.raises(EcgkitError, match="no style coordinate"):
        select_moves(-effects, np.ones(10), 2, least_agreement=0.9)


def test_sufficiency_counts_those_who_cross() -> None:
    style = styles()
    moves = [Move(0, 1), Move(1, 0)]
    table = sufficiency_table(logit, style, ENDS, moves, raised=True, n_boot=50)
    side = logit(style) < 0
    for k in (1, 2):
        after = logit(moved(style[torch.from_numpy(side)], moves[:k], ENDS))
        assert table.loc[k, "flipped"] == pytest.approx((after > 0).mean())
        assert table.loc[k, "effect"] == pytest.approx((after - logit(style)[side]).mean())
    assert table.loc[1, "n"] == side.sum()
    assert (table["flipped_low"] <= table["flipped"]).all()
    assert (table["flipped"] <= table["flipped_high"]).all()
    assert table.loc[2, "random"] < table.loc[2, "flipped"]


def test_lowering_needs_ecgs_that_are_high() -> None:
    with pytest.raises(EcgkitError, match="lowered"):
        sufficiency_table(lambda style: np.full(len(style), -1.0), styles(), ENDS, [Move(0, 0)], raised=False)
    table = sufficiency_table(lambda style: logit(style) + 2, styles(), ENDS, [Move(0, 0)], raised=False, n_boot=20)
    assert table.loc[1, "effect"] > 0
