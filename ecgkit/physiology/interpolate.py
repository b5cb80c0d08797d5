"""Band-limited interpolation: windows of a recording that begin between two samples, and values on a finer grid."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import irfft, rfft


def windows(signals: NDArray[np.float32], ecg: NDArray[np.intp], start: NDArray[np.float64],
            length: int) -> NDArray[np.float32]:
    """Cut windows that begin between two samples, by the shift theorem of Fourier.

    The line through the ends of each window is set aside meanwhile: a Fourier series takes the window for periodic.

    Parameters
    ----------
    signals : ndarray, shape (n, n_leads, sig_len)
    ecg : ndarray of int, shape (n_windows,)
        Which ECG each window is cut from.
    start : ndarray, shape (n_windows,)
        Where it begins, in samples, not rounded.
    length : int
        Samples of a window; beyond the recording its first and its last value are repeated.

    Returns
    -------
    ndarray of float32, shape (n_windows, n_leads, length)
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
    """Matrix that interpolates: ``window @ matrix`` has the window's values on another grid.

    Parameters
    ----------
    length : int
        Samples of the window.
    first, step : float
        Where the grid begins and how far its points lie apart, in samples of the window.
    n : int
        Points of the grid.

    Returns
    -------
    ndarray of float32, shape (length, n)
    """
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
