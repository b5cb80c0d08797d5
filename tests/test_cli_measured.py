"""One record measured: its samples are those on disk, its JSON is whole, its table says what and why not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ecgkit.cli.measured import Report, report
from ecgkit.datasets.reader import Header
from ecgkit.errors import RecordError
from ecgkit.leads import LEADS
from ecgkit.physiology import COLUMNS, load_rules, measure
from ecgkit.simulator import Cohort, Waves
from tests.conftest import Run
from tests.datasets.helpers import write_record

COHORT = Cohort(seed=3, fs=500, noise=0.3)


def of_truth(fs_on_disk: float = 500, comments: tuple[str, ...] = ()) -> Report:
    signal, waves = COHORT.signals([0]), COHORT.waves([0])
    return Report(Path("some/r"), Header(fs_on_disk, round(10 * fs_on_disk), comments), signal[0], 500.0,
                  measure(signal, 500, waves))


@pytest.mark.parametrize("fs", [257.5, 500, 2000])
def test_waves_are_in_samples_of_the_record_on_disk(fs: float) -> None:
    table, truth = of_truth(fs).waves, COHORT.waves([0])
    assert table.columns.tolist() == ["beat", "wave", "onset", "peak", "offset"]
    ms = truth.ms[0][truth.kind[0] >= 0]
    first = np.flatnonzero(truth.kind[0] >= 0)[0]
    for row in table.itertuples():
        expected = np.clip(np.round(ms[row.beat - first, ("P", "QRS", "T").index(row.wave)] * fs / 1000), 0,
                           round(10 * fs) - 1)
        assert [row.onset, row.peak, row.offset] == expected.tolist()
    assert len(table) == np.isfinite(ms).any(axis=2).sum()


def test_a_lone_p_has_a_beat_of_its_own_and_an_unknown_edge_is_missing() -> None:
    ms = np.full((1, 3, 3, 3), np.nan)
    ms[0, 0, 1] = [np.nan, 100, 150]
    ms[0, 1, 0] = [600, 650, 700]
    ms[0, 2, 1:] = [[1000, 1040, 1080], [1200, 1250, np.nan]]
    waves = Waves(ms, np.array([[0, 3, 0]], dtype=np.int8), np.full((1, 3), np.nan), 500)
    signal = COHORT.signals([0])
    found = Report(Path("r"), Header(500, 5000, ()), signal[0], 500, measure(signal, 500, waves)).waves
    assert found.to_csv(index=False).splitlines()[1:] == ["0,QRS,,50,75", "1,P,300,325,350", "2,QRS,500,520,540",
                                                          "2,T,600,625,"]


def test_the_document_has_every_column_and_is_valid_json() -> None:
    found = of_truth(comments=("Age: 63", "Sex: Female"))
    document = json.loads(json.dumps(found.document, allow_nan=False))
    assert list(document["measurements"]) == list(document["units"]) == list(COLUMNS)
    assert document["units"]["pr"] == "ms"
    missing = {name for name, value in document["measurements"].items() if value is None}
    assert missing == set(document["reasons"])
    assert (document["fs"], document["sig_len"], document["age"], document["sex"]) == (500, 5000, 63, "female")
    assert [verdict["rule"] for verdict in document["rules"]] == load_rules()["rule"].unique().tolist()
    assert {verdict["verdict"] for verdict in document["rules"]} <= {"met", "not met", "not measurable"}


@pytest.mark.parametrize(("comments", "age", "sex"), [
    (("Age: 63", "Sex: Male"), 63, 0), (("<age>: 51", "<sex>: F"), 51, 1), ((), np.nan, np.nan),
    (("Age: NaN", "Sex: Unknown"), np.nan, np.nan), (("Age: 300",), np.nan, np.nan), (("age: >89",), np.nan, np.nan),
])
def test_age_and_sex_are_those_of_the_header(comments: tuple[str, ...], age: float, sex: float) -> None:
    found = of_truth(comments=comments)
    np.testing.assert_equal([found.age, found.sex], [age, sex])
    assert ("age unknown" in str(found)) == np.isnan(age)
    assert ("sex unknown" in str(found)) == np.isnan(sex)


def test_the_table_has_numbers_with_units_a_row_for_each_lead_and_a_reason_for_each_dash() -> None:
    found = of_truth()
    lines = str(found).splitlines()
    assert f"QRS {found.numbers['qrs']:.0f} ms" in lines[2]
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.split()[0] in LEADS}
    assert set(rows) == set(LEADS)
    assert float(rows["V5"][2]) == pytest.approx(found.numbers["r_V5"], abs=0.0051)
    assert float(rows["V5"][7]) == pytest.approx(found.numbers["st60_V5"], abs=0.0051)
    assert not any("–" in line for line in lines)
    without_p = COHORT.waves([0])
    without_p.ms[:, :, 0] = np.nan
    signal = COHORT.signals([0])
    lines = str(Report(Path("r"), Header(500, 5000, ()), signal[0], 500, measure(signal, 500, without_p))).splitlines()
    assert "PR –" in lines[2]
    assert "  – no P wave: PR, P axis, P of the leads" in lines
    assert any(line.startswith("    PR: ") and "first-degree AV block" in line for line in lines)


def test_rules_that_are_met_are_named_with_their_margin() -> None:
    cohort = Cohort(seed=3, fs=500, noise=0)
    severity = np.zeros((1, len(cohort.edit_names)))
    severity[0, cohort.edit_names.index("LBBB")] = 1
    signal = cohort.signals([0], severity=severity)
    measured = measure(signal, 500, cohort.waves([0], severity=severity))
    text = str(Report(Path("r"), Header(500, 5000, ()), signal[0], 500, measured))
    verdict = Report(Path("r"), Header(500, 5000, ()), signal[0], 500, measured).rules.set_index("rule").loc[
        "complete LBBB"]
    assert verdict["verdict"] == "met"
    assert any("complete LBBB" in line and f"+{verdict['margin']:.{2 if verdict['unit'] == 'mV' else 0}f}" in line
               for line in text.splitlines())


def test_a_fast_or_long_record_is_measured_at_most_at_1000_hz_for_a_minute(tmp_path: Path) -> None:
    signal = Cohort(seed=3, fs=1250, seconds=61, noise=0.3).signals([0])[0].astype(float)
    found = report(write_record(tmp_path, "r", signal, fs=1250))
    assert found.fs == 1000
    assert found.signal.shape == (12, 60_000)
    assert found.document["seconds_measured"] == 60
    assert "first 60 s of 61 s at 1250 Hz" in str(found)
    peaks = found.waves.query("wave == 'QRS'")["peak"].astype(float)
    assert 70_000 < peaks.max() < 75_000


def test_unusable_leads_are_named_and_do_not_stop_it(tmp_path: Path, run: Run) -> None:
    signal = COHORT.signals([0])[0].astype(float)
    signal[7], signal[2, 3] = 0.1, np.nan
    signal[8] += np.linspace(-2, 2, 5000)
    record = write_record(tmp_path, "r", signal, fs=500)
    found = report(record)
    assert found.faults == {"III": "not finite", "V2": "flat"}
    assert "V2: flat" in str(found)
    assert np.isfinite(found.numbers["r_V3"])
    assert found.document["reasons"]["r_V2"] == "flat"
    assert found.figure().axes
    _, printed, _ = run("measure", record)
    assert "the baseline wanders in leads V3" in printed
    _, output, _ = run("measure", record, "--json")
    (document,) = json.loads(output)
    assert {"code": "wander", "text": "the baseline wanders in leads V3"} in document["warnings"]
    assert document["usable"]
    assert "exchanged" not in printed, "with a chest lead lost, nothing is said of the chest electrodes"


@pytest.mark.parametrize(("fs", "sig_len", "words"), [(90, 900, "has 90 Hz; measurements need 100 Hz"),
                                                      (500, 1249, r"is short: 2\.498 s")])
def test_what_cannot_be_measured_is_said(fs: float, sig_len: int, words: str, tmp_path: Path) -> None:
    signal = COHORT.signals([0])[0, :, :sig_len].astype(float)
    with pytest.raises(RecordError, match=words):
        report(write_record(tmp_path, "r", signal, fs=fs))
