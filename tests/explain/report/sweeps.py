"""A sweep made by hand: spikes whose height, and whose measured QRS, follow the wanted probability."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ecgkit.explain.report.changes import WANTED, Sweep
from ecgkit.physiology import COLUMNS

FS = 100
REPEATABILITY = {"qrs": 5.0, "pr": 10.0, "axis": 6.0, "r_V5": 0.13}


def ecg(height: float, seconds: float = 10.0, fs: float = FS) -> Any:
    """A spike each second, of this height in mV, another fraction of it in each lead."""
    t = np.arange(round(seconds * fs)) / fs
    return (height * np.exp(-((t % 1 - 0.5) / 0.03) ** 2) * np.linspace(-1, 1, 12)[:, None]).astype(np.float32)


def hand_made(k: int = 13, seconds: float = 10.0, fs: float = FS, **other: Any) -> Sweep:
    """Answers that measure QRS 100 + 48 p ms and an R in V5 of p mV; the ECG itself 145 ms and 0.9 mV."""
    wanted = WANTED if k == len(WANTED) else np.linspace(0.05, 0.95, k)
    measured = pd.DataFrame({name: np.zeros(k) for name in COLUMNS})
    measured["qrs"], measured["r_V5"], measured["pr"] = 100 + 48 * wanted, wanted, np.nan
    before = pd.Series(0.0, index=list(COLUMNS))
    before["qrs"], before["r_V5"], before["pr"] = 145.0, 0.9, 160.0
    values: dict[str, Any] = {
        "label": "MI", "fs": fs, "original": ecg(0.9, seconds, fs), "now": 0.9, "wanted": wanted,
        "obtained": wanted + 0.01, "valid": wanted != wanted[1], "before": before, "measured": measured,
        "signals": np.stack([ecg(p, seconds, fs) for p in wanted])}
    return Sweep(**values | other)
