"""Tests of rare labels: the rule, nested choices by patient, and a probe that sees no positive beyond them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.datasets.base import ECGDataset, from_arrays
from ecgkit.errors import EcgkitError
from ecgkit.study.rare import positives, probe_few_positives, rarest, with_few_positives
from ecgkit.training.probe import Standard, linear_probe


def dataset(counts: dict[str, tuple[int, int, int]], n: int = 40) -> ECGDataset:
    """`n` ECGs in each of the folds 1, 9 and 10, with so many positives of each label."""
    labels = np.zeros((3 * n, len(counts)), dtype=np.uint8)
    for k, by_fold in enumerate(counts.values()):
        for part, count in enumerate(by_fold):
            labels[part * n:part * n + count, k] = 1
    records = pd.DataFrame({"record": np.arange(3 * n).astype(str), "patient_id": np.arange(3 * n) // 2,
                            "strat_fold": np.repeat([1, 9, 10], n)})
    return from_arrays(np.zeros((3 * n, 12, 4)), labels, tuple(counts), 100, records=records)


def test_the_rarest_labels_with_enough_ecgs_are_named() -> None:
    data = dataset({"common": (30, 9, 9), "no test": (10, 2, 1), "b": (12, 2, 2), "a": (12, 2, 5), "edge": (10, 2, 2),
                    "too few": (9, 9, 9), "no validation": (11, 1, 4)})
    assert rarest(data, 3) == ("edge", "a", "b")
    assert rarest(data, 9) == ("edge", "a", "b", "common")
    assert rarest(data, 1, least=(1, 1, 1)) == ("too few",)
    assert positives(data).loc["a"].to_dict() == {"train": 12, "validation": 2, "test": 5}
    with pytest.raises(EcgkitError, match="no label has 31 training, 2 validation and 2 test ECGs"):
        rarest(data, least=(31, 2, 2))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40), st.integers(0, 3))
def test_choices_are_nested_whole_patients_and_reach_the_number(ecgs: list[tuple[int, bool]], seed: int) -> None:
    patients = np.array([patient for patient, _ in ecgs])
    truth = np.array([positive for _, positive in ecgs], dtype=np.uint8)
    largest = np.bincount(patients, weights=truth).max()
    before = np.zeros(len(truth), dtype=bool)
    for wanted in range(1, int(truth.sum()) + 1):
        kept = with_few_positives(truth, patients, wanted, seed)
        assert wanted <= truth[kept].sum() < wanted + largest
        assert not set(patients[kept]) & set(patients[~kept]), "a patient stays or goes as a whole"
        assert kept[~np.isin(patients, patients[truth == 1])].all(), "nobody without the label drops out"
        assert kept[before].all()
        before = kept
    if truth.any():
        assert before.all()


def test_another_seed_draws_other_positives() -> None:
    truth = np.ones(20, dtype=np.uint8)
    kept = {tuple(np.flatnonzero(with_few_positives(truth, np.arange(20), 5, seed))) for seed in range(5)}
    assert len(kept) == 5
    assert with_few_positives(truth, np.arange(20), 21, 0).all()
    with pytest.raises(EcgkitError, match="0 positive ECGs: give at least 1"):
        with_few_positives(truth, np.arange(20), 0, 0)


def test_a_probe_is_that_of_the_chosen_ecgs_alone() -> None:
    train = dataset({"a": (12, 0, 0), "b": (20, 0, 0)}).train
    rng = np.random.default_rng(0)
    features = rng.normal(size=(len(train), 6)) + train.labels[:, :1]
    asked = rng.normal(size=(7, 6))
    found = probe_few_positives(train, features, asked, wanted=[5, 12], seeds=2)
    assert {number: len(runs) for number, runs in found.items()} == {5: 2, 12: 2}
    patients = train.records["patient_id"].to_numpy()
    kept = with_few_positives(train.labels[:, 1], patients, 5, 1)
    alone = linear_probe(features[kept], train.labels[kept, 1:], groups=patients[kept], seed=1,
                         standard=Standard.of(features))
    np.testing.assert_array_equal(found[5][1][:, 1], alone.predict(asked)[:, 0])
    assert not np.array_equal(found[5][0][:, 1], found[5][1][:, 1])
    assert not np.array_equal(found[5][0], found[12][0])
