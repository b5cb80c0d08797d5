"""The median beat of each ECG: its normal beats, aligned between samples, at 1000 Hz and without a baseline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from ecgkit.errors import EcgkitError
from ecgkit.leads import N_LEADS
from ecgkit.physiology.align import align, grouped_median, onto_grid, windows
from ecgkit.physiology.quality import in_part
from ecgkit.physiology.rhythm import follows_ectopic, mean_rr
from ecgkit.simulator import Waves
from ecgkit.simulator.rhythm import NORMAL

#: Places in `Waves.ms`.
P, QRS, T = range(3)
ONSET, PEAK, OFFSET = range(3)
FS = 1000
#: Milliseconds of the median beat before and after the R peak.
BEFORE, AFTER = 450, 750
#: Milliseconds before the onset of QRS whose mean is the baseline: the PR segment, clear of QRS' first rise.
LEVEL = (-20.0, -4.0)
#: A beat is whole if this much around the R peak (ms) lies within the recording, and all of its waves.
WHOLE = (-250.0, 400.0)
#: Correlation with the median QRS below which a beat is left out.
LEAST_LIKENESS = 0.9
#: Beats that a median beat needs.
LEAST_BEATS = 2
#: ECGs worked on at a time, so that their beats stay within the processor's cache.
CHUNK = 16


@dataclass(frozen=True)
class MedianBeats:
    """Median beats of some ECGs.

    Parameters
    ----------
    signals : ndarray of float32, shape (n, 12, BEFORE + AFTER)
        Millivolts at `fs` Hz, with the R peak at sample `zero`; 0 is the level just before the onset of QRS. nan where
        an ECG has fewer than `LEAST_BEATS` beats to use, and for leads with missing samples.
    marks : ndarray, shape (n, 3, 3)
        Onset, peak, offset of P, QRS, T in milliseconds from the R peak: medians over the beats used. nan where fewer
        than half of these have the wave.
    n_beats, rr : ndarray, shape (n,)
        Beats used, and the mean RR of all beats in milliseconds, nan where there is none.
    """

    signals: NDArray[np.float32]
    marks: NDArray[np.float64]
    n_beats: NDArray[np.int64]
    rr: NDArray[np.float64]
    fs: int = FS
    zero: int = BEFORE


def median_beats(signals: NDArray[np.float32], waves: Waves) -> MedianBeats:
    """Median beat of each ECG.

    Used are normal beats that do not follow an ectopic one and lie within the recording from P to T. They are aligned
    by cross-correlation of QRS; each is moved to the level of its PR segment; those whose QRS correlates less than
    `LEAST_LIKENESS` with the median QRS are left out; the rest give the median of every sample.

    Parameters
    ----------
    signals : ndarray, shape (n, 12, sig_len)
        Millivolts at `waves.fs`. A lead with a sample that is not finite is left out; one that was recorded only for
        a part of the time (`ecgkit.physiology.quality.in_part`) has the median of the beats in that part.
    waves : Waves
        Boundaries of the waves of the same ECGs.

    Raises
    ------
    EcgkitError
        If the shapes do not fit each other.
    """
    if signals.ndim != 3 or signals.shape[1] != N_LEADS or len(signals) != len(waves.ms):
        raise EcgkitError(f"signals of shape {signals.shape} with the waves of {len(waves.ms)} ECGs: give "
                          f"({len(waves.ms)}, {N_LEADS}, sig_len), one recording for each")
    n = len(signals)
    beats = np.full((n, N_LEADS, BEFORE + AFTER), np.nan, dtype=np.float32)
    marks, n_beats = np.full((n, 3, 3), np.nan), np.zeros(n, dtype=np.int64)
    usable = _usable(waves, (signals.shape[2] - 1) * 1000 / waves.fs)
    alike_in_number = np.argsort(usable.sum(axis=1), kind="stable")
    for start in range(0, n, CHUNK):
        part = alike_in_number[start:start + CHUNK]
        beats[part], marks[part], n_beats[part] = _some(signals[part], waves.ms[part], usable[part], waves.fs)
    return MedianBeats(beats, marks, n_beats, mean_rr(waves))


def _usable(waves: Waves, last_ms: float) -> NDArray[np.bool_]:
    """Which beats to use, `(n, n_slots)`; `last_ms` is the last sample's time."""
    usable = (waves.kind == NORMAL) & ~follows_ectopic(waves.kind)
    known = np.isfinite(waves.ms)
    usable &= known[:, :, QRS, PEAK] & (known.all(axis=3) == known.any(axis=3)).all(axis=2)
    marks, peak = waves.ms.reshape(*usable.shape, 9), waves.ms[:, :, QRS, PEAK]
    begin = np.fmin(np.fmin.reduce(marks, axis=2), peak + WHOLE[0])
    end = np.fmax(np.fmax.reduce(marks, axis=2), peak + WHOLE[1])
    return usable & (begin >= 0) & (end <= last_ms)


def _some(signals: NDArray[np.float32], ms: NDArray[np.float64], usable: NDArray[np.bool_],
          fs: float) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]:
    """Signals, marks and numbers of beats of the median beats of some ECGs."""
    n = len(signals)
    complete = np.logical_and.reduce(np.isfinite(signals), axis=2)
    partly = in_part(signals, fs)
    parts = np.where((complete | partly)[..., None], signals, 0).astype(np.float32, copy=False)
    # Beats are compared in leads that all of them have; where there is none, as around a gap, in what there is.
    compared = complete | (partly & ~complete.any(axis=1, keepdims=True))
    signals = np.where(compared[..., None], np.nan_to_num(parts), 0) if partly.any() else parts
    ecg, slot = np.nonzero(usable)
    marks = ms[ecg, slot]
    at, likeness = align(signals, ecg, marks[:, QRS, PEAK] * fs / 1000, fs)
    marks = marks - (at * 1000 / fs)[:, None, None]
    alike = likeness >= LEAST_LIKENESS
    alike &= np.bincount(ecg[alike], minlength=n)[ecg] >= LEAST_BEATS
    ecg, at, marks = ecg[alike], at[alike], marks[alike]
    n_beats = np.bincount(ecg, minlength=n)
    middle = grouped_median(marks, ecg, n)
    has = np.array([np.bincount(ecg, np.isfinite(marks[:, wave, ONSET]), minlength=n) for wave in (P, QRS, T)]).T
    middle[has < n_beats[:, None] / 2] = np.nan
    beats = _median_signals(parts, ecg, at, marks[:, QRS, ONSET], middle[:, QRS, ONSET], fs)
    beats[~(complete | partly)] = np.nan
    return beats, middle, n_beats


def _median_signals(signals: NDArray[np.float32], ecg: NDArray[np.intp], at: NDArray[np.float64],
                    onset: NDArray[np.float64], middle_onset: NDArray[np.float64], fs: float) -> NDArray[np.float32]:
    """Median at 1000 Hz of beats that lie at `at` (samples); onsets of QRS in milliseconds from there."""
    before = int(np.ceil(BEFORE * fs / FS))
    length = next_fast_len(before + int(np.ceil(AFTER * fs / FS)) + 1, real=True)
    beats = windows(signals, ecg, at - before, length)
    beats -= _level(beats, onset, (np.arange(length) - before) * 1000 / fs)
    grid = onto_grid(length, before - BEFORE * fs / FS, fs / FS, BEFORE + AFTER)
    fine = grouped_median(beats, ecg, len(signals)) @ grid
    return fine - _level(fine, middle_onset, np.arange(-BEFORE, AFTER) * 1000 / FS)


def _level(beats: NDArray[np.float32], onset: NDArray[np.float64],
           ms: NDArray[np.float64]) -> NDArray[np.float32]:
    """Mean over `LEVEL` before each onset, `(n, 12, 1)`; samples at its ends count by how far they lie within."""
    step = ms[1] - ms[0]
    first, last = (onset[:, None] + edge for edge in LEVEL)
    weight = np.clip(np.minimum(ms - first, last - ms) / step + 0.5, 0, 1)
    return np.einsum("bls,bs->bl", beats, (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32))[..., None]
