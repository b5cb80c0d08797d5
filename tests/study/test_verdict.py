"""The verdict reads the battery's files: what was aimed at beside what was found, and who is best at what."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.study.battery import EDIT, METRICS
from ecgkit.study.verdict import AIMS, aims_table, battery_runs, headline, maps_beside_truth, winners_table, words

STATS = ["estimate", "low", "high", "n"]


def write_run(folder: Path, data: str, *, truth: bool = False, controls: bool = True) -> None:
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps({"data": data}))
    battery = {("target reached", "GAN"): [0.9, 0.8, 0.95, 40], ("target reached", "PGD"): [1, 1, 1, 40],
               ("followed by unseen networks", "GAN"): [0.97, 0.9, 1, 36],
               ("followed by unseen networks", "PGD"): [0.2, 0.1, 0.3, 40], ("ms per ECG", "GAN"): [12.4, 11, 13, 40]}
    table = pd.DataFrame.from_dict(battery, orient="index", columns=STATS)
    table.index = pd.MultiIndex.from_tuples(battery, names=["metric", "explainer"])
    table.to_csv(folder / "battery.csv")
    pd.DataFrame({"auc": [0.7, float("nan")], "auc_low": [0.6, float("nan")], "auc_high": [0.8, float("nan")],
                  "spearman": [0.93, 0.5]}, index=["GAN", "PGD"]).to_csv(folder / "sets.csv")
    pairs = pd.MultiIndex.from_tuples([(EDIT, "IoU")] if truth else [], names=["map", "metric"])
    pd.DataFrame([[0.5, 0.4, 0.6, 9]] if truth else [], columns=STATS, index=pairs).to_csv(folder / "located.csv")
    alike = pd.DataFrame(columns=STATS, index=pd.Index([], name="correlation of edits"))
    alike.to_csv(folder / "consistency.csv")
    effects = {("trained", "MI"): [2, 1, 3, 9]}
    if controls:
        effects |= {("shuffled", "MI"): [0.1, -1, 1, 9], ("random", "MI"): [1, 0.5, 2, 9]}
    moved = pd.DataFrame.from_dict(effects, orient="index", columns=STATS)
    moved.index = pd.MultiIndex.from_tuples(effects, names=["network", "label"])
    moved.to_csv(folder / "effects.csv")
    planted = [[30, 0.9, 100.2, 12.7, 10, 15]] if controls else []
    pd.DataFrame(planted, columns=["n", "answered", "before", "after", "low", "high"],
                 index=pd.Index(["artefact away"][:len(planted)], name="question")).to_csv(folder / "shortcut.csv")


def test_aims_stand_beside_what_was_found_on_each_source(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "simulated ECGs", truth=True)
    write_run(tmp_path / "b", "recorded ECGs", controls=False)
    runs = battery_runs(tmp_path)
    assert [run.data for run in runs] == ["recorded ECGs", "simulated ECGs"], "patients first"
    table = aims_table(runs)
    assert list(table) == ["recorded ECGs: aim", "recorded ECGs", "simulated ECGs: aim", "simulated ECGs"]
    assert len(table) == len(AIMS)
    recorded, simulated = table["recorded ECGs"], table["simulated ECGs"]
    assert recorded["target reached"] == "0.90 (0.80–0.95)"
    assert recorded["the same of the attack"] == "0.20 (0.10–0.30)"
    assert recorded["ms per ECG"] == "12 (11–13)"
    assert recorded["fresh discriminator, AUROC"] == "0.70 (0.60–0.80)"
    assert recorded["IoU of the edit with the truth"] == recorded["agreement with a retrained network's"] == "–"
    assert simulated["IoU of the edit with the truth"] == "0.50 (0.40–0.60)"
    controls = "effects on controls that cover 0"
    assert (recorded[controls], simulated[controls]) == ("–", "1 of 2")
    planted = "planted artefact, before and after"
    assert (recorded[planted], simulated[planted]) == ("–", "100 → 13 µV")
    aims = table["recorded ECGs: aim"], table["simulated ECGs: aim"]
    assert [aim["target reached"] for aim in aims] == ["≥ 0.95", "≥ 0.98"]


def test_a_metric_that_the_attack_wins_has_no_winner(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "x")
    best = winners_table(battery_runs(tmp_path))["x"]
    assert best["target reached"] == "– (the attack)"
    assert best["followed by unseen networks"] == "GAN"


def test_all_metrics_that_aims_name_are_the_batterys() -> None:
    titles = {metric.title for metric in METRICS}
    named = {aim.found.args[0] for aim in AIMS if getattr(aim.found, "args", None)}  # type: ignore[attr-defined]
    assert named - {"auc", "spearman"} <= titles


def test_the_figure_gets_every_explainer_with_its_interval(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "x")
    run, = battery_runs(tmp_path)
    found = headline(run, {"target reached": "reached", "unrelated measurements kept": "kept"})
    assert list(found) == ["GAN", "PGD"]
    assert found["GAN"].loc["reached"].tolist() == [0.9, 0.8, 0.95]
    assert found["GAN"].loc["kept"].isna().all()


def test_no_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EcgkitError, match="no results of the battery; run 10_battery first"):
        battery_runs(tmp_path)


def test_maps_beside_the_truth_are_those_of_the_simulated_run(tmp_path: Path) -> None:
    for name, text in (("a", ",result\n0,no truth\n"), ("b", "method,n,IoU\nsaliency,24,0.13 (0.11 to 0.15)\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "truth.csv").write_text(text)
    assert maps_beside_truth(tmp_path).loc["saliency"].tolist() == ["24", "0.13 (0.11 to 0.15)"]
    assert maps_beside_truth(tmp_path / "b").index.tolist() == ["saliency"]
    assert maps_beside_truth(tmp_path / "a").empty


def test_words_are_of_the_first_source_and_of_the_truth(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "recorded ECGs")
    write_run(tmp_path / "b", "simulated ECGs", truth=True)
    maps = pd.MultiIndex.from_product([[EDIT, "saliency", "random"], ["relevance rank"]], names=["map", "metric"])
    located = pd.DataFrame([[0.9, 0.8, 1, 9], [0.4, 0.3, 0.5, 9], [0.1, 0, 0.2, 9]], columns=STATS, index=maps)
    located.to_csv(tmp_path / "b" / "located.csv")
    runs = battery_runs(tmp_path)
    said = words(runs, aims_table(runs))
    assert (said["data"], said["transfer"], said["rule"]) == ("recorded ECGs", "0.97 (0.90–1.00)", "–")
    assert said["truth"] == ("on simulated ECGs the edit has 0.90 of its most important samples inside it, and the "
                             "best of the other maps (saliency) 0.40")
    assert words(runs[:1], aims_table(runs))["truth"] == "not in this run"
