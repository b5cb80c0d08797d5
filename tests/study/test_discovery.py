"""Page 11: which coordinates cardiology names, and the study of them on beats of two heights of R."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.explain.style.attfind import Move
from ecgkit.explain.style.beats import NAMED, tiled
from ecgkit.explain.style.explainer import Discovery, StyleExplainer, moves_of
from ecgkit.physiology import load_rules
from ecgkit.study import discovery as study
from ecgkit.study.discovery import FURTHER_RULES, BeatSet, defining_signs, further_signs, graded, signs_of
from tests.explain.style_helpers import TINY, V5, Tall, drawn_beats


def effects_of(**named: tuple[float, bool]) -> pd.DataFrame:
    """Effects of a coordinate that moves a few measurements surely; the flag says whether the name holds it."""
    rows = {name: {"n": 50, "effect": effect, "effect_low": effect - 0.01, "effect_high": effect + 0.01,
                   "spread": 1.0, "telling": told} for name, (effect, told) in named.items()}
    return pd.DataFrame(rows).T.astype({"effect": float, "telling": bool})


def test_signs_are_those_of_the_rules() -> None:
    assert signs_of(["first-degree AV block"]) == {"pr"}
    assert signs_of(["LVH Sokolow-Lyon"]) == {"r_V5", "r_V6", "s_V1", "q_V1"}
    assert signs_of(["LVH Cornell"]) == {"r_aVL", "s_V3", "q_V3"}
    assert signs_of(["left atrial enlargement"]) == {"p_V1"}
    assert signs_of(["old anterior infarction"]) == {"q_V2", "q_V3"}
    assert signs_of(["atrial fibrillation", "no such rule"]) == set()


def test_a_condition_is_no_sign() -> None:
    assert "qrs" not in signs_of(["ST depression", "old inferior infarction"])
    assert "qrs" in signs_of(["complete LBBB"])
    assert not any(name.startswith("r_") for name in signs_of(["T inversion"]))


@pytest.mark.parametrize("label", ["MI", "STTC", "CD", "HYP"])
def test_every_superclass_has_signs(label: str) -> None:
    assert defining_signs(label) <= set(NAMED)
    assert defining_signs(label)
    assert not defining_signs(label) & further_signs(label)
    assert set(FURTHER_RULES[label]) <= set(load_rules()["rule"])


def test_the_name_decides() -> None:
    assert graded(effects_of(q_V2=(-0.2, True), axis=(-30.0, True)), "MI")["kind"] == "defining sign"
    assert graded(effects_of(st60_V2=(0.2, True)), "MI")["kind"] == "further sign"
    assert graded(effects_of(r_V4=(-0.3, True)), "MI") == {"kind": "candidate", "sign": ""}
    assert graded(effects_of(r_V4=(-0.3, False)), "MI")["kind"] == "no measurement moves"
    assert graded(effects_of(r_V4=(-0.3, True)), "NORM") == {"kind": "candidate", "sign": ""}


def test_a_sign_outside_the_name_is_told() -> None:
    found = graded(effects_of(r_V4=(-0.3, True), q_V2=(-0.06, False), q_V3=(-0.2, False)), "MI")
    assert found == {"kind": "candidate", "sign": "Q V3 −0.20 mV"}
    assert graded(effects_of(r_V4=(-0.3, True), q_V2=(-0.02, False)), "MI")["sign"] == ""


NAMES = ("high", "low")


def beats_of(n: int, seed: int) -> BeatSet:
    """Beats whose patients are older, and women, the lower R in V5 is; one age is unknown."""
    beats = drawn_beats(n, seed)
    height = beats[:, V5].max(axis=-1)
    low = height < np.median(height)
    records = pd.DataFrame({"record": [f"{k}" for k in range(n)], "patient_id": np.arange(n) // 2,
                            "age": 90 - 40 * height, "sex": low.astype(float)})
    records.loc[0, "age"] = np.nan
    labels = np.column_stack([~low, low]).astype(np.uint8)
    data = ECGDataset(tiled(beats, 1000), records, labels, NAMES, 100.0, "bells")
    return BeatSet(beats, data)


@pytest.fixture(scope="module")
def explainer() -> StyleExplainer:
    settings = replace(TINY, steps=250, batch_size=16, learning_rate=8e-3, averaging=0.98)
    return StyleExplainer(Tall(), label_names=NAMES, fs=100.0, settings=settings).fit(drawn_beats(200), seed=0)


@pytest.fixture(scope="module")
def test_set() -> BeatSet:
    return beats_of(60, 1)


@pytest.fixture(scope="module")
def found(explainer: StyleExplainer, test_set: BeatSet) -> Discovery:
    return study.discover(explainer, beats_of(60, 2), test_set, "high", n_top=4, n_search=20)


def test_coordinates_are_sought_elsewhere(found: Discovery, explainer: StyleExplainer, test_set: BeatSet) -> None:
    assert 0 < found.coordinates["n"].iloc[0] <= 20
    table = study.coordinate_table(explainer, found, test_set, n_boot=50)
    below = explainer.probabilities(test_set.beats)[:, 0] < 0.5
    one = explainer.changes(test_set.beats[below], "high", moves_of(found.coordinates)[:1])[:, 0]
    assert table["effect"].iloc[0] == pytest.approx(one.mean())
    assert table["agreement"].iloc[0] == pytest.approx((one > 0).mean())
    assert (table["effect_low"] <= table["effect"]).all()
    assert (table["effect"] <= table["effect_high"]).all()
    assert (table["n"] == below.sum()).all()
    assert list(table.index) == [1, 2, 3, 4]


def test_a_label_that_all_beats_have_is_said(explainer: StyleExplainer, test_set: BeatSet) -> None:
    high = np.flatnonzero(explainer.probabilities(test_set.beats)[:, 0] > 0.5)
    tall = BeatSet(test_set.beats[high], test_set.data.subset(high))
    with pytest.raises(EcgkitError, match="does not give high to 0 of"):
        study.discover(explainer, tall, test_set, "high")


def test_kinds_carry_all_of_the_change(found: Discovery, explainer: StyleExplainer, test_set: BeatSet) -> None:
    table = study.coordinate_table(explainer, found, test_set, n_boot=20)
    table["kind"] = ["a", "b", "a", "b"]
    carried = study.carried_table(explainer, found, table, test_set, n_boot=50)
    assert carried["share"].sum() == pytest.approx(1)
    expected = table["effect"].iloc[[0, 2]].sum() / table["effect"].sum()
    assert carried.loc["a", "share"] == pytest.approx(expected)
    assert carried.loc["a", "share_low"] <= expected <= carried.loc["a", "share_high"]
    everything = study.carried_table(explainer, found, table.assign(kind="all"), test_set, n_boot=20)
    assert everything.loc["all", "flipped"] == pytest.approx(found.sufficiency["flipped"].iloc[-1])


def test_correlations_are_those_of_scipy(explainer: StyleExplainer, test_set: BeatSet) -> None:
    moves = [Move(0, 1), Move(3, 1), Move(0, 1), Move(3, 0)]
    table = study.age_sex_table(explainer, moves, test_set, n_boot=100)
    assert list(table.index) == [(0, 1), (3, 1), (3, 0)]
    assert (table["n"] == 59).all()
    values = explainer.style(test_set.beats).numpy()[1:]
    for name in ("age", "sex"):
        expected = pd.Series(values[:, 3]).corr(test_set.data.records[name].iloc[1:].reset_index(drop=True), "spearman")
        assert table.loc[(3, 1), name] == pytest.approx(expected, abs=1e-9)
        assert table.loc[(3, 1), f"{name}_low"] <= expected <= table.loc[(3, 1), f"{name}_high"]
        assert table.loc[(3, 0), f"{name}_low"] == pytest.approx(-table.loc[(3, 1), f"{name}_high"])


def test_labels_that_are_the_sex_leave_nothing_of_it(explainer: StyleExplainer, test_set: BeatSet) -> None:
    table = study.age_sex_table(explainer, [Move(0, 1), Move(3, 1)], test_set, n_boot=20)
    assert table["sex_held"].isna().all()
    assert table["age_held"].notna().all()


def test_age_and_sex_are_read(explainer: StyleExplainer, test_set: BeatSet) -> None:
    read = study.age_sex_read(explainer, beats_of(120, 3), test_set, n_boot=50)
    assert read.loc["style code", "age"] > 0.9
    assert read.loc["style code", "sex"] > 0.9
    assert (read["n_train"] == 119).all()
    assert (read["n_test"] == 59).all()
    few = BeatSet(test_set.beats[:6], test_set.data.subset(np.arange(6)))
    assert study.age_sex_read(explainer, few, test_set, n_boot=5)["age"].isna().all()


def test_beats_come_from_whole_ecgs(test_set: BeatSet) -> None:
    found = study.beat_set(test_set.data, 12)
    assert found.beats.shape == (12, 12, 100)
    assert len(found.data) == 12
    assert found.data.records["record"].iloc[-1] == "59"
    height = test_set.beats[[int(k) for k in found.data.records["record"]], V5].max(axis=-1)
    np.testing.assert_allclose(found.beats[:, V5].max(axis=-1), height, atol=0.1)


def kinds_of(*classifiers: str) -> pd.DataFrame:
    """Two coordinates of one label for each network; a sign names the first, or both of the trained one's."""
    rows = {(name, "MI", rank): "defining sign" if rank == 1 or name == "trained" else "candidate"
            for name in classifiers for rank in (1, 2)}
    index = pd.MultiIndex.from_tuples(rows, names=["classifier", "label", "rank"])
    return pd.DataFrame({"kind": list(rows.values())}, index=index)


def test_intervals_are_printed_with_a_minus() -> None:
    table = pd.DataFrame({"effect": [-0.5, 1.0], "effect_low": [-1.0, 0.5], "effect_high": [-0.25, 2.0]})
    assert study.between(table, "effect", sign="+").tolist() == ["−0.50 (−1.00 to −0.25)", "+1.00 (+0.50 to +2.00)"]


def test_the_control_is_told_or_missed_and_a_collapse_is_said() -> None:
    history = pd.DataFrame({"variety": [0.2, 0.9, 0.3]}, index=pd.MultiIndex.from_tuples(
        [("trained", 0), ("trained", 1), ("random", 0)], names=["classifier", None]))
    said = study.control_words(kinds_of("trained", "random"), history)
    assert said["control"].startswith("A network of random weights has signs in 50 % of its coordinates' names, the "
                                      "trained one in 100 %")
    assert "weak evidence" not in said["control"]
    assert said["variety"].startswith("it ends at 0.30 (random) and 0.90 (trained). **That is a collapse")
    alone = study.control_words(kinds_of("trained"), history.loc[["trained"]])
    assert alone == {"control": "This run has no network of random weights to compare with",
                     "variety": "it ends at 0.90 (trained)"}


def test_words_of_the_trained_network() -> None:
    rows = pd.DataFrame([[0.9, 0.95, -0.05, -0.1, -0.01]], columns=["a", "b", "difference", "low", "high"],
                        index=["macro"])
    mine = kinds_of("trained", "random").loc["random"]
    flipped = pd.DataFrame({"flipped": [0.8], "random": [0.1]},
                           index=pd.MultiIndex.from_tuples([("MI", 3)], names=["label", "moves"]))
    carried = pd.DataFrame({"share": [0.7, 0.3]}, index=pd.MultiIndex.from_tuples(
        [("MI", "defining sign"), ("MI", "candidate")], names=["label", "kind"]))
    whom = pd.DataFrame({"age": [0.6, 0.5], "age_low": 0.4, "age_high": 0.7, "sex": [0.8, 0.7], "sex_low": 0.7,
                         "sex_high": 0.9}, index=["style code", "answers"])
    said = study.words({"one beat": rows, "one beat, drawn again": rows}, mine, flipped, carried, whom, 10)
    assert "0.900 of 0.950 (difference −0.050 (−0.100 to −0.010))" in said["kept"]
    assert "in 80 % (MI) of test beats; as many random ones flip 10 % at most" in said["flip"]
    assert said["candidates"].startswith("Of the 2 coordinates of all labels, 1 have a name without any sign of their "
                                         "label; they carry 30 % (MI) of the change of the logit. 0 more")
    assert said["read"].endswith("age (correlation 0.60 (0.40 to 0.70)) and sex (AUROC 0.80 (0.70 to 0.90)); the "
                                 "classifier's answers alone tell 0.50 and 0.70")
    unknown = study.words({"one beat": rows, "one beat, drawn again": rows}, mine, flipped, carried, whom * np.nan, 10)
    assert unknown["read"].startswith("Too few patients")


def test_what_goes_with_age_is_counted() -> None:
    who = pd.DataFrame({"age_held_low": [0.1, -0.1, -0.5], "age_held_high": [0.3, 0.2, -0.2],
                        "sex_held_low": np.nan, "sex_held_high": np.nan})
    assert study.held_words(who) == "2 go with age and 0 with sex"
