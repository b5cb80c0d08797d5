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
