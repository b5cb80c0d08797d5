"""The printed tables: each cell is what the metric says, and every row is there."""

import numpy as np
import pandas as pd
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import (
    auroc,
    average_precision,
    best_f1_thresholds,
    bootstrap,
    brier,
    ece,
    f1,
    paired_difference,
    printed,
    printed_difference,
    score_table,
    seeds_table,
    subgroup_table,
)
from tests.evaluation.helpers import cohort

NAMES = ("NORM", "MI", "HYP")


def test_score_table_holds_what_the_metrics_say():
    y_true, y_score, patient = cohort()
    thresholds = best_f1_thresholds(y_true, y_score)
    table = score_table(y_true, y_score, NAMES, patient, thresholds=thresholds, n_boot=50, seed=3)
    assert list(table.index) == [*NAMES, "macro"]
    labels = table.loc[list(NAMES)]
    assert labels["n_positive"].tolist() == y_true.sum(axis=0).tolist()
    assert table.loc["macro", "n_positive"] == y_true.any(axis=1).sum()
    assert (table["n"] == len(y_true)).all()
    expected = {"auroc": auroc(y_true, y_score), "average_precision": average_precision(y_true, y_score),
                "f1": f1(y_true, y_score, thresholds=thresholds), "brier": brier(y_true, y_score),
                "ece": ece(y_true, y_score)}
    for column, values in expected.items():
        assert labels[column].to_numpy() == pytest.approx(values)
        assert table.loc["macro", column] == pytest.approx(values.mean())
    for metric in (auroc, average_precision):
        low, high = bootstrap(metric, y_true, y_score, patient, n_boot=50, seed=3).with_macro.interval()
        assert table[f"{metric.__name__}_low"].to_numpy() == pytest.approx(low)
        assert table[f"{metric.__name__}_high"].to_numpy() == pytest.approx(high)


def test_a_label_with_one_class_leaves_the_macro_row_to_the_others():
    y_true, y_score, patient = cohort()
    y_true[:, 1] = 0
    table = score_table(y_true, y_score, NAMES, patient, n_boot=10)
    assert np.isnan(table.loc["MI", ["auroc", "auroc_low", "average_precision"]].astype(float)).all()
    assert table.loc["macro", "auroc"] == pytest.approx(table.loc[["NORM", "HYP"], "auroc"].mean())
    assert table["f1"].isna().all()  # no thresholds were given


def test_errors_name_the_label():
    y_true, y_score, patient = cohort()
    y_score[7, 1] = np.nan
    with pytest.raises(EcgkitError, match="y_score of label MI is nan in row 7"):
        score_table(y_true, y_score, NAMES, patient)
    with pytest.raises(EcgkitError, match="2 label names for 3 labels"):
        score_table(y_true, y_score, NAMES[:2], patient)
    with pytest.raises(EcgkitError, match="label MI is nan"):
        paired_difference(y_true, np.nan_to_num(y_score), y_score, patient, label_names=NAMES)


def test_paired_difference_uses_the_same_resamples():
    y_true, y_score, patient = cohort(200)
    worse = y_score + np.random.default_rng(1).normal(scale=0.3, size=y_score.shape)
    table = paired_difference(y_true, y_score, worse, patient, label_names=NAMES, n_boot=100, seed=5)
    a, b = (bootstrap(auroc, y_true, s, patient, n_boot=100, seed=5).with_macro for s in (y_score, worse))
    np.testing.assert_allclose(table["difference"], a.estimate - b.estimate)
    np.testing.assert_allclose(table[["low", "high"]].T, np.quantile(a.samples - b.samples, [0.025, 0.975], axis=0))
    unpaired = (a.interval()[1] - a.interval()[0]) + (b.interval()[1] - b.interval()[0])
    assert ((table["high"] - table["low"]) < unpaired).all()
    assert table.loc["macro", "p"] < 0.05


def test_paired_difference_of_the_same_scores_is_nothing_and_changes_sign():
    y_true, y_score, patient = cohort()
    same = paired_difference(y_true, y_score, y_score, patient, label_names=NAMES, n_boot=20)
    assert (same[["difference", "low", "high"]] == 0).all(axis=None)
    assert (same["p"] == 1).all()
    other = np.random.default_rng(3).random(y_score.shape)
    ab, ba = (paired_difference(y_true, *pair, patient, label_names=NAMES, n_boot=40, metric=brier)
              for pair in ((y_score, other), (other, y_score)))
    np.testing.assert_allclose(ab[["difference", "low", "high"]], -ba[["difference", "high", "low"]], atol=1e-15)
    assert ab["p"].tolist() == ba["p"].tolist()


def test_subgroups_are_scored_alone_and_in_order():
    y_true, y_score, patient = cohort(200)
    age = np.linspace(20, 90, 200)
    age[:10] = np.nan
    bands = pd.cut(age, [0, 40, 65, 120], labels=["under 40", "40 to 65", "over 65"])
    table = subgroup_table(y_true, y_score, NAMES, patient, bands, n_boot=20)
    assert list(table.index.unique("group")) == ["under 40", "40 to 65", "over 65"]
    young = (age <= 40)
    pd.testing.assert_frame_equal(table.loc["under 40"], score_table(y_true[young], y_score[young], NAMES,
                                                                     patient[young], n_boot=20))
    assert table.xs("macro", level="label")["n"].sum() == 190


def test_bad_groups_are_refused():
    y_true, y_score, patient = cohort()
    with pytest.raises(EcgkitError, match="1 groups and 120 patients for 120 ECGs"):
        subgroup_table(y_true, y_score, NAMES, patient, ["a"])
    with pytest.raises(EcgkitError, match="no ECG has a group"):
        subgroup_table(y_true, y_score, NAMES, patient, [None] * 120)


def test_a_printed_table_holds_the_scores_and_their_intervals() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, (60, 2))
    table = score_table(truth, rng.random((60, 2)), ["A", "B"], np.arange(60), n_boot=20)
    text = printed(table)
    row = table.loc["A"]
    assert text.loc["A", "AUROC"] == f"{row['auroc']:.3f} ({row['auroc_low']:.3f}–{row['auroc_high']:.3f})"
    assert text.loc["A", "ECGs"] == f"{truth[:, 0].sum():,}"
    assert list(text.index) == ["A", "B", "macro"]


def test_a_printed_difference_names_both_and_signs_the_difference() -> None:
    table = pd.DataFrame({"a": [0.9], "b": [0.85], "difference": [0.05], "low": [-0.0004], "high": [0.1], "p": [0.062]},
                         index=["macro"])
    text = printed_difference(table, "new", "old")
    assert text.loc["macro"].to_dict() == {"new": "0.900", "old": "0.850", "difference": "+0.050",
                                           "95 % interval": "-0.000 to +0.100", "p": "0.062"}


def test_seeds_are_summed_up_by_method() -> None:
    table = seeds_table({"one": [0.8, 0.9, 0.7], "other": [0.5]})
    assert table.loc["one"].to_dict() == {"seeds": "3", "mean": "0.800", "lowest": "0.700", "highest": "0.900"}
    assert table.loc["other", "lowest"] == "0.500"
