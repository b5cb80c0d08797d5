"""Folds and nested label subsets: every patient whole, labels stratified."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.datasets import from_arrays, label_subsets, subset_of
from ecgkit.datasets.splits import FRACTIONS, assign_folds, patient_order
from ecgkit.errors import EcgkitError

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


N = 500


@pytest.fixture(scope="module")
def data():
    """500 ECGs of about 200 patients with two labels."""
    rng = np.random.default_rng(0)
    records = pd.DataFrame({"record": [f"r{k}" for k in range(N)], "patient_id": rng.integers(0, 220, N), "age": 50})
    labels = (rng.random((N, 2)) < [0.5, 0.2]).astype(np.uint8)
    return from_arrays(np.zeros((N, 12, 4)), labels, ["A", "B"], 100, records=records)


@pytest.fixture(scope="module")
def table(data):
    return label_subsets(data, seeds=range(3))


def test_columns(data, table):
    assert table.columns.tolist() == ["record", "patient_id", "seed_0", "seed_1", "seed_2"]
    assert table["record"].tolist() == data.records["record"].tolist()
    assert set(np.unique(table[["seed_0", "seed_1", "seed_2"]])) == set(FRACTIONS)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fraction", FRACTIONS)
def test_a_subset_is_that_of_label_fraction(data, table, fraction, seed):
    drawn = data.label_fraction(fraction, seed).records["record"].tolist()
    assert data.records["record"][subset_of(table, fraction, seed)].tolist() == drawn


def test_nested_and_by_patient(table):
    for seed in range(3):
        masks = [subset_of(table, fraction, seed) for fraction in FRACTIONS]
        assert all((small <= large).all() for small, large in pairwise(masks))
        assert masks[0].any()
        assert masks[-1].all()
        assert not table[["patient_id", f"seed_{seed}"]].drop_duplicates()["patient_id"].duplicated().any()
    assert (subset_of(table, 0.1, 0) != subset_of(table, 0.1, 1)).any()


def test_a_csv_says_the_same(table, tmp_path):
    table.to_csv(tmp_path / "subsets.csv", index=False)
    again = pd.read_csv(tmp_path / "subsets.csv")
    pd.testing.assert_frame_equal(again, table)
    np.testing.assert_array_equal(subset_of(again, 0.05, 2), subset_of(table, 0.05, 2))


def test_without_all_labels_some_ecgs_are_in_none(data):
    table = label_subsets(data, (0.5, 0.1), seeds=[7])
    mask = subset_of(table, 0.5, 7)
    assert table.loc[~mask, "seed_7"].isna().all()
    assert data.subset(mask).records["record"].tolist() == data.label_fraction(0.5, 7).records["record"].tolist()


def test_small_fractions_may_hold_the_same_patient(data):
    few = data.subset(np.arange(10))
    table = label_subsets(few, seeds=[0])
    np.testing.assert_array_equal(subset_of(table, 0.05, 0), subset_of(table, 0.01, 0))
    assert len(set(table.loc[subset_of(table, 0.05, 0), "patient_id"])) == 1


def test_mistakes(data, table):
    with pytest.raises(EcgkitError, match="have no seed 3; they have 0, 1, 2"):
        subset_of(table, 0.1, 3)
    with pytest.raises(EcgkitError, match=r"seed 0 were not drawn at 0\.07; they have 0\.01, 0\.05, 0\.1, 0\.25"):
        subset_of(table, 0.07, 0)
    with pytest.raises(EcgkitError, match="not drawn"):
        subset_of(table[subset_of(table, 0.1, 0)], 0.1, 0)
    with pytest.raises(EcgkitError, match="give a number above 0"):
        label_subsets(data, (0.0, 0.1))
