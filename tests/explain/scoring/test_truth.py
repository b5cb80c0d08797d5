"""Distance to the truth: analytic values for nothing, half of it, the truth itself and its opposite."""

from __future__ import annotations

import numpy as np
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.localisation import distance_to_truth
from ecgkit.simulator import EDIT_NAMES, Cohort


def test_nothing_half_all_and_too_much_of_the_true_change() -> None:
    cohort = Cohort(seed=2)
    sick = np.eye(12)[[EDIT_NAMES.index("LVH")]]
    before, truth = cohort.signals([0], severity=sick), cohort.counterfactual([0], severity=sick)
    needed = float(np.sqrt(np.mean((truth.astype(float) - before) ** 2)))
    for share, correlation in ((0.0, 0.0), (0.5, 1.0), (1.0, 1.0), (3.0, 1.0), (-1.0, -1.0)):
        found = distance_to_truth(before, (before + share * (truth - before)).astype(np.float32), truth).iloc[0]
        np.testing.assert_allclose(found, [abs(1 - share) * needed, abs(1 - share), correlation], atol=1e-5)


def test_each_ecg_is_for_itself_and_undefined_where_nothing_is_to_change() -> None:
    generator = np.random.default_rng(0)
    before, after, truth = generator.normal(size=(3, 4, 12, 50))
    truth[3] = before[3]
    found = distance_to_truth(before, after, truth)
    for k in range(4):
        assert found["rms"][k] == pytest.approx(np.sqrt(np.mean((after[k] - truth[k]) ** 2)))
    for k in range(3):
        assert found["correlation"][k] == pytest.approx(
            np.corrcoef((after[k] - before[k]).ravel(), (truth[k] - before[k]).ravel())[0, 1])
    assert found.iloc[3].isna().tolist() == [False, True, True]


def test_shapes_that_differ_are_said() -> None:
    with pytest.raises(EcgkitError, match=r"all must be \(n, 12, sig_len\)"):
        distance_to_truth(np.zeros((1, 12, 5)), np.zeros((1, 12, 5)), np.zeros((1, 12, 6)))
