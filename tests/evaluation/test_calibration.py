"""Brier score, expected calibration error and reliability curve."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import brier, ece, reliability
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
