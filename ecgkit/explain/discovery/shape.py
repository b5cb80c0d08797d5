"""The shape of an ECG's beats as 27 numbers, times of waves and directions of the heart vector, each changed alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.leads import N_LEADS, from_vcg, to_vcg
from ecgkit.models.generator import displaced
from ecgkit.physiology import delineate
from ecgkit.simulator import WAVES, Waves
from ecgkit.simulator.rhythm import NORMAL

#: Parts of a beat in which the heart vector is read, and where the middle of each lies: a wave, and the share of the
#: way from its onset to its offset; ST from the end of QRS to the onset of T, and T at its peak.
PARTS = {"early P": ("P", 0.3), "late P": ("P", 0.7), "initial QRS": ("QRS", 0.2), "mid QRS": ("QRS", 0.5),
         "late QRS": ("QRS", 0.8), "ST": ("ST", 0.5), "T": ("T", 0.5)}
DIRECTIONS = ("left", "down", "back")
#: Times of a beat that can move, in ms from the peak of QRS: a wave and its mark.
TIMES = {"P onset": ("P", 0), "P end": ("P", 2), "QRS onset": ("QRS", 0), "QRS end": ("QRS", 2), "T peak": ("T", 1),
         "T end": ("T", 2)}
#: The numbers that tell a shape, and the unit of each.
UNITS = {**dict.fromkeys(TIMES, "ms"),
         **{f"{part}, {direction}": "mV" for part in PARTS for direction in DIRECTIONS}}
NAMES = tuple(UNITS)
#: A time moves by no more than this share of the way to the next one, so that none overtakes another.
MOST_MOVED = 0.45
#: The level before QRS, from which amplitudes count, is taken so many ms before its onset.
_LEVEL = 10.0
#: A part whose hat has a smaller mean over itself is not there.
_LEAST_HAT = 0.1
_ONSET, _PEAK, _OFFSET = range(3)


@dataclass(frozen=True)
class Shapes:
    """The shapes of some ECGs.

    Parameters
    ----------
    signals : ndarray, shape (n, 12, sig_len)
        Millivolts at `fs` Hz.
    waves : Waves
        Where their waves are.
    """

    signals: NDArray[np.float32]
    waves: Waves

    @classmethod
    def of(cls, signals: NDArray[np.float32], fs: float) -> Shapes:
        """The shapes of ECGs `(n, 12, sig_len)` in mV at `fs` Hz whose waves are not known."""
        if signals.ndim != 3 or signals.shape[1] != N_LEADS:
            raise EcgkitError(f"signals of shape {signals.shape}; expected (n, {N_LEADS}, sig_len)")
        return cls(signals, delineate(signals, fs))

    @cached_property
    def _marks(self) -> NDArray[np.float64]:
        """Samples `(n, n_beats, 3, 3)` of the waves of normal beats that have QRS and T; nan elsewhere."""
        marks = self.waves.ms * self.waves.fs / 1000
        whole = (self.waves.kind == NORMAL) & np.isfinite(marks[:, :, 1:]).all(axis=(2, 3))
        return np.where(whole[..., None, None], marks, np.nan)

    @cached_property
    def _hats(self) -> NDArray[np.float32]:
        """How much each sample belongs to each part, `(n, n_parts, sig_len)`: raised cosines, from middle to middle."""
        hats = np.zeros((len(self.signals), len(PARTS), self.signals.shape[2]), dtype=np.float32)
        t = np.arange(self.signals.shape[2])
        for row, marks in enumerate(self._marks):
            at, part = _knots(marks)
            for k in range(len(PARTS)):
                if len(at):
                    hats[row, k] = np.sin(np.pi / 2 * np.interp(t, at, part == k, left=0, right=0)) ** 2
        return hats

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """The numbers `NAMES`, `(n, 27)`: means over the normal beats, in ms or mV; nan where there is no such wave."""
        return np.hstack([self._times(), self._amplitudes()])

    def _times(self) -> NDArray[np.float64]:
        peaks = self._marks[:, :, WAVES.index("QRS"), _PEAK]
        found = [self._marks[:, :, WAVES.index(wave), mark] - peaks for wave, mark in TIMES.values()]
        return np.stack([_mean(each) for each in found], axis=1) * 1000 / self.waves.fs

    def _amplitudes(self) -> NDArray[np.float64]:
        vector, t = to_vcg(self.signals), np.arange(self.signals.shape[2])
        for row, marks in enumerate(self._marks):
            onset = marks[:, WAVES.index("QRS"), _ONSET]
            at = np.clip(np.round(onset[np.isfinite(onset)] - _LEVEL * self.waves.fs / 1000), 0, len(t) - 1).astype(int)
            if len(at):
                vector[row] -= np.stack([np.interp(t, at, axis[at]) for axis in vector[row]])
        weight = self._hats.sum(axis=2)
        summed = np.einsum("npt,nat->npa", self._hats, vector)
        found = np.divide(summed, weight[..., None], out=np.full(summed.shape, np.nan), where=weight[..., None] > 1)
        return found.reshape(len(found), -1)

    def changed(self, name: str, by: NDArray[np.float64]) -> NDArray[np.float32]:
        """The ECGs with one number changed by `by` `(n,)`, in its unit, in every normal beat; nan changes nothing.

        A time moves with what is around it, and the times beside it stay. An amplitude is added as a smooth wave to the
        heart vector, so that leads change together and limb-lead algebra holds.
        """
        if name not in UNITS:
            raise EcgkitError(f"no number {name!r} in a shape; there are {', '.join(NAMES)}")
        by = np.nan_to_num(by)
        return self._moved(name, by) if name in TIMES else self._lifted(name, by)

    def _moved(self, name: str, by: NDArray[np.float64]) -> NDArray[np.float32]:
        wave, mark = TIMES[name]
        shift = np.zeros((len(self.signals), self.signals.shape[2]), dtype=np.float32)
        t = np.arange(self.signals.shape[2])
        for row, marks in enumerate(self._marks):
            at, moves = _anchors(marks, WAVES.index(wave), mark)
            if len(at):
                gap = np.diff(at, prepend=-np.inf, append=np.inf)
                step = moves * np.clip(by[row] * self.waves.fs / 1000, -MOST_MOVED * gap[:-1], MOST_MOVED * gap[1:])
                # What is fetched for a sample lies where it was before the move.
                shift[row] = np.interp(t, at + step, -step)
        leads = torch.from_numpy(np.array(self.signals, dtype=np.float32))
        return displaced(leads, torch.from_numpy(shift)).numpy()

    def _lifted(self, name: str, by: NDArray[np.float64]) -> NDArray[np.float32]:
        part, direction = name.split(", ")
        # Neighbouring hats overlap: waves are added that change the mean over one of them alone.
        weight = np.maximum(self._hats.sum(axis=2), 1e-3)
        means = np.einsum("npt,nqt->npq", self._hats, self._hats) / weight[..., None]
        means += np.eye(len(PARTS)) * (means.diagonal(axis1=1, axis2=2) < _LEAST_HAT)[..., None]
        heights = np.linalg.inv(means)[:, :, list(PARTS).index(part)] * by[:, None]
        vector = np.zeros((len(self.signals), 3, self.signals.shape[2]), dtype=np.float32)
        vector[:, DIRECTIONS.index(direction)] = np.einsum("np,npt->nt", heights, self._hats)
        return (self.signals + from_vcg(vector)).astype(np.float32)


def _knots(marks: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
    """Middles of parts in one ECG's beats, in samples, and which part each is; -1 is none."""
    p, qrs, t = (marks[:, k] for k in range(len(WAVES)))
    edges = {"P": (p[:, _ONSET], p[:, _OFFSET]), "QRS": (qrs[:, _ONSET], qrs[:, _OFFSET]),
             "ST": (qrs[:, _OFFSET], t[:, _ONSET]), "T": (t[:, _PEAK], t[:, _PEAK])}
    at = [edges[wave][0] + share * (edges[wave][1] - edges[wave][0]) for wave, share in PARTS.values()]
    ends = [p[:, _ONSET], p[:, _OFFSET], qrs[:, _ONSET], qrs[:, _OFFSET], t[:, _ONSET], t[:, _OFFSET]]
    return _sorted(np.stack([*at, *ends]), np.append(np.arange(len(at)), np.full(len(ends), -1)))


def _anchors(marks: NDArray[np.float64], wave: int, mark: int) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
    """All marks of one ECG's beats in samples, and 1 for those that are to move."""
    moves = np.zeros((len(WAVES), 3), dtype=np.int_)
    moves[wave, mark] = 1
    return _sorted(marks.reshape(len(marks), -1).T, moves.ravel())


def _sorted(at: NDArray[np.float64], what: NDArray[np.int_]) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
    """Times `(n_kinds, n_beats)` in order, those that are known, and what `(n_kinds,)` each is."""
    what = np.broadcast_to(what[:, None], at.shape)[np.isfinite(at)]
    order = np.argsort(at[np.isfinite(at)], kind="stable")
    return at[np.isfinite(at)][order], what[order]


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of what is known in each row; nan where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    return np.divide(np.where(known, values, 0).sum(axis=1), count, out=np.full(len(values), np.nan), where=count > 0)
