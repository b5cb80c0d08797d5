"""The plain path gives what `wfdb` gives, sample for sample, and leaves to it whatever is unusual."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgkit.datasets import plain, reader
from ecgkit.datasets.plain import read_plain
from ecgkit.datasets.reader import read_record
from ecgkit.errors import RecordError
from tests.datasets.helpers import heartbeat, write_record

DATA = Path(os.environ.get("ECGKIT_DATA", "no-such-folder"))
#: Of the samples' records, so many are read in both ways.
MOST = 150


def both(path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[Any]:
    """What the reader gives, and what it gives where every record is left to `wfdb`; errors as their text."""
    found: list[Any] = []
    for take in (plain.read_plain, lambda *_: None):
        monkeypatch.setattr(reader, "read_plain", take)
        try:
            found.append(read_record(path, **options))
        except RecordError as error:
            found.append(str(error))
    return found


def same(first: Any, second: Any) -> None:
    if isinstance(first, str) or isinstance(second, str):
        assert first == second
        return
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1:] == second[1:]


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the samples of real ECGs")
@pytest.mark.parametrize("sample", ["ptb-xl-sample", "challenge-sample", "ludb-sample", "cinc2011-unlabelled",
                                    "awkward"])
def test_real_records_are_the_same(sample: str, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = sorted((DATA / sample).rglob("*.hea"))
    for path in headers[::max(1, len(headers) // MOST)]:
        same(*both(path, monkeypatch, keep_faulty=True))


def test_most_real_records_are_plain(tmp_path: Path) -> None:
    base = write_record(tmp_path, "r", heartbeat())
    words, leads, comments = reader._header_words(*reader._header_lines(base, tmp_path, "r"), "r")
    found = read_plain(words, leads, comments, base.with_suffix(".dat"))
    assert found is not None
    assert found[1].sig_len == found[0].shape[1] == heartbeat().shape[1]


@pytest.mark.parametrize(("old", "new"), [
    (" 16 ", " 212 "), (" 16 ", " 16x2 "), (" 16 ", " 16:3 "), ("(0)/mV", "/mV"), ("(0)/mV", "(0)/V"),
    ("(0)/mV", "(7)/mV"), ("(0)/mV", "(0)/uV"), ("r 12 100 ", "r 12 100/50 "), ("r 12 100 ", "r 12 0 "),
    ("1000(0)", "0(0)"), ("1000(0)", "-1000(0)"), ("1000(0)", "1e3(0)"), (" V6", " V6 left"),
    (" 0 I\n", " 0 I\u00b5\n")])
def test_an_unusual_header_gives_the_same_signal_or_the_same_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                   old: str, new: str) -> None:
    base = write_record(tmp_path, "r", heartbeat())
    header = base.with_suffix(".hea")
    text = header.read_text()
    assert old in text
    header.write_text(text.replace(old, new), encoding="utf-8")
    same(*both(base, monkeypatch))


@pytest.mark.parametrize("change", [b"", b"\0", b"\0\0" * 12])
def test_a_file_of_another_length_gives_the_same_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                       change: bytes) -> None:
    base = write_record(tmp_path, "r", heartbeat())
    file = base.with_suffix(".dat")
    file.write_bytes(file.read_bytes()[:-2] + change)
    first, second = both(base, monkeypatch)
    assert first == second
    assert "bytes, its header promises" in first


def test_a_wrong_checksum_and_missing_samples_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = write_record(tmp_path, "r", heartbeat())
    file = base.with_suffix(".dat")
    stored = np.fromfile(file, dtype="<i2").reshape(-1, 12)
    stored[5, 3] += 1
    stored.tofile(file)
    first, second = both(base, monkeypatch)
    assert first == second
    assert "do not add up to its checksum" in first
    stored[:, 6] = -(1 << 15)
    stored.tofile(file)
    header = base.with_suffix(".hea")
    lines = [line.split() for line in header.read_text().splitlines()]
    header.write_text("\n".join(" ".join([*line[:6], "0", *line[7:]]) if len(line) > 7 else " ".join(line)
                                for line in lines) + "\n")
    same(*both(base, monkeypatch, keep_faulty=True))
    same(*both(base, monkeypatch, gain=500.0, keep_faulty=True))


def test_a_file_outside_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    base = write_record(inside, "r", heartbeat())
    file = base.with_suffix(".dat")
    file.rename(outside / "r.dat")
    file.symlink_to(outside / "r.dat")
    opened: list[Any] = []
    monkeypatch.setattr(np, "fromfile", lambda *args, **options: opened.append(args))
    with pytest.raises(RecordError, match="lies outside"):
        read_record(base)
    assert not opened
