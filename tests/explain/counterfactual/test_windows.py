"""Training windows: where they are cut, who is whose partner, what is wished for, and what the networks are told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ecgkit.errors import EcgkitError
from ecgkit.explain.counterfactual.windows import (
    BLUR,
    MOST_LOGIT,
    PLACES,
    SCALE,
    Windows,
    Wishes,
    clipped,
    cut_windows,
    discriminator_condition,
    draw_wishes,
    generator_condition,
    typical_logits,
)
from tests.explain.gan_helpers import FS, NAMES, TINY, Heights, dataset, ruler


def test_windows_cover_each_ecg_and_the_classifier_saw_each() -> None:
    data, classifier = dataset(5, 100).subset([4, 2, 0]), Heights(0.5)
    windows = cut_windows(data, classifier, 64)
    assert len(windows) == 3 * PLACES
    assert windows.rows.tolist() == [0] * PLACES + [1] * PLACES + [2] * PLACES
    assert (windows.starts.min(), windows.starts.max()) == (0, 100 - 64)
    expected = np.stack([data.signals[row][:, start:start + 64]
                         for row, start in zip(windows.rows, windows.starts, strict=True)])
    x = windows.batch(torch.arange(len(windows)))
    np.testing.assert_array_equal(x.numpy(), expected)
    torch.testing.assert_close(windows.logits, classifier(x).detach())
    assert not windows.logits.requires_grad
    chosen = torch.tensor([7, 0, 7])
    assert torch.equal(windows.batch(chosen), x[chosen])


def test_an_ecg_of_one_window_is_cut_once() -> None:
    windows = cut_windows(dataset(4, 64), Heights(), 64)
    assert windows.starts.tolist() == [0] * 4


def test_more_windows_than_a_batch_are_all_asked_about() -> None:
    windows = cut_windows(dataset(70), Heights(), 32)
    assert windows.logits.shape == (70 * PLACES, 2)
    torch.testing.assert_close(windows.logits[-3:], Heights()(windows.batch(torch.arange(417, 420))).detach())


def test_short_ecgs_are_refused_in_one_line() -> None:
    with pytest.raises(EcgkitError, match="heights: 50 samples; the explainer's windows have 64"):
        cut_windows(dataset(2, 50), Heights(), 64)


@pytest.fixture
def ladder() -> Windows:
    """A hundred windows whose logits of A rise by 0.1 and whose logits of B fall."""
    rise = torch.linspace(-5, 4.9, 100)
    return Windows(dataset(2), np.zeros(100, dtype=np.intp), np.arange(100) % 30, 64, torch.stack([rise, -rise], dim=1))


def test_partners_are_among_those_that_come_closest(ladder: Windows) -> None:
    label, logit = torch.tensor([0, 1] * 200), torch.tensor([1.0, 1.0] * 200)
    partners = ladder.partners(label, logit, torch.Generator().manual_seed(0), near=8)
    found = ladder.logits[partners, label]
    assert float((found - 1).abs().max()) <= 0.4 + BLUR + 1e-5
    assert len(partners.unique()) >= 16, "each of the eight is drawn, for each label"


def test_the_nearest_alone_is_certain_and_draws_repeat_by_seed(ladder: Windows) -> None:
    label, logit = torch.zeros(5, dtype=torch.long), torch.tensor([-99.0, -1.02, 0.0, 2.53, 99.0])
    nearest = ladder.partners(label, logit, torch.Generator(), near=1)
    assert nearest.tolist() == [0, 40, 50, 75, 99]
    one, other, third = (ladder.partners(label, logit, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, other)
    assert not torch.equal(one, third)


def test_fewer_windows_than_neighbours_are_all_neighbours() -> None:
    windows = cut_windows(dataset(3, 64), Heights(), 64)
    partners = windows.partners(torch.zeros(60, dtype=torch.long), torch.zeros(60), torch.Generator().manual_seed(0))
    assert set(partners.tolist()) == {0, 1, 2}
    assert len(NAMES) == windows.logits.shape[1]


def test_logits_are_read_within_a_range() -> None:
    assert clipped(torch.tensor([-50.0, 1.0, 50.0])).tolist() == [-MOST_LOGIT, 1.0, MOST_LOGIT]
    assert 1 / (1 + np.exp(MOST_LOGIT)) < 0.0111


def test_the_generator_is_told_the_aim_the_way_there_and_what_was_asked() -> None:
    now, wanted = torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0, 90.0]])
    told = generator_condition(now, wanted, torch.tensor([[True, False]]), torch.tensor([[0.3, 0.4, 0.5]]))
    assert told.tolist() == [pytest.approx([3 / SCALE, -2 / SCALE, 2 / SCALE, 0, 1, 0, 0.3, 0.4, 0.5])]
    all_asked = generator_condition(now, wanted, torch.tensor([[True, True]]), torch.zeros(1, 0))
    assert all_asked[0, 1] == MOST_LOGIT / SCALE


def test_the_discriminator_is_told_one_label_and_its_logit() -> None:
    told = discriminator_condition(torch.tensor([1, 0]), torch.tensor([-2.0, 99.0]), 2)
    assert told.tolist() == [[0, 1, 0, -2 / SCALE], [1, 0, MOST_LOGIT / SCALE, 0]]


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


def test_a_regressors_ends_are_those_of_nearly_all_windows_and_wishes_are_changes_within() -> None:
    windows = cut_windows(dataset(32), ruler(), round(TINY.seconds * FS))
    assert windows.linear
    inside = (windows.logits > windows.ends[:, 0]) & (windows.logits < windows.ends[:, 1])
    assert 0.95 < float(inside.float().mean()) < 1
    wishes = draw_wishes(windows, windows.ends, 2000, n_noise=3, graded=True,
                         generator=torch.Generator().manual_seed(0))
    low, high = windows.ends[wishes.label].T
    assert bool(((wishes.aim >= low) & (wishes.aim <= high)).all())
    assert float((wishes.label == 0).float().mean()) == pytest.approx(0.5, abs=0.05), "whatever its value is now"
    change = wishes.aim - wishes.now.gather(1, wishes.label[:, None])[:, 0]
    assert 0.3 < float((change > 0).float().mean()) < 0.7
