"""Tests of Shapley values of forests: they are those of the definition, add up, share alike; and reasons in words."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from math import factorial

import numpy as np
import pytest
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.explain.attribution import forest_shap, reasons
from ecgkit.explain.attribution.forest import feature_name
from ecgkit.physiology import COLUMNS
from ecgkit.training import MeasuredFeatures
from ecgkit.training.forest import Bins, Forest, random_forest

N = 4


def grown(n: int = 120) -> tuple[Forest, NDArray[np.float64]]:
    """Label 0 needs two features, 1 that one is missing, 2 is rare, 3 always there; feature 3 is the same for all."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, N)).round(1)
    x[rng.random((n, N)) < 0.2] = np.nan
    x[:, 3] = 7.0
    labels = [(x[:, 0] > 0) & (x[:, 1] > 0), np.isnan(x[:, 2]), np.arange(n) < 0.04 * n, np.ones(n)]
    return random_forest(x, np.stack(labels, axis=1).astype(np.uint8), seed=0, n_trees=5)[0], x


def expected(forest: Forest, node: int, x: NDArray[np.uint8], known: tuple[int, ...]) -> tuple[float, int]:
    """What a tree says from `node` on of an ECG of which only some features are known; and the node's ECGs."""
    if forest.feature[node] < 0:
        return forest.threshold[node] / 255, int(forest.skip[node])
    ways = [expected(forest, node + step, x, known) for step in (1, int(forest.skip[node]))]
    n = sum(count for _, count in ways)
    if (asked := int(forest.feature[node])) in known:
        return ways[int(x[asked] > forest.threshold[node])][0], n
    return sum(share * count for share, count in ways) / n, n


def by_definition(forest: Forest, label: int, x: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Shapley values as the sum over all sets of the other features."""
    def says(known: tuple[int, ...]) -> float:
        return float(np.mean([expected(forest, int(root), x, known)[0] for root in forest.roots[label]]))

    values, n = np.zeros(len(x)), len(x)
    for k in range(n):
        others = [j for j in range(n) if j != k]
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            values[k] += sum(weight * (says((*some, k)) - says(some)) for some in combinations(others, size))
    return values


def test_they_are_those_of_the_definition_and_add_up_to_what_the_forest_says() -> None:
    forest, x = grown()
    asked = x[:25]
    assert np.isnan(asked).any()
    found = forest_shap(forest, asked)
    binned = forest.bins(asked)
    for label in range(len(forest.roots)):
        for row in range(len(asked)):
            np.testing.assert_allclose(found.values[row, label], by_definition(forest, label, binned[row]), atol=1e-9)
    np.testing.assert_allclose(found.base + found.values.sum(axis=2), forest.predict(asked), atol=1e-9)
    np.testing.assert_array_equal(found.values[:, :, 3], 0)
    np.testing.assert_array_equal(found.values[:, 3], 0)
    assert found.base[3] == pytest.approx(1)
    assert found.base[0] == pytest.approx(((x[:, 0] > 0) & (x[:, 1] > 0)).mean(), abs=0.1)
    missing = np.isnan(asked[:, 2])
    assert found.values[missing, 1, 2].min() > 0 > found.values[~missing, 1, 2].max()


def test_features_that_play_the_same_part_get_the_same() -> None:
    """Two trees ask whether both features are high, one the other way round than the other."""
    tree = {"threshold": [64, 0, 64, 0, 255], "skip": [2, 30, 2, 10, 20]}
    forest = Forest(Bins.of(np.random.default_rng(0).normal(size=(1000, 3))),
                    np.array([0, -1, 1, -1, -1, 1, -1, 0, -1, -1], dtype=np.int16),
                    np.array(2 * tree["threshold"], dtype=np.uint8), np.array(2 * tree["skip"], dtype=np.int32),
                    np.array([[0, 5]]))
    both, neither, one = forest_shap(forest, np.array([[1, 1, 0], [-1, -1, 0], [1, -1, 0]])).values[:, 0]
    third = 1 / 3  # of the ECGs have it
    np.testing.assert_allclose(both, [third, third, 0])
    np.testing.assert_allclose(neither, [-third / 2, -third / 2, 0])
    assert one[0] > 0 > one[1]
    assert one.sum() == pytest.approx(-third)


def test_a_forest_that_does_not_tell_its_ecgs_or_is_none_is_refused() -> None:
    forest, x = grown()
    leaf = forest.feature < 0
    right = int(np.flatnonzero(~leaf)[0])
    skip = forest.skip.copy()
    skip[right] += 1
    for damaged in (replace(forest, skip=np.where(leaf, 0, forest.skip)), replace(forest, skip=skip),
                    replace(forest, roots=forest.roots[:, :-1])):
        with pytest.raises(EcgkitError, match="fit it anew"):
            forest_shap(damaged, x)
    with pytest.raises(EcgkitError, match="2 features, and the bins are of 4"):
        forest_shap(forest, x[:, :2])


def test_reasons_say_what_was_measured_in_words_and_units() -> None:
    told = {"qrs": (148, "QRS 148 ms"), "axis": (-52, "QRS axis −52°"), "heart_rate": (61.3, "heart rate 61/min"),
            "st60_V3": (-0.12, "ST at J + 60 ms in V3 −0.12 mV"), "pr": (np.nan, "PR not measurable"),
            "p_share": (0.9, "share of beats with a P 90 %"), "n_beats": (9, "usable beats 9"),
            "notched_V6": (1, "notched R in V6 yes"),
            "LVH Sokolow-Lyon": (3.1, "rule LVH Sokolow-Lyon met by 3.1 steps"),
            "LVH Cornell": (-2, "rule LVH Cornell not met by 2.0 steps"),
            "T inversion": (np.nan, "rule T inversion not measurable")}
    values, words = np.array([value for value, _ in told.values()]), [text for _, text in told.values()]
    size = np.array([0.3, -0.2, 0.1, -0.09, 0.08, 0.07, 0.06, 0.05, -0.04, 0.03, 0.02])
    found = reasons(size, values, list(told), top=20)
    assert found == [f"{text}: {'−' if by < 0 else '+'}{abs(by):.2f}" for text, by in zip(words, size, strict=True)]
    assert reasons(size[::-1], values, list(told), top=2)[0] == "rule T inversion not measurable: +0.30"
    assert reasons(np.full(11, 0.004), values, list(told)) == []


def test_every_feature_has_a_name_of_its_own() -> None:
    names = MeasuredFeatures(100, rules=True).names
    words = [feature_name(name) for name in names]
    assert len(set(words)) == len(words)
    assert not any("_" in word or "{" in word for word in words)
    for name in COLUMNS:
        text, = reasons(np.array([1.0]), np.array([0.5]), [name])
        assert text.startswith(feature_name(name))
