"""Which electrodes look exchanged: how much more an ECG would look like others with two of them swapped back.

A small network gives a score to how the heart's vector runs through the eight independent leads, from P to T. It was
fitted (`ecgkit.training.gate`) so that of an ECG and its exact swaps, the ECG itself has the highest score: a
conditional logit over the ways in which the cables can be plugged. Its answers are differences of log odds.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from ecgkit.leads import BACKWARDS, INDEPENDENT, LEADS, TWELVE_FROM_INDEPENDENT, independent, swapped
from ecgkit.physiology.median_beat import LEAST_BEATS, MedianBeats

#: Exchanges that are looked for, in words, and the log odds from which on each is told. Chosen in four-fold
#: cross-validation on folds 1 to 8 of PTB-XL's sample, for 0.8 % false warnings of all together: of each as many as pay
#: off in what is found. V5 and V6, or the left arm and the left leg, are hard to tell apart in any ECG.
SWAPS: dict[str, tuple[str, float]] = {
    "RA-LA": ("arm electrodes reversed", 2.8),
    "RA-LL": ("right arm and left leg electrodes reversed", 3.5),
    "LA-LL": ("left arm and left leg electrodes reversed", 6.0),
    "V1-V2": ("V1 and V2 exchanged", 5.5),
    "V2-V3": ("V2 and V3 exchanged", 8.0),
    "V3-V4": ("V3 and V4 exchanged", 4.0),
    "V4-V5": ("V4 and V5 exchanged", 4.7),
    "V5-V6": ("V5 and V6 exchanged", 9.0),
    "V1-V3": ("V1 and V3 exchanged", 4.0),
    "V1-V6": ("V1 and V6 exchanged", 2.5),
    BACKWARDS: ("V1 to V6 in the opposite order", 6.0),
}
#: Equal parts of P, QRS, ST and T whose mean voltages are looked at, and the factor of each part (QRS is the largest).
PARTS = (2, 5, 1, 2)
FACTORS = np.repeat([8.0, 1.7, 5.0, 4.0], PARTS)
#: Milliseconds that stand for the end of a T wave that was not found, after its beginning or QRS.
T_AFTER, T_LASTS = 80, 160
_P, _QRS, _T = range(3)
_FILE = "electrodes.safetensors"


def course(beats: MedianBeats) -> NDArray[np.float64]:
    """Mean voltages of the parts of P, QRS, ST and T in the eight independent leads, `(n, 8, 10)`; 0 without a wave."""
    signals = np.nan_to_num(independent(beats.signals)).astype(np.float64)
    (p_on, p_off), (qrs_on, qrs_off), (t_on, t_off) = beats.marks[:, :, [0, 2]].transpose(1, 2, 0) + beats.zero
    begin = np.maximum(np.where(np.isfinite(t_on), t_on, qrs_off + T_AFTER), qrs_off + 10)
    end = np.where(np.isfinite(t_off), t_off, begin + T_LASTS)
    spans = ((p_on, p_off), (qrs_on, qrs_off), (qrs_off, begin), (begin, end))
    return np.concatenate([_means(signals, *span, count) for span, count in zip(spans, PARTS, strict=True)], axis=2)


def _means(signals: NDArray[np.float64], first: NDArray[np.float64], last: NDArray[np.float64],
           count: int) -> NDArray[np.float64]:
    """Means of equal parts of a span in samples, `(n, 8, count)`."""
    there = np.isfinite(first) & np.isfinite(last)
    first = np.where(there, first, 0)
    length = np.where(there, np.maximum(last - first, count), count)
    edges = np.round(first[:, None] + length[:, None] * np.arange(count + 1) / count).astype(np.intp)
    edges = np.clip(edges, 0, signals.shape[2])
    total = np.pad(signals.cumsum(axis=2), ((0, 0), (0, 0), (1, 0)))
    sums = np.diff(np.take_along_axis(total, edges[:, None], axis=2), axis=2)
    means: NDArray[np.float64] = sums / np.maximum(np.diff(edges, axis=1), 1)[:, None]
    return np.where(there[:, None, None], means, 0)


@cache
def _candidates() -> NDArray[np.float64]:
    """What each way of plugging makes of the eight independent leads, `(1 + n_swaps, 8, 8)`; the first is the right."""
    rows = [LEADS.index(lead) for lead in INDEPENDENT]
    return np.stack([TWELVE_FROM_INDEPENDENT[rows],
                     *(swapped(TWELVE_FROM_INDEPENDENT, pair)[rows] for pair in SWAPS)])


def inputs(courses: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the network sees of each way of plugging, `(n, 1 + n_swaps, 80)`; the size of QRS does not count."""
    ways = np.einsum("kij,njb->nkib", _candidates(), courses)
    qrs = slice(PARTS[0], PARTS[0] + PARTS[1])
    size = np.sqrt((courses[:, :, qrs]**2).mean(axis=(1, 2)))
    scaled = np.arcsinh(ways * FACTORS / np.maximum(size, 1e-3)[:, None, None, None])
    return scaled.reshape(*scaled.shape[:2], -1)


def exchanged(beats: MedianBeats) -> list[str]:
    """The pair of each ECG whose electrodes look exchanged, a key of `SWAPS`; empty where none does."""
    net = _network()
    hidden = np.tanh(inputs(course(beats)) @ net["hidden.weight"].T + net["hidden.bias"])
    score = hidden @ net["output.weight"][0]
    log_odds = score[:, 1:] - score[:, :1]
    log_odds[beats.n_beats < LEAST_BEATS] = np.nan
    beyond = log_odds - np.array([limit for _, limit in SWAPS.values()])
    best = np.nan_to_num(beyond, nan=-1.0).argmax(axis=1)
    told = beyond[np.arange(len(best)), best] > 0
    return [list(SWAPS)[k] if yes else "" for k, yes in zip(best, told, strict=True)]


@cache
def _network() -> dict[str, NDArray[np.float64]]:
    weights = load((files("ecgkit.physiology") / _FILE).read_bytes())
    return {name: values.astype(np.float64) for name, values in weights.items()}
