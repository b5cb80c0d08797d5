"""Attributions in tables: means that can be reckoned by hand, and who beats whom."""

import numpy as np
import pandas as pd
import pytest

from ecgkit.study.attribution import against_model_free, attribution_table, mean_maps, means, printed_attribution

N = 40


def values(**of_methods):
    """Values of one metric for each method, a case a patient."""
    return pd.concat([pd.DataFrame({"method": name.replace("_", " "), "row": range(N), "label": "A",
                                    "patient_id": range(N), **columns})
                      for name, columns in of_methods.items()], ignore_index=True)


def test_means_leave_out_what_is_not_known():
    result = means(np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]]), np.arange(3), n_boot=50)
    assert result.estimate[0] == 2
    assert np.isnan(result.estimate[1])
    low, high = result.interval()
    assert low[0] == 1
    assert high[0] == 3
    assert np.isnan(low[1])


def test_ecgs_of_one_patient_are_drawn_together():
    column = np.repeat([0.0, 1.0], 50)[:, None]
    alone = means(column, np.arange(100), n_boot=200).interval()
    pairs = means(column, np.repeat([0, 1], 50), n_boot=200).interval()
    assert (pairs[0], pairs[1]) == (0, 1)
    assert alone[0] > 0.3


def test_mean_maps_by_label():
    sums = np.arange(3 * 60, dtype=float).reshape(3, 12, 5)
    cases = pd.DataFrame({"label": ["B", "A", "B"], "patient_id": [0, 1, 2]})
    found = mean_maps(sums, cases, n_boot=20)
    assert list(found) == ["B", "A"]
    np.testing.assert_allclose(found["B"][0], sums[[0, 2]].mean(axis=0))
    assert (found["B"][1] < found["B"][0]).all()
    np.testing.assert_allclose(found["A"][0], sums[1])
    assert (found["A"][1:] == np.array([-np.inf, np.inf])[:, None, None]).all()  # one patient says nothing of others


def test_a_row_for_each_method_with_its_interval():
    rng = np.random.default_rng(0)
    table = attribution_table(values(grad={"deletion": rng.random(N), "infidelity": np.nan}), n_boot=100)
    assert table.columns.tolist() == ["n", "deletion", "deletion_low", "deletion_high", "infidelity",
                                      "infidelity_low", "infidelity_high"]
    assert table.loc["grad", "n"] == N
    assert table.loc["grad", "deletion_low"] < table.loc["grad", "deletion"] < table.loc["grad", "deletion_high"]
    printed = printed_attribution(table)
    assert printed.loc["grad", "infidelity"] == "–"
    assert printed.loc["grad", "deletion"].startswith(f"{table.loc['grad', 'deletion']:.2f} (")


@pytest.mark.parametrize(("metric", "sign"), [("deletion", 1), ("infidelity", -1)])
def test_who_is_better_depends_on_what_is_good(metric, sign):
    noise = np.random.default_rng(1).normal(0, 0.1, (4, N))
    table = against_model_free(values(**{"grad": {metric: sign * 2 + noise[0]}, "shap": {metric: sign * 3 + noise[1]},
                                         "|x|": {metric: sign * 1 + noise[2]}, "random": {metric: noise[3]}}),
                               n_boot=100)
    row = table.loc[metric]
    assert (row["method"], row["model-free"], row["better"]) == ("shap", "|x|", "yes")
    assert row["difference"] == pytest.approx(sign * 2, abs=0.1)
    assert row["low"] < row["difference"] < row["high"]


def test_a_metric_that_prefers_a_map_of_no_model_says_no_and_a_tie_is_unclear():
    noise = np.random.default_rng(2).normal(0, 1, (2, N))
    table = against_model_free(values(**{"grad": {"consistency": 0.5 + noise[0] / 100, "IoU": noise[0]},
                                         "|x|": {"consistency": 1.0, "IoU": noise[0][::-1]}}), n_boot=100)
    assert table["better"].to_dict() == {"consistency": "no", "IoU": "unclear"}


def test_a_metric_without_a_counterpart_is_left_out():
    table = against_model_free(values(**{"grad": {"completeness error": 0.1, "IoU": 0.5},
                                         "|x|": {"completeness error": np.nan, "IoU": 0.4}}), n_boot=20)
    assert table.index.tolist() == ["IoU"]
