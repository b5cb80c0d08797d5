"""What is asked and what is answered: wanted logits, what counts as reached, why not, and how a classifier is asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.explain.results import (
    WITHIN_SCALE,
    classify,
    judged,
    kept_labels,
    link_of,
    probability,
    reached,
    wanted_logits,
)
from tests.explain.gan_helpers import NAMES, V1, V5, Heights, ruler, signals


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


@pytest.mark.parametrize(("wanted", "good", "bad"), [
    (0.05, (0.0, 0.05, 0.1), (0.11, 0.9)),
    (0.95, (1.0, 0.95, 0.9), (0.89, 0.1)),
    (0.02, (0.0, 0.06), (0.08,)),
    (0.5, (0.45, 0.5, 0.55), (0.44, 0.56, 1.0)),
    (0.9, (0.85, 0.95), (0.96, 0.84)),
])
def test_reached_is_within_a_twentieth_and_beyond_at_the_ends(wanted: float, good: tuple[float, ...],
                                                              bad: tuple[float, ...]) -> None:
    p = np.array([[0.5, value] for value in (*good, *bad)])
    assert reached(p, {"B": wanted}, NAMES).tolist() == [True] * len(good) + [False] * len(bad)


def test_each_ecg_may_have_its_own_target_and_all_labels_count() -> None:
    p = np.array([[0.1, 0.9], [0.1, 0.9], [0.1, 0.1]])
    assert reached(p, {"A": [0.1, 0.5, 0.1]}, NAMES).tolist() == [True, False, True]
    assert reached(p, {"A": 0.1, "B": 0.9}, NAMES).tolist() == [True, True, False]
    assert reached(p, {"A": 0.1}, NAMES, within=0.01).all()


def test_logits_come_in_batches_as_all_at_once() -> None:
    x, classifier = signals(7), Heights(0.5)
    expected = 6 * x[:, (V5, V1)].mean(axis=-1) - 0.5
    for size in (1, 3, 64):
        np.testing.assert_allclose(classify(classifier, x, batch_size=size), expected, atol=1e-5)
    assert classify(classifier, x[:0]).shape == (0, 2)
    assert classify(classifier, x.astype(np.float64)).dtype == np.float64


class Bare(nn.Module):
    """A classifier without weights."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=-1)[:, :2]


def test_a_classifier_is_asked_in_eval_mode_and_left_as_it_was() -> None:
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(1200), nn.Dropout(0.5), nn.Linear(1200, 2)).train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one, other = classify(model, signals(4)), classify(model, signals(4))
    np.testing.assert_array_equal(one, other)
    assert [module.training for module in model] == [True, False, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert classify(Bare(), signals(3)).shape == (3, 2)


def test_a_failing_classifier_is_left_as_it_was_too() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(7, 2)).train()
    with pytest.raises(RuntimeError):
        classify(model, signals(2))
    assert all(module.training for module in model.modules())


def test_probabilities_of_utmost_logits_are_0_and_1_without_a_warning() -> None:
    with np.errstate(all="raise"):
        p = probability(np.array([-5000.0, 0.0, np.log(19), 5000.0]))
    np.testing.assert_allclose(p, [0, 0.5, 0.95, 1])


def judged_of(levels: list[float], target: dict[str, Any]) -> Any:
    x = np.zeros((len(levels), 12, 50), dtype=np.float32)
    x[:, V5] = np.array(levels)[:, None]
    return judged(Heights(), x, target, NAMES)


def test_what_was_not_reached_says_how_far_it_came() -> None:
    found = judged_of([0.6, -0.6, 0.0], {"A": [0.95, 0.95, 0.5]})
    assert found.valid.tolist() == [True, False, True]
    assert found.reason.tolist() == ["", "not reached: A is 0.03, wanted 0.95", ""]
    assert len(found) == 3
    np.testing.assert_allclose(found.probabilities[:, 1], 0.5)


def test_the_reason_names_the_label_that_fell_short() -> None:
    found = judged_of([0.6, -0.6], {"A": 0.95, "B": 0.05})
    assert found.reason.tolist() == ["not reached: B is 0.50, wanted 0.05", "not reached: A is 0.03, wanted 0.95"]


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(EcgkitError, match="no label 'C'"):
        judged_of([0.0], {"C": 0.5})


def test_a_regressor_is_asked_in_its_units() -> None:
    link, x = link_of(ruler()), signals(3)
    outputs = classify(ruler(), x)
    values = ruler().predict(x)
    np.testing.assert_allclose(link.told(outputs), values, rtol=1e-5)
    np.testing.assert_allclose(link.outputs(values[:, 1], 1), outputs[:, 1], atol=1e-5)
    wanted = wanted_logits({"B": [90, 100, 130]}, NAMES, 3, link)
    np.testing.assert_allclose(wanted[1], [-1, 0, 3])
    assert not link_of(Heights()).units


def test_a_value_is_reached_within_a_share_of_the_scale_on_both_sides() -> None:
    link, near = link_of(ruler()), 10 * WITHIN_SCALE
    values = np.array([[100 + off, 0] for off in (-near - 0.1, -near, 0, near, near + 0.1, 99)])
    assert reached(values, {"A": 100}, NAMES, link=link).tolist() == [False, True, True, True, False, False]
    x = np.zeros((1, 12, 64), dtype=np.float32)
    assert judged(ruler(), x, {"A": 130}, NAMES).reason.tolist() == ["not reached: A is 100, wanted 130"]
    assert judged(ruler(), x, {"A": 100}, NAMES).valid.all()


@pytest.mark.parametrize(("target", "words"), [
    ({}, 'nothing is asked; give target={"A": 100}, a quantity and a value'),
    ({"A": float("inf")}, "target of A: give one finite number of ms, or 2 of them"),
])
def test_what_a_regressor_cannot_be_asked_is_said(target: dict[str, Any], words: str) -> None:
    with pytest.raises(EcgkitError) as caught:
        wanted_logits(target, NAMES, 2, link_of(ruler()))
    assert words in str(caught.value)
