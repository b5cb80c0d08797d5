"""Page 15: slopes and associations of made-up answers are those that went in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ecgkit
from ecgkit.explain.results import Change, Counterfactuals
from ecgkit.physiology import COLUMNS
from ecgkit.study import intervals as study

RNG = np.random.default_rng(0)


def ruled(name: str, slope: float, n: int = 50, other: float = 0.0) -> pd.DataFrame:
    """Answers of `n` ECGs to the changes of an interval that moved it by `slope` times as much, the others a little."""
    by = np.tile(study.ASKED[name], n)
    moved = {column: np.zeros(len(by)) for column in study.SOUGHT}
    moved |= {each: np.full(len(by), other) for each in study.INTERVALS if each != name}
    moved |= {name: slope * by + RNG.normal(0, 5, len(by))} if name in study.INTERVALS else {}
    return pd.DataFrame(moved).assign(asked=name, by=by, valid=True, in_range=True, reason="",
                                      patient_id=np.repeat(np.arange(n), len(study.ASKED[name])))


def test_a_line_is_that_of_least_squares_and_rows_count_as_often_as_their_weight() -> None:
    x, y = RNG.normal(size=30), RNG.normal(size=30)
    weights = RNG.integers(0, 3, (30, 2)).astype(float)
    found = study.line(x, y, weights)
    for k in range(2):
        rows = np.repeat(np.arange(30), weights[:, k].astype(int))
        assert found[k, 0] == pytest.approx(np.polyfit(x[rows], y[rows], 1)[0])
        assert found[k, 1] == pytest.approx(np.corrcoef(x[rows], y[rows])[0, 1] ** 2)
    assert np.isnan(study.line(np.ones(5), np.arange(5.0), np.ones((5, 1)))).all()


def test_slopes_are_found_with_what_was_answered_and_what_stayed() -> None:
    answers = pd.concat([ruled("pr", 1.0), ruled("qrs", 0.5, other=100.0)], ignore_index=True)
    first = answers.index[answers["asked"] == "pr"]
    answers.loc[first[:100], "valid"] = False
    answers.loc[first[:50], "in_range"] = False
    table = study.slopes_table(answers, {"pr": 10.0, "qrs": 5.0, "qt": 12.0}, n_boot=100)
    assert table["slope"].round(1).to_dict() == pytest.approx({"PR": 1.0, "QRS": 0.5, "QT": np.nan}, nan_ok=True)
    assert (table.loc["PR", "slope_low"] < table.loc["PR", "slope"] < table.loc["PR", "slope_high"])
    assert table.loc["PR", ["asked", "answered", "n"]].tolist() == [150, pytest.approx(100 / 150), 100]
    assert table["kept"].tolist() == pytest.approx([1, 0, np.nan], nan_ok=True)


def test_what_moves_with_the_age_seen_and_with_age_in_the_data_is_told_apart() -> None:
    answers = ruled("age", 0.0)
    answers["heart_rate"] = 3 * np.sign(answers["by"]) + RNG.normal(0, 1, len(answers))
    age = RNG.uniform(20, 80, 400)
    values = pd.DataFrame({name: RNG.normal(size=400) for name in study.SOUGHT}).assign(age=age)
    values["qt"] += age * 2
    table = study.age_table(answers, values, np.arange(400), n_boot=1000)
    assert table.loc["heart_rate", "seen"] == pytest.approx(3, abs=0.3)
    assert table.loc["qt", "data"] == pytest.approx(30, abs=0.5)
    assert table.index[table["data_q"] < study.LEAST_Q].tolist() == ["qt"]
    assert table.loc["heart_rate", "seen_q"] < study.LEAST_Q
    shown = study.printed_age(table)
    assert shown.loc["QT", "in the data"].endswith("*")
    assert shown["unit"].iloc[0] == "/min"


def test_answers_are_measured_row_by_row_and_angles_go_the_shorter_way() -> None:
    before = pd.DataFrame(0.0, index=[0], columns=list(COLUMNS)).assign(axis=170.0, qrs=90.0)
    moved = study.after_minus(before, before.assign(axis=-170.0, qrs=130.0))
    assert moved.loc[0, ["axis", "qrs"]].tolist() == [20, 40]


class Longer:
    """Answers with the ECGs as they are; of long ones it says that none is so long."""

    label_names = ("pr",)

    def __call__(self, x: Any, target: Mapping[str, Any]) -> Counterfactuals:
        out = np.full(len(x), target["pr"].by > 20)
        assert isinstance(target["pr"], Change)
        return Counterfactuals(x, np.zeros((len(x), 1)), ~out, np.where(out, "out of range: no", "").astype(object))


def test_every_ecg_is_asked_for_every_change() -> None:
    data = ecgkit.load("synthetic", n_patients=6)
    before = study.read_by_ruler(data)
    assert before["age"].notna().all()
    found = study.ask_changes(Longer(), data, before)  # type: ignore[arg-type]
    assert len(found) == 4 * len(data)
    assert found.groupby("by")["in_range"].all().to_dict() == {-40: True, -20: True, 20: True, 40: False}
    assert found.loc[found["qrs"].notna(), "qrs"].eq(0).all()
    assert found["asked"].unique().tolist() == ["pr"]
