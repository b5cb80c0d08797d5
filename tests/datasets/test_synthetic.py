"""The simulated cohort as a dataset: labels from severities, folds by patient, truth for every row."""

from __future__ import annotations

import numpy as np
import pytest

from ecgkit.datasets import synthetic
from ecgkit.datasets.base import ECGDataset, from_arrays
from ecgkit.errors import EcgkitError
from ecgkit.simulator import CLASSES, EDIT_NAMES


@pytest.fixture(scope="module")
def data() -> ECGDataset:
    return synthetic.load(400)


def _severity(**values: float) -> np.ndarray:
    return np.array([[values.get(name, 0.0) for name in EDIT_NAMES]])


@pytest.mark.parametrize(("severity", "expected"), [
    ({}, {"NORM"}), ({"AF": 1.0}, set()), ({"AF": 1.0, "IMI": 0.5}, {"MI"}), ({"AMI_acute": 0.5}, {"MI", "STTC"}),
    ({"LVH": 0.5}, {"HYP"}), ({"LVH": 0.7}, {"HYP", "STTC"}), ({"LQT": 0.2}, {"STTC"}),
    ({"RBBB": 0.2, "LAFB": 0.9}, {"CD"}), ({"1AVB": 0.2, "IMI": 0.3}, {"CD", "MI"}), ({"WPW": 1.0}, {"CD"}),
    ({"LBBB": 1.0}, {"CD"})])
def test_superclasses(severity: dict[str, float], expected: set[str]) -> None:
    labels = synthetic.superclass_labels(_severity(**severity))[0]
    assert {name for name, on in zip(synthetic.SUPERCLASSES, labels, strict=True) if on} == expected


def test_classes() -> None:
    labels = synthetic.class_labels(np.concatenate([_severity(), _severity(AF=0.9, LVH=0.2)]))
    assert labels.dtype == np.uint8
    assert [name for name, on in zip(CLASSES, labels[0], strict=True) if on] == ["NORM"]
    assert [name for name, on in zip(CLASSES, labels[1], strict=True) if on] == ["LVH", "AF"]


def test_the_cohort_is_a_dataset(data: ECGDataset) -> None:
    assert data.name == "simulated ECGs"
    assert data.label_names == ("NORM", "MI", "STTC", "CD", "HYP")
    assert data.n_patients == 400
    assert 1.05 < len(data) / 400 < 1.2
    assert data.signals.shape == (len(data), 12, 1000)
    assert data.records["record"].is_unique
    assert data.labels.mean(axis=0).min() > 0.05
    assert 0.35 < data.labels[:, 0].mean() < 0.6


def test_folds_keep_patients_whole_and_labels_even(data: ECGDataset) -> None:
    assert data.records.groupby("patient_id")["strat_fold"].nunique().max() == 1
    assert sorted(data.records["strat_fold"].unique()) == list(range(1, 11))
    assert data.train.labels.mean(axis=0) == pytest.approx(data.labels.mean(axis=0), abs=0.03)


def test_both_tasks_are_of_the_same_ecgs(data: ECGDataset) -> None:
    other = synthetic.load(400, task="class")
    np.testing.assert_array_equal(other.signals, data.signals)
    assert other.records.equals(data.records)
    assert other.label_names == CLASSES
    np.testing.assert_array_equal(other.labels[:, 0], data.labels[:, 0])
    np.testing.assert_array_equal(other.labels[:, 1:] > 0,
                                  data.records[[f"severity_{name}" for name in EDIT_NAMES]].to_numpy() > 0)


def test_more_patients_are_more_of_the_same(data: ECGDataset) -> None:
    few = synthetic.load(50)
    np.testing.assert_array_equal(few.signals, data.signals[:len(few)])
    assert few.fingerprint() != synthetic.load(50, seed=1).fingerprint()
    assert few.fingerprint() == synthetic.load(50).fingerprint()


def test_the_truth_of_any_row_is_to_be_had(data: ECGDataset) -> None:
    part = data.test
    cohort = synthetic.cohort_of(part)
    numbers = part.records["ecg_index"].to_numpy()
    np.testing.assert_array_equal(cohort.signals(numbers), part.signals)
    changed = cohort.truth_mask(numbers).max(axis=(1, 2)) > 0
    np.testing.assert_array_equal(changed, part.labels[:, 0] == 0)
    healthy = cohort.counterfactual(numbers)
    np.testing.assert_array_equal((healthy == part.signals).all(axis=(1, 2)), part.labels[:, 0] == 1)


def test_true_intervals_are_plausible(data: ECGDataset) -> None:
    table = data.records
    normal = data.labels[:, 0] == 1
    assert table.loc[normal, "pr_ms"].between(110, 215).all()
    assert table.loc[normal, "qrs_ms"].between(60, 115).all()
    assert table.loc[normal, "qt_ms"].between(280, 500).all()
    in_af = table["severity_AF"] > 0
    assert table.loc[in_af, "pr_ms"].isna().all()
    assert table.loc[~in_af, "pr_ms"].notna().all()
    strong = table["severity_1AVB"] > 0.9
    assert (table.loc[strong, "pr_ms"] > 200).all()


def test_other_rates_and_lengths() -> None:
    data = synthetic.load(3, fs=500, seconds=5)
    assert data.signals.shape[1:] == (12, 2500)
    assert synthetic.cohort_of(data).fs == 500


def test_mistakes_are_told() -> None:
    with pytest.raises(EcgkitError, match="no task 'rhythm'"):
        synthetic.load(3, task="rhythm")
    with pytest.raises(EcgkitError, match="0 patients"):
        synthetic.load(0)
    plain = from_arrays(np.zeros((2, 12, 10)), np.zeros((2, 1)), ["a"], 100)
    with pytest.raises(EcgkitError, match="no known truth"):
        synthetic.cohort_of(plain)
