"""Progress bars that show on a terminal or in a live notebook and stay quiet in a log."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import IO, TypeVar

from tqdm import tqdm

T = TypeVar("T")

#: `on` shows bars on standard error, `tty` on the controlling terminal (a batch kernel has no other way to
#: reach it), `off` nowhere. Unset: wherever somebody is looking.
VARIABLE = "ECGKIT_PROGRESS"


def track(items: Iterable[T], description: str, *, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Yield the items while a bar counts them.

    Parameters
    ----------
    items : iterable
        What to count.
    description : str
        What is being done, shown left of the bar: ``"reading records"``.
    total : int, optional
        Number of items, where `items` has no length.
    unit : str
        What one item is.

    Yields
    ------
    object
        The items, unchanged.
    """
    stream = _stream()
    try:
        yield from tqdm(items, desc=description, total=total, unit=unit, file=stream or sys.stderr,
                        disable=stream is None, mininterval=0.5, leave=False, dynamic_ncols=True)
    finally:
        if stream not in (None, sys.stderr):
            stream.close()


def _stream() -> IO[str] | None:
    wanted = os.environ.get(VARIABLE, "")
    if wanted == "off":
        return None
    if wanted == "tty":
        try:
            return open("/dev/tty", "w", encoding="utf-8")
        except OSError:
            return None
    if wanted == "on" or sys.stderr.isatty() or "ipykernel" in sys.modules:
        return sys.stderr
    return None
