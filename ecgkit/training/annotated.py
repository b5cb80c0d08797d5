"""Recordings whose boundaries are known, to train the delineator on: for one, half of LUDB."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.datasets import ludb, ludb_truth
from ecgkit.leads import resample
from ecgkit.simulator.waves import Waves


@dataclass(frozen=True)
class Annotated:
    """Recordings whose boundaries are known.

    Parameters
    ----------
    signals : ndarray of float32, shape (n, 12, sig_len)
        Millivolts at the delineator's rate.
    waves : Waves
        Their boundaries; which beats come early is not looked at.
    span : ndarray, shape (n, 2)
        Milliseconds between which each recording was annotated.
    """

    signals: NDArray[np.float32]
    waves: Waves
    span: NDArray[np.float64]


def tuning_half(root: str | Path, fs: float) -> Annotated:
    """Read the half of LUDB that may be learnt from (`ecgkit.datasets.ludb_truth.halves`).

    Parameters
    ----------
    root : path
        Folder of LUDB.
    fs : float
        Sampling rate in Hz of the delineator.
    """
    data, records = ludb.load(root), ludb_truth.halves(root)[0]
    rows = pd.Index(data.records["record"]).get_indexer(pd.Index(records))
    truth = ludb_truth.truth(root, records)
    return Annotated(resample(data.batch(rows), data.fs, fs), truth.waves, truth.span)
