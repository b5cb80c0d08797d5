"""When the heart beats: sinus rhythm, atrial fibrillation, premature beats, and how repolarisation follows the rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.simulator.keyed import Keyed

#: Kinds of beats.
NORMAL, ATRIAL_PREMATURE, VENTRICULAR_PREMATURE = 0, 1, 2
SHORTEST_RR = 0.30
#: Seconds over which QT follows the rate (Pueyo et al. 2004 found tens of seconds; 25 s here).
QT_MEMORY = 25.0
#: Beats start this long before the recording, so that its first T waves are whole.
LEAD_IN = 0.8


@dataclass(frozen=True)
class Beats:
    """Beats of some ECGs; all arrays have the shape `(n, n_beats)` and the last beats lie after the recording.

    `time` is the R peak and `rr` the interval that ends at it, in seconds (from the start of the recording); `kind` is
    `NORMAL`, `ATRIAL_PREMATURE` or `VENTRICULAR_PREMATURE`, `stretch` the length of repolarisation relative to 60/min.
    """

    time: NDArray[np.float64]
    rr: NDArray[np.float64]
    kind: NDArray[np.int8]
    stretch: NDArray[np.float64]


def qt_change(rr: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds by which QT differs from that at RR = 1 s: QT = 0.49 - 0.09 / RR."""
    return -0.09 * (1 / rr - 1)


def beats(keyed: Keyed, ids: NDArray[Any], *, heart_rate: NDArray[np.float64], respiration: NDArray[np.float64],
          variability: NDArray[np.float64], ectopy: NDArray[np.float64], fibrillation: NDArray[np.float64],
          seconds: float) -> Beats:
    """Beat times of some ECGs, of `ids` and random streams.

    `heart_rate`, `(n, 2)`, is the mean rate per minute in sinus rhythm and in atrial fibrillation; `respiration` are
    breaths per second, the high-frequency modulation of RR; `variability`, `(n, 3)`, are the relative amplitudes of its
    low-frequency (0.1 Hz), respiratory and beat-to-beat modulation in sinus rhythm; `ectopy`, `(n, 2)`, the probability
    that a beat is an atrial, a ventricular premature one; `fibrillation` is 0 in sinus rhythm and 1 in atrial
    fibrillation, and RR in between is a mixture.
    """
    n_beats = int(np.ceil((seconds + LEAD_IN + 1.5) / SHORTEST_RR))
    plain = _sinus_rr(keyed, ids, 60 / heart_rate[:, :1], respiration, variability, n_beats)
    row = np.flatnonzero(fibrillation > 0)
    amount = fibrillation[row, None]
    fibrillating = _fibrillation_rr(keyed, ids[row], 60 / heart_rate[row, 1:], n_beats)
    plain[row] = (1 - amount) * plain[row] + amount * fibrillating
    kind = _premature(keyed, ids, ectopy, n_beats)
    rr = np.maximum(plain * _prematurity(kind), SHORTEST_RR)
    start = -LEAD_IN - keyed.uniform("phase", ids, 1) * rr[:, :1]
    time = start + np.cumsum(rr, axis=1) - rr[:, :1]
    return Beats(time, rr, kind, _stretch(time - start, rr, plain.mean(axis=1, keepdims=True)))


def _sinus_rr(keyed: Keyed, ids: NDArray[Any], mean: NDArray[np.float64], respiration: NDArray[np.float64],
              variability: NDArray[np.float64], n_beats: int) -> NDArray[np.float64]:
    """RR with a slow (0.1 Hz) and a respiratory modulation."""
    phase = keyed.uniform("RR phases", ids, 2, 0, 2 * np.pi)
    time = mean * np.arange(n_beats)
    slow = np.sin(2 * np.pi * 0.1 * time + phase[:, :1])
    breath = np.sin(2 * np.pi * respiration[:, None] * time + phase[:, 1:])
    jitter = keyed.normal("RR jitter", ids, n_beats)
    return mean * (1 + variability[:, :1] * slow + variability[:, 1:2] * breath + variability[:, 2:] * jitter)


def _fibrillation_rr(keyed: Keyed, ids: NDArray[Any], mean: NDArray[np.float64],
                     n_beats: int) -> NDArray[np.float64]:
    """Uncorrelated, positively skewed RR: a shifted gamma of shape 4, coefficient of variation 0.18 to 0.28."""
    spread = keyed.uniform("AF spread", ids, 1, 0.18, 0.28)
    gamma = -np.log(keyed.uniform("AF RR", ids, 4 * n_beats)).reshape(len(ids), n_beats, 4).sum(axis=2)
    return mean * (1 + spread * (gamma - 4) / 2)


def _premature(keyed: Keyed, ids: NDArray[Any], ectopy: NDArray[np.float64], n_beats: int) -> NDArray[np.int8]:
    """Kind of each beat; at least two normal ones lie between premature ones."""
    kind = np.full((len(ids), n_beats), NORMAL, dtype=np.int8)
    row = np.flatnonzero(ectopy.any(axis=1))
    chance = keyed.uniform("ectopy", ids[row], n_beats)
    premature = np.where(chance < ectopy[row, :1], ATRIAL_PREMATURE,
                         np.where(chance > 1 - ectopy[row, 1:], VENTRICULAR_PREMATURE, NORMAL))
    for beat in range(2, n_beats):
        kind[row, beat] = np.where((kind[row, beat - 2:beat] == NORMAL).all(axis=1), premature[:, beat], NORMAL)
    return kind


def _prematurity(kind: NDArray[np.int8]) -> NDArray[np.float64]:
    """Factor of each RR: a premature beat comes early; the pause after a ventricular one is fully compensatory."""
    early = np.array([1.0, 0.68, 0.62])
    pause = np.array([1.0, 1.08, 2 - 0.62])
    factor = early[kind]
    factor[:, 1:] *= pause[kind[:, :-1]]
    return factor


def _stretch(elapsed: NDArray[np.float64], rr: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length of repolarisation by the exponentially weighted mean of past RR."""
    weight = np.exp(elapsed / QT_MEMORY)
    recent = (mean + np.cumsum(weight * (1 - np.exp(-rr / QT_MEMORY)) * (rr - mean), axis=1) / weight)
    return 1 + qt_change(recent) / 0.370


def add_f_waves(vector: NDArray[np.float32], keyed: Keyed, ids: NDArray[Any], fibrillation: NDArray[np.float64],
                fs: float) -> None:
    """Add the fibrillatory waves of the atria to the heart vectors `(n, 3, sig_len)` of those that fibrillate.

    A sawtooth of three harmonics between 3 and 7 Hz whose frequency swings by 0.25 Hz and whose amplitude by a third,
    both at about 0.2 Hz.
    """
    row = np.flatnonzero(fibrillation > 0)
    who = np.asarray(ids)[row]
    time = np.arange(vector.shape[2]) / fs
    rms = keyed.uniform("f rms", who, 3) * (0.030, 0.025, 0.045) + (0.015, 0.015, 0.025)
    rate = keyed.uniform("f rate", who, 1, 3, 7)
    phase = keyed.uniform("f phases", who, 5, 0, 2 * np.pi)
    swing = 2 * np.pi * 0.2 * time
    turn = 2 * np.pi * rate * time + 0.25 / 0.2 * np.sin(swing + phase[:, :1])
    swell = 1 + np.sin(swing + phase[:, 1:2]) / 3
    for axis in range(3):
        angle = (turn + phase[:, 2 + axis, None]).astype(np.float32)
        saw = np.sin(angle) + np.sin(2 * angle) / 2 + np.sin(3 * angle) / 3
        size = (fibrillation[row] * rms[:, axis] / np.sqrt((1 + 1 / 4 + 1 / 9) / 2))[:, None] * swell
        vector[row, axis] += size.astype(np.float32) * saw


def breathe(vector: NDArray[np.float32], keyed: Keyed, ids: NDArray[Any], respiration: NDArray[np.float64],
            depth: NDArray[np.float64], fs: float) -> None:
    """Let breathing swell and shrink the heart vectors `(n, 3, sig_len)` by the share `depth`."""
    phase = keyed.uniform("breath phase", ids, 1, 0, 2 * np.pi)
    time = np.arange(vector.shape[2]) / fs
    angle = (2 * np.pi * respiration[:, None] * time + phase).astype(np.float32)
    vector *= (1 + depth.astype(np.float32)[:, None] * np.sin(angle))[:, None]
