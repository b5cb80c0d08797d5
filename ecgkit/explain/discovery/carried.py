"""What carries a label in a network: how far it moves each number of a shape, times the network's answer to that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, norm
from torch import nn

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc, bootstrap, resample_patients
from ecgkit.evaluation.checks import ratio
from ecgkit.explain.discovery.shape import NAMES, Shapes
from ecgkit.explain.results import classify

Array = NDArray[np.float64]
#: Each number is changed by so many of its standard deviations, up and down.
STEP = 0.5
#: Found is what carries this share of the separation or more in every network, at this rate of false discoveries.
LEAST_SHARE, RATE = 0.05, 0.05


def answers(classifiers: Sequence[nn.Module], shapes: Shapes) -> tuple[Array, Array]:
    """Logits of some networks, and by how much they rise for each unit of each number of an ECG's shape.

    The numbers are changed one at a time (`Shapes.changed`), by `STEP` standard deviations, upwards in every second ECG
    and downwards in the others: what only goes along with a number has no part in its answer.

    Parameters
    ----------
    classifiers : sequence of Module
        From `(n, 12, sig_len)` in mV to logits `(n, n_labels)`.
    shapes : Shapes
        Of `n` ECGs.

    Returns
    -------
    logits : ndarray, shape (n_classifiers, n, n_labels)
    slopes : ndarray, shape (n_classifiers, n, n_labels, n_numbers)
        Logits per ms or mV; nan where a number could not be measured.
    """
    logits = np.stack([classify(each, shapes.signals) for each in classifiers])
    slopes = np.empty((*logits.shape, len(NAMES)))
    steps = STEP * np.nanstd(shapes.numbers, axis=0) * np.where(np.arange(len(shapes.signals)) % 2, -1, 1)[:, None]
    for k, (name, step) in enumerate(zip(NAMES, np.where(np.isfinite(shapes.numbers), steps, np.nan).T, strict=True)):
        changed = shapes.changed(name, step)
        slopes[..., k] = (np.stack([classify(each, changed) for each in classifiers]) - logits) / step[:, None]
    return logits, slopes


def carried(logits: Array, slopes: Array, numbers: Array, truth: NDArray[np.integer], patients: NDArray[np.generic], *,
            asked: NDArray[np.bool_] | None = None, n_boot: int = 500) -> pd.DataFrame:
    """What carries a label in networks that were trained alike, and which of it is sure.

    A number carries a label by the product of two things: how far the label moves the number, and how much the networks
    answer to the number, the "indirect effect" of mediation analysis (Pearl 2001). Its share is that over the
    difference of the logits with the label and without. It is found where both factors are surely not 0 (the joint test
    of MacKinnon et al. 2002; Benjamini & Hochberg 1995 over all numbers, errors over patients), and its share is at
    least `LEAST_SHARE` in every network. That a label moves a number can be surer with the other numbers held, which
    takes off what patients differ by; but then a number that the label does not move helps to read another. So this
    counts only where the plain difference is not by chance either. Networks that tell the label no better than chance
    carry nothing.

    Parameters
    ----------
    logits, slopes : ndarray, shape (n_classifiers, n_asked), (n_classifiers, n_asked, n_numbers)
        `answers` for one label.
    numbers : ndarray, shape (n, n_numbers)
        `Shapes.numbers`. How a label moves them can be seen in more ECGs than networks were asked about, also in those
        that they learnt from.
    truth, patients : ndarray, shape (n,)
        Whether each ECG has the label, and whose it is.
    asked : ndarray of bool, shape (n,), optional
        Of which ECGs the answers are; of all by default.
    n_boot : int
        Resamples of the patients.

    Returns
    -------
    DataFrame
        By number of the shape: `moved` (by the label, in ms or mV), `answer` (logits per ms or mV, the networks' mean),
        `share` with `share_low` and `share_high`, `least` of the networks, `p`, `q` (adjusted), `q_held` (the same with
        the other numbers held) and `found`.
    """
    asked = np.ones(len(truth), dtype=bool) if asked is None else asked
    if not 0 < truth[asked].sum() < asked.sum():
        raise EcgkitError("all of these ECGs have the label, or none: nothing can be said to carry it")
    moved, answer, apart = (np.concatenate(part, axis=-2) for part in zip(*(
        _factors(logits, slopes, numbers, truth, asked, weights) for weights in resample_patients(
            patients, n_boot=n_boot)), strict=True))
    once = [part[..., 0, :] for part in _factors(logits, slopes, numbers, truth, asked, np.ones((len(truth), 1)))]
    mean = [once[0], once[1].mean(axis=0), once[2].mean(axis=0)]
    p_moved, p_answer = (2 * norm.sf(np.abs(one) / np.maximum(drawn.std(axis=0), 1e-12))
                         for one, drawn in zip(mean, (moved, answer.mean(axis=0)), strict=False))
    p = np.maximum(p_moved, p_answer)
    low, high = np.quantile(_share(moved, answer.mean(axis=0), apart.mean(axis=0)), [0.025, 0.975], axis=0)
    q, least = false_discovery_control(p), _share(*once).min(axis=0)
    q_held = false_discovery_control(np.maximum(_p_held(numbers, truth, patients), p_answer))
    able = all(bootstrap(auroc, truth[asked, None], one[:, None], patients[asked], n_boot=n_boot).interval()[0][0] > 0.5
               for one in logits)
    return pd.DataFrame({"moved": mean[0], "answer": mean[1], "share": _share(*mean), "share_low": low,
                         "share_high": high, "least": least, "p": p, "q": q, "q_held": q_held,
                         "found": able & ((q <= RATE) | ((q_held <= RATE) & (p <= RATE))) & (least >= LEAST_SHARE)},
                        index=pd.Index(NAMES, name="number"))


def _p_held(numbers: Array, truth: NDArray[np.integer], patients: NDArray[np.generic]) -> Array:
    """Two-sided p, `(n_numbers,)`, that a number tells the label with all others held.

    From a linear regression of the label on the numbers, missing ones at their mean, with errors over patients (Liang &
    Zeger 1986).
    """
    spread = np.nanstd(numbers, axis=0)
    known = (spread > 0) & np.isfinite(spread)
    p, some = np.ones(len(known)), numbers[:, known]
    x = np.column_stack([np.nan_to_num((some - np.nanmean(some, axis=0)) / spread[known]), np.ones(len(some))])
    inverse = np.linalg.pinv(x.T @ x)
    weight = inverse @ (x.T @ truth)
    _, whose = np.unique(patients, return_inverse=True)
    scores = np.zeros((whose.max() + 1, x.shape[1]))
    np.add.at(scores, whose, x * (truth - x @ weight)[:, None])
    errors = np.sqrt(np.diag(inverse @ (scores.T @ scores) @ inverse))
    p[known] = 2 * norm.sf(np.abs(weight) / np.maximum(errors, 1e-12))[:-1]
    return p


def _share(moved: Array, answer: Array, apart: Array) -> Array:
    return ratio(moved * answer, np.broadcast_to(apart, (moved * answer).shape), apart != 0)


def _factors(logits: Array, slopes: Array, numbers: Array, truth: NDArray[np.integer], asked: NDArray[np.bool_],
             weights: Array) -> tuple[Array, Array, Array]:
    """How far the label moves the numbers `(b, m)`, how networks answer `(k, b, m)`, and their logits `(k, b, 1)`."""
    def mean(x: Array, some: Array) -> Array:
        known = np.isfinite(x)
        count = np.einsum("...nm,nb->...bm", known.astype(np.float64), some, optimize=True)
        return ratio(np.einsum("...nm,nb->...bm", np.where(known, x, 0.0), some, optimize=True), count, count > 0)

    with_it, without = weights * (truth == 1)[:, None], weights * (truth == 0)[:, None]
    return (mean(numbers, with_it) - mean(numbers, without), mean(slopes, weights[asked]),
            mean(logits[..., None], with_it[asked]) - mean(logits[..., None], without[asked]))
