"""Reads a source's recordings once, then opens them memory-mapped; a changed file is read again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError, RecordError
from ecgkit.leads import N_LEADS
from ecgkit.progress import track

#: Raise it when what is stored, or how it is computed, changes: older stores are then read again.
VERSION = 1
#: Environment variable that names the folder of all stores.
VARIABLE = "ECGKIT_CACHE"

_BLOCK = 64  # records that a process reads between two reports of progress
_WORTH_A_POOL = 1_000  # records; below, starting processes takes about as long as they save
_ABANDONED_AFTER = 24 * 3600.0  # seconds after which an unfinished build is taken for dead

#: Reads one record: ``read(root, record)`` gives a signal `(12, sig_len)` and what else the record says.
Read = Callable[[Path, str], tuple[NDArray[np.float32], Mapping[str, str]]]


def read_table(path: Path, missing: str, columns: Iterable[str] = (), lacks: str = "lacks the column {!r}",
               **options: Any) -> pd.DataFrame:
    """Read a source's CSV with the options of pandas; say `missing` where there is none, `lacks` of a column."""
    try:
        table = pd.read_csv(path, **options)
    except FileNotFoundError:
        raise EcgkitError(missing) from None
    except (OSError, ValueError) as error:
        raise EcgkitError(f"{path}: cannot be read as CSV ({' '.join(str(error).split())[:120]})") from None
    lacking = [name for name in columns if name not in table]
    if lacking:
        raise EcgkitError(f"{path}: {lacks.format(lacking[0])}")
    return table


@dataclass(frozen=True)
class Source:
    """What is to be read, and how.

    `name` is part of the store's folder; `records` are names and `files` those of each, relative to `root`: a record
    that lacks one is left out, and a changed one is a reason to read all again. `read`, which other processes import,
    gives `sig_len` samples; `options` (JSON values) are what else changes the signals.
    """

    name: str
    root: Path
    records: Sequence[str]
    files: Sequence[Sequence[str]]
    read: Read
    sig_len: int
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Store:
    """Signals `(n_stored, 12, sig_len)`, memory-mapped.

    `rows[i]` is where record i of the source lies in it (-1 for one left out), `facts[i]` what the record said of
    itself, and `failures` says why records were left out.
    """

    signals: NDArray[np.float32]
    rows: NDArray[np.intp]
    facts: list[Mapping[str, str]]
    failures: tuple[RecordError, ...]

    def dataset(self, records: pd.DataFrame, labels: NDArray[Any], label_names: Sequence[str], *, fs: float, name: str,
                on_error: str) -> ECGDataset:
        """Join the signals with the records' rows and labels (in the order of the source).

        With `on_error` ``"raise"`` the first failure is raised; where no record can be used, an `EcgkitError` is.
        """
        if self.failures and on_error == "raise":
            raise self.failures[0]
        kept = np.flatnonzero(self.rows >= 0)
        if not kept.size:
            raise EcgkitError(f"{name}: none of {len(self.rows):,} records can be used: {describe(self.failures)}")
        if self.failures:
            warnings.warn(f"{name}: {len(self.failures):,} of {len(self.rows):,} records left out: "
                          f"{describe(self.failures)} (all in the attribute `excluded`)", stacklevel=4)
        return ECGDataset(self.signals, records.iloc[kept].reset_index(drop=True),
                          np.asarray(labels, dtype=np.uint8)[kept], tuple(label_names), fs, name,
                          rows=self.rows[kept], excluded=self.failures)


def check_on_error(on_error: str) -> None:
    """Refuse a value of `on_error` other than ``"exclude"`` and ``"raise"``."""
    if on_error not in ("exclude", "raise"):
        raise EcgkitError(f"on_error={on_error!r}: give 'exclude' or 'raise'")


def describe(failures: Iterable[RecordError], most: int = 4) -> str:
    """Sum up why records were left out, in one line: each reason, how often, and one record that has it."""
    failures = list(failures)
    counts = Counter(failure.reason for failure in failures)
    example = {failure.reason: failure.record for failure in reversed(failures)}
    parts = [f"{count:,} × {reason} ({example[reason]}{', ...' if count > 1 else ''})"
             for reason, count in counts.most_common(most)]
    if len(counts) > most:
        parts.append(f"and {len(counts) - most:,} other reasons")
    return "; ".join(parts)


def cache_folder(cache: str | Path | None = None) -> Path:
    """Folder of all stores: `cache`, else ``ECGKIT_CACHE``, else the user's cache folder (``~/.cache/ecgkit``)."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "ecgkit")
    return Path(cache or os.environ.get(VARIABLE) or usual).expanduser()


def open_store(source: Source, *, cache: str | Path | None = None, processes: int | None = None) -> Store:
    """Open the store of a source; read the source first where there is none or a file has changed.

    It lies in the `cache_folder`. By default one process reads below 1,000 records, and one per core above.
    """
    digest, missing = _fingerprint(source)
    present = [k for k in range(len(source.records)) if k not in missing]
    place = json.dumps([source.name, os.path.realpath(source.root), source.sig_len, dict(source.options)])
    home = cache_folder(cache) / f"{source.name}-{hashlib.sha256(place.encode()).hexdigest()[:12]}"
    found = _open(home / digest, source, missing, present)
    if found is not None:
        return found
    try:
        home.mkdir(parents=True, exist_ok=True)
        if (home / digest).exists():  # there, but not whole
            _discard(home / digest)
        _build(home, digest, source, present, processes)
    except OSError as error:
        raise EcgkitError(f"{home}: cannot keep the recordings here ({error.strerror or error}); free space, or set "
                          f"{VARIABLE} to another folder") from None
    found = _open(home / digest, source, missing, present)
    if found is None:
        raise EcgkitError(f"{home / digest}: the store was changed while it was opened; try again")
    _tidy(home, keep=digest)
    return found


def _fingerprint(source: Source) -> tuple[str, dict[int, str]]:
    """Digest of name, size and times of every file; and, by position, the records that lack a file.

    The time of the last change of status is among them: it tells a file whose permission was mended.
    """
    said = [f"{VERSION} {source.sig_len}"]
    missing: dict[int, str] = {}
    for k, files in enumerate(source.files):
        for name in files:
            try:
                status = os.stat(os.path.join(source.root, name))
                said.append(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ctime_ns}")
            except (OSError, ValueError):
                said.append(f"{name}\0missing")
                missing.setdefault(k, f"has no {Path(name).suffix or name} file")
    return hashlib.sha256("\n".join(said).encode(errors="surrogateescape")).hexdigest()[:32], missing


def _open(folder: Path, source: Source, missing: Mapping[int, str], present: Sequence[int]) -> Store | None:
    """Open a finished store; None where there is none that is whole."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        signals = np.load(folder / "signals.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    whole = isinstance(meta, dict) and meta.get("version") == VERSION
    if not whole or signals.shape != (len(present), N_LEADS, source.sig_len):
        return None
    rows = np.full(len(source.records), -1, dtype=np.intp)
    rows[list(present)] = np.arange(len(present))
    reasons = dict(missing)
    facts: list[Mapping[str, str]] = [{} for _ in source.records]
    for row, reason in meta["failures"]:
        rows[present[row]] = -1
        reasons[present[row]] = reason
    for row, fact in meta["facts"]:
        facts[present[row]] = fact
    failures = tuple(RecordError(source.records[k], reasons[k]) for k in sorted(reasons))
    return Store(signals, rows, facts, failures)


def _build(home: Path, digest: str, source: Source, present: Sequence[int], processes: int | None) -> None:
    """Read everything into a folder beside, then move it into place in one step."""
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=home))
    try:
        path = unfinished / "signals.npy"
        shape = (len(present), N_LEADS, source.sig_len)
        needed, free = 4 * int(np.prod(shape)), shutil.disk_usage(home).free
        if needed > free:
            raise OSError(f"{needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free")
        with path.open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
            start = stream.tell()
            stream.truncate(start + needed)
        failures, facts = _fill(path, start, source, present, processes)
        with path.open("rb") as stream:
            os.fsync(stream.fileno())  # a power cut must not leave zeros that look like a store
        meta = {"version": VERSION, "source": source.name, "failures": failures, "facts": facts}
        (unfinished / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        _move(unfinished, home / digest)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _fill(path: Path, start: int, source: Source, present: Sequence[int],
          processes: int | None) -> tuple[list[tuple[int, str]], list[tuple[int, Mapping[str, str]]]]:
    """Read all records, in processes where that is worth while; by row, why records failed and what they said."""
    work = [(row, source.records[k]) for row, k in enumerate(present)]
    blocks = [work[k:k + _BLOCK] for k in range(0, len(work), _BLOCK)]
    processes = processes or ((os.cpu_count() or 1) if len(work) >= _WORTH_A_POOL else 1)
    args = (path, start, source.root, source.read, source.sig_len)
    if processes == 1:
        done: Iterator[Any] = (_read_block(block, *args) for block in blocks)
    else:  # loky: works from scripts without a main guard, and never forks a process that has threads
        from joblib import Parallel, delayed

        done = Parallel(n_jobs=processes, return_as="generator_unordered")(
            delayed(_read_block)(block, *args) for block in blocks)
    bar = track(done, f"reading {source.name} ({len(work):,} records)", total=len(blocks), unit=f"{_BLOCK} records")
    outcome = sorted((one for block in bar for one in block), key=lambda one: one[0])
    return [(row, reason) for row, reason, _ in outcome if reason], [(row, said) for row, _, said in outcome if said]


def _read_block(block: Sequence[tuple[int, str]], path: Path, start: int, root: Path, read: Read,
                sig_len: int) -> list[tuple[int, str, Mapping[str, str]]]:
    """Read some records and write each at its place in the store's file; its row, why it failed, and what it said."""
    outcome: list[tuple[int, str, Mapping[str, str]]] = []
    with path.open("r+b") as stream:
        for row, record in block:
            try:
                signal, said = read(root, record)
                if signal.shape != (N_LEADS, sig_len):
                    raise RecordError(record, f"has {signal.shape[-1]:,} samples per lead, not {sig_len:,}")
            except RecordError as error:
                outcome.append((row, error.reason, {}))
            except Exception as error:  # one bad file never loses the rest
                outcome.append((row, " ".join(f"cannot be read ({type(error).__name__}: {error})".split()), {}))
            else:
                stream.seek(start + row * 4 * N_LEADS * sig_len)
                stream.write(np.ascontiguousarray(signal, dtype="<f4").tobytes())
                outcome.append((row, "", dict(said)))
    return outcome


def _move(unfinished: Path, final: Path) -> None:
    """Put a finished store in place; one that another process has put there meanwhile is as good, and stays."""
    try:
        unfinished.rename(final)
    except OSError:
        if not (final / "meta.json").is_file():
            raise
        shutil.rmtree(unfinished, ignore_errors=True)


def _discard(folder: Path) -> None:
    """Remove a store in one step, so that nobody finds half of it."""
    aside = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder.parent))
    folder.rename(aside / "discarded")
    shutil.rmtree(aside, ignore_errors=True)


def _tidy(home: Path, keep: str) -> None:
    """Remove the stores of earlier states of the files, and what a killed build left a day ago."""
    for folder in home.iterdir():
        abandoned = folder.name.startswith(".unfinished-") and _age(folder) > _ABANDONED_AFTER
        if abandoned or not (folder.name == keep or folder.name.startswith(".")):
            shutil.rmtree(folder, ignore_errors=True)


def _age(folder: Path) -> float:
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:
        return 0.0
