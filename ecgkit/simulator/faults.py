"""Faults planted in recordings, so that what finds them can be tested: noise for an ECG, railed amplifiers, pacing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.leads import ELECTRODES, FROM_ELECTRODES, N_LEADS

Signals = NDArray[np.float32]

#: Where an amplifier of 16 bits at 1000 units per millivolt rails, mV.
RAIL = 32.767
#: A pacing spike lasts so long, seconds; recorders keep about this height of it at an electrode, mV (AHA 2007: 2 ms).
SPIKE, SPIKE_HEIGHT = 0.002, (1.5, 6.0)


def white_noise(n: int, fs: float, seconds: float = 10.0, *, millivolts: float = 0.3, at_electrodes: bool = False,
                seed: int = 0) -> Signals:
    """Nothing but white noise of this standard deviation, `(n, 12, sig_len)`.

    Of each lead's own, as a loose plug has it, or made at the electrodes, so that the leads obey Einthoven's law.
    """
    rng = np.random.default_rng(seed)
    sig_len = round(seconds * fs)
    if at_electrodes:
        return _leads(rng.normal(0, millivolts / np.sqrt(2), (n, len(ELECTRODES), sig_len)))
    return rng.normal(0, millivolts, (n, N_LEADS, sig_len)).astype(np.float32)


def coloured_noise(n: int, fs: float, seconds: float = 10.0, *, millivolts: float = 0.3, exponent: float = 2.0,
                   seed: int = 0) -> Signals:
    """Nothing but noise of a power of 1/f^exponent at the electrodes, `(n, 12, sig_len)`: 1 pink, 2 brown (motion)."""
    rng = np.random.default_rng(seed)
    sig_len = round(seconds * fs)
    frequency = np.fft.rfftfreq(sig_len, 1 / fs)
    gain = np.where(frequency >= 0.5, np.maximum(frequency, 0.5)**(-exponent / 2), 0)
    made = np.fft.irfft(np.fft.rfft(rng.normal(size=(n, len(ELECTRODES), sig_len))) * gain, sig_len)
    return _leads(made * millivolts / np.sqrt(2) / made.std(axis=2, keepdims=True))


def square_wave(n: int, fs: float, seconds: float = 10.0, *, millivolts: float = 1.0, seed: int = 0) -> Signals:
    """A calibrator's square wave in all leads, of 0.5 to 5 Hz, `(n, 12, sig_len)`."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * fs)) / fs
    rate, phase = rng.uniform(0.5, 5, (n, 1)), rng.uniform(0, 1, (n, 1))
    wave = millivolts * ((rate * time + phase) % 1 < 0.5)
    return np.repeat(wave[:, None], N_LEADS, axis=1).astype(np.float32)


def railed(signals: Signals, gain: float = 30.0) -> Signals:
    """The same through an amplifier of too high a gain, that stays at `RAIL` where it would go beyond."""
    return np.clip(gain * signals, -RAIL, RAIL).astype(np.float32)


def clipped(signals: Signals, share: float = 0.5) -> Signals:
    """The same, each lead clipped at a share of its largest distance from its median."""
    middle = np.median(signals, axis=2, keepdims=True)
    limit = share * np.abs(signals - middle).max(axis=2, keepdims=True)
    return (middle + np.clip(signals - middle, -limit, limit)).astype(np.float32)


def paced(signals: Signals, fs: float, at: list[NDArray[np.float64]], *, seed: int = 0) -> Signals:
    """The same with pacing spikes.

    Parameters
    ----------
    signals : ndarray, shape (n, 12, sig_len)
        Millivolts.
    fs : float
        Sampling rate in Hz.
    at : list of ndarray
        Times of the spikes of each ECG, ms: some 30 ms before the onsets of QRS, of P, or of both.
    seed : int
        Of their heights, which differ between the electrodes and are the same for all spikes of an ECG.
    """
    rng = np.random.default_rng(seed)
    out = signals.astype(np.float64)
    time = np.arange(signals.shape[2])
    for row, times in enumerate(at):
        height = rng.uniform(*SPIKE_HEIGHT) * rng.choice([-1, 1])
        # A dipole at the tip of the lead: the electrodes see it by the cosine of their angle to it.
        size = height * rng.uniform(0.2, 1, len(ELECTRODES)) * rng.choice([-1, 1], len(ELECTRODES))
        samples = np.asarray(times)[:, None] * fs / 1000
        width = max(SPIKE * fs, 1.0)
        # What a pulse of SPIKE seconds leaves after the recorder's low-pass: its area, spread over a sample or more.
        pulse = np.clip(1 - np.abs(time - samples) / width, 0, None).sum(axis=0) * SPIKE * fs / width
        out[row] += FROM_ELECTRODES @ (size[:, None] * pulse)
    return out.astype(np.float32)


def _leads(potential: NDArray[Any]) -> Signals:
    """Twelve leads of the nine electrodes' potentials, `(n, 9, sig_len)` to `(n, 12, sig_len)`."""
    return (FROM_ELECTRODES @ potential).astype(np.float32)
