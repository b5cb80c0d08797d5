"""What is asked: which labels stay, wanted logits, and what the networks are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ecgkit.errors import EcgkitError
from ecgkit.explain.conditions import (
    MOST_LOGIT,
    SCALE,
    clipped,
    discriminator_condition,
    generator_condition,
    kept_labels,
    wanted_logits,
)


def test_all_other_labels_stay_but_normal_gives_way_and_makes_way() -> None:
    kept = kept_labels(("NORM", "MI", "CD"))
    assert kept.tolist() == [[False, False, False], [False, False, True], [False, True, False]]
    assert kept_labels(("MI", "CD")).tolist() == [[False, True], [True, False]]


def test_wanted_probabilities_become_logits_by_place() -> None:
    wanted = wanted_logits({"B": 0.95, "A": [0.5, 0.1]}, ("A", "B"), 2)
    assert list(wanted) == [1, 0]
    np.testing.assert_allclose(wanted[1], np.log([19, 19]))
    np.testing.assert_allclose(wanted[0], [0, -np.log(9)], atol=1e-12)


@pytest.mark.parametrize(("target", "words"), [
    ({}, 'nothing is asked; give target={"A": 0.05}'),
    ({"C": 0.5}, "no label 'C'; the classifier has A, B"),
    ({"A": 0.0}, "target of A: give one probability between 0 and 1"),
    ({"A": 1}, "target of A"),
    ({"A": float("nan")}, "target of A"),
    ({"B": [0.1, 0.2, 0.3]}, "target of B: give one probability between 0 and 1, or 2 of them"),
])
def test_what_cannot_be_asked_is_said_in_one_line(target: dict[str, Any], words: str) -> None:
    with pytest.raises(EcgkitError) as caught:
        wanted_logits(target, ("A", "B"), 2)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


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
