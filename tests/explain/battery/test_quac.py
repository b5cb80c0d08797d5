"""The QuAC curve of a linear classifier is the sum of what the mask lets through."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.perturbation import quac
from tests.explain.battery.linear import LABEL, SHAPE, Linear, linear, normal, value

N = 4
X, CF = normal(0, N, *SHAPE), normal(1, N, *SHAPE)
#: At 10 Hz a box of 50 ms is one sample: masks are sharp.
SHARP = 10.0


@pytest.mark.parametrize("signed", [False, True])
def test_curve_of_a_linear_classifier(signed: bool) -> None:
    model, maps = linear(), normal(2, N, *SHAPE)
    curve = quac(model, X, CF, maps, LABEL, SHARP, n_steps=7, signed=signed)
    gain = ((CF.astype(float) - X) * model.weight[LABEL].detach().double().numpy()).reshape(N, -1)
    for row in range(N):
        told = (maps if signed else abs(maps))[row].ravel()
        through = np.concatenate([[0], np.cumsum(gain[row][np.argsort(-told)])])
        done = np.round((np.arange(8) / 7)**2 * gain.shape[1]).astype(int)
        np.testing.assert_allclose(curve.share[row], done / gain.shape[1])
        np.testing.assert_allclose(curve.logits[row], value(model, X)[row] + through[done], atol=1e-4)
        expected = np.trapezoid(through[done] / through[-1], curve.share[row])
        np.testing.assert_allclose(curve.area[row], expected, rtol=1e-3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), fs=st.sampled_from([SHARP, 100.0]))
def test_where_every_sample_gains_the_same_all_maps_get_one_half(seed: int, fs: float) -> None:
    """Blurred or not: the change of the logit is |m| then."""
    model = Linear(np.ones(SHAPE, dtype=np.float32) / 50)
    curve = quac(model, X, X + 1, normal(seed, N, *SHAPE), LABEL, fs)
    np.testing.assert_allclose(curve.progress, curve.share, atol=1e-4)
    np.testing.assert_allclose(curve.area, 0.5, atol=1e-4)


def test_a_small_part_that_does_it_all_is_best_and_found_late_is_worst() -> None:
    weight = np.zeros(SHAPE, dtype=np.float32)
    weight[4, 10:20] = 1
    model, important = Linear(weight), np.broadcast_to(weight, X.shape)
    areas = [quac(model, X, X + 1, maps, LABEL, 100.0).area for maps in (important, normal(5, *X.shape), 1 - important)]
    assert (areas[0] > 0.95).all()
    assert ((areas[1] > 0.25) & (areas[1] < 0.75)).all()
    assert (areas[2] < 0.1).all()


def test_a_counterfactual_is_judged_by_its_own_edit() -> None:
    model, cf = linear(), X.copy()
    cf[:, 3, 5:15] += 2
    own = quac(model, X, cf, None, LABEL, 100.0)
    np.testing.assert_array_equal(own.logits, quac(model, X, cf, cf.astype(float) - X, LABEL, 100.0).logits)
    np.testing.assert_array_equal(own.logits, quac(model, X, cf, 3 * (X - cf.astype(float)), LABEL, 100.0).logits)
    assert (own.area > 0.9).all()


def test_masks_grow_from_nothing_to_all_without_a_jump() -> None:
    model = linear()
    curve = quac(model, np.zeros_like(X), np.ones_like(X), normal(2, *X.shape), LABEL, 100.0, n_steps=6)
    masks = np.stack(model.seen)
    np.testing.assert_allclose(masks.mean(axis=(2, 3)).T, curve.share, atol=1e-6)
    assert len(masks) == 7
    np.testing.assert_array_equal(masks[0], 0)
    np.testing.assert_allclose(masks[-1], 1, atol=1e-6)
    assert (np.diff(masks, axis=0) > -1e-6).all()
    assert np.abs(np.diff(masks, axis=-1)).max() <= 0.2 + 1e-6
    np.testing.assert_allclose(curve.share[:, 1:-1], ((np.arange(1, 6) / 6)**2)[None].repeat(N, 0), atol=0.03)


def test_not_determined() -> None:
    maps, cf = normal(2, *X.shape), CF.copy()
    maps[0, 2, 2], cf[1, 0, 0], cf[2] = np.nan, np.nan, X[2]
    curve = quac(linear(), X, cf, maps, LABEL, 100.0)
    np.testing.assert_array_equal(np.isnan(curve.area), [True, True, True, False])
    np.testing.assert_array_equal(np.isnan(curve.logits).any(axis=1), [True, True, False, False])
    with pytest.raises(EcgkitError, match="x has shape"):
        quac(linear(), X, CF, maps[1:], LABEL, 100.0)
