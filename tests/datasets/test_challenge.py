"""Challenge folders: codes with names, both header dialects, records of any length."""

from __future__ import annotations

import numpy as np
import pytest

import ecgkit.datasets
from ecgkit.datasets import challenge
from ecgkit.datasets.reader import read_record
from ecgkit.errors import EcgkitError
from tests.datasets.helpers import heartbeat, write_record


def write(root, name, *comments, seconds=10, fs=500, seed=0):
    folder, _, name = name.rpartition("/")
    signal = heartbeat(round(seconds * fs), seed=seed)
    write_record(root / folder, name, signal, fs=fs, comments=comments, suffix=".mat")


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "challenge"
    write(root, "georgia/g1/E1", "# Age: 37", "# Sex: Female", "# Dx: 426783006", seed=1)
    write(root, "cpsc/A1", "#Age: 69", "#Sex: Male", "#Dx: 59118001,713427006,164889003", seconds=12, seed=2)
    write(root, "cpsc/A2", "#Age: NaN", "#Sex: Unknown", "#Dx: 123456789, 164889003", seconds=9.5, seed=3)
    write(root, "incart/I1", "# Dx: 123456789,17338001,", fs=257, seed=4)
    write(root, "incart/I2", fs=257, seed=5)
    return root


def load(root, **options):
    with pytest.warns(UserWarning, match="1 of 5 records left out"):
        return ecgkit.datasets.load("challenge", root=root, **options)


def labels_of(data):
    return {record: {data.label_names[k] for k in np.flatnonzero(row)}
            for record, row in zip(data.records["record"], data.labels, strict=True)}


def test_labels_and_table(root):
    data = load(root)
    assert labels_of(data) == {
        "cpsc/A1": {"right bundle branch block", "complete right bundle branch block", "atrial fibrillation"},
        "georgia/g1/E1": {"sinus rhythm"}, "incart/I1": {"123456789", "ventricular premature beats"},
        "incart/I2": set()}
    records = data.records.set_index("record")
    assert records["site"].to_dict() == {"cpsc/A1": "cpsc", "georgia/g1/E1": "georgia", "incart/I1": "incart",
                                         "incart/I2": "incart"}
    np.testing.assert_array_equal(records["age"], [69, 37, np.nan, np.nan])
    np.testing.assert_array_equal(records["sex"], [0, 1, np.nan, np.nan])
    assert records["dx"]["cpsc/A1"] == "59118001,713427006,164889003"
    assert (data.records["patient_id"] == data.records["record"]).all()
    assert data.records["strat_fold"].between(1, 10).all()


def test_scored_labels_merge_what_the_challenge_scored_as_one(root):
    data = load(root, labels="scored")
    assert data.label_names == ("atrial fibrillation", "sinus rhythm", "premature ventricular contractions",
                                "right bundle branch block")
    assert labels_of(data)["cpsc/A1"] == {"right bundle branch block", "atrial fibrillation"}
    assert labels_of(data)["incart/I1"] == {"premature ventricular contractions"}


def test_chosen_labels(root):
    data = load(root, labels=["NSR", "atrial fibrillation", "123456789"])
    assert data.label_names == ("sinus rhythm", "atrial fibrillation", "123456789")
    with pytest.raises(EcgkitError, match="no SNOMED-CT code for the label 'sinus'"):
        ecgkit.datasets.load("challenge", root=root, labels=["sinus"])
    with pytest.raises(EcgkitError, match="labels='some'"):
        ecgkit.datasets.load("challenge", root=root, labels="some")


def test_long_records_are_cut_and_short_ones_never_padded(root):
    data = load(root, fs=500)
    long = list(data.records["record"]).index("cpsc/A1")
    np.testing.assert_array_equal(data.batch([long])[0], read_record(root / "cpsc/A1")[0][:, :5000])
    assert [str(error) for error in data.excluded] == ["cpsc/A2: is short: 9.5 s of the 10 s wanted"]


def test_other_rates_are_resampled(root):
    data = load(root, fs=100)
    assert (data.fs, data.sig_len, len(data)) == (100, 1000, 4)


def test_the_table_of_codes():
    table = challenge.snomed()
    assert table.index.is_unique
    assert table["abbreviation"].is_unique
    assert table["name"].is_unique
    assert table.index.str.fullmatch(r"\d{6,18}").all()
    assert (table["scored"] == "1").sum() == 30
    same = table.loc[table["same_as"] != "", "same_as"]
    assert set(same) <= set(table.index)
    assert (table.loc[same, "same_as"] == "").all()
    assert (table["scored"] == "1").sum() - len(same) == 26


@pytest.mark.real
def test_sample(data_root):
    with pytest.warns(UserWarning, match=r"2 of 33 records left out: 2 × is flat in lead V2, V4, V6"):
        data = ecgkit.datasets.load("challenge", root=data_root / "challenge-sample")
    assert (len(data), data.fs, data.sig_len) == (31, 500, 5000)
    assert data.records["site"].value_counts().to_dict() == {"georgia": 12, "cpsc_2018_extra": 11, "ningbo": 8}
    assert not any(name.isdigit() for name in data.label_names)
    counts = dict(zip(data.label_names, data.labels.sum(axis=0).tolist(), strict=True))
    headers = [path.read_text() for path in (data_root / "challenge-sample").rglob("*.hea")
               if path.stem not in ("JS20004", "JS20008")]
    assert counts["sinus tachycardia"] == sum("427084000" in text for text in headers)
    assert data.records["age"].notna().all()
    assert data.records["sex"].isin([0, 1]).all()


def test_not_a_folder(tmp_path):
    with pytest.raises(EcgkitError, match="no such folder"):
        ecgkit.datasets.load("challenge", root=tmp_path / "x")
    with pytest.raises(EcgkitError, match="no record"):
        ecgkit.datasets.load("challenge", root=tmp_path)
