"""`ECGDataset`: parts fit together, subsets share the signals, label subsets are nested and by patient."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from ecgkit.datasets import ECGDataset, from_arrays, join
from ecgkit.errors import EcgkitError, RecordError

N, FS = 400, 100


@pytest.fixture
def data():
    """400 ECGs of about 150 patients with three labels and ten folds; ECG k holds the number k."""
    rng = np.random.default_rng(0)
    patients = rng.integers(0, 150, N)
    signals = np.broadcast_to(np.arange(N, dtype=np.float32)[:, None, None], (N, 12, 20)).copy()
    records = pd.DataFrame({"record": [f"r{k}" for k in range(N)], "patient_id": patients,
                            "strat_fold": patients % 10 + 1, "age": rng.integers(20, 90, N)})
    labels = (rng.random((N, 3)) < [0.5, 0.3, 0.1]).astype(np.uint8)
    return from_arrays(signals, labels, ["A", "B", "C"], FS, records=records, name="test")


def numbers(data):
    """Which ECGs a set holds, by its signals; they must be those of its records."""
    found = data.batch(np.arange(len(data)))[:, 0, 0].astype(int)
    assert [f"r{k}" for k in found] == data.records["record"].tolist()
    return found


def test_size_and_text(data):
    assert (len(data), data.sig_len, data.fs) == (N, 20, FS)
    assert data.n_patients == data.records["patient_id"].nunique()
    assert repr(data) == f"<test: 400 ECGs of {data.n_patients} patients, 0.2 s at 100 Hz, 3 labels>"


class TestSubset:
    def test_mask_and_positions_agree(self, data):
        mask = data.records["age"].to_numpy() > 60
        for which in (mask, np.flatnonzero(mask), list(np.flatnonzero(mask))):
            part = data.subset(which)
            np.testing.assert_array_equal(numbers(part), np.flatnonzero(mask))
            np.testing.assert_array_equal(part.labels, data.labels[mask])
            assert part.records.index.tolist() == list(range(len(part)))

    def test_of_a_subset(self, data):
        part = data.subset([5, 3, 9, 3]).subset([3, 1])
        np.testing.assert_array_equal(numbers(part), [3, 3])

    def test_shares_memory(self, data):
        part = data.train.subset([1, 2, 3])
        assert np.shares_memory(part.store, data.store)
        assert part.store is data.store

    def test_whole_signals_are_not_copied_and_parts_are_right(self, data):
        assert data.signals is data.store
        np.testing.assert_array_equal(data.subset([7, 2]).signals, data.store[[7, 2]])
        permuted = data.subset(np.arange(N)[::-1])
        np.testing.assert_array_equal(permuted.signals, data.store[::-1])

    def test_batch_is_a_copy(self, data):
        batch = data.batch(slice(0, 3))
        batch[:] = -1
        assert data.store[0, 0, 0] == 0
        assert batch.flags.c_contiguous

    def test_memory_map_stays_one(self, data, tmp_path):
        np.save(tmp_path / "x.npy", data.store)
        mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
        part = ECGDataset(mapped, data.records, data.labels, data.label_names, FS, "mapped").train
        assert isinstance(part.store, np.memmap)
        assert type(part.batch([0])) is np.ndarray

    def test_empty(self, data):
        part = data.subset(np.zeros(N, dtype=bool))
        assert len(part) == 0
        assert part.signals.shape == (0, 12, 20)
        assert part.batch([]).shape == (0, 12, 20)
        assert part.n_patients == 0


class TestFolds:
    def test_official_use(self, data):
        fold = data.records["strat_fold"].to_numpy()
        np.testing.assert_array_equal(numbers(data.train), np.flatnonzero(fold <= 8))
        np.testing.assert_array_equal(numbers(data.validation), np.flatnonzero(fold == 9))
        np.testing.assert_array_equal(numbers(data.test), np.flatnonzero(fold == 10))

    def test_without_folds(self, data):
        bare = from_arrays(data.store, data.labels, data.label_names, FS)
        with pytest.raises(EcgkitError, match="arrays has no folds; add a column strat_fold"):
            _ = bare.train


class TestLabelFraction:
    def test_nested(self, data):
        for seed in range(3):
            sets = [set(numbers(data.train.label_fraction(fraction, seed)))
                    for fraction in (0.01, 0.05, 0.1, 0.5, 1.0)]
            assert all(small <= large for small, large in pairwise(sets))
            assert len(sets[0]) >= 1
            assert sets[-1] == set(numbers(data.train))

    def test_patients_stay_whole(self, data):
        part = data.label_fraction(0.1)
        chosen = set(part.records["patient_id"])
        assert len(part) == data.records["patient_id"].isin(chosen).sum()
        assert len(chosen) == round(0.1 * data.n_patients)

    def test_stratified(self, data):
        part = data.label_fraction(0.5)
        np.testing.assert_allclose(part.labels.mean(axis=0), data.labels.mean(axis=0), atol=0.06)

    def test_seed_decides(self, data):
        np.testing.assert_array_equal(numbers(data.label_fraction(0.2, 3)), numbers(data.label_fraction(0.2, 3)))
        assert set(numbers(data.label_fraction(0.2, 3))) != set(numbers(data.label_fraction(0.2, 4)))

    @pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan")])
    def test_out_of_range(self, data, fraction):
        with pytest.raises(EcgkitError, match="give a number above 0 and up to 1"):
            data.label_fraction(fraction)

    @pytest.mark.real
    def test_on_the_sample(self, sample_root):
        import ecgkit.datasets
        train = ecgkit.datasets.load("ptbxl", root=sample_root).train
        for fraction in (0.1, 0.5):
            part = train.label_fraction(fraction, seed=1)
            np.testing.assert_allclose(part.labels.mean(axis=0), train.labels.mean(axis=0), atol=0.03)
            assert part.n_patients == round(fraction * train.n_patients)


class TestWithLabels:
    def test_order_and_rows(self, data):
        part = data.with_labels(["C", "A"])
        assert part.label_names == ("C", "A")
        np.testing.assert_array_equal(part.labels, data.labels[:, [2, 0]])
        assert len(part) == N

    def test_unknown(self, data):
        with pytest.raises(EcgkitError, match="test has no label 'D'; it has A, B, C"):
            data.with_labels(["A", "D"])


class TestFingerprint:
    def test_same_wherever_the_data_lie(self, data, tmp_path):
        np.save(tmp_path / "x.npy", data.store[::-1])
        mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
        elsewhere = ECGDataset(mapped, data.records, data.labels, data.label_names, FS, "other",
                               rows=np.arange(N)[::-1])
        assert elsewhere.fingerprint() == data.fingerprint()
        assert len(data.fingerprint()) == 16

    @pytest.mark.parametrize("change", ["signal", "label", "record", "fs", "label name", "order", "subset"])
    def test_any_change_changes_it(self, data, change):
        store, labels, records = data.store.copy(), data.labels.copy(), data.records.copy()
        fs, names, rows = FS, ["A", "B", "C"], np.arange(N)
        if change == "signal":
            store[399, 11, 19] += 1e-3
        elif change == "label":
            labels[399, 2] ^= 1
        elif change == "record":
            records.loc[399, "record"] = "x"
        elif change == "fs":
            fs = 101
        elif change == "label name":
            names[2] = "D"
        elif change == "order":
            rows = rows[::-1]
        other = ECGDataset(store, records, labels, tuple(names), fs, "test", rows=rows)
        if change == "subset":
            other = other.subset(np.arange(N - 1))
        assert other.fingerprint() != data.fingerprint()

    def test_stable_between_versions(self):
        """A value written down: the published manifest depends on it."""
        signals = np.arange(2 * 12 * 5, dtype=np.float32).reshape(2, 12, 5)
        data = from_arrays(signals, [[1, 0], [0, 1]], ["A", "B"], 100)
        assert data.fingerprint() == "3f67970b7366101c"


class TestMistakes:
    @pytest.mark.parametrize(("labels", "names"), [(np.zeros((3, 2)), ["A", "B"]), (np.zeros((2, 2)), ["A"]),
                                                   (np.zeros(2), ["A"])])
    def test_parts_that_do_not_fit(self, labels, names):
        with pytest.raises(EcgkitError, match="do not fit together"):
            from_arrays(np.zeros((2, 12, 10)), labels, names, FS)

    @pytest.mark.parametrize("shape", [(2, 8, 10), (2, 10, 12), (12, 10)])
    def test_wrong_shape(self, shape):
        with pytest.raises(EcgkitError, match=r"expected \(n, 12, sig_len\)"):
            from_arrays(np.zeros(shape), np.zeros((shape[0], 1)), ["A"], FS)

    def test_missing_column(self):
        with pytest.raises(EcgkitError, match="lacks the column patient_id"):
            from_arrays(np.zeros((1, 12, 10)), [[1]], ["A"], FS, records=pd.DataFrame({"record": ["a"]}))


def test_excluded_are_those_of_the_source_only(data):
    failed = ECGDataset(data.store, data.records, data.labels, data.label_names, FS, "test",
                        excluded=(RecordError("x", "is short"),))
    assert str(failed.excluded[0]) == "x: is short"
    assert failed.train.excluded == ()


class TestJoin:
    def test_all_ecgs_in_order_with_their_source(self, data):
        other = replace(data.subset([5, 3]), name="other")
        pool = join(data.train, other)
        assert pool.name == "test + other"
        np.testing.assert_array_equal(numbers(pool), [*numbers(data.train), 5, 3])
        assert pool.records["source"].tolist() == ["test"] * len(data.train) + ["other"] * 2
        assert pool.records.columns.tolist() == ["record", "patient_id", "source"]
        assert (pool.labels.shape, pool.label_names) == ((len(pool), 0), ())
        assert (pool.fs, pool.sig_len) == (FS, 20)
        assert join(other, name="pool").name == "pool"

    def test_patients_of_two_sources_never_meet_and_of_one_stay_together(self, data):
        pool = join(data, replace(data, name="other"))
        assert pool.n_patients == 2 * data.n_patients
        first = pool.records["patient_id"][:N]
        np.testing.assert_array_equal(pd.factorize(first)[0], pd.factorize(data.records["patient_id"])[0])

    def test_is_a_copy(self, data):
        join(data).store[:] = -1
        assert data.store[3, 0, 0] == 3

    def test_mistakes(self, data):
        with pytest.raises(EcgkitError, match="test has 20 samples at 100 Hz and short 10 at 100 Hz; load them alike"):
            join(data, replace(data, name="short", store=data.store[..., :10]))
        with pytest.raises(EcgkitError, match="and fast 20 at 500 Hz"):
            join(data, replace(data, name="fast", fs=500))
        with pytest.raises(EcgkitError, match="two sets to join are called 'test'"):
            join(data.train, data.validation)
        with pytest.raises(EcgkitError, match="at least one"):
            join()
