"""LUDB by hand and as it is: labels, boundaries, the consensus over leads, and the two halves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

import ecgkit.datasets
from ecgkit.datasets import ludb
from ecgkit.datasets.ludb import consensus, halves, truth
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


BEAT = [("P", 80, 90, 105), ("QRS", 130, 145, 160), ("T", 250, 290, 320)]


def table(per_lead):
    """Boundaries from `{lead: [(wave, onset, peak, offset), ...]}` in samples."""
    rows = [(lead, *wave) for lead, waves in per_lead.items() for wave in waves]
    frame = pd.DataFrame(rows, columns=["lead", "wave", "onset", "peak", "offset"])
    return frame.astype({"onset": "Int64", "peak": "Int64", "offset": "Int64"})


def beats(*starts, waves=BEAT, by=0):
    return [(name, *(None if x is None else x + start + by for x in at)) for start in starts for name, *at in waves]


def test_medians_spread_and_votes_by_hand():
    shifts = [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 20, -9]
    found = consensus(table({lead: beats(0, 500, by=by) for lead, by in zip(LEADS, shifts, strict=True)}))
    expected = np.array([[list(at) for _, *at in BEAT]]) + 1.0
    np.testing.assert_array_equal(found.ms, np.concatenate([expected, expected + 500]) * 2)
    np.testing.assert_allclose(found.spread, np.full((2, 3, 3), 2 * np.std(shifts, ddof=1)))
    assert (found.votes == 12).all()
    assert found.span.tolist() == [162, 2 * 821]


@pytest.mark.parametrize(("n_with_p", "votes"), [(5, 0), (6, 6)])
def test_half_of_the_leads_decide(n_with_p, votes):
    found = consensus(table({lead: beats(0) + beats(500)[k >= n_with_p:] for k, lead in enumerate(LEADS)}))
    assert found.votes[:, 0].tolist() == [12, votes]
    assert np.isfinite(found.ms[:, 0]).all(axis=1).tolist() == [True, votes > 0]


def test_only_leads_that_are_annotated_there_vote():
    """Four of twelve leads end after the first beat: of the other eight, four make a half, and three do not."""
    for n_with_t, there in ((4, True), (3, False)):
        late = {lead: beats(0) + [wave for wave in beats(500, 1000) if wave[0] != "T" or k < n_with_t or wave[1] > 1000]
                for k, lead in enumerate(LEADS[:8])}
        found = consensus(table(late | {lead: beats(0) for lead in LEADS[8:]}))
        assert found.votes[:, 2].tolist() == [12, n_with_t * there, 8]


def test_nothing_counts_where_most_leads_are_not_annotated():
    found = consensus(table({lead: beats(0, 500) + beats(1000)[:0 if k else 3] for k, lead in enumerate(LEADS)}))
    assert len(found.ms) == 2
    assert found.span[1] == 2 * 820


def test_missing_onsets_and_offsets_leave_the_others():
    whole = {lead: beats(0) for lead in LEADS}
    some = whole | {"V1": [("QRS", None, 141, 160)], "V2": [("QRS", 120, 150, None)]}
    found = consensus(table(some))
    assert found.ms[0, 1].tolist() == [260, 290, 320]
    none = {lead: [("QRS", None, 145, 160)] for lead in LEADS}
    np.testing.assert_array_equal(consensus(table(none)).ms[0, 1], [np.nan, 290, 320])


def test_waves_without_their_beat_have_rows_of_their_own():
    """A T before the first beat, then P P QRS T (the first P is blocked), then P without QRS."""
    waves = [("T", 10, 30, 50), ("P", 80, 90, 100), ("P", 300, 310, 320), ("QRS", 340, 350, 370), ("T", 450, 480, 500),
             ("P", 600, 610, 620)]
    found = consensus(table({lead: waves for lead in LEADS}))
    assert (found.votes > 0).tolist() == [[False, False, True], [True, False, False], [True, True, True],
                                          [True, False, False]]
    assert found.ms[2, :, 1].tolist() == [620, 700, 960]


def test_a_blocked_p_within_st_does_not_take_the_t_from_its_beat():
    waves = [("QRS", 340, 350, 370), ("P", 400, 410, 420), ("T", 450, 480, 500), ("P", 600, 610, 620),
             ("QRS", 640, 650, 670)]
    found = consensus(table({lead: waves for lead in LEADS}))
    np.testing.assert_array_equal(found.ms[:, :, 1] / 2, [[np.nan, 350, 480], [410, np.nan, np.nan],
                                                          [610, 650, np.nan]])


def test_one_lead_gives_its_own_annotation():
    all_leads = table({lead: beats(0, 500, by=k) for k, lead in enumerate(LEADS)})
    own = consensus(all_leads[all_leads["lead"] == "II"])
    np.testing.assert_array_equal(own.ms[0] / 2, np.array([at for _, *at in BEAT]) + 1)
    assert np.isnan(own.spread).all()
    assert (own.votes == 1).all()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(-15, 15), min_size=12, max_size=12), st.permutations(LEADS))
def test_medians_against_numpy_whatever_the_order(shifts, order):
    per_lead = {lead: beats(0, 400, by=by) for lead, by in zip(LEADS, shifts, strict=True)}
    found = consensus(table({lead: per_lead[lead] for lead in order}))
    expected = np.array([at for _, *at in BEAT]) + np.median(shifts)
    np.testing.assert_allclose(found.ms, 2 * np.stack([expected, expected + 400]))


def test_no_annotation():
    with pytest.raises(EcgkitError, match="no wave is annotated"):
        consensus(table({}))


@pytest.fixture
def eight_records(tmp_path):
    """Eight records, six in sinus rhythm; the first with three beats, the second with two."""
    (tmp_path / "data").mkdir()
    names = [f"data/{k}" for k in range(1, 9)]
    for k in range(1, 9):
        write_record(tmp_path / "data", str(k), heartbeat(5000, seed=k), fs=500, lead_names=[x.lower() for x in LEADS])
    marks(tmp_path / "data", "1", "(N)(t)(p)(N)(t)(p)(N)", [*range(100, 700, 100), *range(1000, 1900, 100),
                                                            *range(2000, 2600, 100)])
    marks(tmp_path / "data", "2", "(N)(N)", range(100, 2500, 400))
    rhythms = ["Atrial fibrillation" if k in (2, 5) else "Sinus rhythm" for k in range(1, 9)]
    (tmp_path / "ludb.csv").write_text(HEADER + "".join(f"{k},M,60,{rhythm},,,,,,,,\n"
                                                        for k, rhythm in enumerate(rhythms, 1)))
    (tmp_path / "RECORDS").write_text("".join(f"{name}\n" for name in names))
    return tmp_path


def test_truth_of_records_of_different_length(eight_records):
    found = truth(eight_records, ["data/1", "data/2"])
    assert found.waves.ms.shape == (2, 3, 3, 3)
    assert found.waves.kind.tolist() == [[0, 0, 0], [0, 0, -1]]
    np.testing.assert_array_equal(found.waves.rr, [[np.nan, 2400, 2000], [np.nan, 2400, np.nan]])
    assert found.waves.fs == 500
    assert found.votes.sum(axis=1).tolist() == [[24, 36, 24], [0, 24, 0]]
    assert found.span.tolist() == [[200, 5000], [200, 4200]]
    assert (found.spread[0, :, 1] == 0).all()


def test_halves_share_the_rhythms_and_leave_none_out(eight_records):
    tuning, testing = halves(eight_records)
    assert sorted([*tuning, *testing]) == [f"data/{k}" for k in range(1, 9)]
    assert len(tuning) == len(testing) == 4
    assert [len({"data/2", "data/5"} & set(half)) for half in (tuning, testing)] == [1, 1]
    assert halves(eight_records) == (tuning, testing)
    assert any(halves(eight_records, seed=seed) != (tuning, testing) for seed in range(1, 5))


@pytest.mark.real
class TestConsensusOfSample:
    def test_waves_of_the_sample(self, data_root):
        folder = data_root / "ludb-sample"
        records = (folder / "RECORDS").read_text().split()
        found = truth(folder, records)
        ms = found.waves.ms
        has = np.isfinite(ms[..., 1])
        assert has.sum(axis=(0, 1)).tolist() == [668, 903, 808]
        assert (has.any(axis=2) == has[..., 1]).all()
        assert (~has[..., 0].any(axis=1)).sum() == 15
        order = ms.reshape(len(ms), -1, 9)
        later = np.diff(order, axis=2)
        assert (later[np.isfinite(later)] > 0).mean() > 0.999
        assert np.nanmedian(ms[:, :, 1, 2] - ms[:, :, 1, 0]) == pytest.approx(98, abs=10)
        assert ((found.span[:, 0] <= np.nanmin(order, axis=(1, 2))) & (found.span[:, 1] <= 10_000)).all()

    def test_the_halves_of_the_sample_do_not_change(self, data_root):
        tuning, testing = halves(data_root / "ludb-sample")
        assert (len(tuning), len(testing)) == (50, 50)
        assert tuning[:4] == ["data/3", "data/4", "data/12", "data/13"]
        rhythm = ludb.load(data_root / "ludb-sample", task="rhythm")
        in_af = rhythm.labels[:, rhythm.label_names.index("Atrial fibrillation")] == 1
        af = set(rhythm.records["record"][in_af])
        assert sorted(len(af & set(half)) for half in (tuning, testing)) == [4, 5]
