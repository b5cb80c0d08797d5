"""Alignment of beats between samples: each is moved to where its QRS agrees best with the median of all."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from ecgkit.leads import to_vcg


def windows(signals: NDArray[np.float32], ecg: NDArray[np.intp], start: NDArray[np.float64],
            length: int) -> NDArray[np.float32]:
    """Cut windows `(n_windows, n_leads, length)` that begin between two samples, by the shift theorem of Fourier.

    Each is of the ECG `ecg` `(n_windows,)` of `signals` `(n, n_leads, sig_len)` and begins at `start`, in samples, not
    rounded; beyond the recording its first and its last value are repeated. The line through the ends of each window is
    set aside meanwhile: a Fourier series takes the window for periodic.
    """
    whole = np.round(start).astype(np.intp)
    before = max(0, -int(whole.min(initial=0)))
    after = max(0, int(whole.max(initial=0)) + length - signals.shape[2])
    padded = np.pad(signals, ((0, 0), (0, 0), (before, after)), mode="edge")
    cut = sliding_window_view(padded, length, axis=2)[ecg, :, whole + before]
    fraction = (start - whole)[:, None]
    slope = (cut[..., -1:] - cut[..., :1]) / np.float32(length - 1)
    line = np.multiply(slope, np.arange(length, dtype=np.float32))
    line += cut[..., :1]
    cut -= line
    spectrum = rfft(cut, overwrite_x=True)
    spectrum *= np.exp(2j * np.pi * np.fft.rfftfreq(length) * fraction).astype(np.complex64)[:, None]
    line += slope * fraction[:, None].astype(np.float32)
    line += irfft(spectrum, length, overwrite_x=True)
    return line


@lru_cache(maxsize=8)
def onto_grid(length: int, first: float, step: float, n: int) -> NDArray[np.float32]:
    """Matrix `(length, n)` that interpolates: ``window @ matrix`` has the values at `first`, `first` + `step`, ..."""
    at = first + step * np.arange(n)
    share = at / (length - 1)
    line: NDArray[Any] = np.zeros((length, n))
    line[0], line[-1] = 1 - share, share
    ramp = np.arange(length)[:, None] / (length - 1)
    spectrum = rfft(np.eye(length))
    twice = np.where((np.arange(spectrum.shape[1]) % (length / 2)) == 0, 1, 2) / length
    wave = np.exp(2j * np.pi * np.outer(np.arange(spectrum.shape[1]), at) / length)
    periodic = ((spectrum * twice) @ wave).real
    without_line = periodic.copy()
    without_line[0] -= ((1 - ramp) * periodic).sum(axis=0)
    without_line[-1] -= (ramp * periodic).sum(axis=0)
    return (without_line + line).astype(np.float32)


#: Milliseconds around the R peak that are compared: any QRS, little of P and T. Both ends fade out over `FADE`.
SUPPORT = (-120.0, 150.0)
FADE = 40.0
#: Milliseconds by which a beat may be moved.
FARTHEST = 60
ROUNDS = 2


def grouped_median(values: NDArray[Any], group: NDArray[np.intp], n: int) -> NDArray[Any]:
    """Median of the finite `values` `(n_values, ...)` of each of `n` groups, `(n, ...)`; nan where there is none.

    `group` `(n_values,)` says in ascending order which group each is of.
    """
    size = np.bincount(group, minlength=n)
    rank = np.arange(len(group)) - (np.cumsum(size) - size)[group]
    table = np.full((n, max(1, size.max(initial=0)), *values.shape[1:]), np.nan, dtype=values.dtype)
    table[group, rank] = values
    table.sort(axis=1)
    count = np.isfinite(table).sum(axis=1, keepdims=True)
    halves = (np.maximum(count - 1, 0) // 2, count // 2)
    low, high = (np.take_along_axis(table, half, axis=1)[:, 0] for half in halves)
    return (low + high) / 2


def align(signals: NDArray[np.float32], ecg: NDArray[np.intp], at: NDArray[np.float64],
          fs: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find where the beats of each ECG lie relative to each other.

    Cross-correlation of each beat's QRS with the median QRS (Woody 1967), summed over X, Y, Z of the heart vector, to
    which all leads contribute, on a grid of 1 ms with a parabola through the highest three points.

    `signals` are `(n, 12, sig_len)` in mV at `fs` Hz, `ecg` `(n_beats,)` the ECG of each beat, in ascending order, and
    `at` `(n_beats,)` about where its R peak is, in samples. Returns `at`, finer (the median of an ECG's changes is 0),
    and the correlation of each aligned beat with the median QRS, -1 to 1.
    """
    leads = to_vcg(signals)
    before = int(np.ceil((FARTHEST - SUPPORT[0]) * fs / 1000))
    length = next_fast_len(before + int(np.ceil((FARTHEST + SUPPORT[1]) * fs / 1000)) + 1, real=True)
    weight = _weight((np.arange(length) - before) * 1000 / fs)
    given = at
    for _ in range(ROUNDS):
        beats = windows(leads, ecg, at - before, length)
        template = _centred(grouped_median(beats, ecg, len(signals)), weight) * weight
        at = at + _best_lag(beats, template[ecg], fs)
    at = at - grouped_median(at - given, ecg, len(signals))[ecg]
    beats = _centred(windows(leads, ecg, at - before, length), weight)
    template = _centred(grouped_median(beats, ecg, len(signals)), weight)[ecg]
    return at, _correlation(beats, template, weight)


def _weight(ms: NDArray[np.float64]) -> NDArray[np.float32]:
    """1 within `SUPPORT`, fading out like a cosine to 0 at its ends."""
    inside = np.minimum(ms - SUPPORT[0], SUPPORT[1] - ms) / FADE
    return np.sin(np.pi / 2 * np.clip(inside, 0, 1)).astype(np.float32)**2


def _centred(beats: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Beats less the weighted mean of each lead, so that a level of the baseline counts for nothing."""
    return beats - (beats @ weight / weight.sum())[..., None]


def _best_lag(beats: NDArray[np.float32], template: NDArray[np.float32], fs: float) -> NDArray[np.float64]:
    """Samples by which each beat comes later than its template."""
    length = beats.shape[2]
    cross = (rfft(beats) * rfft(template).conj()).sum(axis=1)
    lags = np.arange(-FARTHEST, FARTHEST + 1) * fs / 1000
    wave = np.exp(2j * np.pi * np.outer(np.arange(cross.shape[1]), lags) / length).astype(np.complex64)
    agreement = (cross @ wave).real.astype(np.float64)
    top = np.clip(agreement.argmax(axis=1), 1, len(lags) - 2)
    left, middle, right = (np.take_along_axis(agreement, (top + k)[:, None], axis=1)[:, 0] for k in (-1, 0, 1))
    bend = left - 2 * middle + right
    beyond = np.divide(left - right, 2 * bend, out=np.zeros_like(bend), where=bend < 0)
    return lags[top] + np.clip(beyond, -1, 1) * fs / 1000


def _correlation(beats: NDArray[np.float32], template: NDArray[np.float32],
                 weight: NDArray[np.float32]) -> NDArray[np.float64]:
    """Weighted correlation over all leads; 0 where there is no signal."""
    def product(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.einsum("bls,bls,s->b", a, b, weight).astype(np.float64)
    scale = np.sqrt(product(beats, beats) * product(template, template))
    return np.divide(product(beats, template), scale, out=np.zeros(len(beats)), where=scale > 0)
