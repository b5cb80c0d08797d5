"""Spectrum of the edit: how much of its energy lies where diseases have none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.evaluation.checks import Array, ratio

#: Hz.
ABOVE = (25.0, 40.0)


def share_above(edit: NDArray[Any], fs: float, above: Sequence[float] = ABOVE) -> Array:
    """Share of an edit's energy above some frequencies.

    Parameters
    ----------
    edit : ndarray, shape (n, n_leads, sig_len)
        Differences of ECGs, or any signal that begins and ends on the same level: no taper is used, so that the
        shares are of the whole energy (Parseval), and a jump from the end to the start would count as high
        frequencies.
    fs : float
        Sampling rate in Hz.
    above : sequence of float
        Frequencies in Hz.

    Returns
    -------
    ndarray, shape (n, len(above))
        nan where the edit is nothing.
    """
    power = np.abs(np.fft.rfft(np.asarray(edit, dtype=np.float64), axis=-1)) ** 2
    n = edit.shape[-1]
    # All but the first and, where the length is even, the last stand for two frequencies, one of them negative.
    power[..., 1:(n + 1) // 2] *= 2
    power = power.sum(axis=1)
    frequency = np.fft.rfftfreq(n, 1 / fs)
    total = power.sum(axis=-1)
    return np.stack([ratio(power[:, frequency > limit].sum(axis=-1), total, total > 0) for limit in above], axis=1)


def class_differences(beats: NDArray[Any], has: Any, *, n_pairs: int = 500, seed: int = 0) -> NDArray[np.float64]:
    """How real ECGs with and without a label differ, for `share_above`: beats of patients with it minus without.

    Parameters
    ----------
    beats : ndarray, shape (n, 12, length)
        Median beats (`ecgkit.physiology.Measurements.beats.signals`), aligned at R. Those with nan are left out. Mind
        their rate, `beats.fs`: shares of energy may be compared between rates.
    has : array_like of bool, shape (n,)
        Which ECGs have the label.
    n_pairs, seed : int
        Pairs to draw, and the seed.

    Returns
    -------
    ndarray, shape (n_pairs, 12, length)
        Two patients differ by more than the label, and R peaks of two patients never match fully. Their mean is the
        difference of the classes, in which what patients do not share (and much of the steepest) cancels. So the pairs
        err to the high frequencies, and their mean to the low ones.

    Raises
    ------
    EcgkitError
        Where one class has no usable beat.
    """
    usable = np.isfinite(beats).all(axis=(1, 2))
    label = np.asarray(has, dtype=bool)
    groups = [np.flatnonzero(usable & label), np.flatnonzero(usable & ~label)]
    if min(map(len, groups)) == 0:
        raise EcgkitError(f"{len(groups[0])} usable beats with the label and {len(groups[1])} without: both are needed")
    generator = np.random.default_rng(seed)
    sick, well = (generator.choice(group, n_pairs) for group in groups)
    return beats[sick].astype(np.float64) - beats[well]
