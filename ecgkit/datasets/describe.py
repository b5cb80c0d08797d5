"""Who is in a dataset, and how clean the signals are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgkit.datasets.base import ECGDataset
from ecgkit.leads import LEADS

#: PTB-XL's remarks on a signal, and what they say; empty means "none".
REMARKS = {"baseline_drift": "baseline drift", "static_noise": "static noise", "burst_noise": "burst noise",
           "electrodes_problems": "electrode problems"}


def table_one(data: ECGDataset) -> pd.DataFrame:
    """Describe the whole set and its splits (columns): ECGs, patients, age, sex, and each label (rows), as text."""
    parts = {"All": data, "Train (folds 1–8)": data.train, "Validation (fold 9)": data.validation,
             "Test (fold 10)": data.test}
    return pd.DataFrame({name: _describe(part) for name, part in parts.items()}).rename_axis("Characteristic")


def _describe(data: ECGDataset) -> dict[str, str]:
    rows = {"ECGs": f"{len(data):,}", "Patients": f"{data.n_patients:,}"}
    if "age" in data.records:
        age = data.records["age"].dropna()
        rows["Age in years, median (quartiles)"] = "{:.0f} ({:.0f}–{:.0f})".format(
            *age.quantile([0.5, 0.25, 0.75])) if len(age) else "–"
    if "sex" in data.records:
        sex = data.records["sex"].dropna()
        rows["Female"] = share(int(sex.eq(1).sum()), len(sex))
    for name, column in zip(data.label_names, data.labels.T, strict=True):
        rows[name] = share(int(column.sum()), len(data))
    rows["No label"] = share(int((data.labels.sum(axis=1) == 0).sum()), len(data))
    return rows


def share(count: int, total: int) -> str:
    """A count and its share: ``"415 (12.4 %)"``."""
    return f"{count:,} ({100 * count / total:.1f} %)" if total else "–"


def signal_quality(data: ECGDataset, *, chunk: int = 512) -> pd.DataFrame:
    """Measure slow and fast disturbance in each ECG (row), a chunk at a time.

    `wander_uv`: root mean square below 0.5 Hz, about each lead's mean; `noise_uv`: above 40 Hz; both the median over
    leads, in microvolts. `worst_lead`: the lead with the strongest sum of both.
    """
    from scipy.signal import butter, sosfiltfilt  # takes a second

    low = butter(2, 0.5, "lowpass", fs=data.fs, output="sos")
    high = butter(4, 40, "highpass", fs=data.fs, output="sos")
    parts = []
    for start in range(0, len(data), chunk):
        x = data.batch(slice(start, start + chunk)).astype(np.float64)
        x -= x.mean(axis=-1, keepdims=True)
        wander, noise = (1000 * sosfiltfilt(band, x).std(axis=-1) for band in (low, high))
        parts.append(pd.DataFrame({"wander_uv": np.median(wander, axis=1), "noise_uv": np.median(noise, axis=1),
                                   "worst_lead": np.array(LEADS)[np.hypot(wander, noise).argmax(axis=1)]}))
    return pd.concat(parts, ignore_index=True)


def remarks(data: ECGDataset) -> pd.DataFrame:
    """Count the publisher's remarks on signal quality, as text, a row for each kind; empty where there are none."""
    present = {column: words for column, words in REMARKS.items() if column in data.records}
    marked = data.records[list(present)].notna()
    rows = {words: share(int(marked[column].sum()), len(data)) for column, words in present.items()}
    if present:
        rows["any of these"] = share(int(marked.any(axis=1).sum()), len(data))
    return pd.DataFrame({"ECGs": rows}).rename_axis("Remark")


def write_summary(folder: Path, data: ECGDataset, **more: Any) -> None:
    """Write `summary.json`: on which data a notebook ran, and how many ECGs; the book marks its pages with it."""
    told = {"data": data.name, "n_ecgs": len(data), "n_patients": data.n_patients, "fs": data.fs,
            "label_names": data.label_names, "fingerprint": data.fingerprint(), **more}
    (folder / "summary.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
