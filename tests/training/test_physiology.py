"""Tests of measurements as targets: on one scale, cut off, known where they are known; and the loss over those."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgkit.training.measured import FURTHEST_TARGET, measured_loss, targets_of
from ecgkit.training.methods import Physiologist


def test_targets_are_around_the_median_of_one_spread_and_cut_off() -> None:
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(700, 90, 999), rng.normal(0.2, 0.01, 999)], axis=1)
    x[0, 0] = 1e6
    z = targets_of(x)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z.std(axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(np.median(z, axis=0), 0, atol=1e-6)
    unit = np.subtract(*np.percentile(x[:, 0], [75, 25]))
    cut = ((x[:, 0] - np.median(x[:, 0])) / unit).clip(-FURTHEST_TARGET, FURTHEST_TARGET)
    np.testing.assert_allclose(z[:, 0], cut / cut.std(), rtol=1e-5)


def test_what_is_unknown_stays_so_and_what_tells_nothing_is_left_out() -> None:
    nan = np.nan
    x = np.array([[1.0, 7, nan, nan], [2, 7, nan, nan], [3, 7, nan, nan], [nan, 7, 9, nan]])
    z = targets_of(x)
    assert np.isfinite(z[:3, 0]).all()
    assert np.isnan(z[3, 0])
    assert np.isnan(z[:, 1:]).all(), "all have the same; a quarter have it; none has it"


def test_half_of_the_ecgs_with_one_value_are_measured_by_the_spread_of_the_others() -> None:
    z = targets_of(np.array([[0.0]] * 80 + [[1.0]] * 20))
    np.testing.assert_allclose(np.unique(z), [0, 2.5], rtol=1e-6)  # 1 / SD, which is 0.4


def test_the_loss_is_smooth_l1_over_what_is_known() -> None:
    named, targets = torch.tensor([[0.5, 9.0], [3.0, 1.0]]), torch.tensor([[0.0, torch.nan], [0.0, 1.0]])
    assert measured_loss(named, targets).item() == pytest.approx((0.5 * 0.25 + 2.5 + 0) / 3)
    nothing = measured_loss(named.requires_grad_(), torch.full((2, 2), torch.nan))
    nothing.backward()
    assert nothing.item() == 0
    assert not named.grad.any()


def test_an_ecg_is_named_by_the_mean_of_its_views() -> None:
    torch.manual_seed(0)
    embedder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12 * 5, 6))
    model = Physiologist(embedder, 6, 4, 3).eval()
    views = torch.randn(7, 2, 12, 5)
    named, z = model(views)
    assert (named.shape, z.shape) == ((7, 4), (7, 2, 3))
    torch.testing.assert_close(named, (model(views[:, :1])[0] + model(views[:, 1:])[0]) / 2)
