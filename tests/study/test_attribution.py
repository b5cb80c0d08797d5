"""Page 08: which ECGs are asked about, what is said of their maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import ecgkit
from ecgkit.datasets import synthetic
from ecgkit.datasets.ptbxl import SUPERCLASSES
from ecgkit.errors import EcgkitError
from ecgkit.explain.attribution.players import QRS, REST, SEGMENTS, ST, P, T, player_sums
from ecgkit.explain.results import classify
from ecgkit.leads import LEADS
from ecgkit.simulator.catalogue import EDIT_NAMES
from ecgkit.study import attribution as study
from ecgkit.study.attribution import (
    METRICS,
    against_model_free,
    attribution_table,
    cardiology_cells,
    cardiology_table,
    cases_of,
    mean_maps,
    means,
    printed_attribution,
    truth_of,
)
from ecgkit.training.supervised import SupervisedSettings, new_classifier

DATA = synthetic.load(24, seconds=4, task="class")
SMALL = SupervisedSettings(encoder="xresnet1d18")


def network(seed):
    """An untrained network that says about half of all labels."""
    model = new_classifier(DATA, SMALL, seed=seed).eval()
    with torch.no_grad():
        model.head[-1].bias -= torch.from_numpy(np.median(classify(model, DATA.signals), axis=0)).float()
    return model


MODEL = network(0)
CASES = cases_of(MODEL, DATA, DATA, n_background=4)
FEW = CASES.drawn(1)


def test_cases_are_all_that_the_classifier_says_but_norm():
    says = classify(MODEL, DATA.signals) >= 0
    expected = {(row, label) for row, k in np.argwhere(says) if (label := DATA.label_names[k]) != "NORM"}
    assert set(zip(CASES.table["row"], CASES.table["label"], strict=True)) == expected
    np.testing.assert_array_equal(CASES.x, DATA.batch(CASES.table["row"]))
    assert (CASES.table["record"] == DATA.records["record"].to_numpy()[CASES.table["row"]]).all()
    normal = DATA.signals[DATA.labels[:, 0] == 1]
    assert all((one == normal).all(axis=(1, 2)).any() for one in CASES.background)


def test_drawn_takes_so_many_of_each_label_and_0_takes_all():
    drawn = CASES.drawn(2, seed=3)
    assert drawn.table["label"].value_counts().max() == 2
    assert set(drawn.table["label"]) == set(CASES.table["label"])
    assert CASES.drawn(0) is CASES
    assert len(drawn.waves.ms) == len(drawn.x) == len(drawn)
    again = CASES.drawn(2, seed=3)
    assert again.table.equals(drawn.table)


def test_nothing_to_explain_is_refused():
    silent = network(0)
    with torch.no_grad():
        silent.head[-1].bias -= 1000
    with pytest.raises(EcgkitError, match="0 labels said of"):
        cases_of(silent, DATA, DATA)
    with pytest.raises(EcgkitError, match="no label NORM"):
        cases_of(MODEL, DATA, DATA.with_labels(["AF"]))


def test_truth_is_that_of_the_label_or_of_the_superclass():
    ids = DATA.records["ecg_index"].to_numpy()[FEW.table["row"]]
    mask = truth_of(FEW, DATA)
    for k, label in enumerate(FEW.table["label"]):
        expected = synthetic.cohort_of(DATA).truth_mask(ids[k:k + 1], label)[0] > 0.05
        np.testing.assert_array_equal(mask[k], expected)
    coarse = replace(FEW, table=FEW.table.assign(label="MI"))
    expected = synthetic.cohort_of(DATA).truth_mask(ids, ("AMI", "AMI_acute", "IMI", "IMI_acute")) > 0.05
    np.testing.assert_array_equal(truth_of(coarse, DATA), expected)
    recorded = replace(DATA, records=DATA.records.drop(columns="ecg_index"))
    assert truth_of(FEW, recorded) is None


def test_sums_do_not_depend_on_the_chunks(monkeypatch):
    arm = study.methods([])["|x|"]
    whole = study.summed(MODEL, FEW, arm)
    monkeypatch.setattr(study, "_CHUNK", 2)
    for a, b in zip(whole, study.summed(MODEL, FEW, arm), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    np.testing.assert_allclose(whole[0], player_sums(arm(MODEL, FEW), FEW.parts))


def test_share_inside_the_table():
    inside = cardiology_cells("IMI")
    sums = np.stack([np.where(inside, 1.0, 0.0), np.where(inside, 3.0, 0.0) + 1, np.zeros((12, 5))])
    share = study.inside_table(sums, ["IMI"] * 3)
    n = inside.sum()
    np.testing.assert_allclose(share[:2], [1, 4 * n / (4 * n + 60 - n)])
    assert np.isnan(share[2])


def test_methods_explain_each_case_by_its_own_label():
    maps = study.methods(["gradient-x-input"])["gradient-x-input"](MODEL, FEW)
    for k in (0, len(FEW) - 1):
        alone = ecgkit.explain.attribution.methods.attribute(MODEL, FEW.x[k:k + 1], FEW.table["label"][k],
                                                     method="gradient-x-input")
        np.testing.assert_allclose(maps[k], alone[0], atol=1e-6)


def test_every_map_is_examined_and_kept(tmp_path, monkeypatch):
    few, arms = FEW.subset(np.arange(2)), study.methods(["gradient-x-input"])
    monkeypatch.setattr(study, "N_BOXES", 2)
    chosen = {name: arms[name] for name in ("gradient-x-input", "|x|")}
    panel = {"trained": MODEL, "retrained": network(1), "random": network(2)}
    values = study.examine(chosen, panel, few, n_sensitive=1, truth=truth_of(few, DATA), folder=tmp_path)
    assert set(values) - set(METRICS) == {"method", *few.table}
    assert len(values) == 4
    own, free = (values[values["method"] == name] for name in chosen)
    # A map of no model is the same for every model; that of a model is not.
    np.testing.assert_allclose(free[["consistency", "consistency, samples", "likeness, random"]], 1, atol=1e-6)
    assert (own["consistency"] < 0.99).all()
    assert (own["likeness, random"] < 0.99).all()
    assert values["completeness error"].isna().all()
    assert own["max-sensitivity"].notna().sum() == few.table["label"].nunique()
    monkeypatch.setattr(study, "_examined", None)  # must not be called again
    again = study.examine(chosen, panel, few, n_sensitive=1, folder=tmp_path)
    assert again.drop(columns="ms").round(6).equals(values.drop(columns="ms").round(6))
    with pytest.raises(TypeError):
        study.examine(chosen, panel | {"random": network(3)}, few, n_sensitive=1, folder=tmp_path)


def test_every_row_names_leads_segments_a_sign_and_a_source():
    for row in cardiology_table().itertuples():
        assert row.leads == "all" or set(row.leads.split()) <= set(LEADS), row
        assert set(row.segments.split()) <= set(SEGMENTS), row
        assert len(row.sign) > 5, row
        assert row.source == "secondary" or row.source.startswith("10."), row


def test_every_disease_and_superclass_but_normal_has_cells():
    assert set(cardiology_table()["label"]) == (set(SUPERCLASSES) | set(EDIT_NAMES)) - {"NORM"}
    for label in cardiology_table()["label"].unique():
        cells = cardiology_cells(label)
        assert cells.shape == (12, 5)
        assert 0 < cells.sum() < cells.size


def test_cells_of_an_inferior_infarct_and_of_a_long_pr():
    cells = cardiology_cells("IMI")
    assert [LEADS[k] for k in np.flatnonzero(cells.any(axis=1))] == ["II", "III", "aVF"]
    assert cells[LEADS.index("II")].tolist() == [k in (QRS, ST, T) for k in range(5)]
    assert (cardiology_cells("1AVB") == [k in (P, REST) for k in range(5)]).all()


def test_rows_of_one_label_add_up():
    cells = cardiology_cells("HYP")
    assert cells[LEADS.index("V1")].tolist() == [True, True, False, False, False]
    assert not cells[LEADS.index("aVR")].any()


def test_the_table_cannot_be_changed_from_outside():
    cardiology_table()["leads"] = "none"
    assert cardiology_table()["leads"].iloc[0] != "none"


def test_an_unknown_label_is_refused():
    with pytest.raises(EcgkitError, match="no label 'NORM'; it has MI"):
        cardiology_cells("NORM")


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


def test_words_say_who_is_better_and_what_this_run_lacks():
    noise = np.random.default_rng(2).normal(0, 0.1, (2, N))
    given = values(grad={"consistency": 0.5 + noise[0], "relevance rank": 0.9 + noise[0]},
                   **{"|x|": {"consistency": 1.0, "relevance rank": 0.4 + noise[1]}})
    table, against = attribution_table(given, n_boot=20), against_model_free(given, n_boot=100)
    inside = {name: pd.DataFrame({"inside the table": [0.25, np.nan, 0.75]}) for name in ("expected-gradients", "|x|")}
    said = study.words(DATA, CASES, FEW, table, against, inside)
    assert (said["better"], said["worse"], said["n_metrics"]) == ("relevance rank", "consistency", "2")
    assert (said["inside"], said["n_few"]) == ("0.50", str(len(FEW)))
    assert "the best method (grad) has 0.9" in said["truth"]
    assert said["consistency"].startswith("Maps of two classifiers that were trained alike correlate by 0.")
    less = ["consistency", "relevance rank"]
    said = study.words(DATA, CASES, FEW, table.drop(columns=less), against.drop(less), inside)
    assert (said["better"], said["worse"]) == ("none", "none")
    assert said["truth"].startswith("Recorded ECGs have no known truth")
    assert said["consistency"] == "No retrained classifier is in this run"
