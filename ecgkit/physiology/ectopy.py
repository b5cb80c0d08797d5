"""Which beats of an ECG are premature: those that come early, or look unlike the others and are broader.

Two of the marks by which people tell them: a ventricular premature beat is broad, has another shape, and comes early or
without a P; an atrial one comes early in an otherwise regular rhythm with P waves, and looks like the others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecgkit.simulator.rhythm import ATRIAL_PREMATURE, NORMAL, VENTRICULAR_PREMATURE
from ecgkit.simulator.waves import WAVES

#: A beat is early where its RR is less than this share of the median, and of the RR before.
EARLY = 0.85
#: Milliseconds by which a ventricular beat is broader than the median beat.
BROADER = 15.0
#: Correlation with the median beat, over all leads and this many ms around the middle of QRS, below which a beat looks
#: unlike the others.
UNLIKE, AROUND = 0.8, 80.0
#: The rhythm is regular where the median distance of an RR from the median RR is less than this share of it.
REGULAR = 0.08
#: Beats from which on a median says something.
LEAST_BEATS = 4

_P, _QRS = WAVES.index("P"), WAVES.index("QRS")


def premature(ms: NDArray[np.float64], signal: NDArray[np.float32], fs: float) -> NDArray[np.int8]:
    """Judge the beats of one ECG; the thresholds are ours, set on training folds of PTB-XL.

    Parameters
    ----------
    ms : ndarray, shape (n_beats, 3, 3)
        Boundaries of the waves of beats that have a QRS, in order of time.
    signal : ndarray, shape (12, sig_len)
        Millivolts.
    fs : float
        Sampling rate in Hz.

    Returns
    -------
    ndarray of int8, shape (n_beats,)
        0 normal, 1 atrial, 2 ventricular premature. All 0 where there are too few beats to compare.
    """
    kind = np.full(len(ms), NORMAL, dtype=np.int8)
    if len(ms) < LEAST_BEATS:
        return kind
    rr = np.diff(ms[:, _QRS, 1], prepend=np.nan)
    median = np.nanmedian(rr)
    early = (rr < EARLY * median) & ~(rr >= EARLY * np.concatenate([[np.nan], rr[:-1]]))
    width = ms[:, _QRS, 2] - ms[:, _QRS, 0]
    unlike = _likeness(ms, signal, fs) < UNLIKE
    has_p = np.isfinite(ms[:, _P, 1])
    regular = np.nanmedian(np.abs(rr - median)) < REGULAR * median and has_p.mean() > 0.5
    kind[early & ~unlike & regular] = ATRIAL_PREMATURE
    kind[unlike & (width > np.nanmedian(width) + BROADER) & (early | ~has_p)] = VENTRICULAR_PREMATURE
    return kind


def _likeness(ms: NDArray[np.float64], signal: NDArray[np.float32], fs: float) -> NDArray[np.float64]:
    """Correlation of each beat with the median beat, over all leads."""
    middle = np.nanmean(ms[:, _QRS], axis=1) * fs / 1000
    reach = round(AROUND * fs / 1000)
    at = np.clip(np.round(middle).astype(np.intp)[:, None] + np.arange(-reach, reach + 1), 0, signal.shape[1] - 1)
    beats = signal[:, at].transpose(1, 0, 2).astype(np.float64)
    beats -= beats.mean(axis=2, keepdims=True)
    typical = np.median(beats, axis=0)
    size = np.linalg.norm(beats, axis=(1, 2)) * np.linalg.norm(typical)
    likeness: NDArray[np.float64] = np.einsum("bls,ls->b", beats, typical) / np.maximum(size, 1e-9)
    return likeness
