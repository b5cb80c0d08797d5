"""A fresh discriminator: blind between real ECGs, sharp on a flaw, and asked about other patients only."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc
from ecgkit.explain.battery.discrimination import fresh_discriminator
from ecgkit.simulator import Cohort

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
