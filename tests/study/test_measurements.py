"""Measurements and rules compared: halves and visits, oracles on the simulator, a LUDB by hand, textbook cases."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest

from ecgkit.datasets import from_arrays
from ecgkit.datasets.ludb import halves
from ecgkit.errors import EcgkitError
from ecgkit.leads import LEADS
from ecgkit.physiology import COLUMNS, measure
from ecgkit.physiology.repeat import limits_of_agreement
from ecgkit.physiology.wave_scores import MARKS, WAVES
from ecgkit.simulator import ALL_NAMES, EDIT_NAMES, Cohort
from ecgkit.simulator.waves import Waves
from ecgkit.study import measurements as measured
from tests.datasets.helpers import write_record
from tests.datasets.test_ludb import HEADER

OTHERS = Path(__file__).parents[2] / "notebooks" / "delineators"
AF = EDIT_NAMES.index("AF")


def as_waves(ms, fs):
    return Waves(ms, np.zeros(ms.shape[:2], dtype=np.int8), np.full(ms.shape[:2], np.nan), fs)


# Repeatability

def test_halves_are_measured_in_order_and_apart():
    x = Cohort(seed=2, seconds=5, fs=250).signals(range(3))
    first, second = measured.two_halves(np.concatenate([x, 1.5 * x], axis=-1), 250)
    assert list(first) == list(second) == list(COLUMNS)
    assert second["r_V5"].to_numpy() == pytest.approx(1.5 * first["r_V5"].to_numpy(), rel=1e-3)
    same = limits_of_agreement(*measured.two_halves(np.concatenate([x, x], axis=-1), 250), n_boot=2)
    assert (same["p95"].dropna() == 0).all()
    assert same.loc[["heart_rate", "qrs", "qt", "axis", "j_V2"], "n"].tolist() == [3] * 5
    odd = measured.two_halves(np.concatenate([x, x[..., :1], x], axis=-1), 250)
    pd.testing.assert_frame_equal(*odd)


def test_visits_are_of_the_same_healthy_patient_on_two_days():
    first, second = measured.two_visits(4, fs=250)
    cohort = Cohort(seed=1, fs=250, visits=2)
    for visit, table in enumerate((first, second)):
        true = cohort.intervals(2 * np.arange(4) + visit, severity=np.zeros((4, len(EDIT_NAMES))))
        np.testing.assert_allclose(table["heart_rate"], true.heart_rate, rtol=0.03)
        np.testing.assert_allclose(table["qrs"], true.qrs, atol=15)
    assert not first.equals(second)


# On the simulator

def shifted_oracle(cohort, indices, severity, by=0.0):
    def delineate(signals, fs, *, model=None):
        np.testing.assert_array_equal(signals, cohort.signals(indices, severity=severity))
        return replace(cohort.waves(indices, severity=severity), ms=by + cohort.waves(indices, severity=severity).ms)
    return delineate


@pytest.mark.parametrize("disease", [None, "1AVB", "LQT", "WPW"])
def test_the_truth_itself_is_found_right_even_at_the_ends(disease, monkeypatch):
    cohort, indices = Cohort(seed=3, fs=250, finer=True), np.arange(60)
    severity = np.zeros((60, len(ALL_NAMES)))
    if disease:
        severity[:, ALL_NAMES.index(disease)] = 1
    for by in (0.0, 4.0):
        monkeypatch.setattr(measured, "delineate", shifted_oracle(cohort, indices, severity, by))
        row = measured.simulated_errors(cohort, indices, severity=severity).summary()
        assert (row.filter(regex="_f1_|_precision_") == 1).all()
        assert row.filter(like="_mean").to_numpy() == pytest.approx([by] * 6)
        assert row.filter(like="_sd").to_numpy() == pytest.approx([0] * 6, abs=1e-4)
        assert row["false_p_150"] == 0
        assert np.isnan(row["false_p_af"])


def test_p_waves_in_fibrillation_are_invented(monkeypatch):
    cohort, indices = Cohort(seed=3, fs=250), np.arange(6)
    healthy, ill = np.zeros((6, len(EDIT_NAMES))), np.zeros((6, len(EDIT_NAMES)))
    ill[:3, AF] = 1

    def delineate(signals, fs, *, model=None):
        ms = cohort.waves(indices, severity=ill).ms
        ms[:, :, 0] = np.where(np.isnan(ms[:, :, 0]), ms[:, :, 1] - 150, ms[:, :, 0])
        return as_waves(ms, fs)

    monkeypatch.setattr(measured, "delineate", delineate)
    compared = measured.simulated_errors(cohort, indices, severity=ill)
    assert compared.fibrillating.tolist() == [True] * 3 + [False] * 3
    assert compared.false_p() == pytest.approx(1, abs=0.12)  # less only where the ends do not count
    assert 0 < compared.summary()["false_p_150"] < compared.false_p()
    assert np.isnan(replace(compared, fibrillating=healthy[:, 0] > 0).false_p())


def test_every_disease_and_noise_has_its_row(monkeypatch):
    asked = []

    def errors(cohort, indices, *, severity=None, model=None):
        asked.append((cohort.noise, severity))
        assert (cohort.seed, cohort.fs, cohort.finer, indices.tolist()) == (5, 250, True, [0, 1])
        ms = np.arange(9.0).reshape(1, 1, 3, 3) + len(asked)
        return measured.Compared(ms, ms - len(asked), np.array([[0.0, 100.0]]), np.array([True]))

    monkeypatch.setattr(measured, "simulated_errors", errors)
    table = measured.delineation_errors(2, fs=250, seed=5)
    assert table.loc["class"].index.tolist() == ["NORM", *ALL_NAMES]
    assert table.loc["noise"].index.tolist() == ["0", "0.5", "1", "2", "4"]
    assert table["P_onset_mean"].tolist() == [k + 1 for k in range(len(table))]
    assert [noise for noise, severity in asked if severity is None] == [0, 0.5, 1, 2, 4]
    for name, (noise, severity) in zip(["NORM", *ALL_NAMES], asked, strict=False):
        assert noise == 1
        assert severity.tolist() == [[float(edit == name) for edit in ALL_NAMES]] * 2


# On LUDB

STARTS = (600, 1200, 1800, 2400, 3000, 3600)
WAVE_AT = {"P": (0, 20, 45), "QRS": (70, 90, 115), "T": (180, 230, 260)}


@pytest.fixture
def root(tmp_path):
    """Four records that differ in the height of their signal; 3 and 4 have fibrillation; lead II lies 2 samples late.

    Beat after beat of record `k` begins `10 k` samples later than in record 0.
    """
    rows = [f"{k},M,50,{rhythm}," + "," * 7 for k, rhythm in
            enumerate(("Sinus rhythm", "Sinus rhythm", "Atrial fibrillation", "Atrial fibrillation"), start=1)]
    (tmp_path / "ludb.csv").write_text(HEADER + "\n".join(rows) + "\n")
    (tmp_path / "RECORDS").write_text("".join(f"data/{k}\n" for k in range(1, 5)))
    for k in range(1, 5):
        write_record(tmp_path / "data", str(k), k / 10 + 0.04 * np.sin(np.arange(12 * 5000.0)).reshape(12, -1), fs=500)
        _annotate(tmp_path / "data", k)
    return tmp_path


def _annotate(folder, k):
    import wfdb

    for lead in LEADS:
        late = 2 if lead == "II" else 0
        samples = np.concatenate([start + 10 * k + late + np.array(at) for start in STARTS
                                  for wave, at in WAVE_AT.items() if not (wave == "P" and k > 2)])
        symbols = ["(", "N", ")"] * (len(samples) // 3)
        symbols[1::3] = (["p"] * (k <= 2) + ["N", "t"]) * len(STARTS)
        wfdb.wrann(str(k), "atr", samples, symbols, write_dir=str(folder))
        (folder / f"{k}.atr").rename(folder / f"{k}.{lead.lower()}")


def lead_ii(k, p_always=False):
    """Marks of lead II of a record in ms, `(6, 3, 3)`."""
    ms = np.array([[np.array(at) + start + 10 * k + 2 for at in WAVE_AT.values()] for start in STARTS]) * 2.0
    if k > 2 and not p_always:
        ms[:, 0] = np.nan
    return ms


@pytest.fixture
def ours(monkeypatch):
    def delineate(signals, fs, *, model=None):
        return as_waves(np.stack([lead_ii(round(10 * float(x.mean()))) for x in signals]), fs)

    monkeypatch.setattr(measured, "delineate", delineate)


@pytest.fixture
def folder(tmp_path):
    """Tool `late` is 6 ms late, finds P everywhere and nothing at all in record 2; tool `half` has peaks only."""
    rows = []
    for tool, k in [("late", 1), ("late", 3), ("late", 4), *(("half", k) for k in range(1, 5))]:
        for beat, marks in enumerate(lead_ii(k, p_always=tool == "late") + 6.0 * (tool == "late")):
            for wave, (onset, peak, offset) in zip(WAVES, marks, strict=True):
                ends = (onset, offset) if tool == "late" else (np.nan, np.nan)
                rows.append((tool, f"data/{k}", beat, wave, ends[0], peak, ends[1]))
    folder = tmp_path / "others"
    folder.mkdir()
    pd.DataFrame(rows, columns=["tool", "record", "beat", "wave", *MARKS]).to_csv(folder / "lead_ii.csv.gz")
    pd.DataFrame({"tool": ["late", "half"], "version": "1", "licence": "MIT", "leads": 4, "failed": [1, 0],
                  "seconds_per_lead": [0.5, 0.1]}).to_csv(folder / "timings.csv")
    return folder


def test_ludb_is_scored_on_its_testing_half_by_the_consensus_or_one_lead(root, ours):
    testing = halves(root)[1]
    assert len(testing) == 2
    for lead, error in ((None, 4.0), ("II", 0.0)):
        compared = measured.ludb_errors(root, lead=lead)
        assert compared.fibrillating.tolist() == [record in ("data/3", "data/4") for record in testing]
        row = compared.summary()
        assert row.filter(like="QRS_f1").tolist() == [1, 1]
        assert row.filter(regex="(QRS|T)_.*_mean").tolist() == [error] * 4
    k = int(testing[0][-1])
    np.testing.assert_array_equal(compared.true[0], lead_ii(k))
    assert compared.span[0].tolist() == [np.nanmin(lead_ii(k)), np.nanmax(lead_ii(k))]


def test_others_are_scored_beside_ours(root, folder, ours):
    table = measured.others_table(root, folder)
    assert table.index.tolist() == [("late", "all"), ("late", "testing"), ("half", "all"), ("half", "testing"),
                                    (measured.OURS, "testing")]
    assert table["ecgs"].tolist() == [4, 2, 4, 2, 2]
    testing = halves(root)[1]
    assert table["failed"].tolist() == [1, "data/2" in testing, 0, 0, 0]
    assert table["leads_per_second"].iloc[:4].tolist() == [2, 2, 10, 10]
    row = table.loc[("late", "all")]
    assert row["QRS_f1_150"] == pytest.approx(2 * 18 / (18 + 24))
    assert row["P_precision_75"] == pytest.approx(6 / (6 + 10))  # P of the first beat lies before the span, twice
    assert row["false_p_af"] == pytest.approx(10 / 12)
    assert row[["QRS_onset_mean", "T_offset_mean", "T_offset_sd"]].tolist() == [6, 6, 0]
    row = table.loc[("half", "all")]
    assert row[["P_f1_75", "QRS_f1_75", "T_f1_150", "false_p_af"]].tolist() == [1, 1, 1, 0]
    assert np.isnan(row["P_onset_mean"])
    assert table.loc[(measured.OURS, "testing"), ["P_f1_75", "QRS_f1_75", "T_onset_mean"]].dropna().isin([0, 1]).all()


def test_a_folder_without_the_comparison_is_named(root, folder):
    (folder / "timings.csv").write_text("tool,version\n")
    with pytest.raises(EcgkitError, match="timings.csv: not a table with the columns tool, version, licence"):
        measured.others_table(root, folder)
    with pytest.raises(EcgkitError, match=r"lead_ii.csv.gz: not a table .* run compare.py"):
        measured.read_others(root)


# The committed comparison

def test_the_committed_comparison_is_well_formed():
    waves, timings = measured.read_others(OTHERS)
    assert waves["tool"].unique().tolist() == timings["tool"].tolist()
    assert set(waves["wave"]) == set(WAVES)
    assert waves["record"].str.fullmatch(r"data/\d+").all()
    assert not waves.duplicated(["tool", "record", "beat", "wave"]).any()
    assert waves[list(MARKS)].notna().any(axis=1).all()
    assert (waves[list(MARKS)].min() >= 0).all()
    assert (waves[list(MARKS)].max() <= 10_000).all()
    assert (waves[list(MARKS)].dropna().diff(axis=1).iloc[:, 1:] >= 0).mean().gt(0.9).all()
    found = waves.groupby("tool")["record"].nunique()[timings["tool"]].to_numpy()
    assert (found == timings["leads"] - timings["failed"]).all()
    assert (timings["seconds_per_lead"] > 0).all()


def test_the_script_its_versions_and_its_output_belong_together():
    timings = measured.read_others(OTHERS)[1]
    script = (OTHERS / "compare.py").read_text()
    tools = next(node.value for node in ast.parse(script).body
                 if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
                 and node.targets[0].id == "TOOLS")
    assert isinstance(tools, ast.Dict)
    named = {ast.literal_eval(key): [ast.literal_eval(part) for part in value.elts[:2]]
             for key, value in zip(tools.keys, tools.values, strict=True)}
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", (OTHERS / "requirements.txt").read_text(), re.MULTILINE))
    assert list(named) == timings["tool"].tolist()
    for row in timings.itertuples():
        package, licence = named[row.tool]
        assert (pins[package], licence) == (row.version, row.licence)


def test_a_tool_run_by_itself_leaves_the_rows_of_the_others(tmp_path, monkeypatch):
    for name in ("biosppy", "biosppy.signals", "ecgdeli", "neurokit2", "prominence_delineator"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    script = runpy.run_path(str(OTHERS / "compare.py"))
    tools = list(script["TOOLS"])

    def find(x):
        return {(wave, mark): [at] for wave in WAVES for at, mark in enumerate(MARKS)}

    (tmp_path / "RECORDS").write_text("data/1\ndata/2\n")
    script["main"].__globals__.update(
        HERE=tmp_path, version=lambda package: "1.10", lead_ii=lambda root, record: np.zeros(5000),
        TOOLS={tool: (tool, "MIT", find) for tool in tools})
    files = [tmp_path / name for name in ("lead_ii.csv.gz", "timings.csv")]
    script["main"](tmp_path, tools)
    waves, timings = (pd.read_csv(file, dtype=str) for file in files)
    assert waves.groupby("tool", sort=False).size().to_dict() == dict.fromkeys(tools, 2 * len(WAVES))
    timings.assign(seconds_per_lead="9.87654").to_csv(files[1], index=False)
    script["main"](tmp_path, [tools[1]])
    pd.testing.assert_frame_equal(pd.read_csv(files[0], dtype=str), waves)
    again = pd.read_csv(files[1], dtype=str)
    pd.testing.assert_frame_equal(again.drop(columns="seconds_per_lead"), timings.drop(columns="seconds_per_lead"))
    assert again["seconds_per_lead"].eq("9.87654").tolist() == [tool != tools[1] for tool in tools]


@pytest.mark.real
def test_the_committed_comparison_covers_the_real_records(data_root):
    waves, timings = measured.read_others(OTHERS)
    listed = set((data_root / "ludb-sample" / "RECORDS").read_text().split())
    assert set(waves["record"]) <= listed
    assert (timings["leads"] == len(listed)).all()


# The rules

def test_one_disease_each() -> None:
    assert not measured._one(0, 3).any()
    for kind in (1, len(ALL_NAMES)):
        severity = measured._one(kind, 2)
        assert severity.sum() == 2
        assert (severity[:, kind - 1] == 1).all()


def test_statements_and_superclasses_meet_by_record() -> None:
    cohort = Cohort(seed=0, fs=100, variation=0, noise=0)
    severity = np.zeros((4, 12))
    severity[1, cohort.edit_names.index("1AVB")] = severity[3, cohort.edit_names.index("LBBB")] = 1
    signals = cohort.signals(range(4), severity=severity)
    names = [f"r{k}" for k in range(4)]
    records = pd.DataFrame({"record": names, "patient_id": [1, 1, 2, 3], "age": 50.0, "sex": 0.0, "strat_fold": 1})
    statements = from_arrays(signals, np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]),
                             ("NORM", "1AVB", "CLBBB"), 100.0, records=records)
    order = [3, 1]
    coarse = from_arrays(signals[order], np.array([[0, 1], [1, 0]]), ("MI", "CD"), 100.0,
                         records=records.iloc[order].reset_index(drop=True))
    found = measured.on_statements(measure(signals, 100).table, statements, coarse)
    assert found.patients.tolist() == [1, 1, 2, 3]
    rule = dict(zip(found.names, range(len(found.names)), strict=True))
    assert found.truth[:, rule["first-degree AV block"]].tolist() == [False, True, False, False]
    assert found.truth[:, rule["complete LBBB"]].tolist() == [False, False, False, True]
    assert found.truth[:, rule["ST elevation"]].tolist() == [False, True, False, False], "MI, by its record"
    assert found.met[:, rule["first-degree AV block"]].tolist() == [0, 1, 0, 0]


def test_textbook_cases_are_found() -> None:
    found = measured.on_simulator(6, fs=250)
    table = found.table(20)
    for rule in ("complete LBBB", "first-degree AV block", "atrial fibrillation", "long QT"):
        assert table.loc[rule, "sensitivity"] >= 0.5, rule
        assert table.loc[rule, "specificity"] >= 0.8, rule
    assert table.loc["complete LBBB", "positives"] == pytest.approx(6, abs=1)


def test_words_are_those_of_the_tables(root, ours):
    errors = pd.DataFrame({"false_p_af": [0.125]}, index=pd.MultiIndex.from_tuples([("class", "AF")]))
    assert measured.words(None, None, errors)["no_p"].startswith("In simulated atrial fibrillation 12.5 % of the beats")
    compared = measured.ludb_errors(root, lead="II")
    scores = compared.table(5)
    found = measured.words(compared, scores, errors)["found"]
    assert found.startswith("In 2 recordings")
    assert "QRS 100.0 %" in found
    assert measured.card_of(scores, 2, 3)["f1_of_peaks_150_ms"]["QRS"] == "100.0 %"
    table = pd.DataFrame({"positives": [20, 30, 5], "sensitivity": [0.5, 0.7, 0.1], "specificity": [0.9, 0.8, 0.1]},
                         index=["a", "b", "rare"])
    assert measured.words_on_rules(table, table) == (
        "Of the 2 rules with 20 or more ECGs to find in folds 9 and 10, the most sensitive is b (70.0 %), the least a "
        "(50.0 %); the median is 60.0 %, at a median specificity of 85.0 %")
    assert "a median sensitivity of 50.0 %" in measured.words_on_rules(None, table)
