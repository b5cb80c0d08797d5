"""LUDB: one gain for all leads, labels of its table, and boundaries even where a mark is missing."""

from __future__ import annotations

import numpy as np
import pytest
import wfdb

import ecgkit.datasets
from ecgkit.datasets import ludb
from ecgkit.errors import EcgkitError, RecordError
from ecgkit.leads import LEADS, limb_residual
from tests.datasets.helpers import heartbeat, write_record

HEADER = ("ID,Sex,Age,Rhythms,Electric axis of the heart,Conduction abnormalities,Extrasystolies,Hypertrophies,"
          "Cardiac pacing,Ischemia,Non-specific repolarization abnormalities,Other states\n")
ROWS = ['1,"F\n","51\n",Sinus rhythm,Electric axis of the heart: normal,,,"A\nB. ",,"Ischemia: inferior wall\n'
        'Ischemia: lateral wall",,\n',
        '2,"M\n",">89\n","Atrial flutter, typical",,,,,,,,\n']


def marks(folder, record, symbols, samples):
    for lead in LEADS:  # wfdb writes no extension with a digit in it
        wfdb.wrann(record, "atr", np.array(samples), list(symbols), write_dir=str(folder))
        (folder / f"{record}.atr").rename(folder / f"{record}.{lead.lower()}")


@pytest.fixture
def root(tmp_path):
    (tmp_path / "data").mkdir()
    for k in (1, 2):
        write_record(tmp_path / "data", str(k), heartbeat(5000, seed=k), fs=500, lead_names=[x.lower() for x in LEADS])
    (tmp_path / "ludb.csv").write_text(HEADER + "".join(ROWS))
    (tmp_path / "RECORDS").write_text("data/1\ndata/2\n")
    return tmp_path


def test_labels_and_table(root):
    data = ecgkit.datasets.load("ludb", root=root)
    assert data.label_names == ("Atrial flutter", "Sinus rhythm", "Electric axis normal", "A", "B", "Ischemia")
    assert data.labels.tolist() == [[0, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0]]
    assert data.records["age"].tolist() == [51, 90]
    assert data.records["sex"].tolist() == [1, 0]
    assert data.records["record"].tolist() == ["data/1", "data/2"]
    assert ecgkit.datasets.load("ludb", root=root, task="rhythm").label_names == ("Atrial flutter", "Sinus rhythm")


def test_boundaries_by_hand(root):
    marks(root / "data", "1", "(p)(N)(t)", range(10, 100, 10))
    table = ludb.boundaries(root, "data/1")
    assert table["lead"].unique().tolist() == list(LEADS)
    first = table[table["lead"] == "I"]
    assert first[["wave", "onset", "peak", "offset"]].to_numpy().tolist() == \
        [["P", 10, 20, 30], ["QRS", 40, 50, 60], ["T", 70, 80, 90]]


def test_missing_onsets_and_offsets(root):
    marks(root / "data", "1", "N)(N(t)()(p)", range(10, 130, 10))
    table = ludb.boundaries(root, "data/1")
    rows = table[table["lead"] == "V6"].astype(object).where(table.notna(), None)
    assert rows[["wave", "onset", "peak", "offset"]].to_numpy().tolist() == \
        [["QRS", None, 10, 20], ["QRS", 30, 40, None], ["T", 50, 60, 70], ["P", 100, 110, 120]]


def test_missing_or_hostile_annotations(root):
    with pytest.raises(RecordError, match=r"^data/1: has no annotation file 1\.i for lead I$"):
        ludb.boundaries(root, "data/1")
    with pytest.raises(RecordError, match="nothing outside is opened"):
        ludb.boundaries(root / "data", "../1")
    (root / "data" / "1.i").write_bytes(b"\x01")
    with pytest.raises(RecordError, match=r"annotation file 1\.i is damaged|has no annotation file 1\.ii"):
        ludb.boundaries(root, "data/1")


def test_mistakes(root):
    with pytest.raises(EcgkitError, match="LUDB has no task 'rhythms'"):
        ludb.load(root, task="rhythms")
    (root / "RECORDS").write_text("data/1\ndata/3\n")
    with pytest.raises(EcgkitError, match="no row for the record data/3"):
        ludb.load(root)
    (root / "ludb.csv").write_text("ID,Sex\n1,F\n")
    with pytest.raises(EcgkitError, match="lacks the column 'Age'"):
        ludb.load(root)
    (root / "ludb.csv").unlink()
    with pytest.raises(EcgkitError, match=r"no ludb\.csv here"):
        ludb.load(root)


@pytest.mark.real
class TestSample:
    def test_signals_have_one_gain_that_keeps_einthovens_law(self, data_root):
        data = ecgkit.datasets.load("ludb", root=data_root / "ludb-sample")
        assert (len(data), data.fs, data.sig_len, data.name, data.excluded) == (100, 500, 5000, "LUDB sample", ())
        stored = wfdb.rdrecord(str(data_root / "ludb-sample/data/1"), physical=False).d_signal.T
        np.testing.assert_allclose(data.batch([list(data.records["record"]).index("data/1")])[0], stored / 1000,
                                   atol=1e-6)
        assert np.abs(limb_residual(data.signals[np.arange(100)])).max() <= 0.002  # stored numbers are whole microvolts
        assert data.records["age"].between(10, 100).all()
        counts = dict(zip(data.label_names, data.labels.sum(axis=0).tolist(), strict=True))
        assert counts["Sinus rhythm"] + counts["Sinus bradycardia"] + counts["Atrial fibrillation"] == 94

    def test_boundaries_are_ordered_and_complete(self, data_root):
        root = data_root / "ludb-sample"
        for record in ("data/1", "data/34", "data/99"):
            table = ludb.boundaries(root, record)
            assert (table["onset"] <= table["peak"]).fillna(True).all()
            assert (table["peak"] <= table["offset"]).fillna(True).all()
            raw = sum(wfdb.rdann(str(root / record), lead.lower()).symbol.count("N") for lead in LEADS)
            assert (table["wave"] == "QRS").sum() == raw > 0
