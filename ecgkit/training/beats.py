"""The clean beat in the middle of a simulated ECG, which an encoder learns to draw from what noise leaves of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecgkit.leads import INDEPENDENT, LEADS
from ecgkit.simulator import Cohort

#: Seconds of the beat before and after its R peak.
BEFORE, AFTER = 0.24, 0.46
#: Millivolts up to which the drawing is linear; beyond it is logarithmic, so that P and T count beside QRS.
LINEAR_UP_TO = 0.1
_ROWS = [LEADS.index(lead) for lead in INDEPENDENT]


def beat_len(fs: float) -> int:
    """Samples of a beat at `fs` Hz."""
    return round((BEFORE + AFTER) * fs)


def clean_beats(cohort: Cohort, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """The normal beat nearest the middle of each ECG, without noise, baseline removed, in the eight independent leads.

    Parameters
    ----------
    cohort : Cohort
    indices : ndarray of int, shape (n,)
        ECG numbers.

    Returns
    -------
    ndarray of float32, shape (n, 8, beat_len)
        ``arcsinh(mV / LINEAR_UP_TO)``; nan beyond the ECG's ends, and for an ECG without a normal beat.
    """
    clean = cohort.clean(indices)[:, _ROWS]
    clean -= np.median(clean, axis=2, keepdims=True)
    found = cohort.waves(indices)
    r_peak = np.where(found.kind == 0, found.ms[:, :, 1, 1], np.nan) * cohort.fs / 1000
    away = np.where(np.isnan(r_peak), np.inf, np.abs(r_peak - cohort.sig_len / 2))
    middle = np.take_along_axis(r_peak, away.argmin(axis=1)[:, None], axis=1)
    at = np.nan_to_num(middle, nan=-cohort.sig_len) - round(BEFORE * cohort.fs) + np.arange(beat_len(cohort.fs))
    at = np.round(at).astype(np.intp)
    inside = (at >= 0) & (at < cohort.sig_len)
    drawn = np.take_along_axis(clean, np.where(inside, at, 0)[:, None], axis=2)
    return np.where(inside[:, None], np.arcsinh(drawn / LINEAR_UP_TO), np.float32(np.nan)).astype(np.float32)
