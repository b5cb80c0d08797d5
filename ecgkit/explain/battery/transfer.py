"""Transfer: whether classifiers that an explainer never saw follow the flips of the one that it explains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from ecgkit.errors import EcgkitError
from ecgkit.evaluation.checks import Array, ratio
from ecgkit.explain.results import classify, probability
from ecgkit.leads import from_independent, independent


def transfer(before: Any, after: Any, thresholds: Any, up: Any, valid: Any) -> Array:
    """Which flips other classifiers follow.

    A judge follows where its score crosses its own decision threshold in the wanted direction. It is asked only about
    ECGs that it put on the near side of the threshold before, and only where the explained classifier itself flipped.

    Parameters
    ----------
    before, after : array_like, shape (n, n_judges)
        Each judge's score of the asked label, before and after the edit; a label is called at or above the threshold.
    thresholds : array_like, shape (n_judges,)
        Each judge's threshold of that label on the same scale, chosen on other ECGs
        (`ecgkit.evaluation.best_f1_thresholds` on validation).
    up : bool or array_like of bool, shape (n,)
        Whether the label was to appear (True) or to vanish.
    valid : array_like of bool, shape (n,)
        Whether the explained classifier flipped.

    Returns
    -------
    ndarray, shape (n, n_judges)
        1 followed, 0 not, nan not counted.

    Raises
    ------
    EcgkitError
        Where the shapes do not fit together.
    """
    first, second, limit = (np.asarray(values, dtype=np.float64) for values in (before, after, thresholds))
    if first.ndim != 2 or first.shape != second.shape or limit.shape != first.shape[1:]:
        raise EcgkitError(f"scores of shapes {first.shape} and {second.shape} with thresholds {limit.shape}; give "
                          "(n, n_judges) twice and (n_judges,)")
    n = len(first)
    if np.shape(valid) != (n,) or np.shape(up) not in ((), (n,)):
        raise EcgkitError(f"valid has shape {np.shape(valid)} and up {np.shape(up)} for {n} ECGs")
    wanted = np.broadcast_to(np.asarray(up, dtype=bool), (n,))[:, None]
    counted = np.asarray(valid, dtype=bool)[:, None] & ((first >= limit) != wanted)
    return np.where(counted, (second >= limit) == wanted, np.nan)


def transfer_table(followed: Array, judges: Sequence[str], valid: Any) -> pd.DataFrame:
    """Shares that follow, judge by judge.

    Parameters
    ----------
    followed : ndarray, shape (n, n_judges)
        As `transfer` gives it.
    judges : sequence of str
        Their names.
    valid : array_like of bool, shape (n,)
        The explained classifier's own flips.

    Returns
    -------
    DataFrame, indexed by judge, and their mean
        `counted` (own flips that the judge was asked about), `disagreed` (share of the own flips that it was not asked
        about, as it did not agree before) and `followed` (share of those counted).
    """
    counted, own = (~np.isnan(followed)).sum(axis=0), int(np.asarray(valid, dtype=bool).sum())
    share = ratio(np.nansum(followed, axis=0), counted, counted > 0)
    disagreed = ratio(own - counted, own, np.full(len(judges), own > 0))
    table = pd.DataFrame({"counted": counted.astype(np.float64), "disagreed": disagreed, "followed": share},
                         index=pd.Index(judges, name="judge"))
    return pd.concat([table, table.mean().to_frame("mean").T.rename_axis("judge")])


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
        As `ecgkit.explain.battery.transfer` takes them: a disturbed classifier is one more judge.
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
    from scipy.signal import butter, sosfiltfilt  # takes a second

    return sosfiltfilt(butter(_ORDER, cutoff, fs=fs, output="sos"), x, axis=-1).astype(np.float32)
