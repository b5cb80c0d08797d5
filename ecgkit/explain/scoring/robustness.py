"""Robustness: whether a flip survives what leaves the diagnosis as it is, a low-pass filter or a little noise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt
from torch import nn

from ecgkit.errors import EcgkitError
from ecgkit.explain.results import classify, probability
from ecgkit.explain.scoring.transfer import transfer
from ecgkit.leads import from_independent, independent

Signals = NDArray[np.float32]
#: Hz. 40 is a monitor's filter; beyond 15 lies little but the edges of QRS.
CUTOFFS = (15.0, 25.0, 40.0)
SNR_DB = 20.0
_ORDER = 4


def survives(classifier: nn.Module, before: Signals, after: Signals, *, place: int, up: Any, valid: Any, fs: float,
             threshold: float = 0.5, seed: int = 0) -> pd.DataFrame:
    """Ask the explained classifier again, with ECGs before and after that went through the same disturbance.

    Parameters
    ----------
    classifier : Module
        From `(batch, 12, sig_len)` to logits `(batch, n_labels)`.
    before, after : ndarray, shape (n, 12, sig_len)
        Millivolts.
    place : int
        Column of the asked label.
    up, valid
        As `ecgkit.explain.scoring.transfer` takes them: a disturbed classifier is one more judge.
    fs : float
        Sampling rate in Hz; above 80.
    threshold : float
        Probability from which the label is called.
    seed : int
        Of the noise.

    Returns
    -------
    DataFrame, n rows, one column for each disturbance
        1 the flip survives, 0 it does not, nan not counted: the edit had not flipped the classifier, or the
        disturbance alone does.
    """
    disturbances = disturb(before, fs, seed)
    names = list(disturbances)
    first, second = (np.stack([probability(classify(classifier, disturbances[name](x)))[:, place] for name in names],
                              axis=1) for x in (before, after))
    return pd.DataFrame(transfer(first, second, np.full(len(names), threshold), up, valid), columns=names)


def disturb(reference: Signals, fs: float, seed: int = 0) -> dict[str, Callable[[Signals], Signals]]:
    """The disturbances by name, each a function of ECGs.

    Low-pass filters are Butterworth's, forth and back, so they have no phase and half the amplitude at the cutoff.
    Noise is white in the eight independent leads, `SNR_DB` below each lead of `reference` `(n, 12, sig_len)`: every
    call adds the same noise. Limb-lead algebra is kept by both.

    Raises
    ------
    EcgkitError
        Where the sampling rate is too low for the filters.
    """
    if not fs > 2 * max(CUTOFFS):
        raise EcgkitError(f"ECGs at {fs:g} Hz: robustness to a low-pass of {max(CUTOFFS):g} Hz needs more than "
                          f"{2 * max(CUTOFFS):g}")
    eight = independent(reference)
    scale = eight.std(axis=-1, keepdims=True) * 10 ** (-SNR_DB / 20)
    draw = np.random.default_rng(seed).standard_normal(eight.shape, dtype=np.float32)
    noise = from_independent((scale * draw).astype(np.float32))
    filters = {f"low-pass {cutoff:g} Hz": partial(low_pass, cutoff=cutoff, fs=fs) for cutoff in CUTOFFS}
    return {**filters, f"noise {SNR_DB:g} dB": lambda x: x + noise}


def low_pass(x: Signals, cutoff: float, fs: float) -> Signals:
    """Zero-phase Butterworth low-pass along the last axis."""
    return sosfiltfilt(butter(_ORDER, cutoff, fs=fs, output="sos"), x, axis=-1).astype(np.float32)
