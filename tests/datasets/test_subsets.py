"""Published label subsets: those of `label_fraction`, nested, by patient, and the same from a CSV."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from ecgkit.datasets import from_arrays, label_subsets, subset_of
from ecgkit.datasets.subsets import FRACTIONS
from ecgkit.errors import EcgkitError

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
