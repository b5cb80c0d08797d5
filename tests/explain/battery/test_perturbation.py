"""Deletion, insertion and infidelity of a linear classifier are known in advance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.perturbation import _boxes, deletion, infidelity, insertion
from ecgkit.explain.results import classify
from tests.explain.battery.linear import LABEL, SHAPE, Linear, linear, normal, value

N = 5
X, NONE = normal(0, N, *SHAPE), normal(1, N, *SHAPE)


def _cells(segments: int = 4) -> np.ndarray:
    """Lead × segment, the last quarter of each lead in none."""
    time = np.arange(SHAPE[1]) * 4 // (SHAPE[1] * 3 // segments) // (4 // segments)
    cells = np.arange(12)[:, None] * segments + np.minimum(time, segments - 1)
    cells = np.where(np.arange(SHAPE[1]) < SHAPE[1] * 3 // 4, cells, -1)
    return np.broadcast_to(cells, (N, *SHAPE)).copy()


def _contribution(model, cells: np.ndarray, row: int) -> np.ndarray:
    """What each cell of an ECG adds to the logit, against its replacement."""
    each = (X[row].astype(float) - NONE[row]) * model.weight[LABEL].detach().double().numpy()
    return np.array([each[cells[row] == cell].sum() for cell in np.unique(cells[row][cells[row] >= 0])])


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("n_steps", [48, 12, 5])
def test_curves_of_a_linear_classifier(signed: bool, n_steps: int) -> None:
    model, cells, maps = linear(), _cells(), normal(2, N, *SHAPE)
    out = deletion(model, X, NONE, maps, cells, LABEL, n_steps=n_steps, signed=signed)
    back = insertion(model, X, NONE, maps, cells, LABEL, n_steps=n_steps, signed=signed)
    assert out.logits.shape == out.share.shape == (N, n_steps + 1)
    for row in range(N):
        contribution = _contribution(model, cells, row)
        told = maps[row] if signed else abs(maps[row])
        order = sorted(range(48), key=lambda cell: -told[cells[row] == cell].astype(float).sum())
        gone = np.concatenate([[0], np.cumsum(contribution[order])])
        done = np.round(out.share[row] * 48).astype(int)
        expected = value(model, X[row:row + 1]) - gone[done]
        np.testing.assert_allclose(out.logits[row], expected, atol=1e-4)
        np.testing.assert_allclose(out.share[row], np.arange(n_steps + 1) / n_steps, atol=0.5 / 48 + 1e-9)
        progress = gone[done] / gone[-1]
        np.testing.assert_allclose(out.area[row], np.trapezoid(progress, out.share[row]), rtol=1e-3)
    both = out.logits + back.logits
    np.testing.assert_allclose(both, both[:, :1].repeat(n_steps + 1, axis=1), atol=1e-4)
    np.testing.assert_allclose(out.area, back.area, atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_true_contributions_are_the_best_order(seed: int) -> None:
    """Signed evidence first, where the replacement lowers the logit; last, where it raises it."""
    model, cells = linear(), _cells()
    true = (X - NONE) * model.weight[LABEL].detach().numpy()
    down = np.array([_contribution(model, cells, row).sum() > 0 for row in range(N)])
    true[~down] *= -1
    best = deletion(model, X, NONE, true, cells, LABEL, signed=True).area
    worst = deletion(model, X, NONE, -true, cells, LABEL, signed=True).area
    other = deletion(model, X, NONE, normal(seed, N, *SHAPE), cells, LABEL, signed=True).area
    assert (best >= other - 1e-4).all()
    assert (worst <= other + 1e-4).all()
    np.testing.assert_allclose(best + worst, 1, atol=1e-3)


def test_cells_alone_are_replaced_and_every_step_costs_one_pass() -> None:
    model, cells = linear(), _cells()
    outside = np.where(cells >= 0, NONE, X)
    deletion(model, X, NONE, X, cells, LABEL, n_steps=6)
    assert len(model.seen) == 7
    np.testing.assert_allclose(model.seen[0], X)
    np.testing.assert_allclose(model.seen[-1], outside)
    insertion(model, X, NONE, X, cells, LABEL, n_steps=6)
    assert len(model.seen) == 14
    np.testing.assert_allclose(model.seen[7], outside)
    np.testing.assert_allclose(model.seen[-1], X)
    half = model.seen[3]
    assert (np.isclose(half, X) | np.isclose(half, NONE)).all()


def test_ecgs_without_a_segment_have_fewer_cells() -> None:
    model, cells = linear(), _cells()
    cells[2][cells[2] % 4 == 1] = -1
    maps = normal(2, N, *SHAPE)
    curve = deletion(model, X, NONE, maps, cells, LABEL, n_steps=36)
    np.testing.assert_allclose(curve.share[2], np.arange(37) / 36)
    np.testing.assert_allclose(curve.share[:, -1], 1)
    np.testing.assert_allclose(curve.logits[2, -1], value(model, np.where(cells >= 0, NONE, X))[2], atol=1e-4)
    np.testing.assert_array_equal(np.diff(curve.share[2]) > 0, True)


def test_not_determined() -> None:
    model, cells, maps = linear(), _cells(), normal(2, N, *SHAPE)
    maps[0, 3, 3], cells[1], none = np.nan, -1, NONE.copy()
    none[2] = X[2]
    curve = deletion(model, X, none, maps, cells, LABEL)
    np.testing.assert_array_equal(np.isnan(curve.area), [True, True, True, False, False])
    np.testing.assert_array_equal(np.isnan(curve.logits).all(axis=1), [True, True, False, False, False])
    assert np.isnan(deletion(model, X, NONE, np.full_like(X, np.nan), cells, LABEL).logits).all()
    with pytest.raises(EcgkitError, match="x has shape .* and replacement"):
        deletion(model, X, NONE[1:], maps, cells, LABEL)


def test_infidelity_of_a_linear_classifier() -> None:
    model = linear()
    true = np.broadcast_to(model.weight[LABEL].detach().numpy(), X.shape)

    def score(maps: np.ndarray, scaled: bool) -> np.ndarray:
        return infidelity(model, X, NONE, maps, LABEL, box=(3, 6), scaled=scaled)

    np.testing.assert_allclose(score(true, False), 0, atol=1e-6)
    np.testing.assert_allclose(score(7 * true, True), 0, atol=1e-6)
    assert (score(7 * true, False) > 1).all()
    np.testing.assert_allclose(score(np.zeros_like(X), True), 1)
    np.testing.assert_allclose(score(-true, True), 1)
    some = score(normal(3, *X.shape), True)
    assert ((some > 0.3) & (some <= 1)).all()
    assert (score(true + 0.5 * normal(3, *X.shape), True) < some).all()


def test_infidelity_is_its_definition() -> None:
    model, maps, box, seed = linear(), normal(3, N, *SHAPE), (2, 5), 11
    rng = np.random.default_rng(seed)
    squares = []
    for _ in range(4):
        removed = np.where(_boxes(X.shape, box, rng), X - NONE, 0)
        drop = (classify(model, X) - classify(model, X - removed))[:, LABEL]
        squares.append(((removed * maps).sum(axis=(1, 2)) - drop)**2)
    got = infidelity(model, X, NONE, maps, LABEL, box=box, n_draws=4, seed=seed, scaled=False)
    np.testing.assert_allclose(got, np.mean(squares, axis=0), rtol=1e-4)
    assert (got != infidelity(model, X, NONE, maps, LABEL, box=box, n_draws=4, seed=12, scaled=False)).all()


def test_infidelity_not_determined() -> None:
    maps, none = normal(3, N, *SHAPE), NONE.copy()
    maps[0, 1, 1], maps[1, 1, 1], none[2] = np.nan, np.inf, X[2]
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(np.isnan(infidelity(linear(), X, none, maps, LABEL)), [True] * 3 + [False] * 2)
        raw = infidelity(linear(), X, none, maps, LABEL, scaled=False)
    np.testing.assert_allclose(raw[2], 0, atol=1e-8)
    np.testing.assert_array_equal(np.isnan(raw), [True] * 2 + [False] * 3)


def test_boxes_are_of_one_size_and_everywhere() -> None:
    boxes = _boxes((4000, 12, 20), (3, 5), np.random.default_rng(0))
    np.testing.assert_array_equal(boxes.sum(axis=(1, 2)), 15)
    np.testing.assert_array_equal(boxes.any(axis=2).sum(axis=1), 3)
    np.testing.assert_allclose(boxes.mean(axis=0), 15 / 240, atol=0.02)


def test_a_change_that_is_noise_has_no_course() -> None:
    cells, weight = _cells(), np.zeros(SHAPE, dtype=np.float32)
    weight[0, 0] = 1
    none = X.copy()
    none[:, 0, 0] += np.array([0.05, -0.09, 0.11, -2, 0])
    area = deletion(Linear(weight), X, none, np.ones_like(X), cells, LABEL).area
    np.testing.assert_array_equal(np.isnan(area), [True, True, False, False, True])
