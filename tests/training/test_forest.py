"""Tests of the random forest on measurements: what it finds, what is missing, labels of one class."""

from __future__ import annotations

from inspect import signature

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc
from ecgkit.training.measured import random_forest


def patients(n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Label 0 needs two thresholds at once, 1 is that a measurement is missing, 2 is always there, 3 never."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5))
    x[rng.random(n) < 0.3, 4] = np.nan
    labels = np.stack([(x[:, 0] > 0) != (x[:, 1] > 0), np.isnan(x[:, 4]), np.ones(n), np.zeros(n)], axis=1)
    return x, labels.astype(np.uint8)


def test_it_finds_combinations_of_thresholds_and_what_is_missing() -> None:
    (x, y), (asked, truth) = patients(600, 0), patients(400, 1)
    p = random_forest(x, y, seed=0, n_trees=30).predict(asked)
    combined, missing, *_ = auroc(truth, p)
    assert combined > 0.9, "a linear model gets 0.5"
    assert missing > 0.99
    np.testing.assert_array_equal(p[:, 2], 1)
    np.testing.assert_array_equal(p[:, 3], 0)


def test_it_is_one_forest_of_scikit_learn_for_each_label_and_its_seed() -> None:
    x, y = patients(80, 0)
    mine = [random_forest(x, y[:, :2], seed=seed, n_trees=30).predict(x) for seed in (7, 7, 8)]
    for k in range(2):
        theirs = RandomForestClassifier(30, random_state=7).fit(x, y[:, k]).predict_proba(x)[:, 1]
        np.testing.assert_array_equal(mine[0][:, k], theirs)
    np.testing.assert_array_equal(mine[0], mine[1])
    assert not np.array_equal(mine[0], mine[2])
    assert signature(random_forest).parameters["n_trees"].default == 500


def test_one_labelled_ecg_is_enough_to_run() -> None:
    x, y = patients(1, 0)
    np.testing.assert_array_equal(random_forest(x, y, seed=0).predict(patients(3, 1)[0]), np.repeat(y, 3, axis=0))


def test_mistakes_are_told_in_one_line() -> None:
    x, y = patients(5, 0)
    for features, labels in ((x[:4], y), (x[0], y), (x, y[:, 0]), (x[:0], y[:0])):
        with pytest.raises(EcgkitError, match=r"expected \(n, n_features\) and \(n, n_labels\) with n from 1 on"):
            random_forest(features, labels, seed=0)
