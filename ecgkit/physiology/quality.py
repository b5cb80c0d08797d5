"""Which leads of an ECG are unusable, and why.

The thresholds are among those with the highest sensitivity for the verdict "unacceptable" of the PhysioNet/CinC 2011
challenge (Silva, Moody, Celi 2011; an ECG counts as unacceptable where any lead has a fault) that leave 93 % of its
acceptable ECGs without a fault and find none in simulated ECGs without noise: sensitivity 0.63, and 0.54 (specificity
0.94) in five-fold cross-validation. `CLIPPED` is not from these data, whose resampling has rounded every plateau. The
verdicts are of whole ECGs, and only 30 are "unacceptable": no lead was judged by a person.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.leads import N_LEADS

#: What a lead can suffer from; of several, the first is named.
FAULTS = ("not finite", "flat", "noise", "wander", "clipped")
#: Flat: in 95 % of the windows of 0.2 s the lead moves by less than this, mV, so no QRS stands out.
FLAT = 0.03
FLAT_WINDOW = 0.2
#: Noise: between these frequencies in Hz, where QRS complexes have power and other waves have little, the middle
#: window of 0.1 s has this rms, mV, and this share of the rms of the windows with most (the 95th percentile: the QRS).
NOISE_BAND = (15.0, 45.0)
NOISE_WINDOW = 0.1
NOISE = 0.02
NOISE_SHARE = 0.5
#: Wander: the medians of the seconds of the lead lie further apart than this, mV.
WANDER = 1.0
WANDER_WINDOW = 1.0
#: Clipped: the lead stays for these seconds within `CLIPPED_STEP` mV (one unit of a coarse converter) of an extreme
#: that is `CLIPPED_FAR` mV or more from its median. A T wave of 1 mV stays for 10 ms.
CLIPPED = 0.05
CLIPPED_STEP = 0.005
CLIPPED_FAR = 1.0
#: Seconds; see `in_part`.
GAP, PART = 1.0, 2.0
_LEAST_FS = 100.0
#: ECGs that a thread works on at a time, so that memory does not grow with their number.
_CHUNK = 16


def lead_faults(signals: Any, fs: float) -> NDArray[np.str_]:
    """Name the fault of each lead.

    Parameters
    ----------
    signals : array_like, shape (n, 12, sig_len)
        Millivolts; at least one second.
    fs : float
        Sampling rate in Hz, at least 100.

    Returns
    -------
    ndarray of str, shape (n, 12)
        ``""``, or why the lead is unusable, one of `FAULTS`.

    Raises
    ------
    EcgkitError
        Where the signals have another shape, or are too short or too coarse.
    """
    values = np.asarray(signals)
    if values.ndim != 3 or values.shape[1] != N_LEADS or values.dtype.kind not in "fiu":
        raise EcgkitError(f"signals of shape {values.shape} and type {values.dtype}; expected (n, 12, sig_len) in mV")
    if not fs >= _LEAST_FS or values.shape[2] < fs:
        raise EcgkitError(f"{values.shape[2]} samples at {fs:g} Hz: the quality of a lead needs 1 s at 100 Hz or more")
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda start: _faults(values[start:start + _CHUNK], fs), range(0, len(values), _CHUNK)))
    return np.concatenate([np.empty((0, N_LEADS), dtype=np.array(FAULTS).dtype), *found])


def in_part(signals: NDArray[Any], fs: float) -> NDArray[np.bool_]:
    """Which leads were recorded only for a part of the time, `(n, 12)`: they lack `GAP` s or more, and have `PART` s.

    So have printed ECGs, and those with a gap between segments. A lead that lacks less is damaged.
    """
    there = np.isfinite(signals).sum(axis=2)
    return (signals.shape[2] - there >= GAP * fs) & (there >= PART * fs)


def _faults(signals: NDArray[Any], fs: float) -> NDArray[np.str_]:
    from scipy.signal import butter, sosfiltfilt  # takes a second

    finite = np.isfinite(signals).all(axis=2)
    usable = np.where(finite[..., None], signals, 0).astype(np.float64)
    flat = np.quantile(np.ptp(_windows(usable, fs, FLAT_WINDOW), axis=3), 0.95, axis=2) < FLAT
    fast = sosfiltfilt(butter(2, NOISE_BAND, btype="bandpass", fs=fs, output="sos"), usable, axis=2)
    rms = np.sqrt((_windows(fast, fs, NOISE_WINDOW)**2).mean(axis=3))
    middle, qrs = np.quantile(rms, [0.5, 0.95], axis=2)
    noisy = (middle > NOISE) & (middle > NOISE_SHARE * qrs)
    wanders = np.ptp(np.median(_windows(usable, fs, WANDER_WINDOW), axis=3), axis=2) > WANDER
    centred = usable - np.median(usable, axis=2, keepdims=True)
    clipped = _plateau_on_top(centred, fs) | _plateau_on_top(-centred, fs)
    # A slow swing stays at its top almost as long as a clipped one does, so wander is asked for first.
    return np.select([~finite, flat, noisy, wanders, clipped], FAULTS, default="")


def _windows(signals: NDArray[np.float64], fs: float, seconds: float) -> NDArray[np.float64]:
    """Cut into windows: `(n, 12, n_windows, window)`; what is left over at the end is left out."""
    size = round(seconds * fs)
    whole = signals.shape[2] // size
    return signals[..., :whole * size].reshape(*signals.shape[:2], whole, size)


def _plateau_on_top(centred: NDArray[np.float64], fs: float) -> NDArray[np.bool_]:
    """Whether enough of the highest samples follow each other, far enough from the median."""
    top = centred.max(axis=2)
    found = top >= CLIPPED_FAR
    at_top = centred[found] >= top[found][:, None] - CLIPPED_STEP
    size = round(CLIPPED * fs)
    count = np.pad(at_top.cumsum(axis=1, dtype=np.int32), ((0, 0), (1, 0)))
    found[found] = (count[:, size:] - count[:, :-size] == size).any(axis=1)
    return found
