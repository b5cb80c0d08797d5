"""Tests of forests as arrays: they are scikit-learn's, on bins; and what was not drawn is judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc
from ecgkit.training.forest import LEAF, N_BINS, TRIED, Bins, random_forest


def patients(n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Label 0 needs two thresholds at once, 1 is that a measurement is missing, 2 is always there, 3 never."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5))
    x[rng.random(n) < 0.3, 4] = np.nan
    labels = np.stack([(x[:, 0] > 0) != (x[:, 1] > 0), np.isnan(x[:, 4]), np.ones(n), np.zeros(n)], axis=1)
    return x, labels.astype(np.uint8)


def test_bins_hold_equally_many_and_the_missing_have_their_own() -> None:
    x = np.random.default_rng(0).normal(size=(12_800, 1))
    x[:100] = np.nan
    found = Bins.of(x)(x)[:, 0]
    assert set(found[:100]) == {0}
    counts = np.bincount(found[100:], minlength=N_BINS + 1)
    assert counts[0] == 0
    assert np.abs(counts[1:] - 12_700 / N_BINS).max() <= 2
    order = np.argsort(x[100:, 0])
    assert (np.diff(found[100:][order].astype(int)) >= 0).all()


def test_what_lies_beyond_what_was_seen_is_in_the_outer_bins_and_what_was_never_seen_in_the_first() -> None:
    x = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, np.nan], [2.0, np.nan]])
    bins = Bins.of(x)
    low, high, nothing = bins(np.array([[-1e9, 5.0], [1e9, -5.0], [np.nan, np.nan]]))
    assert low[0] == 1
    assert high[0] == bins(x)[:, 0].max()
    assert (low[1], high[1], *nothing) == (1, 1, 0, 0)
    with pytest.raises(EcgkitError, match="3 features, and the bins are of 2"):
        bins(np.zeros((1, 3)))


def test_it_finds_combinations_of_thresholds_and_what_is_missing() -> None:
    (x, y), (asked, truth) = patients(600, 0), patients(400, 1)
    p = random_forest(x, y, seed=0, n_trees=30)[0].predict(asked)
    combined, missing, *_ = auroc(truth, p)
    assert combined > 0.9, "a linear model gets 0.5"
    assert missing > 0.99
    np.testing.assert_array_equal(p[:, 2], 1)
    np.testing.assert_array_equal(p[:, 3], 0)


def test_it_is_one_forest_of_scikit_learn_for_each_label_and_its_seed() -> None:
    (x, y), (asked, _) = patients(300, 0), patients(700, 1)
    mine = [random_forest(x, y[:, :2], seed=seed, n_trees=20)[0].predict(asked) for seed in (7, 7, 8)]
    bins = Bins.of(x)
    for k in range(2):
        theirs = RandomForestClassifier(20, max_features=TRIED, random_state=7).fit(bins(x), y[:, k])
        np.testing.assert_allclose(mine[0][:, k], theirs.predict_proba(bins(asked))[:, 1], atol=1 / 255)
    np.testing.assert_array_equal(mine[0], mine[1])
    assert not np.array_equal(mine[0], mine[2])


def test_out_of_bag_is_scikit_learns_and_less_sure_than_what_was_learnt_from() -> None:
    x, y = patients(200, 0)
    forest, out_of_bag = random_forest(x, y, seed=3, n_trees=40)
    bins = Bins.of(x)
    theirs = RandomForestClassifier(40, max_features=TRIED, random_state=3, oob_score=True).fit(bins(x), y[:, 0])
    np.testing.assert_allclose(out_of_bag[:, 0], theirs.oob_decision_function_[:, 1])
    assert auroc(y[:, :1], out_of_bag[:, :1])[0] < auroc(y[:, :1], forest.predict(x)[:, :1])[0]
    np.testing.assert_array_equal(out_of_bag[:, 2:], [[1, 0]] * 200)


def test_ecgs_of_a_rare_label_weigh_as_much_as_the_others() -> None:
    rng = np.random.default_rng(0)
    x, truth = rng.normal(size=(500, 4)), np.zeros((500, 2), dtype=np.uint8)
    truth[:20, 0], truth[:30, 1] = 1, 1  # 4 % and 6 %
    x[:30, 0] += 1.5
    forest, out_of_bag = random_forest(x, truth, seed=0, n_trees=30)
    theirs = RandomForestClassifier(30, max_features=TRIED, random_state=0, class_weight="balanced",
                                    min_samples_leaf=LEAF).fit(forest.bins(x), truth[:, 0])
    np.testing.assert_allclose(forest.predict(x)[:, 0], theirs.predict_proba(forest.bins(x))[:, 1], atol=1 / 255)
    assert np.isnan(out_of_bag[:20, 0]).mean() > 0.5, "most are in every bag"
    assert np.isfinite(out_of_bag[20:, 0]).all()
    assert forest.predict(x)[:20, 0].min() > 0.5


def test_leaves_tell_how_many_ecgs_they_were_grown_from() -> None:
    x, y = patients(200, 0)
    forest, _ = random_forest(x, y, seed=0, n_trees=9)
    ends = np.append(forest.roots.ravel()[1:], len(forest.feature)).reshape(forest.roots.shape)
    counts = np.array([[forest.skip[a:b][forest.feature[a:b] < 0].sum() for a, b in zip(*each, strict=True)]
                       for each in zip(forest.roots, ends, strict=True)])
    assert (np.abs(counts[:2] - 200 * (1 - np.exp(-1))) < 20).all(), "those that were drawn, once or more"
    assert (counts[2:] == 200).all()


def test_bins_may_be_of_more_ecgs_than_those_with_labels() -> None:
    (x, y), (more, _) = patients(30, 0), patients(500, 1)
    bins = Bins.of(np.concatenate([x, more]))
    assert random_forest(x, y, seed=0, n_trees=5, bins=bins)[0].bins is bins


def test_one_labelled_ecg_is_enough_to_run() -> None:
    x, y = patients(1, 0)
    forest, out_of_bag = random_forest(x, y, seed=0, n_trees=7)
    np.testing.assert_array_equal(forest.predict(patients(3, 1)[0]), np.repeat(y, 3, axis=0))
    np.testing.assert_array_equal(out_of_bag, y.astype(float))
    assert forest.predict(np.empty((0, 5))).shape == (0, 4)


def test_mistakes_are_told_in_one_line() -> None:
    x, y = patients(5, 0)
    for features, labels in ((x[:4], y), (x[0], y), (x, y[:, 0]), (x[:0], y[:0])):
        with pytest.raises(EcgkitError, match=r"expected \(n, n_features\) and \(n, n_labels\) with n from 1 on"):
            random_forest(features, labels, seed=0)


def test_a_tree_that_goes_round_is_never_walked() -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(50, 3)), rng.integers(2, size=(50, 1), dtype=np.uint8)
    forest, _ = random_forest(features, labels, seed=0, n_trees=3)
    inner = int(np.flatnonzero(forest.feature >= 0)[0])
    leaf = int(np.flatnonzero(forest.feature < 0)[0])
    for name, value in (("skip", 0), ("skip", -2), ("skip", 10_000), ("feature", 3), ("feature", -5)):
        damaged = getattr(forest, name).copy()
        damaged[inner] = value
        with pytest.raises(ValueError, match="goes round or leads nowhere"):
            replace(forest, **{name: damaged})
    with pytest.raises(ValueError, match="leads nowhere"):
        replace(forest, skip=np.where(np.arange(len(forest.skip)) == leaf, -1, forest.skip))
    with pytest.raises(ValueError, match="leads nowhere"):
        replace(forest, roots=forest.roots + len(forest.feature))


def test_trees_taken_apart_say_together_what_the_forest_says_and_how_many_ecgs_each_node_had() -> None:
    (x, y), (asked, _) = patients(150, 0), patients(20, 1)
    forest = random_forest(x, y, seed=0, n_trees=4)[0]
    for label, p in zip(forest.trees(), forest.predict(asked).T, strict=True):
        for binned, expected in zip(forest.bins(asked), p, strict=True):
            shares = []
            for tree in label:
                node = 0
                while tree["left"][node] >= 0:
                    goes_left = binned[tree["feature"][node]] <= tree["threshold"][node]
                    node = int(tree["left" if goes_left else "right"][node])
                shares.append(tree["share"][node])
            assert np.mean(shares) == pytest.approx(expected)
        for tree in label:
            inner = tree["left"] >= 0
            np.testing.assert_array_equal(inner, tree["right"] >= 0)
            below = (tree["n"][tree[side][inner]] for side in ("left", "right"))
            np.testing.assert_array_equal(tree["n"][inner], sum(below))
    with pytest.raises(EcgkitError, match="fit it anew"):
        replace(forest, skip=np.where(forest.feature < 0, 0, forest.skip)).trees()
