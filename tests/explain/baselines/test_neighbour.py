"""Tests of the nearest unlike neighbour: against a slow search, with turned copies, and where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from torch import Tensor

from ecgkit.errors import EcgkitError
from ecgkit.explain.baselines.neighbour import TRIES, NearestUnlikeNeighbour, turned_distance
from tests.explain.baselines.toys import LABELS, Linear, ecgs

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


def test_each_ecg_has_its_own_target() -> None:
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


def test_mistakes_are_told() -> None:
    explain = NearestUnlikeNeighbour(Linear(), label_names=LABELS, background=background())
    with pytest.raises(EcgkitError, match="ECGs of 50 samples; those of the background have 100"):
        explain(ecgs(sig_len=50), {"A": 0.95})
    with pytest.raises(EcgkitError, match="expected"):
        NearestUnlikeNeighbour(Linear(), label_names=LABELS, background=background()[0])
    with pytest.raises(EcgkitError, match="no label 'C'"):
        explain(ecgs(), {"C": 0.95})
