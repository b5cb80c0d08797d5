"""Realism: Fréchet distance of known normals, neighbours by hand, limb-lead algebra, and what counts as changed."""

from __future__ import annotations

import numpy as np
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.realism import (
    changed_share,
    einthoven_residual,
    embedding_distances,
    frechet,
    neighbour_distance,
)
from ecgkit.simulator import Cohort


def test_the_distance_of_two_normals_is_frechets() -> None:
    generator = np.random.default_rng(0)
    z = generator.normal(size=(40_000, 3))
    scale, move = np.array([2.0, 0.5, 1.0]), np.array([1.0, -2.0, 0.0])
    # Covariances that commute: the sum of the squared differences of means and of standard deviations.
    found = frechet(z[:20_000], z[20_000:] * scale + move)
    assert found == pytest.approx(5 + 1 + 0.25, rel=0.03)
    turned = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    assert frechet(z[:20_000] @ turned, (z[20_000:] * scale + move) @ turned) == pytest.approx(found, rel=1e-6)
    assert frechet(z[:500], z[:500]) == pytest.approx(0, abs=1e-6)
    assert frechet(z[:30], z[30:60] + 5) == pytest.approx(frechet(z[30:60] + 5, z[:30]))


def test_fewer_ecgs_than_features_still_have_a_distance() -> None:
    generator = np.random.default_rng(1)
    a, b = generator.normal(size=(2, 20, 64))
    assert 0 <= frechet(a, b) < frechet(a, b + 2)


def test_neighbours_by_hand() -> None:
    among = np.array([[0.0], [1], [2], [10]])
    np.testing.assert_allclose(neighbour_distance(np.array([[0.0], [9]]), among, k=2), [0.5, 4])
    with pytest.raises(EcgkitError, match="4 embeddings to be near to; 5 are needed"):
        neighbour_distance(among, among)


def test_made_ecgs_lie_as_far_as_real_ones_unless_they_are_moved() -> None:
    generator = np.random.default_rng(2)
    real, fake = generator.normal(size=(200, 6)), generator.normal(size=(80, 6))
    patients = np.arange(200) // 2
    alike, moved = (embedding_distances(real, x, patients, seed=1) for x in (fake, fake + 3))
    assert alike.columns.tolist() == ["n", "frechet", "neighbours"]
    (n, far, near), (n_real, far_real, near_real) = alike.loc[["made", "real"]].to_numpy()
    assert (n, n_real) == (80, 80)
    assert near == pytest.approx(near_real, rel=0.15)
    assert far < 2 * far_real
    assert (moved.loc[["made"]].to_numpy()[0, 1:] > 2 * np.array([far_real, near_real])).all()
    np.testing.assert_array_equal(moved.loc["real"], alike.loc["real"])


def test_halves_share_no_patient() -> None:
    generator = np.random.default_rng(3)
    # Each patient's ECGs are alike: a neighbour is at hand only if the halves share patients.
    patients = np.repeat(np.arange(20), 6)
    real = generator.normal(size=(20, 8))[patients]
    assert embedding_distances(real, real[:30], patients).loc[["real"], "neighbours"].item() > 1


def test_the_limb_leads_of_an_ecg_obey_and_a_broken_one_is_measured() -> None:
    x = Cohort(seed=0).signals(range(2))
    assert einthoven_residual(x).max() < 1e-5
    x[1, 2, 30] += 0.25
    np.testing.assert_allclose(einthoven_residual(x), [0, 0.25], atol=1e-5)


def test_changed_is_what_moved_by_more_than_20_microvolts() -> None:
    before = np.zeros((2, 12, 10), np.float32)
    after = before.copy()
    after[0, 3, :5], after[0, 4, :] = -0.03, 0.019
    np.testing.assert_allclose(changed_share(before, after), [5 / 120, 0])
