"""From severities to the heart vector (the wavelets of a beat, summed over the beats), and from it to the leads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ecgkit.leads import DOWER, independent
from ecgkit.simulator.catalogue import ATRIAL, BASE, DROPS, IS_PLATEAU, IS_REPOLARISATION, MOVES, SLOTS, VENTRICULAR
from ecgkit.simulator.rhythm import ATRIAL_PREMATURE, VENTRICULAR_PREMATURE, Beats

#: How much of each slot a beat of each kind has, `(n_kinds, n_slots)`.
SHARE = np.zeros((3, len(SLOTS)))
SHARE[:VENTRICULAR_PREMATURE] = [slot not in VENTRICULAR for slot in SLOTS]
SHARE[VENTRICULAR_PREMATURE] = [slot in VENTRICULAR for slot in SLOTS]
SHARE[ATRIAL_PREMATURE, [SLOTS.index(slot) for slot in ATRIAL]] = (-0.3, 1.1)

#: Rise and fall of an ST plateau, milliseconds.
RISE, FALL = 8.0, 25.0
#: A Gaussian is summed within so many widths of its centre (less than 0.04 % of its peak is left out) ...
REACH = 4.0
#: ... of the widest that its slot gets; patients' wavelets are at most this much wider than the catalogue's.
WIDEST = 1.3


@dataclass(frozen=True)
class Variation:
    """How patients' wavelets differ from the catalogue's; `none` gives the catalogue itself.

    `gain` is a factor of each wavelet's X, Y, Z, `(n, n_slots, 3)`, and `shift` what is added to them, in mV. Of shape
    `(n, n_slots)` are `width`, a factor; `delay`, ms by which a wavelet comes later; and `tempo`, a factor of all its
    times: slower conduction, longer repolarisation.
    """

    gain: NDArray[np.float64]
    width: NDArray[np.float64]
    delay: NDArray[np.float64]
    tempo: NDArray[np.float64]
    shift: NDArray[np.float64] | float = 0.0

    @classmethod
    def none(cls, n: int) -> Variation:
        """No variation, for `n` ECGs."""
        one = np.ones((n, len(SLOTS)))
        return cls(np.ones((n, len(SLOTS), 3)), one, 0 * one, one)


@dataclass(frozen=True)
class Wavelets:
    """The wavelets of some ECGs' beats at 60/min.

    `start` and `width`, `(n, n_slots)`, are centre and width of the Gaussians, or begin and end of the ST plateaus, in
    ms from the R peak; `vector`, `(n, n_slots, 3)`, is X, Y, Z in mV; and `span`, `(n_slots, 2)`, says where to sum:
    first ms and length of each window, relative to `start`.
    """

    start: NDArray[np.float64]
    width: NDArray[np.float64]
    vector: NDArray[np.float64]
    span: NDArray[np.float64]


def wavelets(severity: NDArray[np.float64], variation: Variation) -> Wavelets:
    """Wavelets of hearts that have several diseases at once, each to its own degree: `(n, n_edits)`, 0 to 1.

    A disease moves the five numbers of a wavelet in a straight line from the normal beat's to its own; the moves of
    several diseases add up. A wavelet that diseases drop is multiplied by the product of (1 - severity).
    """
    n, n_edits = severity.shape
    move, kept = np.zeros((n, *BASE.shape)), np.ones((n, len(SLOTS)))
    # One edit after the other, and only in those who have it: few have any, and unlike a matrix product the sum does
    # not depend on how many ECGs are computed together.
    for edit in range(n_edits):
        rows = np.flatnonzero(severity[:, edit])
        degree = severity[rows, edit, None]
        move[rows] += degree[..., None] * MOVES[edit]
        kept[rows] *= 1 - degree * DROPS[edit]
    table = BASE + move
    return Wavelets(start=table[..., 0] * variation.tempo + variation.delay,
                    width=table[..., 1] * variation.tempo * variation.width,
                    vector=table[..., 2:] * kept[..., None] * variation.gain + variation.shift * kept[..., None],
                    span=_spans(n_edits))


def heart_vector(hearts: Wavelets, beats: Beats, fs: float, sig_len: int) -> NDArray[np.float32]:
    """Sum of all wavelets over all beats: X, Y, Z in mV, `(n, 3, sig_len)`, at `fs` Hz."""
    margin = int(np.ceil(_LONGEST * fs))
    vector = np.zeros((len(beats.time), 3, sig_len + 2 * margin), dtype=np.float32)
    present = np.abs(hearts.vector).max(axis=2) > 0
    in_view = (beats.time > -_LONGEST) & (beats.time < sig_len / fs + _LONGEST)
    for parity in (0, 1):
        rows, order = np.nonzero(in_view[:, parity::2])
        numbers = 2 * order + parity
        kinds = beats.kind[rows, numbers]
        for slot in range(len(SLOTS)):
            used = present[rows, slot] & (SHARE[kinds, slot] != 0)
            if used.any():
                _add(vector, hearts, beats, slot, rows[used], numbers[used], fs, margin)
    return vector[:, :, margin:margin + sig_len]


def _add(vector: NDArray[np.float32], hearts: Wavelets, beats: Beats, slot: int, row: NDArray[np.intp],
         beat: NDArray[np.intp], fs: float, margin: int) -> None:
    """Add one wavelet of some beats; every second beat at a time, so that no two overlap within one ECG."""
    time, start, width = beats.time[row, beat], hearts.start[row, slot], hearts.width[row, slot]
    if IS_REPOLARISATION[slot]:
        width = width * beats.stretch[row, beat]
        if not IS_PLATEAU[slot]:
            start = start * beats.stretch[row, beat]
    first_ms, length_ms = hearts.span[slot]
    n_samples = int(np.ceil(length_ms / 1000 * fs)) + 1
    sample = np.floor((time + (start + first_ms) / 1000) * fs).astype(np.intp)
    ms = (sample / fs - time) * 1000
    step = np.arange(n_samples, dtype=np.float32) * np.float32(1000 / fs)
    shape = _plateau(ms, step, start, width) if IS_PLATEAU[slot] else _gaussian(ms, step, start, width)
    amplitude = (hearts.vector[row, slot] * SHARE[beats.kind[row, beat], slot, None]).astype(np.float32)
    windows = sliding_window_view(vector, n_samples, axis=2, writeable=True)
    windows[row, :, np.clip(sample + margin, 0, windows.shape[2] - 1)] += amplitude[:, :, None] * shape[:, None]


def _gaussian(ms: NDArray[np.float64], step: NDArray[np.float32], centre: NDArray[np.float64],
              width: NDArray[np.float64]) -> NDArray[np.float32]:
    """A Gaussian from `ms` on, at the steps `step`."""
    z = step * (np.sqrt(0.5) / width).astype(np.float32)[:, None]
    z += ((ms - centre) / width * np.sqrt(0.5)).astype(np.float32)[:, None]
    z *= z
    return np.exp(np.negative(z, out=z), out=z)


def _plateau(ms: NDArray[np.float64], step: NDArray[np.float32], on: NDArray[np.float64],
             off: NDArray[np.float64]) -> NDArray[np.float32]:
    """An ST plateau from `ms` on, at the steps `step`."""
    rise = np.exp(((on - ms) / RISE).astype(np.float32)[:, None] - step / np.float32(RISE))
    fall = np.exp(((ms - off) / FALL).astype(np.float32)[:, None] + step / np.float32(FALL))
    return 1 / ((1 + rise) * (1 + fall))


def _reachable(n_edits: int) -> NDArray[np.float64]:
    """Every slot's five numbers in a normal beat and at full severity of each edit, `(1 + n_edits, n_slots, 5)`."""
    return BASE + np.concatenate([np.zeros_like(BASE)[None], MOVES[:n_edits]])


@lru_cache
def _spans(n_edits: int) -> NDArray[np.float64]:
    """First millisecond and length of every slot's window, relative to its start, `(n_slots, 2)`."""
    widest = _reachable(n_edits)[..., 1].max(axis=0) * WIDEST
    gaussian = np.stack([-REACH * widest, 2 * REACH * widest], axis=1)
    tail = 6 * FALL
    plateau = np.stack([np.full(len(SLOTS), -6 * RISE), 6 * RISE + widest + tail], axis=1)
    return np.where(IS_PLATEAU[:, None], plateau, gaussian)


def _longest() -> float:
    """Seconds from the R peak beyond which no wavelet reaches."""
    span, start = _spans(len(MOVES)), _reachable(len(MOVES))[..., 0]
    last = WIDEST * np.where(IS_PLATEAU, BASE[:, 0], start.max(axis=0)) + span.sum(axis=1)
    return float(max(last.max(), -(start.min(axis=0) + span[:, 0]).min(), span[:, 1].max())) / 1000


_LONGEST = _longest()


def rotation(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation matrices of the heart in the chest, `(n, 3, 3)`, of angles in degrees `(n, 3)`.

    About Z (the frontal plane; positive turns the axis clockwise, towards the feet), about Y (the horizontal plane) and
    about X (the sagittal plane), applied in this order.
    """
    turned = np.broadcast_to(np.eye(3), (len(degrees), 3, 3))
    for angle, (a, b) in zip(np.deg2rad(degrees).T, ((0, 1), (0, 2), (1, 2)), strict=True):
        turn = np.tile(np.eye(3), (len(degrees), 1, 1))
        turn[:, a, a] = turn[:, b, b] = np.cos(angle)
        turn[:, b, a] = np.sin(angle)
        turn[:, a, b] = -np.sin(angle)
        turned = turn @ turned
    return turned


def lead_field(degrees: NDArray[np.float64], gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eight leads from the heart vector, `(n, 8, 3)`: Dower's rows times `gain` `(n, 8)`, of a heart in `rotation`."""
    return gain[:, :, None] * independent(DOWER) @ rotation(degrees)


def to_leads(field: NDArray[Any], vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Eight independent leads, `(n, 8, sig_len)` in mV."""
    return field.astype(np.float32) @ vector
