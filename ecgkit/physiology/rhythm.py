"""How the heart beats: rate, variability of RR, premature beats, and how many beats have a P wave."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.physiology.columns import Sheet, why
from ecgkit.simulator import Waves
from ecgkit.simulator.rhythm import ATRIAL_PREMATURE, NORMAL, VENTRICULAR_PREMATURE
from ecgkit.simulator.waves import WAVES

ECTOPIC = (ATRIAL_PREMATURE, VENTRICULAR_PREMATURE)
#: A beat whose QRS begins earlier (ms) may have its P before the recording.
ROOM_FOR_P = 300.0


def beat_before(kind: NDArray[np.int8]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Whether there is a beat before each, and its place: `(n, n_slots)` both; P waves alone are no beats."""
    place = np.where(np.isin(kind, (NORMAL, *ECTOPIC)), np.arange(kind.shape[1]), -1)
    before = np.full_like(place, -1)
    before[:, 1:] = np.maximum.accumulate(place, axis=1)[:, :-1]
    return before >= 0, np.maximum(before, 0)


def follows_ectopic(kind: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Which beats come right after a premature one, `(n, n_slots)`."""
    there, before = beat_before(kind)
    return there & np.isin(np.take_along_axis(kind, before, axis=1), ECTOPIC)


def mean_rr(waves: Waves) -> NDArray[np.float64]:
    """Mean RR of all beats in milliseconds, `(n,)`; nan where there is none."""
    return _mean(waves.rr, np.isfinite(waves.rr))


def measure_rhythm(sheet: Sheet, waves: Waves) -> None:
    """Fill in rate, RR, shares.

    The variability of RR is that of normal beats which follow normal beats (Task Force of ESC and NASPE 1996).
    """
    normal, ectopic = waves.kind == NORMAL, np.isin(waves.kind, ECTOPIC)
    there, before = beat_before(waves.kind)
    after_normal = there & np.take_along_axis(normal, before, axis=1)
    nn = normal & after_normal & np.isfinite(waves.rr)
    step = waves.rr - np.take_along_axis(waves.rr, before, axis=1)
    steps = nn & np.take_along_axis(nn, before, axis=1)
    count, n_steps = nn.sum(axis=1), steps.sum(axis=1)
    mean, rr = _mean(waves.rr, nn), mean_rr(waves)
    spread = np.sqrt(_mean((waves.rr - mean[:, None])**2, nn) * count / np.maximum(count - 1, 1))
    too_few = why(count < 2, "fewer than 2 intervals between normal beats")
    sheet.put("heart_rate", 60_000 / rr, why(np.isnan(rr), "fewer than 2 beats"))
    sheet.put("rr_mean", mean, why(count < 1, "no 2 normal beats in a row"))
    sheet.put("rr_sd", spread, too_few)
    sheet.put("rr_rmssd", np.sqrt(_mean(step**2, steps)), why(n_steps < 1, "no 3 normal beats in a row"))
    sheet.put("rr_cv", spread / mean, too_few)
    all_beats = normal | ectopic
    sheet.put("ectopic_share", _mean(ectopic, all_beats), why(~all_beats.any(axis=1), "no beats"))
    could = normal & (waves.ms[:, :, 1, 0] >= ROOM_FOR_P)
    sheet.put("p_share", _mean(np.isfinite(waves.ms[:, :, 0, 1]), could), why(~could.any(axis=1), "no normal beats"))


def _mean(values: NDArray[Any], which: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean of some values of each row; nan where there are none."""
    total, count = np.where(which, values, 0).sum(axis=1), which.sum(axis=1)
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)


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
    """Judge the beats of one ECG, `(n_beats,)`: 0 normal, 1 atrial, 2 ventricular premature; 0 where they are too few.

    `ms` `(n_beats, 3, 3)` are boundaries of beats that have a QRS, in order of time; `signal` is `(12, sig_len)` in mV
    at `fs` Hz. The thresholds are ours, set on training folds of PTB-XL.
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
