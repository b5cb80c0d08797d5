"""The bootstrap: equal to scoring each explicit resample, by patient, the same whatever the order and the blocks."""

import functools

import numpy as np
import pytest
from sklearn import metrics as sk

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import (
    auroc,
    average_precision,
    bootstrap,
    brier,
    ece,
    f1,
    macro,
    paired_p,
    resample_patients,
    resampling,
)
from tests.evaluation.helpers import cohort, explicit_resamples


@pytest.mark.parametrize(("ours", "theirs"), [(auroc, sk.roc_auc_score),
                                              (average_precision, sk.average_precision_score)])
@pytest.mark.parametrize("decimals", [None, 1])
def test_equals_scikit_learn_on_each_explicit_resample(ours, theirs, decimals):
    y_true, y_score, patient = cohort(300, decimals=decimals)
    result = bootstrap(ours, y_true, y_score, patient, n_boot=150, seed=4)
    expected = [theirs(y_true[rows], y_score[rows], average=None) for rows in explicit_resamples(patient, 150, 4)]
    np.testing.assert_allclose(result.samples, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.macro.samples[:, 0], np.mean(expected, axis=1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.estimate, theirs(y_true, y_score, average=None), rtol=0, atol=1e-12)
    low, high = result.with_macro.interval()
    columns = np.column_stack([expected, np.mean(expected, axis=1)])
    np.testing.assert_allclose([low, high], np.percentile(columns, [2.5, 97.5], axis=0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("metric", [brier, ece, functools.partial(f1, thresholds=[0.6, 0.5, 0.3])])
def test_every_metric_takes_weights_as_repeats(metric):
    y_true, y_score, patient = cohort(decimals=2)
    result = bootstrap(metric, y_true, y_score, patient, n_boot=30, seed=1)
    expected = [metric(y_true[rows], y_score[rows]) for rows in explicit_resamples(patient, 30, 1)]
    np.testing.assert_allclose(result.samples, expected, atol=1e-12)


def test_all_ecgs_of_a_drawn_patient_come_together():
    patient = np.array(["b", "a", "b", "c", "b"])
    weights = np.concatenate(list(resample_patients(patient, n_boot=400)), axis=1)
    assert weights.shape == (5, 400)
    assert (weights[0] == weights[2]).all()
    assert (weights[0] == weights[4]).all()
    assert (weights[[0, 1, 3]].sum(axis=0) == 3).all()  # as many patients as there are, not as many ECGs
    assert weights[[0, 1, 3]].mean(axis=1) == pytest.approx([1, 1, 1], abs=0.15)


def test_repeated_ecgs_of_a_patient_do_not_narrow_the_interval():
    y_true, y_score, _ = cohort(150)
    patient = np.arange(150)
    once = bootstrap(auroc, y_true, y_score, patient, n_boot=200)
    thrice = bootstrap(auroc, *(np.repeat(a, 3, axis=0) for a in (y_true, y_score, patient)), n_boot=200)
    np.testing.assert_allclose(thrice.samples, once.samples, atol=1e-12)


def test_neither_the_order_of_rows_nor_the_size_of_blocks_matters(monkeypatch):
    y_true, y_score, patient = cohort(decimals=1)
    result = bootstrap(auroc, y_true, y_score, patient, n_boot=50, seed=2)
    order = np.random.default_rng(0).permutation(len(patient))
    np.testing.assert_allclose(bootstrap(auroc, y_true[order], y_score[order], patient[order], n_boot=50,
                                         seed=2).samples, result.samples, atol=1e-12)
    monkeypatch.setattr(resampling, "_BLOCK", 1000)
    assert len(list(resample_patients(patient, n_boot=50))) > 1
    assert (bootstrap(auroc, y_true, y_score, patient, n_boot=50, seed=2).samples == result.samples).all()
    assert (bootstrap(auroc, y_true, y_score, patient, n_boot=50, seed=3).samples != result.samples).any()


def test_a_resample_with_one_class_is_nan_for_the_label_and_macro_is_over_the_rest():
    y_true, y_score, _ = cohort(60)
    y_true[:, 2] = 0
    y_true[0, 2] = 1  # one positive patient: about 37 % of resamples lack it
    result = bootstrap(auroc, y_true, y_score, np.arange(60), n_boot=300)
    lacking = np.isnan(result.samples[:, 2])
    assert 0.25 < lacking.mean() < 0.5
    assert not np.isnan(result.samples[:, :2]).any()
    mean = result.macro.samples[:, 0]
    np.testing.assert_allclose(mean[lacking], result.samples[lacking, :2].mean(axis=1))
    np.testing.assert_allclose(mean[~lacking], result.samples[~lacking].mean(axis=1))
    assert np.isfinite(result.interval()).all()


def test_a_label_with_one_class_everywhere_is_nan_without_a_warning(recwarn):
    y_true, y_score, patient = cohort(60)
    y_true[:] = 1
    result = bootstrap(auroc, y_true, y_score, patient, n_boot=10).with_macro
    assert np.isnan(result.estimate).all()
    assert np.isnan(result.interval()).all()
    assert not recwarn.list


def test_macro():
    nan = np.nan
    np.testing.assert_array_equal(macro(np.array([[1, 3], [nan, 3], [nan, nan]])), [2, 3, nan])


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    # Scores of negatives and positives from N(0, 1) and N(1, 1): the true AUROC is Phi(1 / sqrt(2)) = 0.7602.
    rng = np.random.default_rng(0)
    truth = np.repeat([[0], [1]], 60, axis=0)
    covered = 0
    for _ in range(150):
        score = truth + rng.normal(size=truth.shape)
        low, high = bootstrap(auroc, truth, score, np.arange(120), n_boot=200).interval()
        covered += low[0] <= 0.7602 <= high[0]
    assert 0.88 <= covered / 150 <= 0.99


def test_paired_p():
    assert paired_p(np.zeros(99)) == 1
    assert paired_p(np.full(99, 0.1)) == pytest.approx(2 / 100)
    assert paired_p(np.r_[np.full(90, -0.1), np.full(9, 0.1)]) == pytest.approx(2 * 10 / 100)
    assert paired_p(np.r_[np.full(90, -0.1), np.full(9, 0.1), np.nan]) == pytest.approx(2 * 10 / 100)
    assert np.isnan(paired_p(np.array([np.nan])))


@pytest.mark.parametrize(("patient", "said"), [
    ([1, 2, 3], r"shape \(3,\); expected \(2,\)"),
    ([[1], [2]], r"shape \(2, 1\)"),
    ([1, np.nan], "missing in row 1"),
    (np.array(["a", None], dtype=object), "missing in row 1"),
])
def test_bad_patients_are_refused(patient, said):
    with pytest.raises(EcgkitError, match=said):
        bootstrap(auroc, [[0], [1]], [[0.1], [0.2]], patient)


def test_no_resamples_are_refused():
    with pytest.raises(EcgkitError, match="n_boot is 0"):
        bootstrap(auroc, [[0], [1]], [[0.1], [0.2]], [1, 2], n_boot=0)
