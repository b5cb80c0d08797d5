"""Tests of the description of a cohort: counts by hand, disturbance of known size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from ecgkit.datasets import describe
from ecgkit.datasets.base import ECGDataset, from_arrays


def four(x: np.ndarray | None = None) -> ECGDataset:
    records = pd.DataFrame({"record": list("abcd"), "patient_id": [1, 1, 2, 3], "strat_fold": [1, 1, 9, 10],
                            "age": [50.0, 52.0, np.nan, 80.0], "sex": [1, 1, 0, np.nan],
                            "burst_noise": [None, "alles", None, "V1"], "static_noise": [None, "I", None, None]})
    labels = np.array([[1, 0], [1, 1], [0, 0], [0, 1]])
    return from_arrays(np.zeros((4, 12, 1000)) if x is None else x, labels, ("A", "B"), 100, records=records)


def test_table_one_counts_what_is_there() -> None:
    table = describe.table_one(four())
    assert list(table.loc["ECGs"]) == ["4", "2", "1", "1"]
    assert list(table.loc["Patients"]) == ["3", "1", "1", "1"]
    assert table.loc["Female", "All"] == "2 (66.7 %)"
    assert table.loc["A", "All"] == "2 (50.0 %)"
    assert table.loc["No label", "Validation (fold 9)"] == "1 (100.0 %)"
    assert table.loc["Age in years, median (quartiles)", "All"] == "52 (51–66)"
    assert table.loc["Age in years, median (quartiles)", "Validation (fold 9)"] == "–"


def test_remarks_are_counted_once_per_ecg() -> None:
    table = describe.remarks(four())["ECGs"]
    assert table["burst noise"] == "2 (50.0 %)"
    assert table["any of these"] == "2 (50.0 %)"


def test_no_remarks_give_an_empty_table() -> None:
    assert describe.remarks(from_arrays(np.zeros((1, 12, 10)), np.ones((1, 1)), "A", 100)).empty


def test_wander_and_noise_are_told_apart_and_measured_in_microvolts() -> None:
    t = np.arange(1000) / 100
    x = np.zeros((4, 12, 1000))
    x[0] = 0.2 + 0.1 * np.sin(2 * np.pi * 0.2 * t)
    x[1] = 0.02 * np.sin(2 * np.pi * 45 * t)
    x[2] = 0.5 * np.sin(2 * np.pi * 10 * t)
    x[3, 7] = 1.0 * np.sin(2 * np.pi * 0.2 * t)
    quality = describe.signal_quality(four(x), chunk=3)
    np.testing.assert_allclose(quality["wander_uv"][[0, 1, 3]], [1000 * 0.1 / 2**0.5, 0, 0], atol=4)
    assert quality["wander_uv"][2] < 0.05 * 1000 * 0.5 / 2**0.5, "what begins abruptly leaks a little at the ends"
    np.testing.assert_allclose(quality["noise_uv"], [0, 1000 * 0.02 / 2**0.5, 0, 0], atol=1.5)
    assert quality["worst_lead"][3] == "V2"


def test_the_summary_says_on_what(tmp_path: Path) -> None:
    describe.write_summary(tmp_path, four(), macro_auroc=[0.5])
    told = json.loads((tmp_path / "summary.json").read_text())
    assert (told["data"], told["n_ecgs"], told["n_patients"], told["macro_auroc"]) == ("arrays", 4, 3, [0.5])
    assert len(told["fingerprint"]) == 16
