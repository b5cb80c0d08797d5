"""Wishes of a training step: within reach, of both kinds, the same for the same draw."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ecgkit.explain.conditions import MOST_LOGIT, typical_logits
from ecgkit.explain.counterfactual.windows import Windows, Wishes, cut_windows, draw_wishes
from tests.explain.gan_helpers import FS, TINY, Heights, dataset


@pytest.fixture(scope="module")
def windows() -> Windows:
    return cut_windows(dataset(32), Heights(), round(TINY.seconds * FS))


def draw(windows: Windows, n: int = 2000, *, graded: bool = True) -> Wishes:
    return draw_wishes(windows, typical_logits(windows.logits), n, n_noise=3, graded=graded,
                       generator=torch.Generator().manual_seed(0))


def test_wishes_lie_within_reach_and_most_turn_the_label(windows: Windows) -> None:
    wishes = draw(windows)
    assert float(wishes.aim.abs().max()) <= MOST_LOGIT
    asked = wishes.now.gather(1, wishes.label[:, None])[:, 0]
    turned = ((asked > 0) != (wishes.aim > 0)).float().mean()
    assert 0.6 < float(turned) < 0.9
    assert {float(side) for side in (wishes.aim > 0)} == {0.0, 1.0}


def test_without_grades_every_wish_turns_its_label(windows: Windows) -> None:
    ends, wishes = typical_logits(windows.logits), draw(windows, 200, graded=False)
    asked = wishes.now.gather(1, wishes.label[:, None])[:, 0]
    torch.testing.assert_close(wishes.aim, ends[wishes.label, (asked <= 0).long()])


def test_of_many_labels_those_that_a_window_has_are_asked_for_half_the_time(windows: Windows) -> None:
    # Twenty labels, and each window has one: by chance it would be one wish in twenty.
    logits = torch.full((len(windows), 20), -5.0)
    has = torch.arange(len(windows)) % 20
    logits[torch.arange(len(windows)), has] = 5.0
    many = replace(windows, logits=logits)
    wishes = draw(many)
    own = (wishes.now.gather(1, wishes.label[:, None])[:, 0] > 0).float().mean()
    assert float(own) == pytest.approx(0.5 + 0.5 / 20, abs=0.05)
    none = draw(replace(windows, logits=-logits.abs()))
    assert len(none.label.unique()) == 20, "a window without any is asked for any"


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
