"""A user's own archive: WFDB, NumPy and CSV files give the same dataset; every mistake is told in one line."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ecgkit.datasets
from ecgkit.errors import EcgkitError, RecordError
from ecgkit.leads import LEADS
from tests.datasets.helpers import heartbeat, write_record

N = 12


@pytest.fixture
def root(tmp_path):
    """Twelve WFDB records of eight patients in a folder, and a table of them."""
    root = tmp_path / "archive"
    for k in range(N):
        write_record(root / "signals", f"r{k}", heartbeat(1000, seed=k))
    table(root)
    return root


def table(root, **columns):
    given = {"record": [f"signals/r{k}" for k in range(N)], "patient_id": [f"p{k % 8}" for k in range(N)],
             "sex": [k % 2 for k in range(N)], "age": 50, "AF": [k % 2 for k in range(N)], "LBBB": [0, 1, 0] * 4,
             "score": 0.5}
    pd.DataFrame({name: value for name, value in (given | columns).items() if value is not None}).to_csv(
        root / "labels.csv", index=False)


def load(root, **options):
    return ecgkit.datasets.load("folder", root=root, table="labels.csv", **options)


def test_wfdb(root):
    data = load(root)
    assert data.label_names == ("AF", "LBBB")
    assert data.labels[:, 0].tolist() == [k % 2 for k in range(N)]
    assert (len(data), data.n_patients, data.fs, data.sig_len, data.name) == (N, 8, 100, 1000, "archive")
    assert data.records["score"].tolist() == [0.5] * N
    np.testing.assert_allclose(data.batch([5])[0], heartbeat(1000, seed=5), atol=6e-4)


def test_the_table_is_looked_for_where_the_user_stands_then_in_the_folder(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = load(root)
    (root / "labels.csv").rename(tmp_path / "labels.csv")
    assert load(root).labels.tolist() == expected.labels.tolist()
    (tmp_path / "labels.csv").rename(root / "labels.csv")
    assert len(load(root)) == len(expected)


def test_all_three_kinds_give_the_same_signals(root, tmp_path):
    expected = load(root).signals
    folder = root / "arrays"
    folder.mkdir()
    names = []
    for k in range(N):
        signal = np.round(heartbeat(1000, seed=k), 3)
        if k % 3 == 0:
            np.save(folder / f"{k}.npy", signal)
        elif k % 3 == 1:
            np.save(folder / f"{k}.npy", np.asfortranarray(signal.T.astype(np.float32)))
        else:
            shuffled = pd.DataFrame(signal.T, columns=[lead.lower() for lead in LEADS]).iloc[:, ::-1]
            shuffled.insert(0, "time", np.arange(1000) / 100)
            shuffled.to_csv(folder / f"{k}.csv", index=False)
        names.append(f"arrays/{k}.{'csv' if k % 3 == 2 else 'npy'}")
    table(root, record=names)
    np.testing.assert_allclose(load(root, fs=100).signals, expected, atol=1e-5)


def test_units_leads_and_rate_of_arrays(root):
    signal = heartbeat(1000)
    order = [*range(6, 12), 0, 1]
    for k in range(N):
        np.save(root / f"{k}.npy", np.round(signal[order] * 1000).astype(np.int16))
    table(root, record=[f"{k}.npy" for k in range(N)])
    data = load(root, fs=50, file_fs=100, units="uV", lead_names=[LEADS[k] for k in order])
    assert (data.fs, data.sig_len) == (50, 500)
    assert np.corrcoef(data.batch([0])[0, 1], signal[1, ::2])[0, 1] > 0.999
    np.testing.assert_allclose(data.batch([0])[0, 2], data.batch([0])[0, 1] - data.batch([0])[0, 0], atol=1e-5)


def test_labels_by_prefix_or_by_name(root):
    table(root, **{"label:AF": [1] + [0] * 11, "flag": 1})
    assert load(root).label_names == ("AF",)
    assert load(root).labels.sum() == 1
    assert load(root, labels=["LBBB", "flag"]).label_names == ("LBBB", "flag")
    assert load(root, labels=[]).labels.shape == (N, 0)
    assert (load(root, labels=[]).records["strat_fold"].between(1, 10)).all()


def test_folds_are_kept_or_given_by_patient(root):
    folds = load(root).records
    assert folds["strat_fold"].between(1, 10).all()
    assert folds.groupby("patient_id")["strat_fold"].nunique().max() == 1
    table(root, strat_fold=[1] * 10 + [9, 10])
    data = load(root)
    assert (len(data.train), len(data.validation), len(data.test)) == (10, 1, 1)


def test_without_patients_every_ecg_is_its_own(root):
    table(root, patient_id=None)
    assert load(root).n_patients == N


def test_records_of_another_length(root):
    write_record(root / "signals", "r3", heartbeat(1200))
    with pytest.warns(UserWarning, match=r"1 of 12 records left out: 1 × has 1,200 samples per lead, not 1,000"):
        assert len(load(root)) == N - 1
    assert len(load(root, seconds=10)) == N
    with pytest.raises(RecordError, match=r"signals/r3: has 1,200 samples"):
        load(root, on_error="raise")


def test_the_first_record_may_be_bad(root):
    (root / "signals" / "r0.dat").write_bytes(b"")
    with pytest.warns(UserWarning, match="1 of 12 records left out"):
        assert load(root).sig_len == 1000


def test_changed_file_of_any_name_is_read_again(root):
    header = root / "signals" / "r0.hea"
    header.write_text(header.read_text().replace("r0.dat", "r0.bin"))
    (root / "signals" / "r0.dat").rename(root / "signals" / "r0.bin")
    before = load(root).batch([0])
    write_record(root / "signals", "r0", heartbeat(1000, seed=77), suffix=".bin")
    assert not np.allclose(load(root).batch([0]), before)


def test_two_tables_of_one_folder_keep_their_stores(root, tmp_path):
    load(root, cache=tmp_path / "cache")
    pd.read_csv(root / "labels.csv").iloc[:4].to_csv(root / "few.csv", index=False)
    ecgkit.datasets.load("folder", root=root, table="few.csv", cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*/*/signals.npy"))) == 2


class TestFiles:
    """One bad file is left out, with its reason."""

    def check(self, root, name, match, **options):
        table(root, record=[name, *(f"signals/r{k}" for k in range(1, N))])
        with pytest.warns(UserWarning, match="1 of 12 records left out"):
            data = load(root, **({"fs": 100} | options))
        assert len(data) == N - 1
        assert data.excluded[0].record == name
        assert re.search(match, data.excluded[0].reason)

    def test_pickles_are_never_opened(self, root, tmp_path):
        class Evil:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "ran"),)

        np.save(root / "evil.npy", np.array([Evil()], dtype=object), allow_pickle=True)
        (root / "raw.npy").write_bytes(pickle.dumps(Evil()))
        for name in ("evil.npy", "raw.npy"):
            self.check(root, name, "never unpickled")
        assert not (tmp_path / "ran").exists()

    def test_wrong_shape(self, root):
        np.save(root / "x.npy", np.zeros((11, 1000)))
        self.check(root, "x.npy", r"has the shape \(11, 1000\); one side should be the 12 leads")
        np.save(root / "x.npy", np.zeros(1000))
        self.check(root, "x.npy", "not a two-dimensional")

    def test_truncated_array(self, root):
        np.save(root / "x.npy", np.zeros((12, 1000)))
        header = (root / "x.npy").read_bytes()
        os.truncate(root / "x.npy", 5000)
        self.check(root, "x.npy", "is not a NumPy array")
        for new in (b"(12, 9**9)", b"(12, (((((", b"(9" + 7 * b"9" + b"," + 30 * b"9"):
            (root / "x.npy").write_bytes(header.replace(b"(12, 1000)", new, 1))
            self.check(root, "x.npy", "is not a")

    def test_nan_and_flat(self, root):
        signal = heartbeat(1000)
        signal[1, 5] = np.inf
        np.save(root / "x.npy", signal)
        self.check(root, "x.npy", "lead II has 1 non-finite sample")
        np.save(root / "x.npy", np.where(np.arange(12)[:, None] == 4, 0, heartbeat(1000)))
        self.check(root, "x.npy", "is flat in lead aVL")

    def test_csv_without_lead_names(self, root):
        pd.DataFrame(heartbeat(1000).T).to_csv(root / "x.csv", index=False)
        self.check(root, "x.csv", "has no column named after a lead")

    def test_csv_with_words(self, root):
        (root / "x.csv").write_text("I,II\n1,two\n")
        self.check(root, "x.csv", "cannot be read as CSV of numbers")

    def test_missing_files(self, root):
        self.check(root, "x.csv", r"has no \.csv file")
        self.check(root, "signals/none", r"has no \.hea file")

    def test_short(self, root):
        np.save(root / "x.npy", heartbeat(500))
        self.check(root, "x.npy", "is short: 5 s of the 10 s wanted", seconds=10)

    @pytest.mark.parametrize("name", ["../outside/r", "../outside/r.npy", "{absolute}", "link"])
    def test_outside(self, root, tmp_path, name):
        write_record(tmp_path / "outside", "r", heartbeat(1000))
        np.save(tmp_path / "outside" / "r.npy", heartbeat(1000))
        (root / "link.hea").symlink_to(tmp_path / "outside" / "r.hea")
        self.check(root, name.format(absolute=tmp_path / "outside" / "r.npy"), "nothing outside is opened")


class TestMistakes:
    def check(self, root, match, **options):
        with pytest.raises(EcgkitError, match=match) as caught:
            load(root, **options)
        assert "\n" not in str(caught.value)

    def test_no_table(self, root):
        (root / "labels.csv").unlink()
        self.check(root, r"labels\.csv: no such file; give table=")

    def test_no_record_column(self, root):
        table(root, record=None)
        self.check(root, "lacks the column record, which names each ECG's file; it has patient_id, sex")

    def test_unknown_label(self, root):
        self.check(root, "has no column 'VT' to be a label; it has AF, LBBB, score", labels=["AF", "VT"])

    def test_label_that_is_no_label(self, root):
        self.check(root, r"label 'score' of record signals/r0 is 0\.5, not 0 or 1", labels=["score"])

    def test_label_with_a_gap(self, root):
        table(root, AF=[0, 1, None, *[0] * 9])
        self.check(root, r"label 'AF' of record signals/r2 is nan, not 0 or 1", labels=["AF"])

    def test_no_labels_at_all(self, root):
        table(root, AF=None, LBBB=None)
        self.check(root, "no column holds only 0 and 1")

    def test_record_twice(self, root):
        table(root, record=["signals/r0"] * 2 + [f"signals/r{k}" for k in range(2, N)])
        self.check(root, "names the record signals/r0 twice")

    def test_row_without_record(self, root):
        table(root, record=[None, *(f"signals/r{k}" for k in range(1, N))])
        self.check(root, "a row without a record")

    def test_patient_missing(self, root):
        table(root, patient_id=[None, *range(1, N)])
        self.check(root, "record signals/r0 has no patient_id")

    @pytest.mark.parametrize("fold", [0, 11, 1.5, None])
    def test_wrong_fold(self, root, fold):
        table(root, strat_fold=[1] * 11 + [fold])
        self.check(root, "strat_fold of record signals/r11 is not a whole number from 1 to 10")

    def test_arrays_without_a_rate(self, root):
        np.save(root / "x.npy", heartbeat(1000))
        table(root, record=["x.npy", *(f"signals/none{k}" for k in range(1, N))])
        self.check(root, r"none of 12 records can be used; the first: x\.npy: .* give fs= or file_fs= in Hz")

    def test_empty_table(self, root):
        Path(root / "labels.csv").write_text("record,AF\n")
        self.check(root, "has no rows")
        Path(root / "labels.csv").write_text("")
        self.check(root, "cannot be read as CSV")
