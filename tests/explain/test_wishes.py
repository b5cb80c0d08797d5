"""Wishes of a training step: within reach, of both kinds, the same for the same draw."""

from __future__ import annotations

import pytest
import torch

from ecgkit.explain.conditions import MOST_LOGIT, typical_logits
from ecgkit.explain.windows import Windows, cut_windows
from ecgkit.explain.wishes import Wishes, draw_wishes
from tests.explain.gan_helpers import FS, TINY, Heights, dataset


@pytest.fixture(scope="module")
def windows() -> Windows:
    return cut_windows(dataset(32), Heights(), round(TINY.seconds * FS))


def draw(windows: Windows, n: int = 2000, *, graded: bool = True) -> Wishes:
    return draw_wishes(windows, typical_logits(windows.logits), n, n_noise=3, graded=graded,
                       generator=torch.Generator().manual_seed(0))


def test_wishes_lie_within_reach_on_both_sides(windows: Windows) -> None:
    wishes = draw(windows)
    assert set(wishes.label.tolist()) == {0, 1}
    assert float(wishes.aim.abs().max()) <= MOST_LOGIT
    assert float(wishes.aim.mean()) == pytest.approx(0, abs=0.2)
    assert float((wishes.aim > 2).float().mean()) > 0.15


def test_without_grades_only_ends_are_wished_for(windows: Windows) -> None:
    ends, wishes = typical_logits(windows.logits), draw(windows, 200, graded=False)
    assert all(float(aim) in ends[label].tolist() for label, aim in zip(wishes.label, wishes.aim, strict=True))


def test_one_label_is_asked_for_and_the_others_stay(windows: Windows) -> None:
    wishes = draw(windows, 50)
    assert (wishes.asked.sum(dim=1) == 1).all()
    torch.testing.assert_close(wishes.wanted[wishes.asked], wishes.aim)
    assert torch.equal(wishes.wanted[~wishes.asked], wishes.now[~wishes.asked])
    assert wishes.noise.shape == (2, 50, 3)
    assert not torch.equal(wishes.condition(0), wishes.condition(1)), "another draw is another answer"


def test_a_draw_is_repeated_by_its_seed(windows: Windows) -> None:
    for a, b in zip(vars(draw(windows, 20)).values(), vars(draw(windows, 20)).values(), strict=True):
        assert torch.equal(a, b)
