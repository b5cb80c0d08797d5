"""Deflections of a wave: Q, R, S and R' within a QRS, and the last part of a P."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: A deflection is this far from 0 (mV) for at least so many samples, which are milliseconds. IEC 60601-2-51 (GG.5)
#: defines the smallest wave in this way.
LEAST_MV = 0.02
LEAST_MS = 6
NAMES = ("q", "r", "s", "rp")
#: A notch divides an R of at least so many ms into maxima of at least this share of its height.
NOTCHED_MS = 40
NOTCHED_SHARE = 0.5


@dataclass(frozen=True)
class Deflections:
    """Deflections of some waves, in order; neighbours have opposite signs.

    Of each: the row of its wave, its first sample and the one after the last, and the value furthest from 0.
    """

    wave: NDArray[np.intp]
    begin: NDArray[np.intp]
    end: NDArray[np.intp]
    peak: NDArray[np.float64]


def deflections(waves: NDArray[np.float32], size: NDArray[np.intp]) -> Deflections:
    """Find the deflections of some waves: stretches of `LEAST_MS` or longer at `LEAST_MV` or more above or below 0.

    The last stretch of a wave counts if it goes beyond the value at the wave's end by `LEAST_MV`: what still rises
    at the J point is the ST segment. Stretches of the same sign are one deflection if nothing that counts lies between.
    `waves` `(n_waves, length)` are relative to the baseline, a sample each millisecond; `size` `(n_waves,)` of them are
    looked at.
    """
    n, length = waves.shape
    seen = (np.arange(length) < size[:, None]) & (np.abs(waves) >= LEAST_MV)
    sign = np.where(seen, np.sign(waves), 0).astype(np.int8)
    starts = np.ones((n, length), dtype=bool)
    starts[:, 1:] = np.diff(sign, axis=1) != 0
    begin = np.flatnonzero(starts)
    end, height = np.append(begin[1:], n * length), np.abs(waves).ravel()
    peak = np.maximum.reduceat(height, begin) * sign.ravel()[begin]
    begin, end, peak = begin[peak != 0], end[peak != 0], peak[peak != 0]
    wave = begin // length
    floor = np.where(end == wave * length + size[wave], height[end - 1], 0)
    counts = (np.abs(peak) - floor >= LEAST_MV) & (end - begin >= LEAST_MS)
    wave, begin, end, peak = wave[counts], begin[counts] % length, (end - 1)[counts] % length + 1, peak[counts]
    # Neighbours of the same sign are one.
    other = np.ones(len(wave), dtype=bool)
    other[1:] = (np.diff(wave) != 0) | (np.diff(np.sign(peak)) != 0)
    first = np.flatnonzero(other)
    last = np.append(first[1:], len(wave))[:len(first)] - 1
    height = np.maximum.reduceat(np.abs(peak), first)
    return Deflections(wave[first], begin[first], end[last], (np.sign(peak)[first] * height).astype(np.float64))


@dataclass(frozen=True)
class QRSParts:
    """Q, R, S and R' of some QRS complexes (`NAMES`); a QS is a Q without an R.

    `amplitude` (mV, Q and S negative) and `duration` (ms) are `(n_waves, 4)`, 0 where there is none; `r_peak` is the
    sample of the highest point of R, nan where there is none; `notched` whether R has two maxima, see `NOTCHED_MS`.
    """

    amplitude: NDArray[np.float64]
    duration: NDArray[np.float64]
    r_peak: NDArray[np.float64]
    notched: NDArray[np.bool_]


def qrs_parts(waves: NDArray[np.float32], size: NDArray[np.intp]) -> QRSParts:
    """Name the deflections of some QRS complexes, given from onset to offset as `deflections` takes them.

    The first is Q where negative, else R; then R, S and R' follow in turn. Later ones are left out.
    """
    n, length = waves.shape
    found = deflections(waves, size)
    first = np.searchsorted(found.wave, found.wave)
    place = np.arange(len(first)) - first + (found.peak[first] > 0)
    named = place < len(NAMES)
    at = found.wave[named], place[named]
    amplitude, duration, begin = (np.zeros((n, len(NAMES))) for _ in range(3))
    amplitude[at], duration[at], begin[at] = found.peak[named], (found.end - found.begin)[named], found.begin[named]
    r = NAMES.index("r")
    sample = np.arange(length)
    within = (sample >= begin[:, r, None]) & (sample < (begin + duration)[:, r, None])
    r_wave = np.where(within, waves, 0)
    r_peak = np.where(amplitude[:, r] > 0, r_wave.argmax(axis=1), np.nan)
    return QRSParts(amplitude, duration, r_peak, (duration[:, r] >= NOTCHED_MS) & _notched(r_wave))


def _notched(r_wave: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether there is a dip of `LEAST_MV` with `NOTCHED_SHARE` of the height on both sides of it."""
    left = np.maximum.accumulate(r_wave, axis=1)
    right = np.maximum.accumulate(r_wave[:, ::-1], axis=1)[:, ::-1]
    shoulder = np.minimum(left, right)
    enough = shoulder >= NOTCHED_SHARE * r_wave.max(axis=1, initial=0)[:, None]
    return (enough & (shoulder - r_wave >= LEAST_MV)).any(axis=1)
