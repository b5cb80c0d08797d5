"""Fetches a published dataset: resumable, parallel, every file checked against `SHA256SUMS.txt`.

Written on `requests`, since pooch neither resumes nor fetches in parallel and replaces a user's differing file.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import requests

from ecgkit.datasets.reader import inside
from ecgkit.errors import EcgkitError
from ecgkit.progress import track

#: Where each dataset is published.
URLS = {
    "ptbxl": "https://physionet.org/files/ptb-xl/1.0.3/",
    "ludb": "https://physionet.org/files/ludb/1.0.1/",
    "challenge": "https://physionet.org/files/challenge-2021/1.0.3/",
}
SUMS = "SHA256SUMS.txt"

_CHUNK = 1 << 14  # bytes; what a broken transfer brought since the last whole chunk is lost
_TIMEOUT = (20, 60)  # seconds to connect, seconds without a byte
_LONGEST_WAIT = 60.0
_MOST_FAILURES = 10  # files that are given up before all are
_MAY_PASS = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError,
             requests.exceptions.ContentDecodingError)
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_LINE = re.compile(r"(?P<digest>[0-9a-fA-F]{64})\s+\*?(?P<name>\S.*)")


class _GivenUpError(Exception):
    """A file that cannot be fetched, and why."""


class _BrokenError(Exception):
    """A transfer that failed in a way that may pass; `wrong` where bytes came, but not the right ones."""

    def __init__(self, reason: str, *, wrong: bool = False, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wrong, self.wait = wrong, wait


def download(source: str, destination: str | Path, *, base_url: str | None = None, skip: Sequence[str] = (),
             workers: int = 8, retries: int = 6, backoff: float = 1.0) -> Path:
    """Fetch a dataset; run it again to go on where it stopped.

    Each file is written to ``NAME.part`` and takes its name only when its SHA-256 is the listed one. Files that are
    there and right are kept. ``SHA256SUMS.txt`` is written last, so a folder that holds it is whole.

    Parameters
    ----------
    source : str
        A key of `URLS`.
    destination : path
        Folder to fetch into; made where it does not exist.
    base_url : str, optional
        Another place that publishes the same files.
    skip : sequence of str
        Files whose path begins so are left out: ``["records500/"]`` saves most of PTB-XL's size.
    workers, retries : int
        Files fetched at a time; how often one is tried again without any progress, or after wrong contents.
    backoff : float
        Seconds before the first retry; doubled with each.

    Raises
    ------
    EcgkitError
        Where a file cannot be fetched, or one that is there has other contents: it is not overwritten.
    """
    if base_url is None and source not in URLS:
        raise EcgkitError(f"no place is known to fetch {source!r} from; known are {', '.join(URLS)}, or give base_url=")
    base = (base_url or URLS[source]).rstrip("/") + "/"
    destination = Path(destination).expanduser()
    try:
        destination.mkdir(parents=True, exist_ok=True)
        with _alone(destination):
            _download(_Client(base, retries, backoff), destination, tuple(skip), workers)
    except _GivenUpError as error:
        raise EcgkitError(f"{base}{SUMS}: {error}") from None
    except OSError as error:
        raise EcgkitError(f"{destination}: cannot be written to ({error.strerror or error})") from None
    return destination


def _download(client: _Client, destination: Path, skip: tuple[str, ...], workers: int) -> None:
    listed = destination / f"{SUMS}.part"
    listed.unlink(missing_ok=True)  # it has no checksum of its own, so half of it must not be continued
    client.persist(SUMS, listed, whole=lambda: True)
    sums = {name: digest for name, digest in _parse(listed, client.base).items() if not name.startswith(skip)}
    targets = {name: inside(destination, name, f"{client.base}{SUMS}") for name in sums}
    wrong: list[str] = []
    todo: list[str] = []

    def check(name: str) -> None:
        if not targets[name].exists():
            todo.append(name)
        elif not targets[name].is_file() or _sha256(targets[name]) != sums[name]:
            wrong.append(name)

    _each(check, list(sums), workers, "checking files")
    if wrong:
        raise EcgkitError(f"{targets[min(wrong)]}: is there with other contents than published"
                          f"{f', and {len(wrong) - 1:,} files more' if len(wrong) > 1 else ''}; nothing is "
                          "overwritten: move it away, or choose another folder")

    def fetch(name: str) -> None:
        part = targets[name].with_name(targets[name].name + ".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        client.persist(name, part, whole=lambda: _sha256(part) == sums[name])
        os.replace(part, targets[name])

    failures = _each(fetch, sorted(todo), workers, "downloading")
    if failures:
        name, reason = failures[0]
        raise EcgkitError(f"{client.base}{name}: {reason}; {len(failures):,} of {len(todo):,} files not fetched"
                          f"{' before stopping' if len(failures) >= _MOST_FAILURES else ''}; run it again to go on")
    if not skip:
        os.replace(listed, destination / SUMS)
    else:
        listed.unlink()


def _each(work: Callable[[str], None], names: Sequence[str], workers: int,
          description: str) -> list[tuple[str, Exception]]:
    """Run `work` on all names in threads; return the files given up, of which a few stop the rest."""
    failures: list[tuple[str, Exception]] = []
    with ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(work, name): name for name in names}
        try:
            for future in track(as_completed(futures), description, total=len(futures), unit="files"):
                try:
                    future.result()
                except _GivenUpError as error:
                    failures.append((futures[future], error))
                if len(failures) >= _MOST_FAILURES:
                    break
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return failures


class _Client:
    """Fetches files below one address, one HTTP session per thread, as patiently as asked."""

    def __init__(self, base: str, retries: int, backoff: float) -> None:
        self.base, self._retries, self._backoff = base, retries, backoff
        self._local = threading.local()

    def persist(self, name: str, part: Path, whole: Callable[[], bool]) -> None:
        """Fetch `name` into `part`, going on where it broke off, until `whole` says that it is right."""
        vain = wrong = 0
        while True:
            before = _size(part)
            try:
                self._transfer(name, part)
                if whole():
                    return
                part.unlink()
                raise _BrokenError("its SHA-256 is not the one listed", wrong=True)
            except _BrokenError as error:
                vain = 0 if _size(part) > before else vain + (not error.wrong)
                wrong += error.wrong
                if vain + wrong > self._retries:
                    raise _GivenUpError(f"{error}, {vain + wrong} times") from None
                pause = self._backoff * 2 ** (vain + wrong - 1) * random.uniform(0.8, 1.2)
                time.sleep(min(_LONGEST_WAIT, max(pause, error.wait)))

    def _transfer(self, name: str, part: Path) -> None:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.headers["Accept-Encoding"] = "identity"
        start = _size(part)
        headers = {"Range": f"bytes={start}-"} if start else {}
        try:
            with self._local.session.get(self.base + quote(name), headers=headers, stream=True,
                                         timeout=_TIMEOUT) as answer:
                said = f"the server answered {answer.status_code} {answer.reason}"
                if answer.status_code in _PASSING:
                    wait = answer.headers.get("Retry-After", "")
                    raise _BrokenError(said, wait=float(wait) if wait.isdigit() else 0.0)
                if answer.status_code not in (200, 206, 416):
                    raise _GivenUpError(said)
                if answer.status_code != 416:  # else nothing lies behind what we have: the checksum judges it
                    with part.open("ab" if answer.status_code == 206 else "wb") as stream:
                        for chunk in answer.iter_content(_CHUNK):
                            stream.write(chunk)
        except _MAY_PASS as error:
            raise _BrokenError(_reason(error)) from None
        except requests.RequestException as error:
            raise _GivenUpError(_reason(error)) from None


def _parse(path: Path, base: str) -> Mapping[str, str]:
    """Digest of each file by its name, as ``sha256sum`` writes them."""
    sums: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        match = _LINE.fullmatch(line.strip())
        if match is None and line.strip():
            raise EcgkitError(f"{base}{SUMS}: line {number} is not a SHA-256 and a file name: {line.strip()[:60]!r}")
        if match is not None and match["name"] != SUMS:
            name = match["name"].removeprefix("./")
            if "\\" in name or name.startswith("/") or ".." in name.split("/") or name.endswith((".part", "/")):
                raise EcgkitError(f"{base}{SUMS}: names {name!r}, which is no file of the dataset; nothing was fetched")
            sums[name] = match["digest"].lower()
    if not sums:
        raise EcgkitError(f"{base}{SUMS}: lists no file")
    return sums


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder, so that two downloads never write one file; the lock dies with its process."""
    try:
        import fcntl
    except ImportError:  # Windows: the checksums still decide what counts
        yield
        return
    with (folder / ".download.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EcgkitError(f"{folder}: another download into this folder is running") from None
        try:
            yield
        finally:
            (folder / ".download.lock").unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    """What broke, in a few words: the innermost error of `requests`' nest."""
    while error.args and isinstance(error.args[-1], Exception):
        error = error.args[-1]
    return " ".join(f"{type(error).__name__}: {error}".split())[:120]
