"""Page 14: families part the features, exact parts add up, agreement beside chance, and what a forest follows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import ecgkit
from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.examine import Bench
from ecgkit.models import load_classifier, pretrained
from ecgkit.physiology import COLUMNS, load_rules, repeatability
from ecgkit.study import reasons as study
from ecgkit.study.reasons import ATTACK, EXCESS, FAMILIES, OTHER, OWN, SAME, Both, Reading
from ecgkit.training import FewLabelClassifier, MeasuredFeatures

NAMES = MeasuredFeatures(100, rules=True).names
LABELS = ("NORM", "MI", "CD")
QRS, AXIS = list(COLUMNS).index("qrs"), list(COLUMNS).index("axis")
Array = NDArray[np.float64]


@dataclass
class QrsForest:
    """In the place of a forest: the probability of every label is QRS duration in ms, of 200."""

    def predict(self, measured: Array) -> Array:
        return np.repeat(measured[:, [QRS]] / 200, len(LABELS), axis=1)


@dataclass
class QrsModel:
    forest_: QrsForest


def reading_of(measured: Array, shap: Array, patients: list[int] | None = None) -> Reading:
    """A reading whose base is a tenth, of ECGs of which nothing else is known."""
    n = len(measured)
    records = pd.DataFrame({"record": np.arange(n).astype(str), "patient_id": patients or list(range(n))})
    data = ECGDataset(np.zeros((n, 12, 1000), dtype=np.float32), records, np.zeros((n, 3), dtype=np.uint8), LABELS,
                      100.0, "nothing")
    model: Any = QrsModel(QrsForest())
    return Reading(model, data, NAMES, measured, QrsForest().predict(measured), np.full(3, 0.1), shap,
                   shap @ study._members(NAMES), records["patient_id"].to_numpy())


def measured_of(n: int, seed: int = 0) -> Array:
    """Measurements within reason for the rules: small numbers, QRS from 80 to 160 ms."""
    rng = np.random.default_rng(seed)
    measured = rng.normal(0, 0.1, (n, len(NAMES)))
    measured[:, QRS] = rng.uniform(80, 160, n)
    return measured


def test_families_part_all_features_and_no_row_of_the_table_is_idle() -> None:
    members = study._members(NAMES)
    np.testing.assert_array_equal(members.sum(axis=1), 1)
    assert (members.sum(axis=0) > 0).all()
    assert set(study._TABLE.index) == {study._parts(name)[0] for name in NAMES}
    assert study._TABLE.index.is_unique
    assert {study.family_of(name) for name in ("q_III", "q_ms_V2", "old inferior infarction")} == {"Q waves"}


def test_a_rule_stands_with_the_sign_that_it_asks_for_first() -> None:
    combined = {"sokolow": "R and S waves", "cornell": "R and S waves", "qrs_swing": "R and S waves"}
    for rule, rows in load_rules().groupby("rule"):
        signs = [row for row in rows.itertuples() if not (row.measurement == "qrs" and row.comparison == "<")]
        always = [row for row in signs if not row.alternative]
        base = (always or signs)[0].measurement.removesuffix("_{lead}")
        assert study.family_of(str(rule)) == combined.get(base) or study.family_of(str(rule)) == study.family_of(base)


@pytest.mark.parametrize(("name", "label", "part"), [
    ("old anterior infarction", "MI", "defines"), ("q_ms_III", "MI", "defines"), ("q_aVF", "MI", "defines"),
    ("st20_V2", "MI", "further"), ("heart_rate", "MI", "–"), ("T inversion", "MI", "–"), ("t_V5", "STTC", "defines"),
    ("qtc_bazett", "STTC", "further"), ("t_aVR", "STTC", "–"), ("pr", "CD", "defines"), ("axis", "CD", "defines"),
    ("normal QRS", "CD", "–"), ("r_V5", "HYP", "defines"), ("LVH with strain", "HYP", "further"),
    ("p_terminal_ms_V1", "HYP", "further")])
def test_what_part_a_feature_has_in_the_rules(name: str, label: str, part: str) -> None:
    assert study.part_in_rules(name, label) == part


def test_parts_and_families_add_up_to_what_the_forest_says() -> None:
    data = ecgkit.load("synthetic", n_patients=4, fs=100)
    reading = study.read(FewLabelClassifier.load("ptbxl-joined"), data)
    assert reading.shap.shape == (len(data), 5, len(NAMES))
    np.testing.assert_allclose(reading.base + reading.shap.sum(axis=2), reading.forest, atol=1e-6)
    np.testing.assert_allclose(reading.by_family.sum(axis=2), reading.shap.sum(axis=2))
    q = [name.startswith(("q_I", "q_V", "q_a", "q_ms_", "old anterior", "old inferior", "old lateral"))
         for name in NAMES]
    np.testing.assert_allclose(reading.by_family[..., FAMILIES.index("Q waves")], reading.shap[..., q].sum(axis=2))


def test_sizes_are_means_of_absolute_values_and_their_shares() -> None:
    table = study.sizes(np.array([[1.0, -3.0], [-1.0, 3.0]]), ["a", "b"], np.array([0, 1]), n_boot=20)
    assert table["size"].to_dict() == {"a": 1, "b": 3}
    assert table.loc["b", ["share", "share_low", "share_high"]].tolist() == [0.75] * 3


def test_the_strongest_come_first_with_direction_and_part() -> None:
    measured, shap = measured_of(30), np.zeros((30, 3, len(NAMES)))
    q, pr = NAMES.index("q_ms_aVF"), NAMES.index("pr")
    shap[:, 1:, q], shap[:, 1:, pr] = measured[:, [q]], -0.1 * measured[:, [pr]]
    measured[:3, q] = np.nan
    table = study.strongest(reading_of(measured, shap), top=2, n_boot=20)
    assert set(table.index.get_level_values("label")) == {"MI", "CD"}
    mine = table.loc["MI"]
    assert list(mine.index) == ["q_ms_aVF", "pr"]
    np.testing.assert_allclose(mine["direction"], [1, -1])
    assert list(mine["part"]) == ["defines", "–"]
    assert list(table.loc["CD", "part"]) == ["defines"] * 2  # a posterior fascicular block asks for Q in aVF
    assert mine.loc["pr", "size"] == pytest.approx(np.abs(0.1 * measured[:, pr]).mean())
    assert mine["share"].sum() == pytest.approx(1)


def test_a_change_is_counted_in_repeatabilities_and_angles_go_the_shorter_way() -> None:
    measured = measured_of(2)
    measured[:, AXIS] = 170
    after = measured.copy()
    after[0, QRS] += 2 * max(repeatability()["qrs"], 5)
    after[:, AXIS] = -170
    after[1, QRS] = np.nan
    after[1, AXIS] = measured[1, AXIS]
    after[1, list(COLUMNS).index("pr")] += 1e6
    reading = reading_of(measured, np.zeros((2, 3, len(NAMES))))
    change = Both(reading, np.full(3, 0.5), 2, np.arange(2), np.array([1, 1]), {OWN: after}).change(OWN)
    assert change[0, AXIS] == 20
    moved = pd.DataFrame(study.moves(change, study.units(reading)["repeatability"]), columns=list(FAMILIES))
    assert moved["QRS axis"].tolist() == pytest.approx([20 / repeatability()["axis"], 0])
    qrs = [name.startswith(("qrs", "rp", "notched")) for name in COLUMNS]
    assert moved["QRS duration, R′"].tolist() == pytest.approx([2 / sum(qrs), 0])
    assert moved["PR"].tolist() == [0, 5]
    assert moved["Q waves"].tolist() == [0, 0]
    alone = np.full_like(change, np.nan)
    np.testing.assert_array_equal(study.moves(alone, np.ones(len(COLUMNS))), 0)


def test_alike_lists_agree_opposite_ones_do_not_and_random_ones_by_chance() -> None:
    rng = np.random.default_rng(0)
    evidence = rng.random((200, len(FAMILIES)))
    found = study.agreements(evidence, np.concatenate([evidence, -evidence]))
    for statistic, (alike, opposite) in {"among the first": (1, 0), "rank correlation": (1, -1)}.items():
        np.testing.assert_allclose(np.diag(found[statistic][:, :200]), alike)
        np.testing.assert_allclose(np.diag(found[statistic][:, 200:]), opposite)
    others = ~np.eye(200, dtype=bool)
    assert found["among the first"][:, :200][others].mean() == pytest.approx(0.3, abs=0.02)
    assert found["rank correlation"][:, :200][others].mean() == pytest.approx(0, abs=0.02)


def both_of(n: int = 12) -> Both:
    """Each ECG's counterfactual moves five families the further the more they bear, an attack the other way round."""
    rng = np.random.default_rng(1)
    measured, shap, places = measured_of(n), np.zeros((n, 3, len(NAMES))), np.array([1, 2] * (n // 2))
    own, attack = measured.copy(), measured.copy()
    members = study._members(tuple(COLUMNS))
    for row in range(n):
        for rank, family in enumerate(rng.permutation(["PR", "QRS axis", "Q waves", "T wave", "rhythm"])):
            held = np.flatnonzero(members[:, FAMILIES.index(family)])
            shap[row, places[row], held[0]] = 0.1 / (1 + rank)
            own[row, held] += 3.0 - 0.5 * rank
            attack[row, held] += 1.0 + 0.5 * rank
    own[:, QRS] -= 20
    reading = reading_of(measured, shap, patients=[0, *range(n - 1)])
    return Both(reading, np.full(3, 0.5), n + 3, np.arange(n), places, {OWN: own, ATTACK: attack})


def test_agreement_beside_its_controls_is_that_of_a_slow_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    both = both_of()
    monkeypatch.setattr(study, "units", lambda reading: {"one": np.ones(len(COLUMNS))})
    table = study.agreement_table(both, n_boot=50)
    moved = study.moves(both.change(OWN), np.ones(len(COLUMNS)))
    evidence = both.reading.by_family[both.rows, both.places]
    for place, label in ((1, "MI"), (2, "CD")):
        pairs: dict[str, list[float]] = {SAME: [], OTHER: []}
        for i in np.flatnonzero(both.places == place):
            for whose, side in ((SAME, both.places == place), (OTHER, both.places != place)):
                others = [j for j in np.flatnonzero(side) if both.reading.patients[j] != both.reading.patients[i]]
                rank = [pd.Series(evidence[i]).corr(pd.Series(moved[j]), method="spearman") for j in others]
                pairs[whose].append(float(np.mean(rank)))
        estimate = table["estimate"].loc["one", "rank correlation"]
        for whose, values in pairs.items():
            assert estimate[whose, label] == pytest.approx(np.mean(values))
        for name, whose in EXCESS.items():
            assert estimate[name, label] == pytest.approx(estimate[OWN, label] - estimate[whose, label])
        assert estimate[OWN, label] > 0.95 > max(estimate[SAME, label], estimate[ATTACK, label])
    assert (table["n"] == 6).all()
    assert ((table["low"] <= table["estimate"] + 1e-9) & (table["estimate"] <= table["high"] + 1e-9)).all()


def test_a_forest_of_qrs_follows_a_change_of_qrs_and_what_it_loses_is_a_ratio_of_means() -> None:
    both = both_of()
    table = study.follow_table(both, n_boot=200)
    before = both.reading.forest[both.rows, both.places]
    for place, label in ((1, "MI"), (2, "CD")):
        p = before[both.places == place]
        estimate = table["estimate"].xs(label, level="label")
        assert estimate["before", OWN] == pytest.approx(p.mean())
        for whose in (OWN, SAME):
            assert estimate["after", whose] == pytest.approx(p.mean() - 0.1)
            assert estimate["below", whose] == pytest.approx((p - 0.1 < 0.5).mean())
            assert estimate["lost", whose] == pytest.approx(0.1 / (p.mean() - 0.1))
        assert estimate["lost", ATTACK] == pytest.approx(0)
        assert estimate["lost", "own over the attack"] == pytest.approx(estimate["lost", OWN])
    spread = np.random.default_rng(0).normal(1, 0.2, (2, 4000))
    ratios = [(a / b) for a, b in spread.reshape(2, 40, 100).mean(axis=2).T]
    values = study._ratio(spread[0], spread[1], np.zeros(4000, dtype=np.intp))
    assert values.mean() == pytest.approx(spread[0].mean() / spread[1].mean())
    assert values.std() / 10 == pytest.approx(np.std(ratios), rel=0.3)


def test_the_change_that_is_lent_is_another_ecgs() -> None:
    both = both_of()
    changed = both.after[OWN].copy()
    changed[:, QRS] = both.reading.measured[:, QRS]
    changed[0, QRS] -= 40  # of the first ECG with MI alone: the next one with MI reads it
    follow = study.follow_table(replace(both, after={OWN: changed, ATTACK: changed}), n_boot=10)["estimate"]
    assert follow["after", SAME, "MI"] == pytest.approx(follow["before", SAME, "MI"] - 0.2 / 6)
    assert follow["after", SAME, "CD"] == pytest.approx(follow["before", SAME, "CD"])


def test_both_say_asks_where_both_say_a_label_and_no_answer_is_an_error() -> None:
    data = ecgkit.load("synthetic", n_patients=40, fs=100)
    explainer = ecgkit.explain.load()
    bench = Bench(data, load_classifier("ptbxl-superclass"), {}, {}, pretrained())
    reading = study.read(FewLabelClassifier.load("ptbxl-joined"), data)
    both = study.both_say(explainer, bench, reading, np.full(5, 0.5))
    assert 0 < len(both.rows) <= both.n_asked
    assert (bench.logits[both.rows, both.places] > 0).all()
    assert (reading.forest[both.rows, both.places] >= 0.5).all()
    assert 0 not in both.places  # no rule defines NORM
    assert all(part.shape == (len(both.rows), len(NAMES)) for part in both.after.values())
    with pytest.raises(EcgkitError, match=r"both say a label \(0\)"):
        study.both_say(explainer, bench, reading, np.full(5, 1.1))
