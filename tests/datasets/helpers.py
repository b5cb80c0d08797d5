"""Small WFDB recordings written by hand, for tests of the readers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecgkit.leads import LEADS

Array = NDArray[np.float64]


def heartbeat(sig_len: int = 1000, seed: int = 0) -> Array:
    """A smooth signal `(12, sig_len)` in mV, different in every lead."""
    rng = np.random.default_rng(seed)
    time = np.arange(sig_len) / sig_len
    waves = [rng.normal(0, 0.4) * np.sin(2 * np.pi * (k + 1) * time + rng.uniform(0, 6)) for k in range(5)]
    return np.stack([sum(rng.uniform(0.5, 1.5) * wave for wave in waves) + 0.2 * np.sin(40 * time) for _ in LEADS])


def write_record(folder: Path, name: str, signal: Array, *, fs: float = 100, lead_names: Sequence[str] = LEADS,
                 gain: float = 1000, baseline: int = 0, units: str = "mV", comments: Sequence[str] = (),
                 date: str = "", data_name: str | None = None, suffix: str = ".dat") -> Path:
    """Write `signal` (n_leads, sig_len), in `units`, as two-byte samples; return the record's path.

    `data_name` is what the header says that the signal file is called, whatever it is called in truth.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digital = np.where(np.isnan(signal), -32768, np.round(np.nan_to_num(signal) * gain) + baseline).astype("<i2")
    (folder / f"{name}{suffix}").write_bytes(np.ascontiguousarray(digital.T).tobytes())
    lines = [f"{name} {len(signal)} {fs:g} {signal.shape[1]} {date}".strip()]
    for row, lead in zip(digital, lead_names, strict=True):
        checksum = int(row.astype(np.int64).sum()) & 0xFFFF
        checksum -= 0x10000 if checksum >= 0x8000 else 0
        lines.append(f"{data_name or name + suffix} 16 {gain:g}({baseline})/{units} 16 0 {row[0]} {checksum} 0 {lead}")
    (folder / f"{name}.hea").write_text("\n".join([*lines, *comments]) + "\n", encoding="utf-8")
    return folder / name


def edit_header(path: Path, old: str, new: str, count: int = -1) -> None:
    """Replace text in the header of a record."""
    header = path.with_name(path.name + ".hea")
    text = header.read_text(encoding="utf-8")
    assert old in text
    header.write_text(text.replace(old, new, count), encoding="utf-8")
