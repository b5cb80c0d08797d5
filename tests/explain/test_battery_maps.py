"""Counterfactuals and attributions of the same ECGs: the truth wins both axes, noise wins neither."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from ecgkit.explain.battery.examine import Bench, ask, questions
from ecgkit.study.battery import printed_value
from ecgkit.study.battery_maps import EDIT, LOCALISED, Mapped, localised, map_answers, printed_localised, quac_curves
from tests.explain.battery_helpers import make_sick_bench, oracle


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
    assert printed_value(pd.Series({"estimate": float("nan"), "low": 0.0, "high": 0.0, "n": 0})) == "–"


def test_without_truth_nothing_is_said(bench: Bench, mapped: list[Mapped]) -> None:
    assert localised(replace(bench, truth=None), mapped).empty
