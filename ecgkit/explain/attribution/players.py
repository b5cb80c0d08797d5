"""Players of an attribution: the leads' P, QRS, ST and T, sample by sample, their sums, and maps beat by beat."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.leads import N_LEADS
from ecgkit.simulator import Waves
from ecgkit.simulator.rhythm import NORMAL

#: What a sample belongs to, by number; the rest is the PR segment and what lies between T and the next P.
SEGMENTS = ("P", "QRS", "ST", "T", "rest")
P, QRS, ST, T, REST = range(5)
#: Leads by segments without the rest; lead * 4 + segment is a player's number.
N_PLAYERS = N_LEADS * REST
#: Milliseconds around the R peak of a beat-aligned map.
BEFORE, AFTER = 300, 500

#: Places in `Waves.ms`.
_WAVE = {P: 0, QRS: 1, T: 2}
_ONSET, _PEAK, _OFFSET = range(3)


def segments(waves: Waves, sig_len: int) -> NDArray[np.int8]:
    """Say for every sample what it belongs to, in all leads at once.

    ST goes from the end of QRS to the onset of T, where there is a T. Where waves overlap, QRS goes before P, P before
    T. A wave whose onset or offset is not known goes to the recording's edge: `ecgkit.physiology.delineate` gives nan
    where a wave goes on beyond it.

    Parameters
    ----------
    waves : Waves
        From `ecgkit.physiology.delineate`, or true ones of simulated ECGs.
    sig_len : int
        Samples of an ECG at `waves.fs`.

    Returns
    -------
    ndarray of int8, shape (n, sig_len)
        Place in `SEGMENTS`.
    """
    marks = waves.ms * waves.fs / 1000
    spans = {}
    for segment, wave in _WAVE.items():
        onset, peak, offset = np.moveaxis(marks[:, :, wave], -1, 0)
        there = np.isfinite(peak)
        spans[segment] = (np.where(there & np.isnan(onset), 0, onset),
                          np.where(there & np.isnan(offset), sig_len, offset))
    spans[ST] = spans[QRS][1], spans[T][0]
    found = np.full((len(marks), sig_len), REST, dtype=np.int8)
    for segment in (ST, T, P, QRS):
        found[_inside(*spans[segment], sig_len)] = segment
    return found


def _inside(onset: NDArray[np.float64], offset: NDArray[np.float64], sig_len: int) -> NDArray[np.bool_]:
    """Which samples lie within a span of their ECG, `(n, sig_len)`, for spans `(n, n_beats)` in samples."""
    row, beat = np.nonzero(offset >= onset)  # not where one is nan
    first = np.clip(np.ceil(onset[row, beat]), 0, sig_len).astype(np.intp)
    after = np.clip(np.floor(offset[row, beat]) + 1, 0, sig_len).astype(np.intp)
    change = np.zeros((len(onset), sig_len + 1), dtype=np.int32)
    np.add.at(change, (row, first), 1)
    np.add.at(change, (row, after), -1)
    return change.cumsum(axis=1)[:, :sig_len] > 0


def player_mask(parts: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Number of each sample's player, `(n, 12, sig_len)`: lead * 4 + segment, and `N_PLAYERS` for the rest.

    This is what captum calls a feature mask.

    Parameters
    ----------
    parts : ndarray of int, shape (n, sig_len)
        From `segments`.
    """
    number = np.arange(N_LEADS)[:, None] * REST + parts[:, None].astype(np.int64)
    return np.where(parts[:, None] == REST, N_PLAYERS, number)


def player_cells(parts: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The same with -1 for the rest, which is what the metrics of `ecgkit.explain.scoring` call cells."""
    players = player_mask(parts)
    return np.where(players == N_PLAYERS, -1, players)


def player_sums(maps: NDArray[Any], parts: NDArray[np.integer[Any]], *, absolute: bool = False) -> NDArray[np.float64]:
    """Sum maps over each lead and segment; nothing is lost, so the sums of an ECG add up to the sum of its map.

    Parameters
    ----------
    maps : ndarray, shape (n, 12, sig_len)
    parts : ndarray of int, shape (n, sig_len)
        From `segments`.
    absolute : bool
        Sum absolute values, so that neighbouring samples of opposite sign do not cancel.

    Returns
    -------
    ndarray, shape (n, 12, 5)
        Columns as in `SEGMENTS`.

    Raises
    ------
    EcgkitError
        If the shapes do not fit each other.
    """
    if maps.ndim != 3 or parts.shape != (len(maps), maps.shape[2]):
        raise EcgkitError(f"maps of shape {maps.shape} with segments of shape {parts.shape}; expected "
                          f"(n, {N_LEADS}, sig_len) and (n, sig_len)")
    values = np.abs(maps) if absolute else maps
    columns = [np.einsum("nls,ns->nl", values, parts == k, dtype=np.float64) for k in range(len(SEGMENTS))]
    return np.stack(columns, axis=-1)


def beat_aligned(maps: NDArray[Any], waves: Waves, fs: float) -> NDArray[np.float64]:
    """Mean of each ECG's map over its normal beats, which are laid on their R peaks.

    Beats are moved by whole samples: maps jump from sample to sample, and interpolation would ring.

    Parameters
    ----------
    maps : ndarray, shape (n, 12, sig_len)
    waves : Waves
        Of the same ECGs.
    fs : float
        Sampling rate of the maps in Hz.

    Returns
    -------
    ndarray, shape (n, 12, samples)
        From `BEFORE` ms before the R peak to `AFTER` ms after it. nan where no normal beat reaches.

    Raises
    ------
    EcgkitError
        If the shapes do not fit each other.
    """
    if maps.ndim != 3 or len(maps) != len(waves.ms):
        raise EcgkitError(f"maps of shape {maps.shape} with the waves of {len(waves.ms)} ECGs; expected "
                          f"({len(waves.ms)}, {N_LEADS}, sig_len)")
    offsets = np.arange(-round(BEFORE * fs / 1000), round(AFTER * fs / 1000) + 1)
    peak = np.where(waves.kind == NORMAL, waves.ms[:, :, _WAVE[QRS], _PEAK], np.nan) * fs / 1000
    total = np.zeros((*maps.shape[:2], len(offsets)))
    count = np.zeros((len(maps), 1, len(offsets)), dtype=np.int64)
    for beat in range(peak.shape[1]):  # a few; all ECGs at once
        there = np.isfinite(peak[:, beat])
        at = np.round(np.where(there, peak[:, beat], 0)).astype(np.intp)[:, None] + offsets
        inside = (there[:, None] & (at >= 0) & (at < maps.shape[2]))[:, None]
        place = np.clip(at, 0, maps.shape[2] - 1)[:, None]
        total += np.where(inside, np.take_along_axis(maps, place, axis=2), 0)
        count += inside
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
