"""Rules: three-valued logic against a slow reference, thresholds at equality, neighbours, sex and age, and the data."""

from __future__ import annotations

import csv
import itertools
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.datasets import ptbxl
from ecgkit.errors import EcgkitError
from ecgkit.leads import LEADS
from ecgkit.physiology import rules as module
from ecgkit.physiology.columns import COLUMNS
from ecgkit.physiology.rules import DERIVED, STEPS, VERDICTS, judge, load_rules
from ecgkit.physiology.verdicts import WORDS, rules_table

LEAD = "(?:" + "|".join(LEADS) + ")"
GLOBAL = ("qrs", "axis", "pr", "heart_rate", "p_share", "rr_cv", "qtc_fridericia", "p_terminal_V1", "p_terminal_ms_V1")
PER_LEAD = ("p", "q", "r", "s", "rp", "t", "q_ms", "r_ms", "s_ms", "rpeak", "st20", "st60", "notched")
PAIRS = [("aVL", "I"), ("I", "II"), ("II", "aVF"), ("aVF", "III"),
         ("V1", "V2"), ("V2", "V3"), ("V3", "V4"), ("V4", "V5"), ("V5", "V6")]
NORMAL = {"qrs": 90, "axis": 40, "pr": 160, "heart_rate": 70, "p_share": 1, "rr_cv": 0.03, "qtc_fridericia": 400,
          "p_terminal_V1": -0.03, "p_terminal_ms_V1": 20,
          "p": 0.1, "q": -0.03, "r": 0.8, "s": -0.2, "rp": 0, "t": 0.3, "q_ms": 10, "r_ms": 35, "s_ms": 20,
          "rpeak": 40, "st20": 0.0, "st60": 0.0, "notched": 0}

with open(Path(module.__file__).with_name("rules.csv"), newline="") as file:
    ROWS = list(csv.DictReader(file))
RULES = list(dict.fromkeys(row["rule"] for row in ROWS))


def normal(n: int = 1, **changed: object) -> pd.DataFrame:
    """Normal ECGs, with some columns changed."""
    per_lead = {f"{name}_{lead}": NORMAL[name] for name in PER_LEAD for lead in LEADS}
    return pd.DataFrame({**{name: NORMAL[name] for name in GLOBAL}, **per_lead, **changed}, index=range(n), dtype=float)


def one(rule: str, age: float = 60, sex: float = 0, **changed: object) -> pd.Series:
    found = judge(normal(**changed), age, sex)
    return found[found["rule"] == rule].iloc[0]


def verdicts(rule: str, table: pd.DataFrame, age: object = 60, sex: object = 0) -> list[str]:
    found = judge(table, age, sex)
    return found.loc[found["rule"] == rule, "verdict"].tolist()


# --- a slow reference: one ECG at a time, from the file, in plain Python -------------------------------------------

def s_or_qs(ecg: dict[str, float], lead: str) -> float:
    if math.isnan(ecg[f"r_{lead}"]):
        return math.nan
    return ecg[f"s_{lead}"] if ecg[f"r_{lead}"] > 0 else ecg[f"q_{lead}"]


def measured(ecg: dict[str, float], name: str, lead: str) -> float:
    if name == "cornell":
        return ecg["r_aVL"] - s_or_qs(ecg, "V3")
    if name == "sokolow_{lead}":
        return ecg[f"r_{lead}"] - s_or_qs(ecg, "V1")
    if name in {"qrs_net_{lead}", "qrs_swing_{lead}", "prominent_r_{lead}"}:
        q, r, s, rp = (ecg[f"{wave}_{lead}"] for wave in ("q", "r", "s", "rp"))
        if any(map(math.isnan, (q, r, s, rp))):
            return math.nan
        tallest, deepest = max(r, rp), -min(q, s)
        return tallest + deepest if "swing" in name else tallest - (deepest if "net" in name else min(deepest, 0.5))
    if name == "s_beyond_ms_{lead}":
        r, s = ecg[f"r_ms_{lead}"], ecg[f"s_ms_{lead}"]
        return math.nan if math.isnan(r) else s - min(r, 40)
    return ecg[name.replace("{lead}", lead)]


def holds(row: dict[str, str], value: float) -> bool | None:
    threshold = float(row["threshold"])
    return None if math.isnan(value) else {
        ">=": value >= threshold, ">": value > threshold, "<=": value <= threshold, "<": value < threshold,
    }[row["comparison"]]


def everything(truths: list[bool | None]) -> bool | None:
    return False if False in truths else None if None in truths else True


def anything(truths: list[bool | None]) -> bool | None:
    return True if True in truths else None if None in truths else False


def group_holds(rows: list[dict[str, str]], ecg: dict[str, float]) -> bool | None:
    truth: dict[str, bool | None] = {}
    for lead in dict.fromkeys(lead for row in rows for lead in row["leads"].split() or [""]):
        truth[lead] = everything([holds(row, measured(ecg, row["measurement"], lead)) for row in rows
                                  if lead in (row["leads"].split() or [""])])
    if rows[0]["contiguous"] == "yes":
        assert rows[0]["at_least"] == "2"
        return anything([everything([truth[a], truth[b]]) for a, b in PAIRS if a in truth and b in truth])
    count = int(rows[0]["at_least"] or len(truth))
    return anything([everything(list(some)) for some in itertools.combinations(truth.values(), count)])


def applies(row: dict[str, str], age: float, sex: str) -> bool:
    return row["sex"] in ("", sex) and float(row["age_from"] or 0) <= age < float(row["age_to"] or 999)


def slow(rule: str, ecg: dict[str, float], age: float, sex: float) -> str:
    ages = [20, 39.9, 40, 80] if math.isnan(age) else [age]
    sexes = "mf" if math.isnan(sex) else "mf"[int(sex)]
    found = set()
    for years, letter in itertools.product(ages, sexes):
        rows = [row for row in ROWS if row["rule"] == rule and applies(row, years, letter)]
        ways = []
        for alternative in {row["alternative"] for row in rows} - {""} or {""}:
            mine = [(k, row) for k, row in enumerate(rows) if row["alternative"] in ("", alternative)]
            groups = [[row for k, row in mine if (row["alternative"], row["group"] or k) == key]
                      for key in {(row["alternative"], row["group"] or k) for k, row in mine}]
            ways.append(everything([group_holds(group, ecg) for group in groups]))
        found.add(anything(ways))
    return {True: "met", False: "not met", None: "not measurable"}[found.pop() if len(found) == 1 else None]


def near_thresholds(n: int, missing: float, seed: int) -> pd.DataFrame:
    """ECGs whose every measurement lies below, at or above one of the thresholds that concern it, or is missing."""
    rng = np.random.default_rng(seed)
    table = normal(n)
    for column in table:
        name = re.sub(f"_{LEAD}$", "_{lead}", str(column))
        at = [float(row["threshold"]) for row in ROWS if row["measurement"] in (name, column)]
        at = at or [table[column].iloc[0]]
        step = STEPS["ms"] if "ms" in name or name in {"qrs", "pr", "qtc_fridericia"} else STEPS["mV"]
        lowest, highest = {"q": (None, 0), "s": (None, 0), "r": (0, None), "rp": (0, None)}.get(
            name.removesuffix("_{lead}"), (-np.inf, np.inf))
        values = rng.choice(at, n) + rng.choice([-1, 0, 1, 3], n) * step
        table[column] = np.where(rng.random(n) < missing, np.nan, np.clip(values, lowest, highest))
    # Large voltages too, so that the sums reach their thresholds.
    return table.mask(rng.random(table.shape) < 0.1, table * 2.5)


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**32 - 1), missing=st.sampled_from([0, 0.02, 0.2, 0.6]))
def test_verdicts_are_those_of_three_valued_logic(seed, missing):
    n = 10
    table = near_thresholds(n, missing, seed)
    rng = np.random.default_rng(seed)
    age, sex = rng.choice([30, 39, 40, 70, np.nan], n), rng.choice([0, 1, np.nan], n)
    found = judge(table, age, sex)
    expected = [slow(rule, ecg, a, b) for ecg, a, b in zip(table.to_dict("records"), age, sex, strict=True)
                for rule in RULES]
    wrong = found[found["verdict"] != expected].assign(expected=np.array(expected)[found["verdict"] != expected])
    assert wrong.empty, wrong.to_string()


def test_the_random_ecgs_of_these_tests_give_every_verdict_of_almost_every_rule():
    found = judge(near_thresholds(10_000, 0.03, 0), 60, np.arange(10_000) % 2)
    assert (found.groupby("rule")["verdict"].nunique() == len(VERDICTS)).sum() >= len(RULES) - 2


@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 2**32 - 1), missing=st.sampled_from([0, 0.1]))
def test_margin_is_that_of_the_binding_measurement(seed, missing):
    table = near_thresholds(40, missing, seed)
    found = judge(table, 60, 1)
    assert ((found["margin"] >= 0) == (found["verdict"] == "met")).all()
    assert ((found["margin"] < 0) == (found["verdict"] == "not met")).all()
    ecgs = table.to_dict("records")
    for answer in found.itertuples():
        lead = next((lead for lead in LEADS if answer.binding.endswith(f"_{lead}")), "")
        rows = [row for row in ROWS if row["rule"] == answer.rule and applies(row, 60, "f")
                and row["measurement"].replace("{lead}", lead) == answer.binding]
        value = measured(ecgs[answer.ecg], rows[0]["measurement"], lead)
        margins = [(value - float(row["threshold"])) * (1 if row["comparison"][0] == ">" else -1) for row in rows]
        if answer.verdict == "not measurable":
            assert math.isnan(value)
            assert math.isnan(answer.margin)
        else:
            assert any(abs(margin - answer.margin) < 2e-9 for margin in margins)
            assert answer.unit == rows[0]["unit"]


def test_the_binding_condition_is_the_weakest_of_the_best_alternative():
    lafb = one("left anterior fascicular block", axis=-60, q_aVL=-0.04, r_aVL=1.0, rpeak_aVL=47)
    assert (lafb["verdict"], lafb["binding"], lafb["unit"]) == ("met", "rpeak_aVL", "ms")
    assert lafb["margin"] == pytest.approx(2)
    far = one("left anterior fascicular block", axis=-30, q_aVL=-0.04, r_aVL=1.0, rpeak_aVL=30)
    # 15 degrees short is one step, 15 ms short is three quarters of one.
    assert (far["verdict"], far["binding"]) == ("not met", "axis")
    assert far["margin"] == pytest.approx(-15)
    sokolow = one("LVH Sokolow-Lyon", s_V1=-1.5, r_V5=1.7, r_V6=2.2)
    assert (sokolow["verdict"], sokolow["binding"]) == ("met", "sokolow_V6")
    assert sokolow["margin"] == pytest.approx(0.2)
    ischaemia = one("lateral ischaemia", t_V5=-0.13, t_V6=-0.2, st20_V5=-0.02, st60_V5=-0.02)
    assert (ischaemia["verdict"], ischaemia["binding"]) == ("met", "t_V5")
    assert ischaemia["margin"] == pytest.approx(0.03)


@pytest.mark.parametrize(("rule", "column", "threshold", "at_threshold", "direction"), [
    ("normal QRS", "qrs", 110, "met", -1), ("normal QRS", "axis", -30, "met", 1), ("normal QRS", "axis", 90, "met", -1),
    ("first-degree AV block", "pr", 200, "not met", 1), ("long QT", "qtc_fridericia", 450, "met", 1),
    ("sinus bradycardia", "heart_rate", 60, "not met", -1), ("sinus tachycardia", "heart_rate", 100, "not met", 1),
    ("LVH R in aVL", "r_aVL", 1.1, "met", 1), ("right atrial enlargement", "p_II", 0.25, "met", 1),
])
def test_thresholds(rule, column, threshold, at_threshold, direction):
    beyond, short = threshold + direction * 0.001, threshold - direction * 0.001
    table = normal(3).assign(**{column: [threshold, beyond, short]})
    assert verdicts(rule, table) == [at_threshold, "met", "not met"]
    assert one(rule, **{column: beyond})["margin"] == pytest.approx(0.001, abs=1e-6)


def test_a_qrs_of_120_ms_is_complete_block_and_not_incomplete():
    shape = {"rp_V1": 0.5, "s_ms_I": 50, "s_ms_V6": 50}
    table = normal(4, **shape).assign(qrs=[109, 110, 119.9, 120])
    assert verdicts("incomplete RBBB", table) == ["not met", "met", "met", "not met"]
    assert verdicts("complete RBBB", table) == ["not met", "not met", "not met", "met"]


def test_s_must_outlast_r_or_40_ms():
    block = {"qrs": 130, "rp_V1": 0.5, "s_ms_I": 45}
    table = normal(4, **block).assign(r_ms_V6=[60, 60, 30, 30], s_ms_V6=[40, 41, 30, 31])
    assert verdicts("complete RBBB", table) == ["not met", "met", "not met", "met"]


def test_a_qs_counts_as_s_of_the_voltages_but_a_q_before_r_does_not():
    table = normal(2, r_V5=2.0, s_V1=0).assign(r_V1=[0, 0.5], q_V1=[-1.8, -1.8])
    assert verdicts("LVH Sokolow-Lyon", table) == ["met", "not met"]


def test_elevation_needs_two_neighbours():
    table = normal(7)
    for k, leads in enumerate([["V4"], ["V4", "V6"], ["V4", "V5"], ["aVL", "II"], ["I", "II"], ["III", "V1"],
                               ["aVL", "III"]]):
        table.loc[k, [f"st20_{lead}" for lead in leads]] = 0.1
    expected = ["not met", "not met", "met", "not met", "met", "not met", "not met"]
    assert verdicts("ST elevation", table) == expected
    assert set(verdicts("acute lateral infarction", table)) == {"not met"}


def test_old_inferior_infarction_needs_q_broad_and_deep_in_the_same_two_leads_neighbours_or_not():
    table = normal(3)
    table.loc[0, ["q_ms_II", "q_ms_III", "q_II", "q_aVF"]] = [30, 30, -0.1, -0.1]  # both only in II
    table.loc[1, ["q_ms_II", "q_ms_III", "q_II", "q_III"]] = [30, 30, -0.1, -0.1]
    table.loc[2, ["q_ms_III", "q_III"]] = [40, -0.3]
    assert verdicts("old inferior infarction", table) == ["not met", "met", "not met"]
    wide = table.assign(qrs=140, s_V1=[-1.2, -1.2, -0.2])  # with V1 as in left bundle branch block
    assert set(verdicts("old inferior infarction", wide)) == {"not met"}
    assert verdicts("old inferior infarction", wide.assign(rp_V1=1.3)) == ["not met", "met", "not met"]


@pytest.mark.parametrize(("r", "s", "met"), [(0.3, -0.2, True), (0.3, -0.3, False), (0.3, -0.9, False),
                                            (0.5, -0.9, False), (0.51, -0.9, True), (0.51, -0.2, True)])
def test_t_inversion_needs_an_r_that_outweighs_s_or_is_prominent(r, s, met):
    leads = {f"{wave}_{lead}": value for wave, value in {"r": r, "s": s, "t": -0.2}.items() for lead in ("V2", "V3")}
    assert one("anterior ischaemia", **leads)["verdict"] == ("met" if met else "not met")


def test_one_late_r_peak_of_v5_and_v6_is_enough_for_left_bundle_branch_block():
    block = {"qrs": 140, **{f"q_{lead}": 0 for lead in ("I", "V5", "V6")}, "r_V1": 0.1, "s_V1": -1.5}
    table = normal(4, **block).assign(rpeak_V5=[60, 61, 40, 60], rpeak_V6=[60, 40, 61, 60])
    assert verdicts("complete LBBB", table) == ["not met", "met", "met", "not met"]


def test_elevation_of_v2_and_v3_depends_on_sex_and_age():
    levels = [0.14, 0.15, 0.2, 0.25]
    table = normal(4).assign(st20_V2=levels, st20_V3=levels)

    def met(age, sex):
        return [verdict == "met" for verdict in verdicts("acute anterior infarction", table, age, sex)]

    assert met(30, 1) == met(80, 1) == [False, True, True, True]
    assert met(40, 0) == [False, False, True, True]
    assert met(39.9, 0) == [False, False, False, True]
    table = normal(2, st20_V4=0.1).assign(st20_V3=[0.19, 0.2])
    assert verdicts("acute anterior infarction", table) == ["not met", "met"]


def test_unknown_sex_or_age_matters_only_where_the_verdict_depends_on_it():
    table = normal(4).assign(qtc_fridericia=[440, 452, 470, np.nan])
    assert verdicts("long QT", table, np.nan, np.nan) == ["not met", "not measurable", "met", "not measurable"]
    found = judge(table, np.nan, np.nan)
    found = found[found["rule"] == "long QT"].set_index("ecg")
    assert found["binding"].tolist() == ["qtc_fridericia", "sex", "qtc_fridericia", "qtc_fridericia"]
    # The margin to the limit that is nearest.
    np.testing.assert_allclose(found["margin"], [-10, np.nan, 10, np.nan])
    elevated = normal(st20_V2=0.22, st20_V3=0.22)
    assert verdicts("ST elevation", elevated, np.nan, 1) == ["met"]
    assert verdicts("ST elevation", elevated, np.nan, 0) == ["not measurable"]
    assert one("ST elevation", np.nan, 0, st20_V2=0.22, st20_V3=0.22)["binding"] == "age"


def test_a_missing_measurement_matters_only_where_the_verdict_depends_on_it():
    nan = np.nan
    table = normal(4).assign(pr=[nan, nan, 100, 150], qrs=[100, 130, nan, nan])
    assert verdicts("pre-excitation", table) == ["not met", "not measurable", "not measurable", "not met"]
    assert [one("pre-excitation", pr=nan, qrs=qrs)["binding"] for qrs in (100, 130)] == ["qrs", "pr"]
    # Two of three leads are enough; one that fails and one that is missing leave it open.
    table = normal(3, q_ms_II=40, q_II=-0.3).assign(q_ms_III=[40, 0, nan], q_III=[-0.3, 0, -0.3], q_aVF=nan)
    table["q_ms_aVF"] = [nan, nan, 0]
    assert verdicts("old inferior infarction", table) == ["met", "not measurable", "not measurable"]
    lost = {"qrs": 130, "s_ms_I": 50, "s_ms_V6": 50, "rp_V1": 0.3, "rpeak_V1": nan}
    assert one("complete RBBB", **lost)["verdict"] == "met"


def test_answers_are_tidy_and_each_ecg_is_judged_alone():
    table = near_thresholds(30, 0.05, 3)
    table.index = pd.Index([f"record {k}" for k in range(30)])
    age, sex = np.linspace(20, 90, 30), np.arange(30) % 2
    found = judge(table, age, sex)
    assert found.columns.tolist() == ["ecg", "rule", "verdict", "margin", "unit", "binding"]
    assert found["ecg"].tolist() == list(np.repeat(table.index, len(RULES)))
    assert found["rule"].tolist() == RULES * 30
    alone = judge(table.iloc[[7]], age[7], sex[7])
    pd.testing.assert_frame_equal(found.iloc[7 * len(RULES):8 * len(RULES)].reset_index(drop=True), alone)
    assert len(judge(table.iloc[:0], [], [])) == 0


def test_a_normal_ecg_meets_the_normal_rule_only():
    found = judge(normal(), 50, 1)
    assert found.loc[found["verdict"] == "met", "rule"].tolist() == ["normal QRS"]
    assert set(found["verdict"]) == {"met", "not met"}


def test_mistakes_are_named():
    with pytest.raises(EcgkitError, match="lacks a column: qrs"):
        judge(normal().drop(columns="qrs"), 50, 0)
    with pytest.raises(EcgkitError, match="s_V1"):
        judge(normal().drop(columns="s_V1"), 50, 0)
    with pytest.raises(EcgkitError, match="none of 0"):
        judge(normal(), 50, 2)
    with pytest.raises(EcgkitError, match="sex must be one number"):
        judge(normal(), 50, "male")
    with pytest.raises(EcgkitError, match="age must be one number, or one for each of the 3"):
        judge(normal(3), [50, 60], 0)


# --- the data ------------------------------------------------------------------------------------------------------

def test_every_measurement_exists_in_the_unit_of_its_threshold():
    empty = pd.DataFrame(columns=list(COLUMNS), dtype=float)
    for row in ROWS:
        for lead in row["leads"].split() or [""]:
            if row["measurement"] in DERIVED:
                assert len(DERIVED[row["measurement"]](empty, lead)) == 0
            else:
                unit = COLUMNS[row["measurement"].format(lead=lead)].split(";")[0]
                assert unit.replace("0 or 1", "ratio") == row["unit"]
    assert set(DERIVED) <= {row["measurement"] for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['rule']} {row['measurement']} {row['leads']}")
def test_a_row_is_valid(row):
    source, _, ours = row["source"].partition(" (")
    assert ours in {"", "threshold ours)", "at J + 20 ms)", "one lead is enough)"}
    assert (ours == "at J + 20 ms)") == (row["measurement"] == "st20_{lead}")
    assert source in {
        "10.1016/j.jacc.2008.12.013", "10.1016/j.jacc.2008.12.014", "10.1016/j.jacc.2008.12.015",
        "10.1161/CIR.0000000000000617", "10.1093/eurheartj/ehaa612", "secondary"}
    assert row["comparison"] in {">=", ">", "<=", "<"}
    assert math.isfinite(float(row["threshold"]))
    assert row["unit"] in STEPS
    assert row["sex"] in {"", "m", "f"}
    assert float(row["age_from"] or 0) < float(row["age_to"] or 999)
    leads = row["leads"].split()
    assert set(leads) <= set(LEADS)
    assert len(set(leads)) == len(leads)
    assert ("{lead}" in row["measurement"]) == bool(leads)
    assert (row["contiguous"] in {"yes", "no"}) == (row["at_least"] != "")
    assert 1 <= int(row["at_least"] or 1) <= max(len(leads), 1)
    assert row["measurement"] in WORDS


@pytest.mark.parametrize("rule", RULES)
def test_rows_of_a_rule_agree(rule):
    rows = [row for row in ROWS if row["rule"] == rule]
    first = next(k for k, row in enumerate(ROWS) if row["rule"] == rule)
    assert ROWS[first:first + len(rows)] == rows
    assert len({row["label"] for row in rows}) == 1
    for group in {(row["alternative"], row["group"]) for row in rows if row["group"]}:
        mine = [row for row in rows if (row["alternative"], row["group"]) == group]
        assert len(mine) > 1
        assert len({(row["at_least"], row["contiguous"]) for row in mine}) == 1
    # Whatever holds for some sex or age in one lead holds with another threshold for everyone else, and only once.
    limits = [row for row in rows if row["sex"] or row["age_from"] or row["age_to"]]
    for row, age, sex in itertools.product(limits, (0, 39, 40, 99), "mf"):
        same = ("alternative", "group", "measurement", "leads", "comparison")
        assert sum(applies(other, age, sex) for other in limits if all(other[k] == row[k] for k in same)) == 1


def test_load_rules_reads_the_file_and_hands_out_copies():
    rules = load_rules()
    assert rules["rule"].tolist() == [row["rule"] for row in ROWS]
    assert rules["threshold"].tolist() == [float(row["threshold"]) for row in ROWS]
    rules["threshold"] = 0
    assert load_rules()["threshold"].tolist() == [float(row["threshold"]) for row in ROWS]


@pytest.mark.real
def test_every_label_is_of_ptbxl(sample_root):
    _, statements = ptbxl.read_tables(sample_root)
    known = {*statements.index, *ptbxl.SUPERCLASSES}
    assert {label for row in ROWS for label in row["label"].split()} <= known


def test_the_table_in_words():
    table = rules_table().set_index("rule")
    assert table.index.tolist() == RULES
    words = table["criterion"]
    assert words["normal QRS"] == "QRS ≤ 110 ms and QRS axis ≥ −30° and QRS axis ≤ 90°"
    assert words["acute inferior infarction"] == (
        "QRS < 120 ms and in 2 neighbouring leads of II, III, aVF: ST at J + 20 ms ≥ 0.1 mV")
    assert ("ST at J + 20 ms ≥ 0.25 mV (V2, V3; men under 40 years), ST at J + 20 ms ≥ 0.15 mV (V2, V3; women)"
            in words["ST elevation"])
    assert words["low voltage"] == ("either (R + S < 0.5 mV (I, II, III, aVR, aVL, aVF)) or "
                                    "(R + S < 1 mV (V1, V2, V3, V4, V5, V6))")
    assert table.loc["pre-excitation", "source"] == "10.1016/j.jacc.2008.12.013; secondary"
