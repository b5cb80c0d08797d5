"""Page 15: slopes and associations of made-up answers are those that went in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ecgkit
from ecgkit.explain.results import Change, Counterfactuals
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


def test_a_line_is_that_of_least_squares_and_what_is_not_known_does_not_count() -> None:
    x, y = RNG.normal(size=30), RNG.normal(size=30)
    pair = pd.DataFrame({"x": np.append(x, [9, np.nan]), "y": np.append(y, [np.nan, 9]), "whose": range(32)})
    slope, r2 = study.lines([pair, pair.assign(x=1.0)], 20)
    assert slope.estimate[0] == pytest.approx(np.polyfit(x, y, 1)[0])
    assert r2.estimate[0] == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)
    assert (slope.samples.shape, np.isnan(slope.estimate[1])) == ((20, 2), True)


def test_slopes_are_found_with_what_was_answered_and_what_stayed() -> None:
    silent = ruled("qt", 1.0).assign(valid=False)
    answers = pd.concat([ruled("pr", 1.0), ruled("qrs", 0.5, other=100.0), silent], ignore_index=True)
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
    values["r_V5"] = values["r_V5"] / 1e6 - age / 1000
    table = study.age_table(answers, values, np.arange(400), n_boot=1000)
    assert table.loc["heart rate", "seen"] == pytest.approx(3, abs=0.3)
    assert table.loc["heart rate", "seen_q"] < 0.05
    assert table.loc["QT", "data"] == pytest.approx(30, abs=0.5)
    assert table.loc["R in V5", "data"] == pytest.approx(-15, abs=0.1)
    assert table.index[table["data_q"] < 0.05].tolist() == ["QT", "R in V5"]
    assert table.loc[["QT", "R in V5"], "unit"].tolist() == ["ms", "µV"]


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
    turned = study.ask_changes(Longer(), data, before.assign(axis=-before["axis"] + 190))  # type: ignore[arg-type]
    assert turned["axis"].dropna().between(-180, 180).all()
    assert found["asked"].unique().tolist() == ["pr"]
