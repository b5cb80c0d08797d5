"""What P, QRS, ST and T are replaced by when they are to be gone: a straight line, or those of a normal beat.

A wave that the recording cuts stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.physiology.median_beat import LEVEL, OFFSET, ONSET, QRS, MedianBeats, P, T
from ecgkit.simulator import Waves

#: Where segments begin and end, as wave and mark: P, QRS, ST, T.
ENDS = (((P, ONSET), (P, OFFSET)), ((QRS, ONSET), (QRS, OFFSET)), ((QRS, OFFSET), (T, ONSET)),
        ((T, ONSET), (T, OFFSET)))


@dataclass(frozen=True)
class _Segments:
    """Segments of some ECGs: whose, where they begin and end, the beat's QRS onset (samples), and which of `ENDS`."""

    ecg: NDArray[np.intp]
    start: NDArray[np.intp]
    end: NDArray[np.intp]
    onset: NDArray[np.intp]
    kind: NDArray[np.intp]

    def samples(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
        """Of every sample inside: its segment, its time, and how far along the segment it lies, 0 to 1."""
        length = self.end - self.start
        segment = np.repeat(np.arange(len(length)), length)
        step = np.arange(len(segment)) - (np.cumsum(length) - length)[segment]
        return segment, self.start[segment] + step, step / length[segment]


def interpolated(x: NDArray[np.float32], waves: Waves) -> NDArray[np.float32]:
    """Join the ends of each P, QRS, ST and T by a straight line.

    Parameters
    ----------
    x : ndarray of float32, shape (n, 12, sig_len)
        Millivolts at `waves.fs`.
    waves : Waves
        Boundaries of the waves of the same ECGs.

    Returns
    -------
    ndarray of float32, shape (n, 12, sig_len)
        Never jumps, and so cannot take away what the ends of a segment have in common: an ST segment that is raised
        from J to T stays so. What is to test the ST segment must be `normal_beats`.

    Raises
    ------
    EcgkitError
        If the shapes do not fit each other.
    """
    found = _segments(x, waves)
    segment, time, along = found.samples()
    ecg = found.ecg[segment]
    first, last = x[ecg, :, found.start[segment]], x[ecg, :, found.end[segment]]
    out = x.copy()
    out[ecg, :, time] = first + (last - first) * along[:, None].astype(np.float32)
    return out


def normal_beats(x: NDArray[np.float32], waves: Waves, template: MedianBeats) -> NDArray[np.float32]:
    """Replace each P, QRS, ST and T by that of a normal beat, stretched to its duration, on the beat's own baseline.

    Parameters
    ----------
    x, waves
        As in `interpolated`.
    template : MedianBeats
        One beat, such as `normal_template` of normal ECGs. Where it has no such segment, the ECG keeps its own.

    Returns
    -------
    ndarray of float32, shape (n, 12, sig_len)
        The baseline is the level just before the beat's QRS.

    Raises
    ------
    EcgkitError
        If the shapes do not fit each other, or the template is not one beat.
    """
    if len(template.signals) != 1:
        raise EcgkitError(f"a template of {len(template.signals)} beats; give one: normal_template(...)")
    ends = np.array([[template.marks[0][mark] for mark in pair] for pair in ENDS])
    found = _segments(x, waves, np.isfinite(ends).all(axis=1))
    segment, time, along = found.samples()
    first, last = ends[found.kind[segment]].T
    beat = template.signals[0]
    at = np.clip(template.zero + (first + (last - first) * along) * template.fs / 1000, 0, beat.shape[1] - 1)
    below = np.minimum(at.astype(np.intp), beat.shape[1] - 2)
    fraction = (at - below).astype(np.float32)[:, None]
    out = x.copy()
    out[found.ecg[segment], :, time] = _levels(x, found, waves.fs)[segment] \
        + beat.T[below] * (1 - fraction) + beat.T[below + 1] * fraction
    return out


def normal_template(beats: MedianBeats) -> MedianBeats:
    """The median of the median beats of some ECGs, as one."""
    return MedianBeats(np.nanmedian(beats.signals, axis=0, keepdims=True), np.nanmedian(beats.marks, axis=0)[None],
                       beats.n_beats.sum(keepdims=True), np.nanmedian(beats.rr, keepdims=True), beats.fs, beats.zero)


def _segments(x: NDArray[Any], waves: Waves, wanted: NDArray[np.bool_] | None = None) -> _Segments:
    """Segments that lie within the recording; of the `wanted` of `ENDS`, or all."""
    if x.ndim != 3 or len(x) != len(waves.ms):
        raise EcgkitError(f"x of shape {x.shape} with the waves of {len(waves.ms)} ECGs: give ({len(waves.ms)}, 12, "
                          "sig_len), one recording for each")
    marks = waves.samples
    start, end = (np.stack([marks[:, :, wave, mark] for wave, mark in side], axis=-1)
                  for side in zip(*ENDS, strict=True))
    there = (start >= 0) & (end > start) & (end < x.shape[2])
    if wanted is not None:
        there &= wanted
    ecg, beat, kind = np.nonzero(there)
    onset = marks[ecg, beat, QRS, ONSET]
    # A P wave that no QRS follows has its own level.
    onset = np.clip(np.where(np.isfinite(onset), onset, start[there]), 0, x.shape[2] - 1)
    return _Segments(ecg, start[there].astype(np.intp), end[there].astype(np.intp), onset.astype(np.intp), kind)


def _levels(x: NDArray[np.float32], found: _Segments, fs: float) -> NDArray[np.float32]:
    """Mean of the samples just before the QRS of each segment's beat, `(n_segments, 12)`."""
    first, last = (int(np.floor(ms * fs / 1000)) for ms in LEVEL)
    total = np.zeros((len(found.ecg), x.shape[1]), dtype=np.float32)
    for step in range(first, last + 1):
        total += x[found.ecg, :, np.maximum(found.onset + step, 0)]
    return total / np.float32(last + 1 - first)
