"""The rule oracle: true counterfactuals pass it, edits that dodge a rule do not, and lost waves are not left alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.oracle import rule_oracle, unrelated_moves, unrelated_share, unrelated_table
from ecgkit.physiology import COLUMNS, Measurements, measure
from ecgkit.physiology.defining import DEFINITIONS
from ecgkit.simulator import EDIT_NAMES, Cohort

REPEATABLE = dict.fromkeys(COLUMNS, 1.0) | {"pr": 10.0, "p_duration": 11.0, "p_II": 0.05, "heart_rate": 10.0}


@cache
def diseases() -> Measurements:
    """The standard heart, then with each disease in full, measured by the true boundaries."""
    cohort = Cohort(fs=250, variation=0, noise=0)
    ids, severity = np.zeros(13, dtype=int), np.vstack([np.zeros(12), np.eye(12)])
    return measure(cohort.signals(ids, severity=severity), 250, cohort.waves(ids, severity=severity))


def of(*rows: int, **columns: float) -> Measurements:
    """Some rows of `diseases`, with some columns set to other values."""
    table = diseases().table.iloc[list(rows)].reset_index(drop=True)
    return replace(diseases(), table=table.assign(**columns))


# The standard heart's LAFB is 1 ms short of the 45 ms to the peak of R in aVL.
@pytest.mark.parametrize("disease", [name for name in EDIT_NAMES if name != "LAFB"])
def test_the_true_counterfactual_passes_both_ways_and_doing_nothing_does_not(disease: str) -> None:
    k = EDIT_NAMES.index(disease) + 1
    down = rule_oracle(of(k, k, 0), of(0, k, 0), disease, 60, 0)
    np.testing.assert_array_equal(down.crossed, [1, 0, np.nan])
    assert not down.new.any()
    assert down.movement[0] > 0
    assert down.movement[1] == 0
    assert down.rule[0] in DEFINITIONS[disease].rules
    up = rule_oracle(of(0, 0, k), of(k, 0, k), disease, 60, 0, up=True)
    np.testing.assert_array_equal(up.crossed, [1, 0, np.nan])
    assert up.new.tolist() == [True, False, False]
    assert up.movement[0] > 0


def test_widening_qrs_does_not_get_rid_of_a_q() -> None:
    k = EDIT_NAMES.index("IMI") + 1
    wide = {"qrs": 130.0, **{f"{name}_V1": 0.0 for name in ("r", "rp")}}
    assert rule_oracle(of(k, **{name: 0.0 for name in wide if name != "qrs"}), of(k, **wide), "IMI", 60,
                       0).crossed.tolist() == [0]


def test_what_cannot_be_measured_any_more_has_not_crossed() -> None:
    k = EDIT_NAMES.index("1AVB") + 1
    found = rule_oracle(of(k), of(k, pr=np.nan), "1AVB", 60, 0)
    assert found.crossed.tolist() == [0]
    assert np.isnan(found.movement[0])
    assert np.isnan(rule_oracle(of(0, pr=np.nan), of(k), "1AVB", 60, 0, up=True).crossed[0])


def test_one_of_two_rules_is_not_enough_and_a_new_one_is_said() -> None:
    both = {"r_aVL": 1.5, "s_V3": -2.0, "r_V5": 0.5, "r_V6": 0.5, "s_V1": 0.0}
    found = rule_oracle(of(0, 0, **both), of(0, 0, **both | {"s_V3": 0.0, "r_aVL": 1.5}), "LVH", 60, 0)
    assert found.crossed.tolist() == [0, 0]
    moved = rule_oracle(of(0, **both), of(0, **both | {"s_V3": 0.0, "r_aVL": 0.1, "r_V5": 4.0}), "LVH", 60, 0)
    assert moved.crossed.tolist() == [1]
    assert moved.new.tolist() == [True]


def test_the_margin_moves_in_steps() -> None:
    found = rule_oracle(of(0, pr=240.0), of(0, pr=190.0), "1AVB", 60, 0)
    np.testing.assert_allclose(found.movement, [2.5])


def test_unrelated_measurements_move_in_units_of_their_repeatability() -> None:
    before = of(0, 0, 0, pr=160.0, p_II=0.1, axis=175.0)
    after = of(0, 0, 0, p_II=0.1, axis=-175.0).table.assign(pr=[165.0, 180.0, np.nan])
    moves = unrelated_moves(before, replace(before, table=after), "LQT", REPEATABLE)
    assert list(moves.columns) == list(DEFINITIONS["LQT"].unrelated)
    np.testing.assert_allclose(moves["pr"], [0.5, 2.0, np.inf])
    np.testing.assert_allclose(moves["axis"], 10)  # the short way round
    n = len(moves.columns)
    np.testing.assert_allclose(unrelated_share(moves), [(n - 1) / n, (n - 2) / n, (n - 2) / n])
    table = unrelated_table(moves)
    assert table.index[:2].tolist() == ["axis", "pr"]
    np.testing.assert_allclose(table.loc["pr"], [3, 1 / 3, 1 / 3, 1.25])


def test_what_could_not_be_measured_before_is_not_counted() -> None:
    before, after = of(0, pr=np.nan), of(0, pr=160.0)
    moves = unrelated_moves(before, after, "LVH", REPEATABLE)
    assert np.isnan(moves["pr"]).all()
    assert unrelated_share(moves).tolist() == [1]
    assert np.isnan(unrelated_share(pd.DataFrame({"pr": [np.nan]}))).all()


def test_a_repeatability_of_nothing_allows_no_move() -> None:
    moves = unrelated_moves(of(0, 0, pr=160.0), replace(of(0, 0), table=of(0, 0).table.assign(pr=[160.0, 161.0])),
                            "LVH", REPEATABLE | {"pr": 0.0})
    assert (moves["pr"] <= 1).tolist() == [True, False]
    assert unrelated_table(moves).loc["pr", "lost"] == 0


def test_mistakes_are_said() -> None:
    with pytest.raises(EcgkitError, match="no rule defines 'NORM'"):
        rule_oracle(of(0), of(0), "NORM", 60, 0)
    with pytest.raises(EcgkitError, match="measurements of 1 ECGs before and 2 after"):
        rule_oracle(of(0), of(0, 0), "MI", 60, 0)
    with pytest.raises(EcgkitError, match="measurements of 1 ECGs before and 2 after"):
        unrelated_moves(of(0), of(0, 0), "MI", REPEATABLE)
    with pytest.raises(EcgkitError, match="no repeatability of p_share, pr"):
        unrelated_moves(of(0), of(0), "LVH", {name: np.nan if name == "p_share" else value
                                              for name, value in REPEATABLE.items() if name != "pr"})
