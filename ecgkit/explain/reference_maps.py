"""Maps that ignore the model: what an attribution has to beat before it tells anything of the network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecgkit.explain.players import QRS, segments
from ecgkit.leads import N_LEADS
from ecgkit.simulator import Waves


def reference_maps(x: NDArray[np.float32], waves: Waves, *, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """All maps of some ECGs that ignore the model, by name.

    Parameters
    ----------
    x : ndarray, shape (n, 12, sig_len)
        Millivolts at `waves.fs`.
    waves : Waves
        Of the same ECGs.
    seed : int
        Of the random map.

    Returns
    -------
    dict of str to ndarray of float32, shape (n, 12, sig_len)
        See `deviation`, `slope`, `qrs_template`, `random_map`.
    """
    return {"|x|": deviation(x), "|dx/dt|": slope(x, waves.fs), "QRS template": qrs_template(waves, x.shape[2]),
            "random": random_map(x.shape, seed)}


def deviation(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each sample is from its lead's median, in mV."""
    return np.abs(x - np.median(x, axis=-1, keepdims=True)).astype(np.float32)


def slope(x: NDArray[np.float32], fs: float) -> NDArray[np.float32]:
    """How steep each lead is at each sample, in mV/s, by central differences."""
    return np.abs(np.gradient(x, 1 / fs, axis=-1)).astype(np.float32)


def qrs_template(waves: Waves, sig_len: int) -> NDArray[np.float32]:
    """1 within QRS, in all leads, and 0 elsewhere: `(n, 12, sig_len)`."""
    inside = segments(waves, sig_len) == QRS
    return np.repeat(inside[:, None], N_LEADS, axis=1).astype(np.float32)


def random_map(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Independent normal numbers of either sign."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
