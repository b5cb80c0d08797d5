"""The gate of the command line: no ECG gets no answer, its reason, and exit code 2; warnings and novelty are told."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from ecgkit.leads import swapped
from ecgkit.simulator import Cohort, faults
from tests.conftest import Run
from tests.datasets.helpers import write_record


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    ecg = Cohort(seed=3, noise=0.3).signals([3])
    for name, x in (("ecg", ecg), ("noise", faults.white_noise(1, 100)), ("arms", swapped(ecg, "RA-LA"))):
        write_record(folder, name, x[0].astype(float))
    return folder


def test_predict_withholds_noise_and_says_why(run: Run, records: Path) -> None:
    code, output, errors = run("predict", records / "noise", "--json")
    assert code == 2
    (document,) = map(json.loads, output.splitlines())
    assert document["usable"] is False
    assert {reason["code"] for reason in document["reasons"]} <= {"not_an_ecg", "no_beats"}
    assert "probabilities" not in document
    assert "noise: withheld: " in errors
    code, output, _ = run("predict", records / "noise", "--json", "--anyway")
    assert code == 0
    document = json.loads(output)
    assert document["usable"] is False
    assert len(document["probabilities"]) == 5


def test_in_a_folder_the_withheld_is_named_and_counted(run: Run, records: Path) -> None:
    code, output, errors = run("predict", records, "--json")
    assert code == 2
    documents = {Path(document["record"]).name: document for document in map(json.loads, output.splitlines())}
    assert [name for name, document in documents.items() if document["usable"]] == ["arms", "ecg"]
    assert documents["ecg"]["warnings"] == []
    assert 0 <= documents["ecg"]["novelty"] <= 100
    (warning,) = documents["arms"]["warnings"]
    assert warning["code"] == "limb_electrodes"
    right = documents["ecg"]["probabilities"]
    label = max(right, key=lambda name: right[name])
    assert f"plugged back, the classifier would say {label} {right[label]:.2f}" in warning["text"]
    assert "1 of 3 records could not be classified" in errors


def test_measure_and_embed_withhold_it_too(run: Run, records: Path, tmp_path: Path) -> None:
    code, output, errors = run("measure", records / "noise", records / "arms", "--json")
    assert code == 2
    noise, arms = json.loads(output)
    assert "measurements" not in noise
    assert noise["reasons"][0]["text"]
    assert arms["usable"]
    assert arms["warnings"][0]["code"] == "limb_electrodes"
    assert arms["measurements"]["heart_rate"] > 0
    assert "withheld" in errors
    code, _, errors = run("embed", records / "noise", records / "ecg", "-o", tmp_path / "e.parquet")
    assert code == 2
    assert "noise: withheld" in errors
    table = pd.read_parquet(tmp_path / "e.parquet")
    assert len(table) == 1
    assert table.attrs["gate"][str(records / "ecg")]["usable"]
    assert run("embed", records / "noise", "--anyway", "-o", tmp_path / "f.parquet")[0] == 0


@pytest.mark.parametrize(("name", "code"), [("reversed_arms", "limb_electrodes"), ("pacer_spikes", "paced"),
                                            ("C_names", None), ("hyphen", None), ("recordname_slash", None),
                                            ("multiseg", None)])
def test_awkward_records_are_classified_with_what_to_beware_of(run: Run, data_root: Path, name: str,
                                                               code: str | None) -> None:
    record = data_root / "awkward" / name / "r"
    left, output, errors = run("predict", record, "--json", "--model", "ptbxl-superclass")
    assert left == 0, errors
    document = json.loads(output)
    assert [warning["code"] for warning in document["warnings"]] == ([code] if code else [])
    if code is None:
        assert document["probabilities"]["NORM"] == pytest.approx(0.8374, abs=0.0005)
    if name == "reversed_arms":
        assert document["warnings"][0]["text"].endswith("NORM 0.84")
    # The default, which joins a network and measurements, reads them alike, and the plugged back ECG as the ECG itself.
    by_default = json.loads(run("predict", record, "--json")[1])
    assert [warning["code"] for warning in by_default["warnings"]] == ([code] if code else [])
    if name == "reversed_arms":
        itself = json.loads(run("predict", data_root / "awkward" / "C_names" / "r", "--json")[1])["probabilities"]
        assert by_default["warnings"][0]["text"].endswith(f"NORM {itself['NORM']:.2f}")


def test_a_printed_ecg_is_measured_and_predict_says_why_not(run: Run, data_root: Path) -> None:
    record = data_root / "awkward" / "print3x4" / "r"
    code, _, errors = run("predict", record)
    assert code == 2
    assert "only for a part of the time; a network takes twelve leads at the same time" in errors
    code, output, _ = run("measure", record, "--json")
    assert code == 0
    (document,) = json.loads(output)
    assert document["usable"]
    assert [warning["code"] for warning in document["warnings"]] == ["missing_leads"]
    assert document["measurements"]["r_V5"] > 0.3


def test_a_railed_record_is_withheld(run: Run, data_root: Path) -> None:
    code, output, _ = run("predict", data_root / "awkward" / "saturated" / "r", "--json")
    assert code == 2
    assert [reason["code"] for reason in json.loads(output)["reasons"]] == ["amplitude", "clipped"]


def test_the_page_of_an_explanation_has_the_warnings_at_its_top(run: Run, records: Path, tmp_path: Path) -> None:
    code, _, errors = run("explain", records / "arms", "--label", "MI", "-o", tmp_path / "page.html")
    assert code == 0, errors
    header, body = (tmp_path / "page.html").read_text(encoding="utf-8").split("</header>")
    assert "arm electrodes reversed" in header
    assert "The classifier is the network ptbxl-superclass." in header
    assert "less like the training ECGs than" in header
    assert "Another model, ptbxl-joined" in body
    assert body.count("<li>") >= 3
    assert "arm electrodes reversed" in errors
    assert run("explain", records / "noise", "--label", "MI", "-o", tmp_path / "other.html")[0] == 2
    assert not (tmp_path / "other.html").exists()
