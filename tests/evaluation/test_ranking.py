"""AUROC, average precision and ROC curves against scikit-learn, counting by hand, and their invariants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc, average_precision, roc_band, roc_curve
from tests.evaluation.helpers import cohort

PAIRS = [(auroc, sk.roc_auc_score), (average_precision, sk.average_precision_score)]


def two_classes():
    """One label with both classes and few distinct, hence tied, scores."""
    def draw(size):
        truth = arrays(np.int8, size, elements=st.integers(0, 1)).filter(lambda t: 0 < t.sum() < len(t))
        return st.tuples(truth, arrays(np.float64, size, elements=st.integers(-4, 4).map(float)))
    return st.integers(2, 40).flatmap(draw)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_equals_scikit_learn_with_and_without_weights(ours, theirs, decimals):
    y_true, y_score, _ = cohort(200, decimals=decimals)
    weights = np.random.default_rng(1).integers(0, 4, (200, 6))
    assert ours(y_true, y_score) == pytest.approx(theirs(y_true, y_score, average=None), abs=1e-12)
    for b, w in enumerate(weights.T):
        expected = theirs(y_true, y_score, average=None, sample_weight=w)
        assert ours(y_true, y_score, weights)[b] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@given(data=two_classes())
@settings(max_examples=60, deadline=None)
def test_equals_scikit_learn_on_ties(ours, theirs, data):
    truth, score = data
    assert ours(truth[:, None], score[:, None])[0] == pytest.approx(theirs(truth, score), abs=1e-12)


@given(data=two_classes())
@settings(max_examples=60, deadline=None)
def test_auroc_counts_pairs(data):
    truth, score = data
    won = [(p > q) + (p == q) / 2 for p in score[truth == 1] for q in score[truth == 0]]
    assert auroc(truth[:, None], score[:, None])[0] == pytest.approx(np.mean(won), abs=1e-12)


@given(data=two_classes())
@settings(max_examples=60, deadline=None)
def test_auroc_symmetries(data):
    truth, score = (column[:, None] for column in data)
    value = auroc(truth, score)
    assert auroc(1 - truth, score) == pytest.approx(1 - value, abs=1e-12)
    assert auroc(truth, -score) == pytest.approx(1 - value, abs=1e-12)


@pytest.mark.parametrize("metric", [auroc, average_precision])
@given(data=two_classes())
@settings(max_examples=40, deadline=None)
def test_only_the_order_of_scores_and_not_of_rows_matters(metric, data):
    truth, score = (column[:, None] for column in data)
    assert (metric(truth, np.exp(score) - 7) == metric(truth, score)).all()
    order = np.random.default_rng(0).permutation(len(truth))
    assert metric(truth[order], score[order]) == pytest.approx(metric(truth, score), abs=1e-12)


def test_analytic_values():
    truth = np.array([[0], [0], [1], [1]])
    assert auroc(truth, [[1], [2], [3], [4]])[0] == 1
    assert auroc(truth, [[5], [5], [5], [5]])[0] == 0.5
    assert average_precision(truth, [[5], [5], [5], [5]])[0] == 0.5
    assert auroc(truth, [[1], [3], [2], [4]])[0] == 0.75
    assert average_precision(truth, [[1], [3], [2], [4]])[0] == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)


@pytest.mark.parametrize("metric", [auroc, average_precision])
def test_one_class_is_nan_and_only_for_that_label(metric):
    y_true = np.array([[0, 1, 1], [1, 1, 0], [0, 1, 1]])
    y_score = np.random.default_rng(0).random((3, 3))
    assert np.isnan(metric(y_true, y_score)).tolist() == [False, True, False]
    assert np.isnan(metric(1 - y_true, y_score)).tolist() == [False, True, False]
    # Weights can take a class away: without the second ECG, the first label has no positive.
    assert np.isnan(metric(y_true, y_score, np.array([[1, 1], [0, 1], [1, 1]]))[:, 0]).tolist() == [True, False]


@pytest.mark.parametrize("decimals", [None, 1])
def test_roc_curve_equals_scikit_learn(decimals):
    y_true, y_score, _ = cohort(decimals=decimals)
    weights = np.random.default_rng(2).integers(0, 3, (len(y_true), 1)) + 1
    for k, (fpr, tpr) in enumerate(roc_curve(y_true, y_score, weights)):
        expected = sk.roc_curve(y_true[:, k], y_score[:, k], sample_weight=weights[:, 0], drop_intermediate=False)
        np.testing.assert_allclose([fpr, tpr], expected[:2], atol=1e-12)
    area = [np.trapezoid(tpr, fpr) for fpr, tpr in roc_curve(y_true, y_score)]
    np.testing.assert_allclose(area, auroc(y_true, y_score), atol=1e-12)


def test_roc_band_holds_the_curve_and_narrows_with_more_patients():
    grid = np.linspace(0.05, 0.95, 10)
    widths = []
    for n in (200, 3200):
        y_true, y_score, patient = cohort(n)
        low, high = roc_band(y_true, y_score, patient, grid, n_boot=60)
        curve = np.stack([np.interp(grid, *points) for points in roc_curve(y_true, y_score)])
        assert (low <= high).all()
        assert ((low <= curve + 0.02) & (curve - 0.02 <= high)).all()
        widths.append((high - low).mean())
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.5)  # sixteen times the patients


def test_roc_band_is_nan_where_a_label_has_one_class():
    y_true, y_score, patient = cohort()
    y_true[:, 1] = 0
    low, high = roc_band(y_true, y_score, patient, np.array([0.5]), n_boot=5)
    assert np.isnan(low[:, 0]).tolist() == np.isnan(high[:, 0]).tolist() == [False, True, False]


@pytest.mark.parametrize(("y_true", "y_score", "said"), [
    ([[0, 1], [1, 0]], [[0.1, 0.2], [0.3, np.nan]], "column 1 is nan in row 1; it must be finite"),
    ([[0, 2], [1, 0]], [[0.1, 0.2], [0.3, 0.4]], "column 1 is 2 in row 0; it must be 0 or 1"),
    ([[0, np.nan], [1, 0]], [[0.1, 0.2], [0.3, 0.4]], "column 1 is nan in row 0"),
    ([0, 1], [0.1, 0.2], r"shape \(2,\)"),
    ([[0], [1]], [[0.1, 0.2], [0.3, 0.4]], r"shape \(2, 1\)"),
    (np.empty((0, 2)), np.empty((0, 2)), "nothing to score"),
    ([["a"], ["b"]], [["a"], ["b"]], "expected numbers"),
])
@pytest.mark.parametrize("metric", [auroc, average_precision, roc_curve])
def test_bad_input_is_refused_in_one_line(metric, y_true, y_score, said):
    with pytest.raises(EcgkitError, match=said) as caught:
        metric(y_true, y_score)
    assert "\n" not in str(caught.value)


def test_weights_must_fit():
    with pytest.raises(EcgkitError, match=r"weights of shape \(3, 1\) for 2 ECGs"):
        auroc([[0], [1]], [[0.1], [0.2]], np.ones((3, 1)))
