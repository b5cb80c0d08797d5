"""Realism: distances, shares and ranks by hand, and a fresh discriminator that is blind between real ECGs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc
from ecgkit.explain.battery.realism import (
    changed_share,
    cosine,
    einthoven_residual,
    embedding_distances,
    frechet,
    fresh_discriminator,
    nearest_alike,
    neighbour_distance,
    share_above,
    told_apart,
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


@pytest.mark.parametrize("n", [200, 201])
def test_shares_are_of_the_energy_in_all_leads(n: int) -> None:
    fs = 100.0 * n / 200  # so that all frequencies fit a whole number of times
    t = np.arange(n) / fs
    edit = np.zeros((2, 12, n))
    edit[0, 0], edit[0, 6] = np.sin(2 * np.pi * 10 * t), 2 * np.sin(2 * np.pi * 30 * t)
    edit[0, 8] = 3 * np.sin(2 * np.pi * 45 * t)
    np.testing.assert_allclose(share_above(edit, fs)[0], [13 / 14, 9 / 14])
    assert np.isnan(share_above(edit, fs)[1]).all()


def test_every_share_is_parsevals() -> None:
    edit = np.random.default_rng(0).normal(size=(3, 2, 64)) + 0.3
    full = np.abs(np.fft.fft(edit, axis=-1)) ** 2
    high = np.abs(np.fft.fftfreq(64, 1 / 100)) > 30
    expected = full[..., high].sum(axis=(1, 2)) / (64 * (edit**2).sum(axis=(1, 2)))
    np.testing.assert_allclose(share_above(edit, 100, above=[30])[:, 0], expected)


def test_cosine_by_hand() -> None:
    before, after = np.array([[1.0, 0], [1, 1], [0, 0]]), np.array([[2.0, 0], [-1, 0], [1, 1]])
    np.testing.assert_allclose(cosine(before, after), [1, -np.sqrt(0.5), np.nan])


FS = 50.0
ECGS = Cohort(seed=5, fs=FS, seconds=3).signals(range(120))
REAL, OTHERS = ECGS[:60], ECGS[60:]
PATIENTS = np.arange(60), np.arange(60, 120)


def test_real_ecgs_are_not_told_from_other_real_ones() -> None:
    found = fresh_discriminator(REAL, OTHERS, *PATIENTS, fs=FS, steps=20)
    assert 0.35 < found.auc < 0.65
    assert found.auc == auroc(found.fake[:, None], found.score[:, None])[0]
    assert found.score.shape == (120,)
    assert ((found.score > 0) & (found.score < 1)).all()


def test_a_small_tremor_is_found_and_the_seed_decides_all() -> None:
    tremor = 0.03 * np.sin(2 * np.pi * 20 * np.arange(OTHERS.shape[-1]) / FS).astype(np.float32)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, again = (fresh_discriminator(REAL, OTHERS + tremor, *PATIENTS, fs=FS, steps=20, seed=1) for _ in range(2))
    assert first.auc > 0.95
    np.testing.assert_array_equal(first.score, again.score)
    assert torch.equal(state, torch.get_rng_state())


def test_a_patients_mark_is_no_flaw() -> None:
    """Marks that patients have, made or real, say nothing about the patients of the other folds."""
    mark = np.random.default_rng(0).normal(scale=0.3, size=(40, 12, 1)).astype(np.float32)
    whose = np.repeat(np.arange(40), 3)
    x = ECGS + mark[whose]
    found = fresh_discriminator(x[:60], x[60:], whose[:60], whose[60:], fs=FS, steps=20)
    assert 0.25 < found.auc < 0.75


def test_unfair_comparisons_are_refused() -> None:
    with pytest.raises(EcgkitError, match="patient 7 has real and made ECGs"):
        fresh_discriminator(REAL, OTHERS, np.arange(60), np.arange(7, 67) * np.array([1] + [100] * 59), fs=FS)
    with pytest.raises(EcgkitError, match="needs 3 patients"):
        fresh_discriminator(REAL, OTHERS, np.zeros(60), PATIENTS[1], fs=FS)


def test_the_nearest_and_then_the_next_are_taken_and_each_patient_once() -> None:
    among = np.array([[0.0], [0.1], [1.0], [1.3], [2.0], [9.0], [0.2]])
    whose = ["a", "a", "b", "c", "d", "e", "f"]
    asked = np.array([[0.04], [1.1], [0.9]])
    rows = nearest_alike(asked, among, whose)
    # The third would like 1.0, which the second took; 0.1 is of the patient of 0.0.
    assert rows[0].tolist() == [0, 2, 3]
    assert rows[1].tolist() == [6, 4, 5]
    assert nearest_alike(asked, among, whose, k=1).tolist() == rows[:1].tolist()
    with pytest.raises(EcgkitError, match="6 patients to match 3 ECGs with 3 each"):
        nearest_alike(asked, among, whose, k=3)


def test_told_apart_has_its_interval_under_its_name() -> None:
    rng = np.random.default_rng(0)
    real, other = (rng.normal(0, 0.1, (24, 12, 100)).astype(np.float32) for _ in range(2))
    found = told_apart("alike", real, other + np.float32(1), np.arange(24), np.arange(24, 48), fs=100, n_boot=50)
    assert list(found) == ["alike", "alike_low", "alike_high"]
    assert found["alike_low"] <= found["alike"] <= found["alike_high"]
    assert found["alike"] > 0.95
