"""Players of an attribution: the leads' P, QRS, ST and T, what they are replaced by, their sums, maps beat by beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.leads import N_LEADS
from ecgkit.physiology.median_beat import LEVEL, OFFSET, ONSET, PEAK, MedianBeats
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
#: Where segments begin and end, as wave and mark: P, QRS, ST, T.
ENDS = (((_WAVE[P], ONSET), (_WAVE[P], OFFSET)), ((_WAVE[QRS], ONSET), (_WAVE[QRS], OFFSET)),
        ((_WAVE[QRS], OFFSET), (_WAVE[T], ONSET)), ((_WAVE[T], ONSET), (_WAVE[T], OFFSET)))


def segments(waves: Waves, sig_len: int) -> NDArray[np.int8]:
    """Say for every sample what it belongs to, in all leads at once: its place in `SEGMENTS`, int8 `(n, sig_len)`.

    ST goes from the end of QRS to the onset of T, where there is a T. Where waves overlap, QRS goes before P, P before
    T. A wave whose onset or offset is not known goes to the recording's edge: `ecgkit.physiology.delineate` gives nan
    where a wave goes on beyond it.
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

    It is made of `segments`, and is what captum calls a feature mask.
    """
    number = np.arange(N_LEADS)[:, None] * REST + parts[:, None].astype(np.int64)
    return np.where(parts[:, None] == REST, N_PLAYERS, number)


def player_cells(parts: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The same with -1 for the rest, which is what the metrics of `ecgkit.explain.battery` call cells."""
    players = player_mask(parts)
    return np.where(players == N_PLAYERS, -1, players)


def player_sums(maps: NDArray[Any], parts: NDArray[np.integer[Any]], *, absolute: bool = False) -> NDArray[np.float64]:
    """Sum maps `(n, 12, sig_len)` over each lead and each of `SEGMENTS`, `(n, 12, 5)`.

    Nothing is lost, so the sums of an ECG add up to the sum of its map; sums of `absolute` values do not cancel.
    """
    if maps.ndim != 3 or parts.shape != (len(maps), maps.shape[2]):
        raise EcgkitError(f"maps of shape {maps.shape} with segments of shape {parts.shape}; expected "
                          f"(n, {N_LEADS}, sig_len) and (n, sig_len)")
    values = np.abs(maps) if absolute else maps
    columns = [np.einsum("nls,ns->nl", values, parts == k, dtype=np.float64) for k in range(len(SEGMENTS))]
    return np.stack(columns, axis=-1)


def beat_aligned(maps: NDArray[Any], waves: Waves, fs: float) -> NDArray[np.float64]:
    """Mean of each ECG's map over its normal beats, which are laid on their R peaks.

    Of maps `(n, 12, sig_len)` at `fs` Hz come means `(n, 12, samples)` from `BEFORE` ms before the R peak to `AFTER` ms
    after it, nan where no normal beat reaches. Beats are moved by whole samples: maps jump from sample to sample, and
    interpolation would ring.
    """
    if maps.ndim != 3 or len(maps) != len(waves.ms):
        raise EcgkitError(f"maps of shape {maps.shape} with the waves of {len(waves.ms)} ECGs; expected "
                          f"({len(waves.ms)}, {N_LEADS}, sig_len)")
    offsets = np.arange(-round(BEFORE * fs / 1000), round(AFTER * fs / 1000) + 1)
    peak = np.where(waves.kind == NORMAL, waves.ms[:, :, _WAVE[QRS], PEAK], np.nan) * fs / 1000
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
    """Join the ends of each P, QRS, ST and T of ECGs `(n, 12, sig_len)` by a straight line; a wave that is cut stays.

    It never jumps, and so cannot take away what the ends of a segment have in common: an ST segment that is raised from
    J to T stays so. What is to test the ST segment must be `normal_beats`.
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

    The baseline is the level just before the beat's QRS. A wave that the recording cuts stays. ECGs
    `(n, 12, sig_len)` are in mV at `waves.fs`; `template` is one beat, such as `normal_template` of normal ECGs, and
    where it has no such segment, the ECG keeps its own.
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
    onset = marks[ecg, beat, _WAVE[QRS], ONSET]
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
