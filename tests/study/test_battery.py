"""Page 10: means, intervals and marks of the table, baselines, and maps beside the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import ecgkit
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import with_ends
from ecgkit.explain.baselines import BASELINES, baselines
from ecgkit.explain.battery.examine import Answers, Bench, ask, questions
from ecgkit.models import Classifier, build_encoder, pretrained
from ecgkit.study.battery import (
    EDIT,
    LOCALISED,
    STATISTICS,
    Mapped,
    attack_like,
    battery_table,
    localised,
    map_answers,
    printed_battery,
    printed_estimates,
    printed_localised,
    printed_sets,
    printed_shortcut,
    quac_curves,
    with_interval,
    words,
)
from tests.explain.battery.sick import make_sick_bench, oracle


def examined(valid: float, size: float, n: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"patient_id": np.arange(n) // 2, "valid": (np.arange(n) < valid * n).astype(float),
                         "abstained": 0.0, "transfer": np.where(np.arange(n) < 4, np.nan, 0.75),
                         "size": size + rng.normal(0, 1, n), "rule away": np.nan})


def test_the_mean_is_of_what_is_known_and_the_interval_holds_it() -> None:
    found = with_interval([1.0, 3.0, np.nan, np.inf], [1, 2, 3, 4])
    assert (found["estimate"], found["n"]) == (2.0, 2)
    assert found["low"] == 1.0
    assert found["high"] == 3.0


def test_all_ecgs_of_a_patient_come_together() -> None:
    """One patient with a hundred zeros and one with a single one: resamples hold one, the other, or both."""
    values = np.append(np.zeros(100), 1.0)
    found = with_interval(values, np.append(np.zeros(100), 1), n_boot=400)
    assert (found["low"], found["high"]) == (0.0, 1.0)


def test_nothing_known_is_nan_of_none() -> None:
    found = with_interval([np.nan, np.nan], [1, 2])
    assert found["n"] == 0
    assert np.isnan(found["estimate"])


def test_the_table_has_every_explainer_and_leaves_out_what_nobody_has() -> None:
    table = battery_table({"GAN": examined(0.5, 30), "PGD": examined(1.0, 5)}, n_boot=50)
    assert table.loc[("valid: reached, plausible", "GAN"), "estimate"] == pytest.approx(0.5)
    assert table.loc[("followed by unseen networks", "GAN"), "n"] == 36
    assert "disease away: defining rule no longer met" not in table.index.get_level_values("metric")


def test_a_metric_that_the_attack_wins_is_marked_and_a_tie_too() -> None:
    shown = printed_battery(battery_table({"GAN": examined(0.5, 30), "PGD": examined(1.0, 5)}, n_boot=50))
    note = shown["note"]
    assert note["valid: reached, plausible ↑"] == "flatters the attack"
    assert note["mean size of the edit, µV ↓"] == "flatters the attack"
    assert note["followed by unseen networks ↑"] == "flatters the attack", "it is as good as the best"
    better = printed_battery(battery_table({"GAN": examined(1.0, 2), "PGD": examined(0.5, 5)}, n_boot=50))
    assert better["note"]["valid: reached, plausible ↑"] == ""
    assert better["best"]["valid: reached, plausible ↑"] == "GAN"
    assert better["GAN"]["valid: reached, plausible ↑"] == "1.00 (1.00–1.00)"


def test_estimates_are_printed_with_their_intervals_and_what_stands_beside() -> None:
    table = pd.DataFrame([[0.123, 0.1, 0.15, 9, 0.987], [np.nan, np.nan, np.nan, 0, 0.5]],
                         columns=[*STATISTICS, "answered"], index=pd.Index(["a", "b"], name="label"))
    shown = printed_estimates(table, "movement")
    assert shown.to_dict("list") == {"movement": ["0.12 (0.10–0.15)", "–"], "answered": [0.99, 0.5], "n": [9, 0]}
    assert shown.index.name == "label"
    assert list(printed_estimates(table.head(0), "movement")) == list(shown), "no run of it, an empty table"


def test_sets_are_printed_with_a_dash_where_there_were_too_few() -> None:
    sets = pd.DataFrame({"auc": [0.734, np.nan], "auc_low": [0.68, np.nan], "auc_high": [0.78, np.nan],
                         "frechet": [2.029, np.nan], "neighbours": [1.12, np.nan], "n": [148.0, 5.0]},
                        index=["GAN", "PGD"])
    shown = printed_sets(sets.assign(spearman=[0.99, np.nan]))
    assert shown.loc["GAN"].tolist() == ["0.73 (0.68–0.78)", "2.03", "1.12", "0.99", 148]
    assert shown.loc["PGD"].tolist() == ["–", "–", "–", "–", 5]
    beside = sets.assign(**{f"{name}{end}": 0.5 for name in ("alike", "control") for end in ("", "_low", "_high")})
    assert printed_sets(beside).loc["GAN", "beside ECGs alike"] == "0.50 (0.50–0.50)"
    assert printed_sets(sets)["follows the wish"].tolist() == ["–", "–"], "nobody was asked for every grade"


@pytest.fixture(scope="module")
def data() -> ecgkit.ECGDataset:
    return ecgkit.load("synthetic", n_patients=24, seconds=4.0)


@pytest.fixture(scope="module")
def classifier(data: ecgkit.ECGDataset) -> Classifier:
    torch.manual_seed(0)
    encoder = build_encoder("xresnet1d18", widths=(8, 8, 8, 8))
    return Classifier(encoder, data.label_names, fs=100.0, crop_len=250).eval()


def test_baselines_come_by_their_printed_names(data: ecgkit.ECGDataset, classifier: Classifier) -> None:
    made = baselines(["neighbour", "wachter", "wachter-smooth"], classifier, data)
    assert list(made) == [BASELINES[name] for name in ("neighbour", "wachter", "wachter-smooth")]
    with pytest.raises(EcgkitError, match="no baseline 'lime'"):
        baselines(["lime"], classifier, data)


def test_the_attack_spends_the_norm_of_the_other_edits(data: ecgkit.ECGDataset, classifier: Classifier) -> None:
    asked = pd.DataFrame({"row": [0, 3, 5], "label": ["MI", "MI", "CD"], "wanted": [0.05, 0.95, 0.95]})
    before = data.batch([0, 3, 5])
    edits = np.random.default_rng(0).normal(0, [[[0.01]], [[0.02]], [[0.03]]], before.shape).astype(np.float32)
    answers = Answers(before + edits, np.zeros((3, 5)), np.array(["valid"] * 3), np.ones(3))
    attacked = attack_like(answers, Bench(data, classifier, {}, {}, pretrained()), asked, classifier)
    spent = np.sqrt(np.square(attacked.signals - before).sum(axis=(1, 2)))
    np.testing.assert_allclose(spent, np.sqrt(np.square(edits).sum(axis=(1, 2))), rtol=1e-3)


def test_the_shortcut_is_printed_and_may_be_missing() -> None:
    row = {"n": 268, "answered": 0.978, "before": 101.6, "after": 16.37, "low": 14.98, "high": 17.9}
    shown = printed_shortcut(pd.DataFrame([row], index=["artefact away"]))
    assert shown.loc["artefact away"].tolist() == [268, 0.98, 102.0, "16 (15–18)"]
    assert printed_shortcut(pd.DataFrame(columns=list(row))).empty


@pytest.fixture(scope="module")
def bench() -> Bench:
    return make_sick_bench()


@pytest.fixture(scope="module")
def mapped(bench: Bench) -> list[Mapped]:
    asked = questions(bench, 6)
    answers = ask(oracle(bench), bench, asked)
    return map_answers(bench, asked, answers, bench.data, ["saliency"], n_each=4)


def test_every_map_is_of_the_same_ecgs(bench: Bench, mapped: list[Mapped]) -> None:
    one, = mapped
    assert one.label == "LBBB"
    assert list(one.maps) == [EDIT, "saliency", "|x|", "|dx/dt|", "QRS template", "random"]
    assert {each.shape for each in one.maps.values()} == {(4, 12, bench.data.sig_len)}
    assert (one.maps[EDIT] == one.after - one.x).all()


def test_the_true_edit_lies_where_the_truth_is_and_turns_the_network_first(bench: Bench, mapped: list[Mapped]) -> None:
    table = localised(bench, mapped, n_boot=50)
    best = table.loc[EDIT, "estimate"]
    assert best["pointing game"] == best["relevance rank"] == best["IoU"] == pytest.approx(1)
    assert 0.8 < best["relevance mass"] == table["estimate"].xs("relevance mass", level="metric").max()
    assert (table["estimate"].drop(EDIT).xs("relevance rank", level="metric") < 0.9).all()
    assert (table["n"] == 4).all()
    curves = quac_curves(bench, mapped)
    assert set(curves) == set(mapped[0].maps)
    assert curves[EDIT].area.mean() > curves["random"].area.mean()


def test_print_has_a_row_for_each_map_and_a_dash_where_nothing_is_known(bench: Bench, mapped: list[Mapped]) -> None:
    table = localised(bench, mapped, n_boot=50)
    shown = printed_localised(table)
    assert list(shown) == list(LOCALISED)
    assert list(shown.index) == list(mapped[0].maps)
    assert shown.loc[EDIT, "IoU"] == "1.00 (1.00–1.00)"
    assert with_ends(pd.DataFrame([{"estimate": float("nan"), "low": 0.0, "high": 0.0}]), unknown="–").tolist() == ["–"]


def test_without_truth_nothing_is_said(bench: Bench, mapped: list[Mapped]) -> None:
    assert localised(replace(bench, truth=None), mapped).empty


def test_words_say_what_was_reached_and_what_is_missing(data: ecgkit.ECGDataset) -> None:
    table = battery_table({"GAN": examined(0.5, 30), "PGD": examined(1.0, 5)}, n_boot=20)
    sets = pd.DataFrame({"auc": [0.734]}, index=["GAN"])
    pairs = [("trained", "MI"), ("random", "MI"), ("random", "CD")]
    index = pd.MultiIndex.from_tuples(pairs, names=["network", "label"])
    moved = pd.DataFrame({"low": [1.0, -1.0, 0.5], "high": [2.0, 1.0, 0.7]}, index=index)
    scores = pd.Series({EDIT: 0.8, "saliency": 0.5, "expected-gradients": 0.6, "|x|": 0.2, "|dx/dt|": 0.3,
                        "QRS template": 0.1, "random": 0.0})
    planted = pd.DataFrame([{"n": 268.0, "answered": 0.978, "before": 101.6, "after": 16.37}], index=["artefact away"])
    said = words(data, table, sets, moved, planted, scores)
    assert (said["valid"], said["transfer"], said["attack"], said["rule"]) == ("50 %", "75 %", "75 %", "–")
    assert (said["auc"], said["alike"]) == ("0.73", "–")
    assert said["quac"].endswith("0.80 by the order of counterfactual, 0.60 by the order of expected-gradients, 0.30 "
                                 "by the order of |dx/dt|")
    assert said["controls"] == "1 of 2 effects on the random network cover 0"
    assert said["planted"] == ("102 µV of hum in 268 ECGs that the network fell for, 16 µV in the answers, 98 % of "
                               "them valid")
    none = words(data, table, sets, moved.head(1), planted.head(0), scores)
    assert none["controls"] == none["planted"] == "not in this run"
