"""`ecgkit measure`: table, JSON, picture and waves of a user's records; one-line errors; nothing overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ecgkit.leads import LEADS
from ecgkit.physiology import COLUMNS
from ecgkit.simulator import Cohort
from tests.conftest import Run
from tests.datasets.helpers import write_record

CALM = 3  # an ECG of the cohort without premature beats


def cohort(fs: float) -> Cohort:
    return Cohort(seed=3, fs=fs, noise=0.3)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One ECG at 500 Hz, the same at 100 Hz in another order and unit with V2 flat, and one that is too short."""
    folder = tmp_path_factory.mktemp("records")
    signal = {fs: cohort(fs).signals([CALM])[0].astype(float) for fs in (100, 500)}
    write_record(folder, "fine", signal[500], fs=500, comments=["#Age: 63", "#Sex: Female"])
    signal[100][LEADS.index("V2")] = 0
    order = np.random.default_rng(0).permutation(12)
    write_record(folder, "flat", 1000 * signal[100][order], fs=100, gain=1, units="uV",
                 lead_names=[LEADS[k].upper() for k in order])
    write_record(folder, "short", signal[500][:, :1000], fs=500)
    return folder


@pytest.mark.parametrize(("name", "fs"), [("fine", 500), ("flat", 100)])
def test_waves_lie_where_the_simulator_put_them(run: Run, records: Path, tmp_path: Path, name: str, fs: int) -> None:
    code, _, errors = run("measure", records / name, "--waves", tmp_path / "waves.csv")
    assert code == 0, errors
    table = pd.read_csv(tmp_path / "waves.csv")
    assert table.columns.tolist() == ["beat", "wave", "onset", "peak", "offset"]
    truth = cohort(fs).waves([CALM])
    inside = (truth.kind[0] == 0) & (truth.ms[0] > 100).all(axis=(1, 2)) & (truth.ms[0] < 9900).all(axis=(1, 2))
    expected = truth.ms[0][inside] * fs / 1000
    assert len(expected) >= 6
    for k, wave in enumerate(("P", "QRS", "T")):
        found = table[table["wave"] == wave][["onset", "peak", "offset"]].to_numpy(dtype=float)
        nearest = found[[np.nanargmin(np.abs(found[:, 1] - peak)) for peak in expected[:, k, 1]]]
        np.testing.assert_allclose(np.median(nearest - expected[:, k], axis=0), 0, atol=0.015 * fs)
        if wave == "QRS":
            np.testing.assert_allclose(nearest[:, 1], expected[:, k, 1], atol=0.004 * fs + 0.5)
    assert table["beat"].is_monotonic_increasing
    assert table["beat"].iloc[0] == 0
    assert table.groupby("wave")["onset"].apply(lambda onset: onset.dropna().is_monotonic_increasing).all()


def test_json_of_several_records_has_every_column_and_names_what_is_unusable(run: Run, records: Path) -> None:
    code, output, errors = run("measure", records / "fine", records / "flat.hea", "--json")
    assert code == 0, errors
    fine, flat = json.loads(output, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    for document in (fine, flat):
        assert list(document["measurements"]) == list(COLUMNS)
    assert fine["record"].endswith("fine")
    assert (fine["fs"], fine["sig_len"], fine["age"], fine["sex"]) == (500, 5000, 63, "female")
    assert (flat["fs"], flat["age"], flat["sex"]) == (100, None, None)
    assert (fine["faults"], flat["faults"]) == ({}, {"V2": "flat"})
    assert flat["measurements"]["r_V2"] is None
    assert flat["reasons"]["r_V2"] == "flat"
    for name, tolerance in (("heart_rate", 1), ("pr", 12), ("qrs", 12), ("qt", 15), ("r_V5", 0.1)):
        assert flat["measurements"][name] == pytest.approx(fine["measurements"][name], abs=tolerance)
    truth = cohort(500).intervals([CALM])
    assert fine["measurements"]["pr"] == pytest.approx(truth.pr[0], abs=15)
    assert "not a medical device" in errors


def test_the_table_of_the_good_is_printed_and_the_bad_told_in_one_line(run: Run, records: Path, tmp_path: Path) -> None:
    code, output, errors = run("measure", records, "--plot", tmp_path / "ecg.png", "--waves", tmp_path / "waves.csv")
    assert code == 2
    assert "10 s at 500 Hz, 63 years, female" in output
    assert "V2: flat" in output
    assert [line for line in errors.splitlines() if "short: is short: 2 s" in line]
    assert "1 of 3 records could not be measured" in errors
    assert "Traceback" not in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ecg-fine.png", "ecg-flat.png", "waves.csv"]
    assert pd.read_csv(tmp_path / "waves.csv").columns.tolist() == ["record", "beat", "wave", "onset", "peak", "offset"]
    with Image.open(tmp_path / "ecg-fine.png") as picture:
        assert picture.width > 1000


@pytest.mark.parametrize(("option", "name"), [("--plot", "mine.png"), ("--waves", "mine.csv")])
def test_nothing_is_overwritten(run: Run, records: Path, tmp_path: Path, option: str, name: str) -> None:
    (tmp_path / name).write_text("precious")
    code, output, errors = run("measure", records / "fine", option, tmp_path / name)
    assert (code, output) == (2, "")
    assert errors.splitlines() == [f"ecgkit: {tmp_path / name} exists; choose another {option}"]
    assert (tmp_path / name).read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 1


def test_no_picture_of_several_is_overwritten(run: Run, records: Path, tmp_path: Path) -> None:
    (tmp_path / "ecg-flat.png").write_text("precious")
    code, _, errors = run("measure", records / "fine", records / "flat", "--plot", tmp_path / "ecg.png")
    assert code == 2
    assert "ecg-flat.png exists" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["ecg-flat.png"]


def test_pictures_of_records_with_the_same_name_are_refused(run: Run, records: Path, tmp_path: Path) -> None:
    for suffix in (".hea", ".dat"):
        (tmp_path / f"fine{suffix}").write_bytes((records / f"fine{suffix}").read_bytes())
    code, _, errors = run("measure", records / "fine", tmp_path / "fine", "--plot", tmp_path / "ecg.png")
    assert code == 2
    assert "two records have the same name" in errors


@pytest.mark.parametrize(("arguments", "words"), [
    (("--plot", "ecg.jpg"), "ecg.jpg: give --plot a name that ends in .png"),
    (("--waves", "waves.parquet"), "give --waves a name that ends in .csv"),
    (("--waves", "none/waves.csv"), "none: no such folder to write waves.csv to"),
])
def test_a_mistake_is_one_line_before_any_work(run: Run, records: Path, arguments: tuple[str, ...],
                                               words: str) -> None:
    code, output, errors = run("measure", records / "fine", *arguments)
    assert (code, output) == (2, "")
    assert words in errors
    assert len(errors.splitlines()) == 1


def test_json_where_no_record_can_be_measured_is_an_empty_list(run: Run, records: Path, tmp_path: Path) -> None:
    code, output, errors = run("measure", records / "short", "--json", "--waves", tmp_path / "waves.csv")
    assert code == 2
    assert json.loads(output) == []
    assert "1 of 1 records could not be measured" in errors
    assert not list(tmp_path.iterdir())
