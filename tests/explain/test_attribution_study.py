"""The study of attributions on a tiny classifier: which ECGs are asked about, and what is said of their maps."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import ecgkit
from ecgkit.datasets import synthetic
from ecgkit.errors import EcgkitError
from ecgkit.explain.attribution.players import player_sums
from ecgkit.explain.results import classify
from ecgkit.study import attribution as study
from ecgkit.study.attribution import METRICS
from ecgkit.study.cases import cardiology_cells, cases_of, truth_of
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
