"""The plain WFDB record that archives are made of, 16 bits in one file, read without `wfdb`.

`wfdb` takes a millisecond and more for a header. Whatever is unusual in one is left to it, errors too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: A lead's line: file, format 16 and offset, gain, baseline, unit, bits, zero, first sample, checksum, block, name.
_LEAD = re.compile(r"(\S+) 16(?:\+(\d{1,6}))? (\d{1,9}(?:\.\d{1,9})?)\((-?\d{1,5})\)/(mV|uV) "
                   r"\d{1,2} -?\d{1,5} -?\d{1,5} (-?\d{1,6}) 0 (\S+)", re.ASCII)
#: Record line without the name: leads, rate, samples.
_RECORD = re.compile(r"\d{1,2} (\d{1,5}(?:\.\d{1,6})?) ([1-9]\d{0,8})", re.ASCII)
#: How the format says that a sample is missing.
_MISSING = -(1 << 15)


@dataclass
class Plain:
    """What `wfdb` would say of a record, as far as anybody asks."""

    fs: float
    sig_len: int
    sig_name: list[str]
    units: list[str]
    comments: list[str]
    checksum: list[int]


def read_plain(words: Sequence[str], leads: Sequence[Sequence[str]], comments: Sequence[str], path: Path,
               gain: float | None = None) -> tuple[NDArray[np.float64], Plain, NDArray[np.int64]] | None:
    """Signal `(n_leads, sig_len)` in the header's units, missing samples nan; what the header says; sums of samples.

    None where anything is unusual: several files, another format, a gain of 0, a file that is not as long as promised.
    `words` and `leads` are those of the header, `path` the file that the first lead names, checked; with a `gain`, that
    one, no baseline and millivolts take the place of what the header says.
    """
    first = _RECORD.fullmatch(" ".join(words))
    lines = [_LEAD.fullmatch(" ".join(lead)) for lead in leads]
    if first is None or not all(lines) or len({(line[1], line[2]) for line in lines if line}) != 1:
        return None
    given = [line.groups() for line in lines if line]
    fs, sig_len, offset = float(first[1]), int(first[2]), int(given[0][1] or 0)
    gains = np.array([float(each[2]) for each in given])
    if not fs or not gains.all() or path.stat().st_size != offset + 2 * len(given) * sig_len:
        return None
    stored = np.fromfile(path, dtype="<i2", offset=offset).reshape(sig_len, len(given))
    zero, units = np.array([float(each[3]) for each in given]), [each[4] for each in given]
    if gain is not None:
        gains, zero, units = np.full(len(given), gain), np.zeros(len(given)), ["mV"] * len(given)
    signal = (stored - zero) / gains
    signal[stored == _MISSING] = np.nan
    told = Plain(fs, sig_len, [each[6] for each in given], units, [line.strip(" \t#") for line in comments],
                 [int(each[5]) for each in given])
    return signal.T, told, stored.sum(axis=0, dtype=np.int64)
