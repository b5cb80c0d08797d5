"""The store: read once, opened without reading, read again after a change, never half of it, nothing lost."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal as signals
import subprocess
import sys
import textwrap
import time
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecgkit.datasets import store as store_module
from ecgkit.datasets.reader import read_record
from ecgkit.datasets.store import Source, cache_folder, describe, open_store
from ecgkit.errors import EcgkitError, RecordError
from tests.datasets.helpers import heartbeat, write_record

N = 7


def read(log: Path, root: Path, record: str):
    """Read a record, and keep a log of every record that was read."""
    with log.open("a") as stream:
        stream.write(record + "\n")
    signal, fs, _ = read_record(root / record, root=root, record=record)
    return signal, {"fs": f"{fs:g}"}


def slow_read(root: Path, record: str):
    time.sleep(0.05)
    return read_record(root / record, root=root, record=record)[0], {}


def clumsy_read(root: Path, record: str):
    if record == "r3":
        raise ZeroDivisionError("line one\nline two")
    return read_record(root / record, root=root, record=record)[0], {}


@pytest.fixture
def source(tmp_path):
    root = tmp_path / "root"
    for k in range(N):
        write_record(root, f"r{k}", heartbeat(200, seed=k))
    names = [f"r{k}" for k in range(N)]
    return Source("test", root, names, [(f"{name}.hea", f"{name}.dat") for name in names],
                  partial(read, tmp_path / "log"), 200, {"fs": 100})


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def times_read(source: Source) -> int:
    return len((source.root.parent / "log").read_text().splitlines())


def as_dataset(store, on_error="exclude"):
    records = pd.DataFrame({"record": [f"r{k}" for k in range(N)], "patient_id": range(N)})
    labels = np.arange(N)[:, None] % 2
    return store.dataset(records, labels, ["odd"], fs=100, name="test", on_error=on_error)


def test_second_opening_reads_no_recording(source, cache):
    first = open_store(source, cache=cache)
    assert times_read(source) == N
    for k in range(N):
        np.testing.assert_array_equal(first.signals[first.rows[k]], read_record(source.root / f"r{k}")[0])
    again = open_store(source, cache=cache)
    assert times_read(source) == N
    assert isinstance(again.signals, np.memmap)
    assert again.signals.mode == "r"
    assert again.facts == first.facts == [{"fs": "100"}] * N
    np.testing.assert_array_equal(again.signals, first.signals)


def test_pool_gives_the_same_bytes(source, cache, tmp_path):
    one = open_store(source, cache=cache, processes=1)
    two = open_store(source, cache=tmp_path / "other", processes=2)
    np.testing.assert_array_equal(one.signals, two.signals)
    assert one.facts == two.facts


@pytest.mark.parametrize("change", ["content", "time", "size", "options", "sig_len", "record", "mode"])
def test_any_change_is_read_again(source, cache, change):
    open_store(source, cache=cache)
    path = source.root / "r2.dat"
    status = path.stat()
    if change == "content":  # same size, and the time put back
        write_record(source.root, "r2", heartbeat(200, seed=99))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "time":
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    elif change == "size":
        path.write_bytes(path.read_bytes()[:-1])
    elif change == "mode":
        path.chmod(0o600 if status.st_mode & 0o077 else 0o644)
    elif change == "options":
        source = replace(source, options={"fs": 101})
    elif change == "sig_len":
        source = replace(source, sig_len=199)
    else:
        source = replace(source, records=source.records[:-1], files=source.files[:-1])
    if change == "sig_len":
        with pytest.raises(EcgkitError, match="none of 7 records"):
            as_dataset(open_store(source, cache=cache))
    else:
        store = open_store(source, cache=cache)
        assert (store.rows[2] < 0) == (change == "size")
        if change == "content":
            np.testing.assert_array_equal(store.signals[store.rows[2]], read_record(source.root / "r2")[0])
    assert times_read(source) == N + len(source.records)


def test_a_change_replaces_the_older_store(source, cache):
    open_store(source, cache=cache)
    os.utime(source.root / "r2.dat")
    open_store(source, cache=cache)
    assert len(list(cache.glob("*/*/signals.npy"))) == 1


def test_stores_of_other_options_stay(source, cache):
    open_store(source, cache=cache)
    open_store(replace(source, options={"fs": 50}), cache=cache)
    open_store(source, cache=cache)
    assert times_read(source) == 2 * N


class TestFailures:
    @pytest.fixture
    def damaged(self, source):
        (source.root / "r1.dat").unlink()
        (source.root / "r2.hea").write_text("nonsense")
        write_record(source.root, "r4", heartbeat(150))
        flat = heartbeat(200)
        flat[6] = 0
        write_record(source.root, "r5", flat)
        return source

    @pytest.mark.parametrize("processes", [1, 2])
    def test_the_rest_is_kept_and_each_fault_is_told(self, damaged, cache, processes):
        for _ in range(2):
            store = open_store(damaged, cache=cache, processes=processes)
            assert {error.record: error.reason[:30] for error in store.failures} == {
                "r1": "has no .dat file", "r2": "its header is damaged: the fir",
                "r4": "has 150 samples per lead, not ", "r5": "is flat in lead V1: no change "}
            with pytest.warns(UserWarning, match=r"^test: 4 of 7 records left out: 1 × ") as caught:
                data = as_dataset(store)
            assert "\n" not in str(caught[0].message)
            assert data.excluded == store.failures
            assert data.records["record"].tolist() == ["r0", "r3", "r6"]
            assert data.labels[:, 0].tolist() == [0, 1, 0]
            for k, name in enumerate(data.records["record"]):
                np.testing.assert_array_equal(data.batch([k])[0], read_record(damaged.root / name)[0])

    def test_raised_on_request(self, damaged, cache):
        store = open_store(damaged, cache=cache)
        with pytest.raises(RecordError, match=r"^r1: has no \.dat file$"):
            as_dataset(store, on_error="raise")

    def test_mended_file_comes_back(self, damaged, cache):
        open_store(damaged, cache=cache)
        write_record(damaged.root, "r1", heartbeat(200, seed=1))
        assert "r1" not in {error.record for error in open_store(damaged, cache=cache).failures}

    def test_an_unforeseen_error_costs_one_record(self, source, cache):
        store = open_store(replace(source, read=clumsy_read), cache=cache)
        assert [str(error) for error in store.failures] == \
            ["r3: cannot be read (ZeroDivisionError: line one line two)"]

    def test_none_left(self, source, cache):
        for name in source.records:
            (source.root / f"{name}.dat").unlink()
        with pytest.raises(EcgkitError, match=r"^test: none of 7 records can be used: 7 × has no \.dat file \(r0"):
            as_dataset(open_store(source, cache=cache))

    def test_a_record_outside_is_left_out(self, source, cache):
        write_record(source.root.parent / "outside", "x", heartbeat(200))
        hostile = replace(source, records=[*source.records[:-1], "../outside/x"],
                          files=[*source.files[:-1], ("../outside/x.hea", "../outside/x.dat")])
        store = open_store(hostile, cache=cache)
        assert [error.record for error in store.failures] == ["../outside/x"]
        assert "nothing outside is opened" in store.failures[0].reason


def test_no_failure_no_warning(source, cache):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert as_dataset(open_store(source, cache=cache), on_error="raise").excluded == ()


@pytest.mark.parametrize("damage", ["no meta", "half a meta", "another meta", "half the signals", "no signals"])
def test_a_store_that_is_not_whole_is_made_anew(source, cache, damage):
    expected = np.array(open_store(source, cache=cache).signals)
    folder = next(cache.glob("*/*/signals.npy")).parent
    if damage == "no meta":
        (folder / "meta.json").unlink()
    elif damage == "half a meta":
        (folder / "meta.json").write_text((folder / "meta.json").read_text()[:20])
    elif damage == "another meta":
        (folder / "meta.json").write_text(json.dumps([1]))
    elif damage == "half the signals":
        os.truncate(folder / "signals.npy", 1000)
    else:
        (folder / "signals.npy").unlink()
    np.testing.assert_array_equal(open_store(source, cache=cache).signals, expected)
    assert times_read(source) == 2 * N


def test_a_build_that_fails_leaves_nothing(source, cache, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module, "_fill", full)
    with pytest.raises(EcgkitError, match=r"No space left on device.*ECGKIT_CACHE"):
        open_store(source, cache=cache)
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_too_little_space_is_told_before_reading(source, cache, monkeypatch):
    monkeypatch.setattr(store_module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(EcgkitError, match=r"0\.0 GB needed"):
        open_store(source, cache=cache)
    assert not (source.root.parent / "log").exists()


def test_a_cache_that_cannot_be_written(source, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EcgkitError, match="ECGKIT_CACHE"):
        open_store(source, cache=tmp_path / "file")


KILLED = """
    import sys
    from functools import partial
    from pathlib import Path
    from ecgkit.datasets.store import Source, open_store
    from tests.datasets.test_store import slow_read
    root, cache = Path(sys.argv[1]), sys.argv[2]
    names = [f"r{k}" for k in range(7)]
    print("start", flush=True)
    open_store(Source("test", root, names, [(f"{n}.hea", f"{n}.dat") for n in names], slow_read, 200, {"fs": 100}),
               cache=cache)
"""


def test_a_killed_build_leaves_nothing_that_is_taken_for_whole(source, cache):
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(KILLED), source.root, cache],
                               stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert process.stdout.readline() == b"start\n"
    deadline = time.monotonic() + 30
    while not list(cache.glob("*/.unfinished-*/signals.npy")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signals.SIGKILL)
    process.wait()
    assert list(cache.glob("*/.unfinished-*"))
    assert not list(cache.glob("*/[!.]*"))
    store = open_store(source, cache=cache)
    assert times_read(source) == N
    np.testing.assert_array_equal(store.signals[store.rows[6]], read_record(source.root / "r6")[0])


def test_what_a_killed_build_left_is_cleared_a_day_later(source, cache):
    open_store(source, cache=cache)
    home = next(cache.iterdir())
    old, new = home / ".unfinished-old", home / ".unfinished-new"
    old.mkdir()
    new.mkdir()
    os.utime(old, (time.time() - 100_000,) * 2)
    os.utime(source.root / "r2.dat")
    open_store(source, cache=cache)
    assert not old.exists()
    assert new.exists()


def _open_in_process(source, cache, queue):
    store = open_store(source, cache=cache)
    queue.put(float(np.abs(store.signals[:]).sum()))


def test_two_processes_building_at_once(source, cache):
    source = replace(source, read=slow_read)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    both = [context.Process(target=_open_in_process, args=(source, cache, queue)) for _ in range(2)]
    for process in both:
        process.start()
    sums = [queue.get(timeout=60) for _ in both]
    for process in both:
        process.join()
    assert sums[0] == sums[1] == pytest.approx(float(np.abs(open_store(source, cache=cache).signals[:]).sum()))
    assert len(list(cache.glob("*/*"))) == 1


def test_where_stores_lie(monkeypatch, tmp_path):
    monkeypatch.setenv("ECGKIT_CACHE", str(tmp_path / "a"))
    assert cache_folder() == tmp_path / "a"
    assert cache_folder(tmp_path / "b") == tmp_path / "b"
    monkeypatch.delenv("ECGKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    assert cache_folder() == tmp_path / "c" / "ecgkit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "ecgkit"


def test_nothing_is_written_into_the_source(source, cache):
    before = sorted(source.root.rglob("*"))
    open_store(source, cache=cache)
    assert sorted(source.root.rglob("*")) == before


def test_describe_sums_up():
    failures = [RecordError(f"r{k}", "has no .hea file") for k in range(3242)] + [RecordError("x", "is short")]
    assert describe(failures) == "3,242 × has no .hea file (r0, ...); 1 × is short (x)"
    assert describe([RecordError(f"r{k}", f"reason {k}") for k in range(6)]).endswith("and 2 other reasons")
