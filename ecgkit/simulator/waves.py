"""True boundaries of the P, QRS and T of every beat, and the intervals between them.

The rule: a wavelet begins 2.5 widths before its centre and ends 2.5 widths after it (where it has 4.4 % of its peak),
and counts if its vector reaches 20 microvolts. A wave begins with the first of its wavelets and ends with the last.
This rule gives the PR, QRS and QT of the catalogue's source to the millisecond. The peak is where the wave's own
vector is longest. ST plateaus belong to no wave.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.simulator.catalogue import IS_ATRIAL, IS_DEPOLARISATION, IS_PLATEAU, IS_REPOLARISATION
from ecgkit.simulator.heart import SHARE, Wavelets
from ecgkit.simulator.rhythm import NORMAL, Beats

WAVES = ("P", "QRS", "T")
MARKS = ("onset", "peak", "offset")
EDGE = 2.5
LEAST_MV = 0.020

_GROUPS = np.stack([IS_ATRIAL, IS_DEPOLARISATION, IS_REPOLARISATION & ~IS_PLATEAU])
#: Milliseconds from R among which the peak of P, QRS and T is sought.
_GRIDS = tuple(np.arange(first, last, 2, dtype=np.float32) for first, last in ((-350, -50), (-150, 200), (80, 640)))


@dataclass(frozen=True)
class Waves:
    """True boundaries of some ECGs at `fs` Hz.

    `ms`, `(n, n_beats, 3, 3)`, are ms from the start of the recording, of P, QRS, T (`WAVES`) and their onset, peak,
    offset (`MARKS`); nan where a beat has no such wave, and for beats whose R peak lies outside the recording; a wave
    of a beat at the edge may itself lie outside. `kind`, `(n, n_beats)`, is 0 for a normal beat, 1 for an atrial, 2 for
    a ventricular premature one, and -1 for no beat within the recording; `rr` are ms since the beat before.
    """

    ms: NDArray[np.float64]
    kind: NDArray[np.int8]
    rr: NDArray[np.float64]
    fs: float

    @property
    def samples(self) -> NDArray[np.float64]:
        """The boundaries in samples, rounded to the nearest; nan where there is none."""
        return np.round(self.ms * self.fs / 1000)


@dataclass(frozen=True)
class Intervals:
    """True intervals of some ECGs in ms, `(n,)`: medians over the normal beats of each; nan where there is none.

    P onset to QRS onset, QRS onset to offset, QRS onset to T offset, and mean R to R of all beats.
    """

    pr: NDArray[np.float64]
    qrs: NDArray[np.float64]
    qt: NDArray[np.float64]
    rr: NDArray[np.float64]

    @property
    def heart_rate(self) -> NDArray[np.float64]:
        """Beats per minute."""
        return 60_000 / self.rr


def waves(hearts: Wavelets, beats: Beats, fs: float, seconds: float) -> Waves:
    """Boundaries of every beat; see the rule above."""
    by_kind = _marks(hearts)
    marks = np.take_along_axis(by_kind, beats.kind[:, :, None, None].astype(np.intp), axis=1)
    marks[:, :, WAVES.index("T")] *= beats.stretch[:, :, None]
    inside = (beats.time >= 0) & (beats.time < seconds)
    ms = np.where(inside[:, :, None, None], marks + beats.time[:, :, None, None] * 1000, np.nan)
    return Waves(ms, np.where(inside, beats.kind, -1).astype(np.int8), np.where(inside, beats.rr * 1000, np.nan), fs)


def intervals(found: Waves) -> Intervals:
    """Intervals of ECGs whose boundaries are known."""
    marks = np.where((found.kind == NORMAL)[:, :, None, None], found.ms, np.nan)
    p, qrs, t = (marks[:, :, k] for k in range(3))
    pr, qrs_width, qt = (pd.DataFrame(gap).median(axis=1).to_numpy() for gap in (
        qrs[..., 0] - p[..., 0], qrs[..., 2] - qrs[..., 0], t[..., 2] - qrs[..., 0]))
    return Intervals(pr, qrs_width, qt, rr=np.nanmean(found.rr, axis=1))


def _marks(hearts: Wavelets) -> NDArray[np.float64]:
    """Onset, peak, offset of each wave of each kind of beat at 60/min, ms from R: `(n, n_kinds, 3, 3)`."""
    strength = np.linalg.norm(hearts.vector, axis=2)[:, None] * np.abs(SHARE)
    counts = (strength >= LEAST_MV)[:, :, None] & _GROUPS
    reach = EDGE * hearts.width
    onset = np.where(counts, (hearts.start - reach)[:, None, None], np.inf).min(axis=-1)
    offset = np.where(counts, (hearts.start + reach)[:, None, None], -np.inf).max(axis=-1)
    marks = np.stack([onset, _peaks(hearts), offset], axis=-1)
    return np.where(counts.any(axis=-1)[..., None], marks, np.nan)


def _peaks(hearts: Wavelets) -> NDArray[np.float64]:
    """Milliseconds from R at which the vector of each wave is longest, `(n, n_kinds, 3)`, on a grid of 2 ms."""
    peaks = np.empty((len(hearts.start), len(SHARE), len(_GROUPS)))
    for wave, (group, grid) in enumerate(zip(_GROUPS, _GRIDS, strict=True)):
        start, width = (values[:, group, None].astype(np.float32) for values in (hearts.start, hearts.width))
        shape = np.exp(-((grid - start) / width)**2 / 2)
        for kind, share in enumerate(SHARE):
            amplitude = (hearts.vector[:, group] * share[group, None]).astype(np.float32)
            squared = ((amplitude.swapaxes(1, 2) @ shape)**2).sum(axis=1)
            peaks[:, kind, wave] = grid[squared.argmax(axis=1)]
    return peaks
