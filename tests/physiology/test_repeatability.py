"""Limits of agreement: values by hand, an independent bootstrap, angles, pairs that are none, mistakes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.errors import EcgkitError
from ecgkit.physiology import COLUMNS
from ecgkit.physiology.repeat import ANGLES, STATISTICS, limits_of_agreement, printed_limits


def table(**columns):
    return pd.DataFrame(columns, dtype=float)


def test_by_hand():
    row = limits_of_agreement(table(pr=[100, 120, 140, 160]), table(pr=[101, 118, 145, 160]), n_boot=10).loc["pr"]
    d = [1, -2, 5, 0]
    assert row["n"] == 4
    assert row[["missing", "disputed"]].tolist() == [0, 0]
    assert row["bias"] == pytest.approx(1)
    assert row["sd"] == pytest.approx(np.sqrt((0 + 9 + 16 + 1) / 3))
    assert row[["lower", "upper"]].tolist() == pytest.approx([1 - 1.96 * np.std(d, ddof=1),
                                                              1 + 1.96 * np.std(d, ddof=1)])
    assert row["repeatability"] == pytest.approx(1.96 * np.sqrt((1 + 4 + 25 + 0) / 4))
    assert row["p95"] == 5


def test_a_bias_widens_the_repeatability_and_not_the_sd():
    result = limits_of_agreement(table(a=[0, 0], b=[0, 0]), table(a=[3, 3], b=[-3, 3]), n_boot=10)
    assert result["sd"].tolist() == pytest.approx([0, np.sqrt(18)])
    assert result["repeatability"].tolist() == pytest.approx([1.96 * 3] * 2)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=2, max_size=30), st.floats(-100, 100))
def test_swapping_turns_the_sign_and_a_shift_of_both_changes_nothing(pairs, shift):
    a, b = np.array(pairs).T
    one = limits_of_agreement(table(x=a), table(x=b), n_boot=5).loc["x"]
    other = limits_of_agreement(table(x=b + shift), table(x=a + shift), n_boot=5).loc["x"]
    for name, sign in {"bias": -1, "sd": 1, "repeatability": 1, "p95": 1}.items():
        assert other[name] == pytest.approx(sign * one[name], abs=1e-5)
    assert other["lower"] == pytest.approx(-one["upper"], abs=1e-5)


def test_intervals_are_those_of_drawing_patients_by_hand():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(15), 2)
    d = rng.standard_t(4, size=30) + rng.normal(size=15).repeat(2)
    d[4] = np.nan
    row = limits_of_agreement(table(x=np.zeros(30)), table(x=d), patients, n_boot=4000, seed=1).loc["x"]
    drawn = []
    for _ in range(4000):
        taken = d.reshape(15, 2)[rng.integers(15, size=15)].ravel()
        taken = taken[~np.isnan(taken)]
        mean, sd = taken.mean(), taken.std(ddof=1)
        drawn.append([mean, sd, mean - 1.96 * sd, mean + 1.96 * sd, 1.96 * np.sqrt((taken**2).mean()),
                      np.quantile(np.abs(taken), 0.95, method="inverted_cdf")])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    spread = np.std(drawn, axis=0)
    for k, name in enumerate(STATISTICS):
        assert row[f"{name}_low"] == pytest.approx(low[k], abs=0.15 * spread[k])
        assert row[f"{name}_high"] == pytest.approx(high[k], abs=0.15 * spread[k])


def test_two_pairs_of_one_patient_are_not_two_patients():
    first, second = table(x=np.zeros(40)), table(x=np.tile([-1.0, 1.0], 20))
    alone = limits_of_agreement(first, second, n_boot=400).loc["x"]
    shared = limits_of_agreement(first, second, np.tile(["a", "b"], 20), n_boot=400).loc["x"]
    assert (shared["bias_low"], shared["bias_high"]) == (-1, 1)
    assert alone["bias_high"] < 0.4


def test_angles_go_the_short_way():
    a, b = table(axis=[-179, 179, 10], t_axis=[0, 0, 0], pr=[-179, 179, 10]), \
        table(axis=[179, -179, 350], t_axis=[190, -190, 180], pr=[179, -179, 350])
    result = limits_of_agreement(a, b, n_boot=5)
    assert result.loc["axis", "repeatability"] == pytest.approx(1.96 * np.sqrt((4 + 4 + 400) / 3))
    assert result.loc["t_axis", "p95"] == 180
    assert result.loc["pr", "p95"] == 358
    assert limits_of_agreement(a, b, circular=("pr",), n_boot=5).loc["pr", "p95"] == 20
    assert {name for name, text in COLUMNS.items() if text.startswith("degrees")} == set(ANGLES)


def test_only_pairs_count():
    nan = np.nan
    a, b = table(x=[1, nan, 3, nan, 5], y=[nan] * 5, z=[1, nan, nan, nan, nan]), \
        table(x=[2, 2, nan, nan, 7], y=[1] * 5, z=[1, nan, nan, nan, nan])
    result = limits_of_agreement(a, b, n_boot=200)
    assert result["n"].tolist() == [2, 0, 1]
    assert result["missing"].tolist() == pytest.approx([0.6, 1, 0.8])
    assert result["disputed"].tolist() == pytest.approx([0.4, 1, 0])
    assert result.loc["x", "bias"] == 1.5
    assert result.loc["y", [name for name in result if name not in ("n", "missing", "disputed")]].isna().all()
    assert result.loc["z", ["bias", "p95"]].tolist() == [0, 0]
    assert result.loc["z", ["sd", "lower", "upper"]].isna().all()


def test_printed():
    first = table(pr=[100, 120, 140], r_V5=[1.0, 1.0, 1.0])
    second = table(pr=[101, 119, np.nan], r_V5=[1.011, 0.989, 1.0])
    shown = printed_limits(limits_of_agreement(first, second, n_boot=50), COLUMNS)
    assert shown.loc["pr", ["unit", "pairs", "not measured %", "bias", "95th percentile"]].tolist() == \
        ["ms", "2", "33.3", "0.0", "1.0"]
    assert shown.loc["pr", "limits of agreement"] == "-2.8 to 2.8"
    assert shown.loc["pr", "repeatability"] == "2.0 (2.0–2.0)"
    assert shown.loc["r_V5", "limits of agreement"] == "-0.022 to 0.022"


@pytest.mark.parametrize(("first", "second", "words"), [
    (table(a=[1]), table(b=[1]), "give two of the same measurements"),
    (table(a=[1]), table(a=[1, 2]), r"shapes \(1, 1\) and \(2, 1\)"),
    (table(a=[]), table(a=[]), "give two of the same measurements"),
    (table(a=[1]), table(a=[np.inf]), "a is infinite in row 0"),
    (pd.DataFrame({"a": ["x"]}), pd.DataFrame({"a": ["y"]}), "a measurement is not a number"),
])
def test_mistakes(first, second, words):
    with pytest.raises(EcgkitError, match=words):
        limits_of_agreement(first, second)
