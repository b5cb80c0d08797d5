"""Tests of the ablations: which are compared, what an ingredient is worth, views that change, words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ecgkit.leads import LEADS
from ecgkit.study import ablations
from ecgkit.study.efficiency import Curve, efficiency_table

FRACTIONS = np.array([0.1, 1.0])
TITLES = {"whole": "all", "less": "without"}


def runs(**groups: str) -> pd.DataFrame:
    return pd.DataFrame({"variant": list(groups), "group": list(groups.values())})


def curve(lift: float) -> Curve:
    mean = lift + np.array([0.6, 0.7])
    return Curve(FRACTIONS, 100 * FRACTIONS, tuple(np.array([m]) for m in mean), np.tile(mean, (5, 1)))


@pytest.mark.parametrize(("rows", "told"), [
    (runs(utah="full", whole="full", less="ablation"), ("whole", ["less"], ["less"])),
    (runs(utah="full", less="ablation"), ("utah", ["less"], ["less"])),
    (runs(utah="full", whole="full"), ("whole", [], ["utah"])), (runs(utah="full"), ("utah", [], ["utah"]))])
def test_ablations_are_compared_with_the_whole_recipe_or_what_is_there(
        rows: pd.DataFrame, told: tuple[str, list[str], list[str]]) -> None:
    assert ablations.arms(rows, "whole") == told


def test_worth_is_the_whole_minus_the_part_and_is_told() -> None:
    curves = {"whole": curve(0.1), "less": curve(0.05)}
    worth = ablations.worth_of(curves, "whole")
    assert worth.loc[("less", 0.1)].tolist() == pytest.approx([0.05] * 3)
    assert "whole" not in worth.index
    assert (ablations.worth_of({"whole": curve(0)}, "whole") == 0).all(axis=None)
    both = dict.fromkeys(ablations.FOLDS, worth)
    printed = ablations.printed(both, TITLES, "{worth:+.3f}")
    assert printed.to_dict("index") == {"without": dict.fromkeys(
        ["10 %, validation", "10 %, test", "100 %, validation", "100 %, test"], "+0.050")}
    tables = dict.fromkeys(ablations.FOLDS, efficiency_table(curves, "whole"))
    found = ablations.words(tables, both, TITLES, "whole", ["less"], few=0.1, whole=True)
    assert found["abl_most"] == "without"
    assert found["abl_most_test"] == "+0.050 (+0.050 to +0.050)"
    assert (found["abl_n_clear"], found["abl_full_auroc"]) == ("1", "0.700")
    found = ablations.words(tables, both, TITLES, "whole", [], few=0.1, whole=False)
    assert "holds no ablation: what stands here in its place is all against without" in found["abl_note"]
    assert (found["abl_most"], found["abl_most_test"]) == ("no variant of this run", "nothing")


def test_each_view_changes_what_is_shown() -> None:
    ecg = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 12, 250)).astype(np.float32))
    views = ablations.views_of(ecg, 100, ["II", "V2"], seconds=1.6)
    assert list(views) == list(ablations.CHANGES)
    for name, view in views.items():
        seen = [LEADS.index("II"), LEADS.index("V2")]
        assert (view != ecg[0].numpy())[seen, :160].any(), name


def test_a_history_without_monitors_is_not_shown(tmp_path: Path) -> None:
    for variant, ranks in (("whole", [2.0, 3.0]), ("less", [np.nan])):
        (tmp_path / variant).mkdir()
        pd.DataFrame({"epoch": 1 + np.arange(len(ranks)), "loss": 0.5, "alignment": 0.1, "uniformity": 0.2,
                      "effective_rank": ranks, "knn": 0.3}).to_csv(tmp_path / variant / "history.csv")
    shown = ablations.printed_monitors(tmp_path, TITLES)
    assert shown["effective rank"].to_dict() == {"all": "3.000"}
    assert ablations.printed_monitors(tmp_path, {"less": "x"}).index[0] == "none of these was pretrained"
