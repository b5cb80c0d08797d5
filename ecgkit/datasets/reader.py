"""Reads one WFDB recording safely into the signal contract, or says in one line why it cannot be used."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError, RecordError
from ecgkit.leads import LEADS, standardise

#: A lead whose whole range is less than this many millivolts carries no ECG (a QRS has 0.1 mV and more).
FLAT_BELOW_MV = 0.01
#: Extensions that a user may write behind the name of a record.
EXTENSIONS = (".hea", ".dat", ".mat")
#: The header of an ECG is a few kilobytes; a larger file is something else.
_LARGEST_HEADER = 1 << 20
_INVALID_16 = -32768

_FORMAT = re.compile(r"(?P<code>\d+)(?:x(?P<per_frame>\d+))?(?::(?P<skew>\d+))?(?:\+(?P<offset>\d+))?$")
_GAIN = re.compile(r"(?P<gain>[-+]?[\d.]+(?:[eE][-+]?\d+)?)(?:\((?P<baseline>-?\d+)\))?(?:/(?P<units>\S+))?$")
_NUMBER = re.compile(r"[\d.]+(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Lead:
    """One signal line of a WFDB header."""

    file: str
    code: str
    offset: int
    gain: float
    baseline: int
    units: str
    checksum: int | None
    name: str


@dataclass(frozen=True)
class Header:
    """A WFDB header: sampling rate in Hz, samples per lead (0 where it says nothing), leads and comments."""

    record: str
    fs: float
    sig_len: int
    leads: tuple[Lead, ...]
    comments: tuple[str, ...]

    @property
    def fields(self) -> dict[str, str]:
        """Comments of the form ``key: value`` (``#Dx: 1``, ``# Dx: 1``, ``#<age>: 51``), keys in lower case."""
        pairs = (comment.split(":", 1) for comment in self.comments if ":" in comment)
        return {key.strip(" <>\t").lower(): value.strip() for key, value in pairs}


def read_record(path: str | Path, fs: float | None = None, *, seconds: float | None = None,
                root: str | Path | None = None,
                record: str | None = None) -> tuple[NDArray[np.float32], float, Header]:
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
    header = read_header(base, root=root, record=record)
    signal = _physical(base.parent, root, header)
    if seconds is not None:
        signal = cut(signal, header.fs, seconds, record)
    target = fs or header.fs
    twelve = standardise(signal, [lead.name for lead in header.leads], fs=header.fs, target_fs=target,
                         units=[lead.units for lead in header.leads], record=record)
    if seconds is not None:
        twelve = twelve[:, :round(seconds * target)]
    check_not_flat(twelve, record)
    return twelve, target, header


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


def read_header(base: Path, *, root: Path, record: str) -> Header:
    """Parse `base`.hea; see `read_record` for the parameters and errors.

    Written out because `wfdb.rdheader` refuses dates that the Challenge's own headers carry (``05-May-2020``) and
    opens paths that a header names. The date is not used here.
    """
    path = _checked(base.with_name(base.name + ".hea"), root, record)
    content = _read_bytes(path, record, largest=_LARGEST_HEADER)
    lines = [line.strip() for line in content.decode("utf-8", errors="replace").splitlines()]
    comments = tuple(line.lstrip("# \t") for line in lines if line.startswith("#"))
    lines = [line for line in lines if line and not line.startswith("#")]
    first = lines[0].split() if lines else []
    try:
        n_leads, sig_len = int(first[1]), int(first[3]) if len(first) > 3 else 0
        fs = float(_NUMBER.match(first[2])[0]) if len(first) > 2 else 250.0  # type: ignore[index]
    except (IndexError, TypeError, ValueError):
        raise RecordError(record, "its header is damaged: the first line should be `name n_leads fs sig_len`") from None
    if "/" in first[0]:
        raise RecordError(record, "is a record of several segments; write it as one first (wfdb: rdrecord, wrsamp)")
    if not 0 < n_leads <= len(lines) - 1 or sig_len < 0 or not 0 < fs < 1e6:
        raise RecordError(record, f"its header is damaged: {n_leads} leads promised and {len(lines) - 1} described, "
                                  f"{sig_len} samples at {fs:g} Hz")
    return Header(record, fs, sig_len, tuple(_lead(line, record) for line in lines[1:1 + n_leads]), comments)


def _lead(line: str, record: str) -> Lead:
    """Parse ``file format [gain [adcres [adczero [initial [checksum [blocksize [name]]]]]]]``."""
    parts = line.split(maxsplit=8)
    layout = _FORMAT.match(parts[1]) if len(parts) > 1 else None
    gain = _GAIN.match(parts[2]) if len(parts) > 2 else None
    name = parts[8].strip() if len(parts) > 8 else ""
    if layout is None or gain is None:
        raise RecordError(record, f"its header is damaged: cannot read the line {line[:80]!r}")
    if re.search(r"[/\\:\0]", parts[0]) or parts[0] in (".", "..", "~"):
        raise RecordError(record, f"its header names {parts[0]!r}, which is not a file of its own folder; not opened")
    if int(layout["per_frame"] or 1) != 1 or int(layout["skew"] or 0):
        raise RecordError(record, f"lead {name} has several samples per frame or a skew; write it plainly first")
    try:
        value, zero = float(gain["gain"]), int(parts[4]) if len(parts) > 4 else 0
        checksum = int(parts[6]) if len(parts) > 6 else None
    except ValueError:
        raise RecordError(record, f"its header is damaged: cannot read the line {line[:80]!r}") from None
    if value == 0:
        raise RecordError(record, f"lead {name} is not calibrated (gain 0), so it has no millivolts")
    return Lead(parts[0], layout["code"], int(layout["offset"] or 0), value,
                int(gain["baseline"]) if gain["baseline"] else zero, gain["units"] or "mV", checksum, name)


def _physical(folder: Path, root: Path, header: Header) -> NDArray[np.float64]:
    """Signal of all leads in their units, `(n_leads, sig_len)`; missing samples are NaN."""
    files = {name: _checked(folder / name, root, header.record)
             for name in dict.fromkeys(lead.file for lead in header.leads)}
    if all(lead.code == "16" for lead in header.leads):
        digital = _read_16(files, header)
        _check_sums(digital, header)
        gain = np.array([[lead.gain] for lead in header.leads])
        baseline = np.array([[lead.baseline] for lead in header.leads])
        return np.where(digital == _INVALID_16, np.nan, (digital - baseline) / gain)
    return _read_by_wfdb(files, header)


def _read_16(files: dict[str, Path], header: Header) -> NDArray[np.int64]:
    """Two-byte samples, the format of PTB-XL, LUDB and the Challenge: six times as fast as `wfdb.rdrecord`."""
    rows: dict[int, NDArray[np.int64]] = {}
    for name, path in files.items():
        members = [k for k, lead in enumerate(header.leads) if lead.file == name]
        content, offset = _read_bytes(path, header.record), header.leads[members[0]].offset
        sig_len = header.sig_len or max(0, len(content) - offset) // (2 * len(members))
        expected = offset + 2 * sig_len * len(members)
        if len(content) != expected:
            raise RecordError(header.record, f"is damaged: {name} has {len(content):,} bytes, its header promises "
                                             f"{expected:,}")
        samples = np.frombuffer(content, "<i2", offset=offset).reshape(-1, len(members)).T.astype(np.int64)
        rows.update(zip(members, samples, strict=True))
    if len({len(row) for row in rows.values()}) > 1:
        raise RecordError(header.record, "is damaged: its leads differ in length")
    return np.stack([rows[k] for k in range(len(header.leads))])


def _read_by_wfdb(files: dict[str, Path], header: Header) -> NDArray[np.float64]:
    """Every other storage format, by `wfdb`, from a folder that holds a clean header and the checked files only."""
    import wfdb

    lines = [f"record {len(header.leads)} {header.fs:g} {header.sig_len or ''}"]
    stored = {name: f"file{k}" for k, name in enumerate(files)}
    for lead in header.leads:
        lines.append(f"{stored[lead.file]} {lead.code}+{lead.offset} {lead.gain!r}({lead.baseline})/{lead.units} "
                     f"0 0 0 0 0 {lead.name}")
    with tempfile.TemporaryDirectory(prefix="ecgkit-") as folder:
        Path(folder, "record.hea").write_text("\n".join(lines) + "\n", encoding="utf-8")
        for name, path in files.items():
            Path(folder, stored[name]).write_bytes(_read_bytes(path, header.record))
        try:
            read = wfdb.rdrecord(str(Path(folder, "record")), physical=False)
            _check_sums(read.d_signal.T, header)
            return np.asarray(read.dac(), dtype=np.float64).T
        except RecordError:
            raise
        except Exception as error:  # wfdb raises whatever its arithmetic meets in a damaged file
            raise RecordError(header.record, f"is damaged: {_one_line(error)}") from None


def _check_sums(digital: NDArray[np.int64], header: Header) -> None:
    """Compare the 16-bit sums of the samples with the header's, unless a writer has left all of them at zero."""
    given: Sequence[int | None] = [lead.checksum for lead in header.leads]
    if not any(given):
        return
    for row, lead in zip(digital, header.leads, strict=True):
        if lead.checksum is not None and (int(row.sum(dtype=np.int64)) - lead.checksum) % (1 << 16):
            raise RecordError(header.record, f"is damaged: the samples of lead {lead.name} do not add up to its "
                                             "checksum")


def _read_bytes(path: Path, record: str, largest: int | None = None) -> bytes:
    """Read a regular file; a pipe or a device is never opened."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise RecordError(record, f"{path.name} is not a regular file")
        if largest is not None and status.st_size > largest:
            raise RecordError(record, f"{path.name} is too large for a header ({status.st_size:,} bytes)")
        return path.read_bytes()
    except FileNotFoundError:
        raise RecordError(record, f"has no {path.suffix or path.name} file") from None
    except OSError as error:
        raise RecordError(record, f"{path.name} cannot be read: {error.strerror}") from None


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]
