"""Tests of the collapse monitors."""

from __future__ import annotations

import math

import pytest
import torch

from ecgkit.errors import EcgkitError
from ecgkit.losses import alignment, effective_rank, knn_accuracy, uniformity
from tests.losses.slow import random


def test_alignment_is_the_squared_distance_of_pairs() -> None:
    a = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    assert alignment(a, 3 * a) == pytest.approx(0, abs=1e-7)
    assert alignment(a, a.flip(0)) == pytest.approx(2)
    assert alignment(a, -a) == pytest.approx(4)
    assert alignment(a[:1], a[1:]) == pytest.approx(2)


def test_uniformity_of_known_points() -> None:
    assert uniformity(torch.ones(5, 3)) == pytest.approx(0, abs=1e-6)
    assert uniformity(torch.tensor([[1.0, 0], [-2.0, 0]])) == pytest.approx(-8)
    square = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    assert uniformity(square) == pytest.approx(math.log((4 * math.exp(-4) + 2 * math.exp(-8)) / 6))


def test_uniformity_of_a_sphere_of_many_dimensions_is_about_minus_four() -> None:
    assert uniformity(random(400, 256)) == pytest.approx(-4, abs=0.05)


def test_effective_rank_counts_dimensions_that_carry_something() -> None:
    assert effective_rank(torch.eye(6)) == pytest.approx(6)
    assert effective_rank(torch.ones(10, 4)) == pytest.approx(1, rel=1e-3)
    assert effective_rank(torch.zeros(10, 4)) == 0
    assert effective_rank(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(
        math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))
    assert effective_rank(random(1, 8)) == pytest.approx(1)


def test_effective_rank_knows_a_rotation_and_a_scale_change_nothing() -> None:
    z, turn = random(20, 5), torch.linalg.qr(random(5, 5, seed=1)).Q
    assert effective_rank(7 * z @ turn) == pytest.approx(effective_rank(z))


CIRCLE = torch.tensor([[math.cos(angle), math.sin(angle)] for angle in (0, 0.1, 0.2, 3.0, 3.1, 3.2)])


def test_knn_of_classes() -> None:
    assert knn_accuracy(CIRCLE, torch.tensor([5, 5, 5, 8, 8, 8]), k=2) == 1
    assert knn_accuracy(CIRCLE, torch.tensor([0, 1, 0, 0, 0, 0]), k=1) == pytest.approx(3 / 6)


def test_knn_leaves_the_records_patient_out() -> None:
    patients, labels = torch.tensor([0, 0, 1, 2, 2, 3]), torch.tensor([0, 0, 1, 2, 2, 3])
    assert knn_accuracy(CIRCLE, labels, k=1) > 0
    assert knn_accuracy(CIRCLE, labels, k=1, patients=patients) == 0


def test_knn_of_label_sets_is_balanced_over_labels() -> None:
    labels = torch.tensor([[1, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1], [0, 1, 1], [0, 1, 1]])
    # Label 0 is told from the side of the circle; label 1 is missed by one of four and seen in neither of two;
    # label 2 is everyone's and left out.
    assert knn_accuracy(CIRCLE, labels[:, [0, 2]], k=2) == 1
    assert knn_accuracy(CIRCLE, labels, k=2) == pytest.approx((1 + (3 / 4 + 1) / 2) / 2)


def test_knn_of_noise_is_chance() -> None:
    z, labels = random(600, 8), random(600, 4, seed=1) > 1
    assert knn_accuracy(z, labels, k=10) == pytest.approx(0.5, abs=0.05)


def test_monitors_hold_no_gradient_and_do_not_mind_the_order() -> None:
    z, labels, order = random(12, 4).requires_grad_(), torch.arange(12) % 2, torch.arange(12) * 5 % 12
    for monitor in (uniformity, effective_rank, lambda x: alignment(x, x.flip(0))):
        assert isinstance(monitor(z), float)
    assert uniformity(z[order]) == pytest.approx(uniformity(z))
    assert effective_rank(z[order]) == pytest.approx(effective_rank(z))
    assert alignment(z[order], z[order] + 1) == pytest.approx(alignment(z, z + 1))
    assert knn_accuracy(z[order], labels[order], 3) == pytest.approx(knn_accuracy(z, labels, 3))


def test_mistakes_are_told_in_one_line() -> None:
    z = random(4, 3)
    with pytest.raises(EcgkitError, match="n at least 2"):
        uniformity(z[:1])
    with pytest.raises(EcgkitError, match="need the same shape"):
        alignment(z, z[:2])
    with pytest.raises(EcgkitError, match="take k from 1 to 3"):
        knn_accuracy(z, torch.arange(4), k=4)
    with pytest.raises(EcgkitError, match="nothing can be told"):
        knn_accuracy(z, torch.ones(4, 2), k=1)
