"""Stability: correlations as scipy has them, networks that have forgotten, maps that noise moves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.localisation import cell_sums, smoothed
from ecgkit.explain.battery.perturbation import consistency, correlation, max_sensitivity, randomisation
from ecgkit.leads import from_independent, limb_residual
from tests.explain.battery.linear import normal

N, SHAPE = 4, (12, 30)
CELLS = np.broadcast_to(np.arange(12)[:, None] * 3 + np.arange(30) // 10, (N, *SHAPE)).copy()


@pytest.mark.parametrize(("ranked", "reference"), [(False, pearsonr), (True, spearmanr)])
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 200), scale=st.floats(1e-9, 1e9))
def test_correlation_is_scipys(ranked: bool, reference, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = np.round(rng.normal(size=(2, 3, 4, 5)), 1)
    a[1, 2, 3] = b[1, 0, 0] = np.nan
    got = correlation(scale * a + 3 * scale, b, ranked=ranked)
    for row in range(3):
        both = np.isfinite(a[row]) & np.isfinite(b[row])
        assert got[row] == pytest.approx(reference(a[row][both], b[row][both]).statistic, abs=1e-8)
    np.testing.assert_allclose(correlation(b, a, ranked=ranked), correlation(a, b, ranked=ranked))


@pytest.mark.parametrize("ranked", [False, True])
def test_correlation_with_a_constant_is_none(ranked: bool) -> None:
    a = normal(0, 3, 12, 7)
    b = np.stack([np.full((12, 7), 0.1), np.full((12, 7), np.nan), a[2]])
    with np.errstate(all="raise"):
        np.testing.assert_allclose(correlation(a, b, ranked=ranked), [np.nan, np.nan, 1])


def test_consistency_in_both_forms() -> None:
    a = normal(1, N, *SHAPE)
    np.testing.assert_allclose(consistency(a, 2 * a, CELLS, 100.0), 1)
    table = consistency(a, -a, CELLS, 100.0)
    assert table.shape == (N, 8)
    np.testing.assert_allclose(table.xs("signed", axis=1, level="form"), -1)
    np.testing.assert_allclose(table.xs("absolute", axis=1, level="form"), 1)
    unrelated = consistency(a, normal(2, N, *SHAPE), CELLS, 100.0)
    assert (unrelated.mean().abs() < 0.3).all()


def test_consistency_smooths_and_sums() -> None:
    a, b = normal(1, N, *SHAPE), normal(2, N, *SHAPE)
    table = consistency(a, b, CELLS, 100.0)
    for form, (u, v) in {"signed": (a, b), "absolute": (abs(a), abs(b))}.items():
        box = [smoothed(m, 100.0)[2].ravel() for m in (u, v)]
        sums = [m[2].astype(float).reshape(12, 3, 10).sum(axis=2).ravel() for m in (u, v)]
        assert table["time", form, "pearson"][2] == pytest.approx(pearsonr(*box).statistic)
        assert table["segment", form, "spearman"][2] == pytest.approx(spearmanr(*sums).statistic)
    inside = a.reshape(N, 12, 3, 10)[..., ::-1].reshape(a.shape)
    moved = consistency(a, inside, CELLS, 100.0)
    np.testing.assert_allclose(moved["segment"], 1, atol=1e-5)
    assert (moved["time"] < 0.9).all().all()


def test_a_box_of_fifty_milliseconds() -> None:
    pulse = np.zeros((1, 12, 21))
    pulse[0, 0, 10] = 1
    np.testing.assert_allclose(smoothed(pulse, 100.0)[0, 0, 6:15], [0, 0, *[0.2] * 5, 0, 0])
    np.testing.assert_allclose(smoothed(pulse, 500.0, 6)[0, 0, 8:13], [0, 1 / 3, 1 / 3, 1 / 3, 0])
    np.testing.assert_allclose(smoothed(np.full((1, 12, 21), 3), 500.0), 3)


def test_cells_that_an_ecg_lacks() -> None:
    cells = CELLS.copy()
    cells[1][cells[1] == 4] = -1
    sums = cell_sums(np.ones((N, *SHAPE)), cells)
    assert sums.shape == (N, 36)
    assert np.isnan(sums[1, 4])
    assert np.nansum(sums) == 10 * (36 * N - 1)
    a, b = normal(1, N, *SHAPE), normal(2, N, *SHAPE)
    got = consistency(a, b, cells, 100.0)["segment", "signed", "pearson"]
    x, y = (np.delete(m[1].astype(float).reshape(12, 3, 10).sum(axis=2).ravel(), 4) for m in (a, b))
    assert got[1] == pytest.approx(pearsonr(x, y).statistic)


def test_randomisation_does_not_see_signs() -> None:
    a, b = normal(1, N, *SHAPE), normal(2, N, *SHAPE)
    np.testing.assert_allclose(randomisation(a, -5 * a**3), 1)
    np.testing.assert_allclose(randomisation(a, 1 / a), -1)
    assert (np.abs(randomisation(a, b)) < 0.25).all()
    b[0, 0] = 0
    a[3] = np.nan
    np.testing.assert_array_equal(np.isnan(randomisation(a, b)), [False, False, False, True])
    with pytest.raises(EcgkitError, match="maps_of_randomised"):
        randomisation(a, b[..., 1:])


def test_a_map_that_is_the_signal_moves_as_much_as_the_noise() -> None:
    x, seen = from_independent(normal(3, N, 8, 30)), []

    def explain(x: np.ndarray) -> np.ndarray:
        seen.append(x)
        return 7 * x

    got = max_sensitivity(explain, x, 0.05, n_draws=6, seed=2)
    noise = np.stack(seen[1:]).astype(float) - x
    size = np.sqrt((x.astype(float)**2).sum(axis=(1, 2)))
    np.testing.assert_allclose(got, np.sqrt((noise**2).sum(axis=(2, 3))).max(axis=0) / size, rtol=1e-5)
    assert np.abs(limb_residual(noise)).max() < 1e-6
    assert 0.049 < np.abs(noise[:, :, 6:]).max() <= 0.05 + 1e-6
    np.testing.assert_allclose(max_sensitivity(explain, x, 0.1, n_draws=6, seed=2), 2 * got, rtol=1e-4)
    assert (max_sensitivity(explain, x, 0.05, n_draws=12, seed=2) >= got).all()


def test_sensitivity_at_its_ends() -> None:
    x = normal(3, N, *SHAPE)
    np.testing.assert_array_equal(max_sensitivity(np.ones_like, x, 0.1), 0)
    maps = np.ones_like(x)
    maps[0], maps[1, 0, 0] = 0, np.nan
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(np.isnan(max_sensitivity(lambda x: maps, x, 0.1)), [True, True, False, False])
