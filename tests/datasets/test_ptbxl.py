"""PTB-XL: the benchmark's labels, the official folds, the layout as published, and what is wrong with it."""

from __future__ import annotations

import ast
import csv
import shutil

import numpy as np
import pandas as pd
import pytest

import ecgkit.datasets
from ecgkit.datasets import ptbxl
from ecgkit.datasets.reader import read_record
from ecgkit.errors import EcgkitError, RecordError
from tests.datasets.helpers import heartbeat, write_record

COUNTS = {"NORM": 1514, "MI": 778, "STTC": 844, "CD": 749, "HYP": 415}
CODES = ["{'NORM': 100.0, 'SR': 0.0}", "{'IMI': 35.0, 'SR': 0.0}", "{'LVH': 0.0, 'NDT': 50.0}", "{'SR': 0.0}", "{}",
         "{'CLBBB': 100.0, 'AMI': 0.0, 'UNKNOWN': 1.0}"]
STATEMENTS = """,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
NORM,normal,1.0,,,NORM,NORM
IMI,inferior,1.0,,,MI,IMI
AMI,anterior,1.0,,,MI,AMI
LVH,hypertrophy,1.0,,,HYP,LVH
NDT,non-diagnostic T,1.0,1.0,,STTC,STTC
CLBBB,bundle branch,1.0,,,CD,CLBBB
SR,sinus rhythm,,,1.0,,
"""


@pytest.fixture
def root(tmp_path):
    """A folder in PTB-XL's layout with six records of five patients."""
    root = tmp_path / "ptb"
    names = [f"records100/00000/{k:05d}_lr" for k in range(1, 7)]
    for k, name in enumerate(names):
        write_record(root / "records100/00000", name.rsplit("/", 1)[1], heartbeat(seed=k))
    names_500 = [name.replace("100", "500").replace("_lr", "_hr") for name in names]
    pd.DataFrame({"ecg_id": range(1, 7), "patient_id": [1.0, 1.0, 2.0, 3.0, 4.0, 5.0],
                  "age": [56, 300, np.nan, 89, 90, 0], "sex": 1, "scp_codes": CODES, "strat_fold": [1, 1, 8, 9, 10, 10],
                  "filename_lr": names, "filename_hr": names_500}
                 ).to_csv(root / "ptbxl_database.csv", index=False)
    (root / "scp_statements.csv").write_text(STATEMENTS)
    return root


def edit(root, **columns):
    table = pd.read_csv(root / "ptbxl_database.csv")
    table.assign(**columns).to_csv(root / "ptbxl_database.csv", index=False)


@pytest.fixture(scope="module")
def data(sample_root):
    return ecgkit.datasets.load("ptbxl", root=sample_root, task="superclass", fs=100)


@pytest.mark.real
class TestSample:
    def test_superclass_counts_of_the_readme(self, data):
        assert dict(zip(data.label_names, data.labels.sum(axis=0).tolist(), strict=True)) == COUNTS
        assert list(data.label_names) == list(COUNTS)
        assert (data.name, data.fs, data.sig_len, data.excluded) == ("PTB-XL sample", 100, 1000, ())

    def test_records_without_a_label_are_dropped_or_kept(self, data, sample_root):
        everything = ecgkit.datasets.load("ptbxl", root=sample_root, keep_unlabelled=True)
        assert (len(data), len(everything)) == (3281, 3342)
        assert everything.n_patients == 3222
        assert (len(everything.validation), len(everything.test)) == (377, 369)
        assert data.labels.any(axis=1).all()
        assert int((~everything.labels.any(axis=1)).sum()) == 61

    def test_no_patient_is_in_two_folds(self, data):
        assert data.records.groupby("patient_id")["strat_fold"].nunique().max() == 1
        assert sum(map(len, (data.train, data.validation, data.test))) == len(data)

    def test_signals_are_those_of_the_files(self, data, sample_root):
        for k in (0, 1, 1700, len(data) - 1):
            np.testing.assert_array_equal(data.batch([k])[0], read_record(sample_root / data.records["record"][k])[0])

    @pytest.mark.parametrize("task", ptbxl.TASKS)
    def test_every_task_by_the_benchmarks_rules(self, sample_root, task):
        """Against the rules spelled out in loops over the two CSV files."""
        with (sample_root / "scp_statements.csv").open(newline="") as stream:
            statements = {row[""]: row for row in csv.DictReader(stream)}
        expected = {}
        with (sample_root / "ptbxl_database.csv").open(newline="") as stream:
            for row in csv.DictReader(stream):
                labels = set()
                for code in ast.literal_eval(row["scp_codes"]):
                    statement = statements[code]
                    if task in ("superclass", "subclass") and statement["diagnostic"] == "1.0":
                        column = {"superclass": "diagnostic_class", "subclass": "diagnostic_subclass"}[task]
                        labels |= {statement[column]} - {""}
                    elif task == "all" or (task in ("diagnostic", "form", "rhythm") and statement[task] == "1.0"):
                        labels.add(code)
                if labels:
                    expected[row["filename_lr"]] = labels
        data = ecgkit.datasets.load("ptbxl", root=sample_root, task=task)
        found = {record: {data.label_names[k] for k in np.flatnonzero(row)}
                 for record, row in zip(data.records["record"], data.labels, strict=True)}
        assert found == expected
        assert set(data.label_names) == set().union(*expected.values())

    def test_signals_are_mapped_and_shared_by_all_tasks(self, sample_root, data):
        other = ecgkit.datasets.load("ptbxl", root=sample_root, task="rhythm")
        assert isinstance(data.store, np.memmap)
        assert data.store.filename == other.store.filename
        assert np.shares_memory(data.train.store, data.store)

    def test_500_hz_says_in_one_line_that_most_are_not_there(self, sample_root):
        with pytest.warns(UserWarning, match=r"^PTB-XL sample: 3,242 of 3,342 records left out: 3,242 × has no \.hea "
                                             r"file \(records500/\S+, \.\.\.\) \(all in") as caught:
            data = ecgkit.datasets.load("ptbxl", root=sample_root, task="all", fs=500)
        assert len(caught) == 1
        assert (len(data), data.sig_len, len(data.excluded)) == (100, 5000, 3242)
        np.testing.assert_array_equal(data.batch([3])[0], read_record(sample_root / data.records["record"][3])[0])


def test_a_rate_may_be_a_float(root, tmp_path):
    data = ptbxl.load(root, fs=100.0, cache=tmp_path / "cache")
    assert data.signals.shape[1:] == (12, 1000)


def test_labels_by_hand(root):
    expected = {
        "superclass": {"NORM": [0], "MI": [1, 5], "STTC": [2], "CD": [5], "HYP": [2]},
        "subclass": {"AMI": [5], "CLBBB": [5], "IMI": [1], "LVH": [2], "NORM": [0], "STTC": [2]},
        "diagnostic": {"AMI": [5], "CLBBB": [5], "IMI": [1], "LVH": [2], "NDT": [2], "NORM": [0]},
        "form": {"NDT": [2]},
        "rhythm": {"SR": [0, 1, 3]},
        "all": {"AMI": [5], "CLBBB": [5], "IMI": [1], "LVH": [2], "NDT": [2], "NORM": [0], "SR": [0, 1, 3]},
    }
    for task, labels in expected.items():
        data = ptbxl.load(root, task=task, keep_unlabelled=True)
        assert {name: np.flatnonzero(column).tolist()
                for name, column in zip(data.label_names, data.labels.T, strict=True)} == labels
        kept = ptbxl.load(root, task=task)
        assert kept.records["ecg_id"].tolist() == [k + 1 for k in sorted(set().union(*labels.values()))]


def test_columns(root):
    data = ptbxl.load(root, keep_unlabelled=True)
    records = data.records
    assert records["patient_id"].dtype.kind == "i"
    assert records["record"][0] == "records100/00000/00001_lr"
    np.testing.assert_array_equal(records["age"], [56, 90, np.nan, 89, 90, 0])
    assert records["scp_codes"][0] == {"NORM": 100.0, "SR": 0.0}
    assert (len(data.train), len(data.validation), len(data.test)) == (3, 1, 2)


def test_codes_with_other_quotes_are_literals_and_nothing_is_run(root, tmp_path):
    edit(root, scp_codes=['{"NORM": 100.0}', "{'NORM': 1e2,}", "{'NORM': None}", "{}", "{}", "{}"])
    assert ptbxl.load(root).labels.sum() == 3
    edit(root, scp_codes=f"__import__('os').mkdir('{tmp_path / 'ran'}')")
    with pytest.raises(EcgkitError, match="cannot read the scp_codes"):
        ptbxl.load(root)
    assert not (tmp_path / "ran").exists()
    edit(root, scp_codes=["{'NORM': 100.0}, {'IMI': 0.0}"] + ["{}"] * 5)
    with pytest.raises(EcgkitError, match="cannot read the scp_codes"):
        ptbxl.load(root)


def test_a_bad_record_is_left_out_or_raised(root):
    (root / "records100/00000/00002_lr.dat").write_bytes(b"short")
    with pytest.warns(UserWarning, match="1 of 6 records left out: 1 × is damaged"):
        data = ptbxl.load(root)
    assert [error.record for error in data.excluded] == ["records100/00000/00002_lr"]
    assert "00002_lr" not in "".join(data.records["record"])
    with pytest.raises(RecordError, match=r"^records100/00000/00002_lr: is damaged: 00002_lr\.dat has 5 bytes"):
        ptbxl.load(root, on_error="raise")


@pytest.mark.parametrize("name", ["../outside/r", "{absolute}"])
def test_a_table_that_names_a_file_outside(root, tmp_path, name):
    write_record(tmp_path / "outside", "r", heartbeat())
    names = pd.read_csv(root / "ptbxl_database.csv")["filename_lr"].tolist()
    names[1] = name.format(absolute=tmp_path / "outside" / "r")
    edit(root, filename_lr=names)
    with pytest.warns(UserWarning, match="1 of 6 records left out"):
        data = ptbxl.load(root)
    assert len(data.excluded) == 1


def test_wrong_rate_or_length_is_told(root):
    write_record(root / "records100/00000", "00001_lr", heartbeat(1000), fs=250)
    write_record(root / "records100/00000", "00002_lr", heartbeat(900))
    with pytest.warns(UserWarning, match="2 of 6"):
        data = ptbxl.load(root)
    assert [error.reason for error in data.excluded] == ["is 1000 samples at 250 Hz; 10 s at 100 Hz expected",
                                                         "is 900 samples at 100 Hz; 10 s at 100 Hz expected"]


class TestMistakes:
    def check(self, root, match, **options):
        with pytest.raises(EcgkitError, match=match) as caught:
            ptbxl.load(root, **options)
        assert "\n" not in str(caught.value)

    def test_unknown_task(self, root):
        self.check(root, "no task 'super'; choose from superclass, subclass", task="super")

    def test_unknown_rate(self, root):
        self.check(root, "100 and 500 Hz, not at 250 Hz", fs=250)

    def test_unknown_on_error(self, root):
        self.check(root, "on_error='ignore'", on_error="ignore")

    def test_another_folder(self, tmp_path):
        self.check(tmp_path, r"no ptbxl_database\.csv here")

    def test_missing_statements(self, root):
        (root / "scp_statements.csv").unlink()
        self.check(root, r"no scp_statements\.csv here")

    def test_missing_column(self, root):
        table = pd.read_csv(root / "ptbxl_database.csv")
        table.drop(columns="strat_fold").to_csv(root / "ptbxl_database.csv", index=False)
        self.check(root, r"ptbxl_database\.csv: lacks the column strat_fold")

    def test_broken_number(self, root):
        edit(root, patient_id=["1", "2", "", "4", "5", "6"])
        self.check(root, "patient_id has a value that is not a whole number")

    def test_empty_table(self, root):
        pd.read_csv(root / "ptbxl_database.csv").iloc[:0].to_csv(root / "ptbxl_database.csv", index=False)
        self.check(root, "has no rows")

    def test_not_a_csv(self, root):
        (root / "ptbxl_database.csv").write_bytes(b"")
        self.check(root, "cannot be read as CSV")

    def test_no_recordings_at_all(self, root):
        shutil.rmtree(root / "records100")
        self.check(root, r"none of 6 records can be used: 6 × has no \.hea file")
