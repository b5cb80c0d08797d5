"""One set of boundaries per beat from LUDB's annotations of each lead, and a split of the records into two halves.

LUDB's cardiologists marked every lead by itself. A wave is there where at least half of the leads that are annotated
around it mark it, and its onset, peak and offset are the medians over these leads: a lead in which a wave begins
isoelectric, or in which a mark slipped, does not move the median, as it would the earliest onset or the latest offset.
So an interval is that of a typical lead, shorter than the global one from the earliest onset to the latest offset. How
far the leads lie apart (`Truth.spread`) is what a reader of one lead can be held to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.datasets import ludb
from ecgkit.datasets.splits import patient_order
from ecgkit.errors import EcgkitError
from ecgkit.simulator.waves import MARKS, WAVES, Waves

#: Peaks of different leads that lie further apart, in ms, are of different waves. In LUDB, peaks of one wave follow
#: each other within 150 ms, and those of the next wave of the kind come 200 ms later or more.
JOIN = 150.0
_P, _QRS, _T = range(len(WAVES))
_LISTED = list(MARKS)


@dataclass(frozen=True)
class Consensus:
    """Boundaries of one record over its leads.

    Parameters
    ----------
    ms : ndarray, shape (n_beats, 3, 3)
        Onset, peak, offset of P, QRS, T in ms from the start of the recording; nan where there is no such wave. A wave
        without its beat (a P that no QRS follows) has a row of its own.
    spread : ndarray, shape (n_beats, 3, 3)
        Standard deviation over the leads in ms; nan where fewer than two leads have the mark.
    votes : ndarray of int, shape (n_beats, 3)
        Leads that mark the wave.
    span : ndarray, shape (2,)
        First and last ms that are annotated. Nothing is known outside: the P of the first beat and the T of the last
        are mostly not annotated.
    """

    ms: NDArray[np.float64]
    spread: NDArray[np.float64]
    votes: NDArray[np.int64]
    span: NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """The `Consensus` of some records: boundaries, and `spread`, `votes` and `span` with a first axis of records."""

    waves: Waves
    spread: NDArray[np.float64]
    votes: NDArray[np.int64]
    span: NDArray[np.float64]


def consensus(boundaries: pd.DataFrame) -> Consensus:
    """Join the leads' annotations of one record.

    Parameters
    ----------
    boundaries : DataFrame
        As `ecgkit.datasets.ludb.boundaries` gives it; of one lead only (``table[table["lead"] == "II"]``), what is
        returned is that lead's own annotation.

    Returns
    -------
    Consensus
        Waves count where at least half of the leads are annotated.

    Raises
    ------
    EcgkitError
        Where the table has no wave.
    """
    if boundaries.empty:
        raise EcgkitError("no wave is annotated, so there is nothing to join; give the boundaries of one record")
    waves = _waves(boundaries)
    rows = _rows(waves)
    shape = (max(rows) + 1, len(WAVES))
    ms, spread, votes = np.full((*shape, 3), np.nan), np.full((*shape, 3), np.nan), np.zeros(shape, dtype=np.int64)
    at = (rows, waves["wave"].to_numpy())
    ms[at] = waves[_LISTED]
    spread[at] = waves[[f"{mark}_sd" for mark in MARKS]]
    votes[at] = waves["votes"]
    return Consensus(ms, spread, votes, np.array([np.nanmin(ms), np.nanmax(ms)]))


def truth(root: str | Path, records: Sequence[str]) -> Truth:
    """Boundaries of some records of LUDB, over their leads.

    Parameters
    ----------
    root : path
        Folder of LUDB.
    records : sequence of str
        Records as `ecgkit.datasets.ludb.load` names them: ``"data/1"``.

    Returns
    -------
    Truth
        Beats are not judged: `kind` is 0 for every QRS and -1 for rows without one.
    """
    found = [consensus(ludb.boundaries(root, record)) for record in records]
    n_beats = max((len(one.ms) for one in found), default=0)
    ms = np.full((len(found), n_beats, len(WAVES), len(MARKS)), np.nan)
    spread, votes = ms.copy(), np.zeros(ms.shape[:3], dtype=np.int64)
    for k, one in enumerate(found):
        ms[k, :len(one.ms)], spread[k, :len(one.ms)], votes[k, :len(one.ms)] = one.ms, one.spread, one.votes
    peak = pd.DataFrame(ms[:, :, _QRS, 1])
    rr = (peak - peak.ffill(axis=1).shift(axis=1)).to_numpy()
    kind = np.where(np.isnan(peak), -1, 0).astype(np.int8)
    return Truth(Waves(ms, kind, rr, float(ludb.FS)), spread, votes, np.array([one.span for one in found]))


def halves(root: str | Path, *, seed: int = 0) -> tuple[list[str], list[str]]:
    """Split the records that a folder of LUDB holds into two halves with the same share of each rhythm.

    Parameters
    ----------
    root : path
        Folder of LUDB.
    seed : int
        The same seed and folder give the same halves.

    Returns
    -------
    tuning, testing : list of str
        Records: to train and choose on, and to report on. Each patient has one record.
    """
    data = ludb.load(root, task="rhythm")
    records = data.records["record"].to_numpy()
    order = patient_order(records, data.labels, seed)
    first = np.isin(records, order[:len(order) // 2])
    return records[first].tolist(), records[~first].tolist()


def _waves(boundaries: pd.DataFrame) -> pd.DataFrame:
    """Waves that the leads agree on, in the order of their peaks: medians in ms, spread and votes."""
    marks = boundaries.assign(wave=boundaries["wave"].map(WAVES.index))
    marks[_LISTED] = marks[_LISTED].astype("Float64").to_numpy(np.float64, na_value=np.nan) * 1000 / ludb.FS
    marks = marks.sort_values(["wave", "peak"], ignore_index=True)
    marks["group"] = (marks.groupby("wave")["peak"].diff().fillna(np.inf) > JOIN).cumsum()
    group = marks.groupby("group")
    waves = group[_LISTED].median().join(group[_LISTED].std(), rsuffix="_sd")
    waves = waves.assign(wave=group["wave"].first(), votes=group["lead"].nunique())
    annotated = _annotated(marks, waves["peak"])
    agreed = (2 * waves["votes"] >= annotated) & (2 * annotated >= marks["lead"].nunique())
    return waves[agreed].sort_values("peak", ignore_index=True)


def _annotated(marks: pd.DataFrame, peak: pd.Series[float]) -> pd.Series[int]:
    """How many leads mark each wave, or have their first mark before its peak and their last mark after it."""
    by_lead = marks.groupby("lead")[_LISTED]
    first, last = by_lead.min().min(axis=1), by_lead.max().max(axis=1)
    at = peak.to_numpy()
    counts = (first.to_numpy()[:, None] <= at) & (at <= last.to_numpy()[:, None])
    counts[first.index.get_indexer(pd.Index(marks["lead"])), marks["group"] - 1] = True
    return pd.Series(counts.sum(axis=0), index=peak.index)


def _rows(waves: pd.DataFrame) -> list[int]:
    """The row of each wave: a QRS takes the last P since the QRS before, a T goes to the last QRS if that has none."""
    rows: list[int] = []
    n_rows, waiting_p, waiting_qrs = 0, -1, -1
    for wave in waves["wave"]:
        joined = {_P: -1, _QRS: waiting_p, _T: waiting_qrs}[wave]
        rows.append(n_rows if joined < 0 else joined)
        n_rows += joined < 0
        waiting_p = {_P: rows[-1], _QRS: -1}.get(wave, waiting_p)
        waiting_qrs = {_QRS: rows[-1], _T: -1}.get(wave, waiting_qrs)
    return rows
