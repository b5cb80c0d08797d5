"""Median beats as a classifier reads them: one beat of one second, faded out at its ends, and tiled to a strip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.leads import N_LEADS, resample
from ecgkit.physiology import MedianBeats

#: Seconds of a beat, which then beats 60 times a minute, and how much of them lies before the R peak.
PERIOD, BEFORE = 1.0, 0.35
#: Milliseconds over which a beat fades into the baseline at either end.
FADE = 60.0
#: Without a P wave, the beat ends so many milliseconds before the next QRS begins.
_CLEAR = 40.0
_P, _QRS, _T = range(3)
_ONSET, _OFFSET = 0, 2


@dataclass(frozen=True)
class StyleBeats:
    """Beats of some ECGs; the rhythm is kept apart.

    Parameters
    ----------
    signals : ndarray of float32, shape (n, 12, period)
        Millivolts; the ends are 0, so that a beat can follow itself.
    rows : ndarray of int, shape (n,)
        Which of the given ECGs each comes from: one without a usable beat has none.
    rr : ndarray, shape (n,)
        Mean RR of the ECG in milliseconds, nan where there is none.
    fs : float
        Sampling rate in Hz.
    """

    signals: NDArray[np.float32]
    rows: NDArray[np.intp]
    rr: NDArray[np.float64]
    fs: float

    def __len__(self) -> int:
        return len(self.rows)


def style_beats(beats: MedianBeats, fs: float) -> StyleBeats:
    """Bring median beats to the classifier's rate, `BEFORE` to `PERIOD` - `BEFORE` seconds around the R peak.

    A beat is kept from the end of the T before it to the onset of the P after it, so a fast rhythm leaves no second
    beat in it.

    Parameters
    ----------
    beats : MedianBeats
        From `ecgkit.physiology.median_beats`, or the `beats` of `ecgkit.physiology.measure`.
    fs : float
        Sampling rate in Hz of the classifier.

    Raises
    ------
    EcgkitError
        Where no ECG has a usable beat.
    """
    rows = np.flatnonzero(np.isfinite(beats.signals).all(axis=(1, 2)))
    if not len(rows):
        raise EcgkitError(f"none of {len(beats.signals)} ECGs has a usable median beat; look at their n_beats")
    period, before = round(PERIOD * fs), round(BEFORE * fs)
    start = round(beats.zero * fs / beats.fs) - before
    cut = resample(beats.signals[rows], beats.fs, fs)[..., start:start + period]
    ms = (np.arange(period) - before) * 1000 / fs
    faded = cut * _fade(beats.marks[rows], beats.rr[rows], ms)[:, None]
    return StyleBeats(faded.astype(np.float32), rows, beats.rr[rows], fs)


def tiled(beats: Any, sig_len: int) -> Any:
    """Repeat beats `(n, n_leads, period)` to strips `(n, n_leads, sig_len)`: NumPy or torch, with its gradients."""
    if beats.ndim != 3 or beats.shape[1] != N_LEADS:
        raise EcgkitError(f"beats of shape {tuple(beats.shape)}; expected (n, {N_LEADS}, period)")
    return beats[..., np.arange(sig_len) % beats.shape[-1]]


def _fade(marks: NDArray[np.float64], rr: NDArray[np.float64], ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights `(n, period)` that fall along a cosine to 0 at the ends of what belongs to the beat."""
    next_beat = np.where(np.isnan(marks[:, _P, _ONSET]), marks[:, _QRS, _ONSET] - _CLEAR, marks[:, _P, _ONSET]) + rr
    left = np.fmax(ms[0], marks[:, _T, _OFFSET] - rr)
    right = np.fmin(ms[-1], next_beat)
    inside = np.minimum(ms - left[:, None], right[:, None] - ms) / FADE
    return 0.5 - 0.5 * np.cos(np.pi * inside.clip(0, 1))
