"""Brier score, calibration error, reliability curve, F1, its best threshold, and which labels are called for which."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import best_f1_thresholds, brier, confusion_of_labels, ece, f1, reliability
from tests.evaluation.helpers import cohort


def slow_ece(truth, score, n_bins):
    total = 0.0
    for b in range(n_bins):
        last = b == n_bins - 1
        inside = [k for k, s in enumerate(score) if b / n_bins <= s and (last or s < (b + 1) / n_bins)]
        if inside:
            total += len(inside) * abs(np.mean(score[inside]) - np.mean(truth[inside]))
    return total / len(truth)


def test_brier_equals_scikit_learn():
    y_true, y_score, _ = cohort()
    expected = [sk.brier_score_loss(t, s) for t, s in zip(y_true.T, y_score.T, strict=True)]
    assert brier(y_true, y_score) == pytest.approx(expected)


@given(seed=st.integers(0, 10_000), n_bins=st.sampled_from([1, 2, 4, 8, 16]))
@settings(max_examples=30, deadline=None)
def test_ece_equals_a_slow_reference_and_is_bounded(seed, n_bins):
    y_true, y_score, _ = cohort(50, seed=seed)
    y_score[:4] = [[0] * 3, [1] * 3, [0.5] * 3, [0.25] * 3]  # the edges of bins
    values = ece(y_true, y_score, n_bins=n_bins)
    expected = [slow_ece(t, s, n_bins) for t, s in zip(y_true.T, y_score.T, strict=True)]
    assert values == pytest.approx(expected, abs=1e-12)
    one_bin = np.abs(y_true.mean(axis=0) - y_score.mean(axis=0))
    assert (one_bin <= values + 1e-12).all()  # finer bins never hide a gap
    assert (values <= np.abs(y_true - y_score).mean(axis=0) + 1e-12).all()


def test_analytic_values_also_with_one_class():
    truth = np.array([[1, 0], [1, 1]])
    assert brier(truth, [[1, 0.5], [1, 0.5]]).tolist() == [0, 0.25]
    assert ece(truth, [[0.8, 0.5], [0.8, 0.5]]) == pytest.approx([0.2, 0])


def test_reliability_equals_scikit_learn_and_sums_to_ece():
    y_true, y_score, _ = cohort(300)
    points = reliability(y_true, y_score, 8, label_names=("A", "B", "C"))
    gaps = (points["mean_score"] - points["positive_rate"]).abs() * points["n"]
    assert (gaps.groupby(points["label"]).sum() / 300).to_numpy() == pytest.approx(ece(y_true, y_score, n_bins=8))
    for k, label in enumerate("ABC"):
        mine = points[points["label"] == label]
        rate, mean = calibration_curve(y_true[:, k], y_score[:, k], n_bins=8)
        assert mine["positive_rate"].to_numpy() == pytest.approx(rate)
        assert mine["mean_score"].to_numpy() == pytest.approx(mean)
        assert mine["n"].sum() == 300
    assert set(reliability(y_true, y_score)["label"]) == {0, 1, 2}


@pytest.mark.parametrize("metric", [brier, ece, reliability])
def test_logits_are_refused(metric):
    with pytest.raises(EcgkitError, match=r"column 1 is 1\.5 in row 0; it must be a probability"):
        metric([[0, 1]], [[0.2, 1.5]])


def test_no_bins_are_refused():
    with pytest.raises(EcgkitError, match="n_bins is 0"):
        ece([[0]], [[0.2]], n_bins=0)


def test_f1_equals_scikit_learn():
    y_true, y_score, _ = cohort(decimals=1)
    for thresholds in (0.5, [0.3, 0.5, 0.7]):
        expected = sk.f1_score(y_true, y_score >= np.array(thresholds), average=None)
        assert f1(y_true, y_score, thresholds=thresholds) == pytest.approx(expected)


def test_f1_is_nan_with_one_class_and_0_where_nothing_is_found():
    y_true = np.array([[0, 1, 1], [0, 1, 0]])
    values = f1(y_true, np.zeros((2, 3)), thresholds=0.5)
    assert np.isnan(values).tolist() == [True, True, False]
    assert values[2] == 0


@given(seed=st.integers(0, 10_000), decimals=st.sampled_from([None, 1, 0]))
@settings(max_examples=40, deadline=None)
def test_best_thresholds_beat_every_other(seed, decimals):
    y_true, y_score, _ = cohort(30, decimals=decimals, seed=seed)
    y_true[0], y_true[1] = 1, 0  # both classes
    best = f1(y_true, y_score, thresholds=best_f1_thresholds(y_true, y_score))
    others = [f1(y_true, y_score, thresholds=t) for t in np.unique(y_score)]
    assert best == pytest.approx(np.max(others, axis=0), abs=1e-12)


def test_best_threshold_lies_between_scores():
    assert best_f1_thresholds([[0], [1], [1]], [[0.2], [0.6], [0.9]])[0] == pytest.approx(0.4)
    assert best_f1_thresholds([[1], [1]], [[0.6], [0.9]])[0] == 0.6  # all are called: there is no score below
    assert best_f1_thresholds([[0], [0]], [[0.6], [0.9]])[0] == np.inf
    close = np.array([[0.5], [np.nextafter(0.5, 1)]])
    assert best_f1_thresholds([[0], [1]], close)[0] == close[1, 0]  # no number lies between


def test_confusion_by_hand():
    y_true = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 0]])
    called = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]])
    rates = confusion_of_labels(y_true, called)
    # Of ECGs 0, 1, 3 with the first label two are found; the second label is false in ECGs 0 and 3, called in 0.
    np.testing.assert_allclose(rates, [[2 / 3, 1 / 2, 0], [0, 1 / 2, 1 / 2], [np.nan] * 3])


def test_a_perfect_classifier_confuses_nothing():
    y_true, _, _ = cohort()
    np.testing.assert_array_equal(confusion_of_labels(y_true, y_true), np.eye(3))


@pytest.mark.parametrize("thresholds", [[0.5, 0.5], [[0.5] * 3], [0.5, np.nan, 0.5]])
@pytest.mark.parametrize("function", [f1, confusion_of_labels])
def test_thresholds_must_fit(function, thresholds):
    y_true, y_score, _ = cohort()
    with pytest.raises(EcgkitError, match=r"thresholds of shape .* for 3 labels"):
        function(y_true, y_score, thresholds=thresholds)
