"""Tests of what the searching explainers share, and of the nearest unlike neighbour, against a slow search."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ecgkit.errors import EcgkitError
from ecgkit.explain.baselines.gradient import PGD, Wachter, descend
from ecgkit.explain.baselines.search import MARGIN, TRIES, Aim, NearestUnlikeNeighbour, Search, turned_distance
from ecgkit.explain.results import held
from tests.explain.baselines.toys import LABELS, Linear, ecgs

CPU = torch.device("cpu")


def aim(target: dict[str, object], n: int = 3) -> Aim:
    return Aim(target, LABELS, n, CPU)


def test_the_gap_is_that_of_the_asked_logits() -> None:
    rows = torch.arange(3)
    logits = torch.tensor([[0.0, 9.0], [3.0, -9.0], [-0.5, 0.0]])
    torch.testing.assert_close(aim({"A": 0.5}).gap(logits, rows), torch.tensor([0.0, 2.5, 0.125]))
    torch.testing.assert_close(aim({"B": 0.5}).gap(logits, rows), torch.tensor([8.5, 8.5, 0.0]))
    torch.testing.assert_close(aim({"A": 0.5, "B": 0.5}).gap(logits, rows), torch.tensor([8.5, 11.0, 0.125]))


def test_each_ecg_has_its_own_target() -> None:
    each = aim({"A": np.array([0.05, 0.5, 0.95])})
    rows = torch.tensor([0, 2])
    assert each.reached(torch.tensor([[-5.0, 0.0], [5.0, 0.0]]), rows).tolist() == [True, True]
    assert each.reached(torch.tensor([[5.0, 0.0], [-5.0, 0.0]]), rows).tolist() == [False, False]
    assert each.reached(torch.zeros(1, 2), torch.tensor([1])).tolist() == [True]


def test_there_is_a_margin() -> None:
    p = torch.tensor([0.9 + MARGIN / 2, 0.9 + 2 * MARGIN])
    logits = torch.stack([torch.logit(p), torch.zeros(2)], dim=1)
    assert aim({"A": 0.95}).reached(logits, torch.arange(2)).tolist() == [False, True]


def test_a_push_has_the_side_of_the_target() -> None:
    logits = torch.tensor([[2.0, 1.0], [2.0, 1.0]])
    assert aim({"A": [0.95, 0.05]}, 2).push(logits).tolist() == [-2.0, 2.0]
    assert aim({"A": [0.95, 0.05], "B": 0.05}, 2).push(logits).tolist() == [-1.0, 3.0]


def test_an_ecg_that_is_there_is_left_alone_and_the_closest_one_is_kept() -> None:
    """A search whose second step leads away again."""
    x = torch.zeros(2, 12, 10)
    places = iter([[0.0, 0.0], [0.1, 0.06], [0.0]])

    def draw(free: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        level = torch.tensor(next(places))
        assert len(level) == len(rows)
        return x[rows] + level[:, None, None] + 0 * free[:, None, None]

    best = descend(Linear(30.0).eval(), aim({"A": 0.95}, 2), x, torch.zeros(2), draw, steps=2, learning_rate=0.1)
    assert best[:, 0, 0].tolist() == pytest.approx([0.1, 0.06])


def test_classifiers_are_left_as_they_were() -> None:
    classifier = Linear().train()
    classifier.dropout.eval()
    with held(classifier):
        assert not classifier.training
        assert not classifier.slope.requires_grad
    assert classifier.training
    assert not classifier.dropout.training
    assert classifier.slope.requires_grad
    with pytest.raises(KeyError), held(classifier):
        raise KeyError
    assert classifier.training
    Wachter(classifier, label_names=LABELS, fs=100, steps=2)(ecgs(), {"A": 0.95})
    assert classifier.training
    assert classifier.slope.grad is None


@pytest.mark.parametrize("explain", [Wachter(Linear(), label_names=LABELS, fs=100, steps=20),
                                     PGD(Linear(), label_names=LABELS), PGD(Linear(), label_names=LABELS, norm=2.0)])
def test_batches_do_not_matter(explain: Wachter | PGD, monkeypatch: pytest.MonkeyPatch) -> None:
    x, target = ecgs(7), {"A": np.linspace(0.05, 0.95, 7), "B": 0.5}
    whole = explain(x, target).signals
    monkeypatch.setattr(Search, "batch_size", 3)
    np.testing.assert_allclose(explain(x, target).signals, whole, atol=1e-5)


@pytest.mark.parametrize(("x", "target", "message"), [
    (ecgs()[:, :8], {"A": 0.9}, r"expected \(n, 12, sig_len\)"),
    (ecgs()[:0], {"A": 0.9}, r"expected \(n, 12, sig_len\)"),
    (np.where(np.arange(5)[:, None, None] == 2, np.nan, ecgs()), {"A": 0.9}, "ECG 2 has samples that are not finite"),
    (ecgs(), {"C": 0.9}, "no label 'C'"),
    (ecgs(), {"A": 1.5}, "between 0 and 1"),
    (ecgs(), {"A": [0.5, 0.6]}, "or 5 of them"),
    (ecgs(), {}, "nothing is asked")])
def test_mistakes_are_told(x: np.ndarray, target: dict[str, object], message: str) -> None:
    with pytest.raises(EcgkitError, match=message):
        Wachter(Linear(), label_names=LABELS, fs=100)(x, target)


V1 = 6


def background() -> np.ndarray:
    """Twenty ECGs, of which the odd ones are A."""
    x = ecgs(20, seed=1)
    x[:, V1] += np.where(np.arange(20) % 2, 0.5, -0.5)[:, None]
    return x


@pytest.mark.parametrize("sig_len", [24, 25])
def test_distances_are_those_of_a_slow_search(sig_len: int) -> None:
    x, others = ecgs(3, sig_len), ecgs(4, sig_len, seed=1)
    slow = np.array([[[np.linalg.norm(a - np.roll(b, turn, axis=1)) for turn in range(sig_len)] for b in others]
                     for a in x])
    distance, shift = turned_distance(x, others)
    np.testing.assert_allclose(distance, slow.min(axis=2), rtol=1e-4)
    np.testing.assert_array_equal(shift, slow.argmin(axis=2))


def test_the_nearest_ecg_with_the_wanted_answer_is_given() -> None:
    x, real = ecgs(), background()
    found = NearestUnlikeNeighbour(Linear(), label_names=LABELS, background=real)(x, {"A": 0.95})
    assert found.valid.all()
    distance, shift = turned_distance(x, real)
    for row in range(len(x)):
        nearest = min(range(1, 20, 2), key=lambda one, row=row: distance[row, one])  # type: ignore[misc]
        np.testing.assert_array_equal(found.signals[row], np.roll(real[nearest], shift[row, nearest], axis=1))


def test_a_turned_copy_is_found_and_turned_back() -> None:
    real = background()
    x = np.roll(real[[3, 4]], -17, axis=2)
    explain = NearestUnlikeNeighbour(Linear(), label_names=LABELS, background=real)
    np.testing.assert_array_equal(explain(x[:1], {"A": 0.95}).signals[0], x[0])
    unlike = explain(x[1:], {"A": 0.95})
    assert unlike.valid.all()
    assert np.abs(unlike.signals[0] - x[1]).mean() > 0.05


def test_each_ecg_has_the_neighbour_of_its_own_target() -> None:
    found = NearestUnlikeNeighbour(Linear(), label_names=LABELS, background=background())(
        ecgs(4), {"A": [0.05, 0.95, 0.05, 0.95]})
    assert found.valid.all()
    assert (found.probabilities[:, 0] > 0.5).tolist() == [False, True, False, True]


def test_without_a_candidate_the_ecg_comes_back_and_is_not_valid() -> None:
    x = ecgs()
    found = NearestUnlikeNeighbour(Linear(), label_names=LABELS, background=background()[::2])(x, {"A": 0.95})
    np.testing.assert_array_equal(found.signals, x)
    assert not found.valid.any()
    assert found.reason[0].startswith("not reached: A is")


class Early(Linear):
    """Logit A is the first half's mean of V1: it does not survive every turn."""

    def forward(self, x: Tensor) -> Tensor:
        return self.slope * x[:, [6, 11], :50].mean(dim=-1)


def test_the_next_one_is_taken_where_turning_takes_the_answer() -> None:
    real = ecgs(2, seed=1) / 10
    real[0, V1, :50] += 0.5
    real[1, V1] += 0.8
    x = np.roll(real[:1], 50, axis=2)
    explain = NearestUnlikeNeighbour(Early(), label_names=LABELS, background=real)
    assert turned_distance(x, real)[0].argmin() == 0
    found = explain(x, {"A": 0.95})
    assert found.valid.all()
    assert found.signals[0, V1].mean() > 0.7
    alone = NearestUnlikeNeighbour(Early(), label_names=LABELS, background=real[:1])(x, {"A": 0.95})
    assert not alone.valid.any()
    np.testing.assert_allclose(alone.signals, x, err_msg="the nearest, as turned")
    assert TRIES > 1


def test_mistakes_of_neighbours_are_told() -> None:
    explain = NearestUnlikeNeighbour(Linear(), label_names=LABELS, background=background())
    with pytest.raises(EcgkitError, match="ECGs of 50 samples; those of the background have 100"):
        explain(ecgs(sig_len=50), {"A": 0.95})
    with pytest.raises(EcgkitError, match="expected"):
        NearestUnlikeNeighbour(Linear(), label_names=LABELS, background=background()[0])
    with pytest.raises(EcgkitError, match="no label 'C'"):
        explain(ecgs(), {"C": 0.95})
