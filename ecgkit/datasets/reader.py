"""Reads one WFDB recording safely into the signal contract, or says in one line why it cannot be used."""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.datasets.plain import read_plain
from ecgkit.errors import EcgkitError, RecordError
from ecgkit.leads import LEADS, canonical, standardise

#: A lead whose whole range is less than this many millivolts carries no ECG (a QRS has 0.1 mV and more).
FLAT_BELOW_MV = 0.01
#: A lead that lacks so many seconds was not recorded there; one that lacks less is damaged.
GAP = 1.0
#: Extensions that a user may write behind the name of a record.
EXTENSIONS = (".hea", ".dat", ".mat")
#: The header of an ECG is a few kilobytes; a larger file is something else.
_LARGEST_HEADER = 1 << 20
#: Samples in 12 bytes of the WFDB storage formats; the FLAC formats (508, 516, 524) have no fixed number.
_IN_12_BYTES = {"8": 12, "80": 12, "16": 6, "61": 6, "160": 6, "24": 4, "32": 3, "212": 8, "310": 9, "311": 9}
#: A header's first line and those of its leads, in words, and its comments.
Lines = tuple[list[str], list[list[str]], list[str]]
#: Where links live for a moment: in memory, if there is such a folder.
_SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@dataclass(frozen=True)
class Header:
    """What a WFDB header says: sampling rate in Hz, samples per lead, comments."""

    fs: float
    sig_len: int
    comments: tuple[str, ...]

    @property
    def fields(self) -> dict[str, str]:
        """Comments of the form ``key: value`` (``#Dx: 1``, ``# Dx: 1``, ``#<age>: 51``), keys in lower case."""
        pairs = (comment.split(":", 1) for comment in self.comments if ":" in comment)
        return {key.strip(" <>\t").lower(): value.strip() for key, value in pairs}


def read_record(path: str | Path, fs: float | None = None, *, seconds: float | None = None,
                root: str | Path | None = None, record: str | None = None,
                gain: float | None = None,
                keep_faulty: bool = False) -> tuple[NDArray[np.float32], float, Header]:
    """Read a WFDB record.

    Parameters
    ----------
    path : path
        The record, with or without its extension.
    fs : float, optional
        Rate in Hz to resample to; None keeps the record's own.
    seconds : float, optional
        Keep the first so many seconds; a shorter record is an error and is never padded.
    root : path, optional
        Folder that no file may lie outside of, symbolic links followed; the record's own folder by default.
    record : str, optional
        Name of the record in errors; `path` by default.
    gain : float, optional
        Stored units that make a millivolt in every lead, where a source's headers are known to be wrong about it.
    keep_faulty : bool
        Whether to keep a lead that is flat, and one of twelve with missing samples, for a reader that tells such leads
        from others. Where a second or more is missing, as in printed ECGs and between segments, those samples are
        nan; else a lead with missing samples is damaged, and nan throughout.

    Returns
    -------
    signal : ndarray of float32, shape (12, sig_len)
        Millivolts, leads in the order of `ecgkit.leads.LEADS`.
    fs : float
        Sampling rate of `signal` in Hz.
    header : Header
        What the header says.

    Raises
    ------
    RecordError
        Where the record is missing, damaged, short, flat or non-finite, lacks leads, or names a file outside its
        folder.
    """
    base = record_base(path)
    record = record or str(path)
    root = Path(root) if root is not None else base.parent
    signal, read = _read(base, root, record, gain)
    header = Header(float(read.fs), read.sig_len, tuple(read.comments))
    if seconds is not None:
        signal = cut(signal, header.fs, seconds, record)
    target = fs or header.fs
    gaps = _gaps(signal, read.sig_name) if keep_faulty else {}
    missing = np.isnan(signal[list(gaps.values())])
    signal[list(gaps.values())] = np.nan_to_num(signal[list(gaps.values())])
    twelve = standardise(signal, [name or "" for name in read.sig_name], fs=header.fs, target_fs=target,
                         units=read.units, record=record)
    if seconds is not None:
        twelve = twelve[:, :round(seconds * target)]
    if not keep_faulty:
        check_not_flat(twelve, record)
    missing |= missing.sum(axis=1, keepdims=True) < GAP * header.fs
    at = np.minimum(np.arange(twelve.shape[1]) * header.fs / target, missing.shape[1] - 1).astype(np.intp)
    for lead, lost in zip(gaps, missing[:, at], strict=True):
        twelve[LEADS.index(lead), lost] = np.nan
    return twelve, target, header


def _gaps(signal: NDArray[np.float64], names: Sequence[str | None]) -> dict[str, int]:
    """Row of each lead with missing samples, where all twelve leads are there; else the others follow from them."""
    leads = [canonical(name or "") for name in names]
    found = {lead: k for k, lead in enumerate(leads) if lead and not np.isfinite(signal[k]).all()}
    return found if set(LEADS) <= set(leads) else {}


def cut(signal: NDArray[np.float64], fs: float, seconds: float, record: str) -> NDArray[np.float64]:
    """Keep the first `seconds` of a signal `(n_leads, sig_len)`; a shorter one raises `RecordError`."""
    wanted = round(seconds * fs)
    if signal.shape[1] < wanted:
        raise RecordError(record, f"is short: {signal.shape[1] / fs:g} s of the {seconds:g} s wanted")
    return signal[:, :wanted]


def check_not_flat(signal: NDArray[np.float32], record: str) -> None:
    """Raise `RecordError` where a lead stays within `FLAT_BELOW_MV` for the whole record `(12, sig_len)`."""
    if not signal.shape[1]:
        raise RecordError(record, "has no samples")
    flat = np.flatnonzero(np.ptp(signal, axis=1) < FLAT_BELOW_MV)
    if flat.size:
        names = ", ".join(LEADS[k] for k in flat)
        raise RecordError(record, f"is flat in lead {names}: no change above {FLAT_BELOW_MV:g} mV")


def record_base(path: str | Path) -> Path:
    """Path of a record without its extension; a dot inside the name is not taken for one."""
    path = Path(path).expanduser()
    return path.with_suffix("") if path.suffix.lower() in EXTENSIONS else path


def find_records(path: str | Path) -> list[Path]:
    """List the records that a user means by a path.

    Parameters
    ----------
    path : path
        A record (with or without extension), a folder (every ``.hea`` file in it and below), or a ``RECORDS`` file.

    Returns
    -------
    list of Path
        Records without extension, sorted (or in the order of the ``RECORDS`` file).

    Raises
    ------
    EcgkitError
        Where there is none, or where a line of ``RECORDS`` leads out of its folder.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        found = sorted(header.with_suffix("") for header in path.rglob("*.hea"))
        if not found:
            raise EcgkitError(f"{path}: no record (.hea file) in this folder")
        return found
    if path.name == "RECORDS" and path.is_file():
        names = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
        if not any(names):
            raise EcgkitError(f"{path}: lists no record")
        return [record_base(inside(path.parent, name, str(path))) for name in names if name]
    base = record_base(path)
    if not base.with_name(base.name + ".hea").is_file():
        raise EcgkitError(f"{path}: no record, folder or RECORDS file there (looked for {base.name}.hea)")
    return [base]


def inside(root: Path, name: str, record: str) -> Path:
    """Return `root / name`; raise `RecordError` where that leads out of `root`, by ``..``, ``/`` or a link."""
    if "://" in name or "::" in name or "\0" in name:
        raise RecordError(record, f"names {name!r}, which is not a file of its folder")
    return _checked(root / name, root, record)


def _checked(path: Path, root: Path, record: str) -> Path:
    within = os.path.realpath(root)
    if os.path.commonpath([os.path.realpath(path), within]) != within:
        raise RecordError(record, f"names {str(path)!r}, which lies outside {str(root)!r}; nothing outside is opened")
    return path


def _read(base: Path, root: Path, record: str, gain: float | None) -> tuple[NDArray[np.float64], Any]:
    """Signal in the units of its header, `(n_leads, sig_len)`, missing samples NaN, and the `wfdb.Record`.

    Segments of one layout follow each other; a gap between them (a segment called ``~``) is missing samples.
    """
    header = first, lines, comments = _header_lines(base, root, record)
    if not re.search(r"/\d+$", first[0]):
        return _read_one(base, root, record, gain, header)
    if any(len(line) != 2 or not line[1].isdigit() or re.search(r"[/\\:\0]|^\.\.?$", line[0]) for line in lines) \
            or int(first[0].rpartition("/")[2]) != len(lines) or len(first) < 3:
        raise RecordError(record, f"says that it has several segments ({first[0]}), but the lines that follow do not "
                                  "name them")
    if any(length == "0" for _, length in lines):
        raise RecordError(record, "has several segments of different leads; write it as one first (wfdb: rdrecord, "
                                  "wrsamp)")
    segments = {name: base.with_name(name) for name, _ in lines if name != "~"}
    parts = {name: _read_one(segment, root, record, gain, _header_lines(segment, root, record))
             for name, segment in segments.items()}
    if not parts:
        raise RecordError(record, "has no segment but gaps")
    read = next(iter(parts.values()))[1]
    for name, (_, other) in parts.items():
        if (other.fs, other.sig_name, other.units) != (read.fs, read.sig_name, read.units):
            raise RecordError(record, f"has segments of different leads, rates or units ({name}); write it as one "
                                      "first (wfdb: rdrecord, wrsamp)")
    pieces = [parts[name][0] if name != "~" else np.full((len(read.sig_name), int(length)), np.nan)
              for name, length in lines]
    for (name, length), piece in zip(lines, pieces, strict=True):
        if piece.shape[1] != int(length):
            raise RecordError(record, f"is damaged: its segment {name} has {piece.shape[1]} samples, its header "
                                      f"promises {length}")
    read.comments = [comment.removeprefix("#").strip() for comment in comments] + list(read.comments)
    signal = np.concatenate(pieces, axis=1)
    if first[1] != str(len(signal)) or not _says(first[2], read.fs) or first[3:4] not in ([], [str(signal.shape[1])]):
        raise RecordError(record, f"is damaged: its header says {' '.join(first[1:4])!r}, its segments are "
                                  f"{len(signal)} leads, {read.fs:g} Hz, {signal.shape[1]} samples")
    read.sig_len = signal.shape[1]
    return signal, read


def _read_one(base: Path, root: Path, record: str, gain: float | None,
              header_lines: Lines) -> tuple[NDArray[np.float64], Any]:
    """The same of a record that is one segment.

    With a gain, that one, no baseline and millivolts take the place of what the header says.

    `wfdb` opens whatever a header names, so it sees only a folder with a clean header and links to the checked files.
    """
    words, leads, comments = _header_words(*header_lines, record)
    path = _checked(base.parent / leads[0][0], root, record)
    plain = read_plain(words, leads, comments, path, gain) if os.path.isfile(path) else None
    if plain is not None:
        _check_sums(plain[1], plain[2], record)
        return plain[:2]
    import wfdb  # takes a second, and most of what imports this module reads no record

    links = {name: f"file{k}" for k, name in enumerate(dict.fromkeys(lead[0] for lead in leads))}
    clean = [f"record {' '.join(words)}", *(" ".join([links[lead[0]], *lead[1:]]) for lead in leads), *comments]
    with tempfile.TemporaryDirectory(prefix="ecgkit-", dir=_SCRATCH) as folder:
        Path(folder, "record.hea").write_bytes("\n".join(clean).encode("ascii", "replace"))
        with _in_one_line(record, "its header is damaged: cannot read the lines of its leads"):
            header = wfdb.rdheader(f"{folder}/record")
        _check_numbers(header, words, leads, record)
        for name, link in links.items():
            path = _checked(base.parent / name, root, record)
            _check_size(path, [k for k, lead in enumerate(leads) if lead[0] == name], header, record)
            try:
                Path(folder, link).symlink_to(path.resolve())
            except OSError:  # Windows wants a privilege for links
                shutil.copyfile(path, Path(folder, link))
        with _in_one_line(record, "is damaged"):
            read = wfdb.rdrecord(f"{folder}/record", physical=False)
            if gain is not None:
                read.adc_gain, read.baseline, read.units = ([value] * read.n_sig for value in (gain, 0, "mV"))
            signal, sums = np.asarray(read.dac(), dtype=np.float64).T, read.calc_checksum()
    _check_sums(read, sums, record)
    return signal, read


def _check_sums(read: Any, sums: Sequence[int] | NDArray[np.int64], record: str) -> None:
    for name, given, found in zip(read.sig_name, read.checksum, sums, strict=True):
        # a writer may leave out checksums, or leave all of them at zero
        if any(read.checksum) and given is not None and (given - found) % (1 << 16):
            raise RecordError(record, f"is damaged: the samples of lead {name} do not add up to its checksum")


def _header_words(first: list[str], leads: list[list[str]], comments: list[str],
                  record: str) -> tuple[list[str], list[list[str]], list[str]]:
    """Record line (no name, no date: `wfdb` refuses ``05-May-2020``) and leads, in words, and comments of a header.

    `wfdb` parses them. Here, files that leads name are checked to be plain names.
    """
    if not leads or first[1:2] != [str(len(leads))]:
        raise RecordError(record, "its header is damaged: the first line should be `name n_leads fs sig_len`, and "
                                  f"n_leads the number of lines that follow ({len(leads)})")
    for name, *_ in leads:
        if re.search(r"[/\\:\0]", name) or name in (".", "..", "~"):
            raise RecordError(record, f"its header names {name!r}, which is not a file of its own folder; not opened")
    length = [word for word in first[3:4] if word != "0"]  # zero stands for unknown
    return [*first[1:3], *length], leads, comments


def _header_lines(base: Path, root: Path, record: str) -> Lines:
    """First line of a header and those that follow, in words, and its comments."""
    path = _checked(base.with_name(base.name + ".hea"), root, record)
    if (size := _size(path, record)) > _LARGEST_HEADER:
        raise RecordError(record, f"{path.name} is too large for a header ({size:,} bytes)")
    text = path.read_bytes().decode("utf-8", errors="replace")
    # wfdb drops what is not ASCII, which would turn microvolts into volts
    lines = [line.strip() for line in text.replace("\u00b5", "u").replace("\u03bc", "u").splitlines()]
    first, *leads = [line.split() for line in lines if line and not line.startswith("#")] or [[""]]
    return first, leads, [line for line in lines if line.startswith("#")]


def _check_numbers(header: Any, words: list[str], leads: list[list[str]], record: str) -> None:
    """Refuse numbers that `wfdb` could not read and took for its defaults (250 Hz, gain 200), and unusual leads."""
    if not 0 < header.fs < 1e6 or not all(map(_says, words[1:], (header.fs, header.sig_len))):
        raise RecordError(record, f"its header is damaged: {' '.join(words[1:])!r} should be a rate in Hz and a length")
    for k, lead in enumerate(leads):
        name, gain = header.sig_name[k], "".join(lead[2:3])
        if _says(gain, 0):
            raise RecordError(record, f"lead {name} is not calibrated (gain 0), so it has no millivolts")
        if not _says(gain, header.adc_gain[k]):
            raise RecordError(record, f"its header is damaged: cannot read the line {' '.join(lead)[:80]!r}")
        if header.samps_per_frame[k] != 1 or header.skew[k]:
            raise RecordError(record, f"lead {name} has several samples per frame or a skew; write it plainly first")


def _says(word: str, value: float | None) -> bool:
    """Whether a word of a header (``500``, ``500/100``, ``1000(0)/mV``) gives this number."""
    try:
        return value is not None and math.isclose(float(re.split(r"[(/]", word)[0]), value)
    except (ValueError, OverflowError):
        return False


def _check_size(path: Path, leads: list[int], header: Any, record: str) -> None:
    """Refuse a file of these leads that is not as long as promised; `wfdb` reads the start of a longer one."""
    size, offset = _size(path, record), header.byte_offset[leads[0]] or 0
    if (in_12_bytes := _IN_12_BYTES.get(header.fmt[leads[0]])) is None:
        return
    sig_len = header.sig_len or (size - offset) * in_12_bytes // 12 // len(leads)
    promised = offset - (-12 * sig_len * len(leads) // in_12_bytes)  # rounded up
    spare = 3 if 12 % in_12_bytes else 0  # writers may fill up the last group of a packed format
    if not promised <= size <= promised + spare:
        raise RecordError(record, f"is damaged: {path.name} has {size:,} bytes, its header promises {promised:,}")


def _size(path: Path, record: str) -> int:
    """Bytes of a regular file; a pipe or a device is refused before it is opened."""
    if not os.path.exists(path):
        raise RecordError(record, f"has no {path.suffix or path.name} file")
    if not os.path.isfile(path) or not os.access(path, os.R_OK):
        raise RecordError(record, f"{path.name} is not a regular file that may be read")
    return path.stat().st_size


@contextmanager
def _in_one_line(record: str, what: str) -> Iterator[None]:
    """Tell an error in one line: `wfdb` raises whatever its arithmetic meets in a damaged file."""
    try:
        yield
    except Exception as error:
        raise RecordError(record, f"{what}: " + " ".join(f"{type(error).__name__}: {error}".split())[:160]) from None
