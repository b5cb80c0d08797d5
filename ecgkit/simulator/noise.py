"""What else the electrodes pick up: baseline wander, muscle, electrode motion and mains, at each of the nine.

Levels follow the quiet stretches and the baseline of recordings of PTB-XL: muscle and amplifier noise of about 3 uV
at the arms and 1 uV at the chest, baseline wander of a few hundredths of a millivolt, all with a long tail.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.leads import ELECTRODES, FROM_ELECTRODES, independent
from ecgkit.simulator.keyed import Keyed

N_ELECTRODES = len(ELECTRODES)
#: Median of the muscle noise at each electrode, mV at 100 Hz (so mV per square root of 50 Hz): arms, leg, chest.
MUSCLE = np.array([4, 4, 2.5, 1.2, 1.2, 1.2, 1.2, 1.5, 1.5]) * 1e-3
#: Median of the baseline wander at an electrode, mV.
WANDER = 0.022
#: Seconds between the knots of the wander: a cubic spline through them has little above 0.5 Hz.
KNOT = 1.0
MAINS_FREQUENCY = 50.0


def electrode_noise(keyed: Keyed, ids: NDArray[Any], respiration: NDArray[np.float64], fs: float,
                    sig_len: int) -> NDArray[np.float32]:
    """Potential of each electrode beside the heart's, `(n, 9, sig_len)` in mV.

    Parameters
    ----------
    keyed : Keyed
        Random streams.
    ids : ndarray of int, shape (n,)
        Identity of each ECG.
    respiration : ndarray, shape (n,)
        Breaths per second.
    fs : float
        Sampling rate in Hz; mains are left out below four times their frequency, where they cannot be told from
        muscle.
    sig_len : int
        Samples.
    """
    time = np.arange(sig_len) / fs
    noise = _wander(keyed, ids, respiration, time)
    _add_muscle(noise, keyed, ids, fs)
    _add_motion(noise, keyed, ids, time)
    if fs >= 4 * MAINS_FREQUENCY:
        noise += _mains(keyed, ids, time)
    return noise


def noise_leads(potential: NDArray[np.float32]) -> NDArray[np.float32]:
    """Eight independent leads of the nine electrodes' potentials, `(n, 8, sig_len)`."""
    return np.ascontiguousarray(independent(FROM_ELECTRODES), dtype=np.float32) @ potential


def _level(keyed: Keyed, purpose: str, ids: NDArray[Any], between: float, within: float) -> NDArray[np.float64]:
    """Log-normal factor of each electrode, `(n, 9)`: the ECG's own, times the electrode's own."""
    draw = keyed.normal(purpose, ids, 1 + N_ELECTRODES)
    return np.exp(between * draw[:, :1] + within * draw[:, 1:])


def _add_muscle(noise: NDArray[np.float32], keyed: Keyed, ids: NDArray[Any], fs: float) -> None:
    """Add white noise up to the amplifier's low pass, with a burst of contraction in every fifth ECG."""
    sig_len = noise.shape[2]
    level = (MUSCLE * _level(keyed, "muscle level", ids, 0.65, 0.3) * np.sqrt(fs / 100)).astype(np.float32)
    chance, centre, width, height = keyed.uniform("burst", ids, 4).astype(np.float32).T
    row = np.flatnonzero(chance < 0.2)
    place = np.arange(sig_len, dtype=np.float32) / np.float32(fs) - centre[row, None] * np.float32(sig_len / fs)
    swell = 1 + (1 + 4 * height[row, None]) * np.exp(-0.5 * (place / (0.3 + 0.7 * width[row, None]))**2)
    for electrode, name in enumerate(ELECTRODES):  # one at a time stays in the processor's cache
        white = keyed.white(f"muscle {name}", ids, sig_len)
        if fs >= 200:
            white[:, 1:-1] = (white[:, :-2] + 2 * white[:, 1:-1] + white[:, 2:]) / 4
        white *= level[:, electrode, None]
        white[row] *= swell
        noise[:, electrode] += white


def _wander(keyed: Keyed, ids: NDArray[Any], respiration: NDArray[np.float64],
            time: NDArray[np.float64]) -> NDArray[np.float32]:
    """Slow drift: a random cubic spline, and a sinusoid of respiration."""
    level = WANDER * _level(keyed, "wander level", ids, 0.9, 0.4)
    spline = _spline(len(time), float(time[-1]) / max(len(time) - 1, 1))
    knots = keyed.normal("wander", ids, N_ELECTRODES * len(spline)).reshape(len(ids), N_ELECTRODES, len(spline))
    phase = keyed.uniform("breath phase", ids, 1, 0, 2 * np.pi)
    breath = np.sin((2 * np.pi * respiration[:, None] * time + phase).astype(np.float32))
    share = keyed.normal("breath share", ids, N_ELECTRODES)
    coefficients = np.concatenate([knots, 0.7 * share[..., None]], axis=2) * level[..., None]
    basis = np.concatenate([np.broadcast_to(spline, (len(ids), *spline.shape)), breath[:, None]], axis=1)
    drift: NDArray[np.float32] = coefficients.astype(np.float32) @ basis
    return drift


@lru_cache(maxsize=8)
def _spline(sig_len: int, step: float) -> NDArray[np.float32]:
    """Uniform cubic B-splines, `(n_knots, sig_len)`: unit normal coefficients give about unit variance."""
    place = np.arange(sig_len) * step / KNOT
    knots = np.arange(-1, int(np.ceil(place[-1])) + 2)
    x = np.abs(place - knots[:, None])
    spline = np.where(x < 1, 2 / 3 - x**2 + x**3 / 2, np.where(x < 2, (2 - x)**3 / 6, 0))
    return (spline / np.sqrt((spline**2).sum(axis=0).mean())).astype(np.float32)


def _add_motion(noise: NDArray[np.float32], keyed: Keyed, ids: NDArray[Any], time: NDArray[np.float64]) -> None:
    """Jerk of one electrode in every twelfth ECG: a jump that dies away."""
    chance, which, when, size, sign, decay = keyed.uniform("motion", ids, 6).T
    moved = np.flatnonzero(chance < 1 / 12)
    since = np.maximum(time - when[moved, None] * time[-1], 0)
    height = np.where(sign < 0.5, -1, 1)[moved, None] * (0.1 + 0.4 * size[moved, None]**2)
    jump = height * (1 - np.exp(-since / 0.03)) * np.exp(-since / (0.1 + 0.4 * decay[moved, None]))
    noise[moved, (which[moved] * N_ELECTRODES).astype(int)] += jump.astype(np.float32)


def _mains(keyed: Keyed, ids: NDArray[Any], time: NDArray[np.float64]) -> NDArray[np.float32]:
    """A sinusoid of 50 Hz, of one phase and another strength at each electrode."""
    level = 1e-3 * _level(keyed, "mains level", ids, 1.0, 0.5)
    phase = keyed.uniform("mains phase", ids, 1, 0, 2 * np.pi)
    hum = np.sin(2 * np.pi * MAINS_FREQUENCY * time + phase).astype(np.float32)
    return level.astype(np.float32)[..., None] * hum[:, None]
