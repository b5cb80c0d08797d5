"""Splits: patients stay whole, labels keep their share, subsets are nested, the seed decides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.datasets.splits import assign_folds, patient_order

cohorts = st.integers(1, 60).flatmap(lambda n: st.tuples(
    st.lists(st.integers(0, 25), min_size=n, max_size=n),
    st.lists(st.tuples(*[st.integers(0, 1)] * 3), min_size=n, max_size=n), st.integers(0, 1000)))


def strata_of(patients, labels):
    """Set of labels of each patient, by loops."""
    return {patient: tuple(np.max([row for who, row in zip(patients, labels, strict=True) if who == patient], axis=0))
            for patient in set(patients)}


@settings(deadline=None, max_examples=60)
@given(cohorts)
def test_every_prefix_is_stratified(cohort):
    patients, labels, seed = cohort
    order = patient_order(np.array(patients), np.array(labels), seed)
    assert sorted(order) == sorted(set(patients))
    stratum = strata_of(patients, labels)
    sizes = {key: list(stratum.values()).count(key) for key in set(stratum.values())}
    for n in range(len(order) + 1):
        taken = [stratum[patient] for patient in order[:n]]
        shares = [(taken.count(key) - size * n / len(order)) for key, size in sizes.items()]
        # one patient of its own and the strata's shift of the common place
        assert max(map(abs, shares)) <= 1 + len(sizes)


def test_prefixes_of_large_strata_take_their_share():
    rng = np.random.default_rng(0)
    labels = (rng.random((4000, 3)) < [0.5, 0.2, 0.02]).astype(np.uint8)
    order = patient_order(np.arange(4000), labels, 1)
    for n in (40, 400, 2000):
        share = labels[order[:n]].mean(axis=0)
        np.testing.assert_allclose(share, labels.mean(axis=0), atol=4 / n)


def test_same_seed_same_order_whatever_the_order_of_records():
    rng = np.random.default_rng(0)
    patients, labels = rng.integers(0, 50, 200), rng.integers(0, 2, (200, 4))
    shuffle = rng.permutation(200)
    first = patient_order(patients, labels, 7)
    np.testing.assert_array_equal(first, patient_order(patients, labels, 7))
    np.testing.assert_array_equal(first, patient_order(patients[shuffle], labels[shuffle], 7))
    assert (first != patient_order(patients, labels, 8)).any()


def test_without_labels_and_with_names():
    patients = np.array(["b", "a", "b", "c"])
    assert sorted(patient_order(patients, np.zeros((4, 0)), 0)) == ["a", "b", "c"]
    assert sorted(patient_order(patients, np.zeros((4, 2)), 0)) == ["a", "b", "c"]


class TestAssignFolds:
    def test_patients_stay_whole_and_folds_are_even(self):
        rng = np.random.default_rng(0)
        patients, labels = rng.integers(0, 1000, 3000), rng.integers(0, 2, (3000, 2))
        folds = assign_folds(patients, labels)
        assert set(folds) == set(range(1, 11))
        assert all(len(set(folds[patients == patient])) == 1 for patient in np.unique(patients))
        sizes = [len(np.unique(patients[folds == fold])) for fold in range(1, 11)]
        assert max(sizes) - min(sizes) <= 1

    def test_labels_are_stratified(self):
        labels = np.repeat([[1], [0]], [200, 1800], axis=0)
        folds = assign_folds(np.arange(2000), labels)
        for fold in range(1, 11):
            assert labels[folds == fold].sum() == pytest.approx(20, abs=1)

    @pytest.mark.parametrize("n", [1, 3, 9])
    def test_few_patients(self, n):
        folds = assign_folds(np.arange(n), np.ones((n, 1)))
        assert len(set(folds)) == n
        assert folds.min() >= 1
        assert folds.max() <= 10

    def test_number_and_seed(self):
        folds = assign_folds(np.arange(100), np.ones((100, 1)), n_folds=5)
        assert np.bincount(folds).tolist() == [0, 20, 20, 20, 20, 20]
        assert (folds != assign_folds(np.arange(100), np.ones((100, 1)), n_folds=5, seed=1)).any()
