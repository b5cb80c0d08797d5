"""Median beats as a classifier reads them: one beat of one second, faded out at its ends, and tiled to a strip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.leads import LEADS, N_LEADS, resample
from ecgkit.physiology import COLUMNS, MedianBeats, measure
from ecgkit.physiology.median_beat import OFFSET, ONSET
from ecgkit.physiology.repeat import limits_of_agreement

#: Seconds of a beat, which then beats 60 times a minute, and how much of them lies before the R peak.
PERIOD, BEFORE = 1.0, 0.35
#: Milliseconds over which a beat fades into the baseline at either end.
FADE = 60.0
#: Without a P wave, the beat ends so many milliseconds before the next QRS begins.
_CLEAR = 40.0
_P, _QRS, _T = range(3)


@dataclass(frozen=True)
class StyleBeats:
    """Beats of some ECGs; the rhythm is kept apart.

    `signals` `(n, 12, period)` in mV at `fs` Hz end in 0, so that a beat can follow itself; `rows` `(n,)` are the ECGs
    they come from, as one without a usable beat has none; `rr` `(n,)` is the ECG's mean RR in milliseconds, or nan.
    """

    signals: NDArray[np.float32]
    rows: NDArray[np.intp]
    rr: NDArray[np.float64]
    fs: float

    def __len__(self) -> int:
        return len(self.rows)


def style_beats(beats: MedianBeats, fs: float) -> StyleBeats:
    """Bring median beats to the classifier's rate in Hz, `BEFORE` to `PERIOD` - `BEFORE` seconds around the R peak.

    A beat is kept from the end of the T before it to the onset of the P after it, so a fast rhythm leaves no second
    beat in it.
    """
    rows = np.flatnonzero(np.isfinite(beats.signals).all(axis=(1, 2)))
    if not len(rows):
        raise EcgkitError(f"none of {len(beats.signals)} ECGs has a usable median beat; look at their n_beats")
    period, before = round(PERIOD * fs), round(BEFORE * fs)
    start = round(beats.zero * fs / beats.fs) - before
    cut = resample(beats.signals[rows], beats.fs, fs)[..., start:start + period]
    ms = (np.arange(period) - before) * 1000 / fs
    faded = cut * _fade(beats.marks[rows], beats.rr[rows], ms)[:, None]
    return StyleBeats(faded.astype(np.float32), rows, beats.rr[rows], fs)


def tiled(beats: Any, sig_len: int) -> Any:
    """Repeat beats `(n, n_leads, period)` to strips `(n, n_leads, sig_len)`: NumPy or torch, with its gradients."""
    if beats.ndim != 3 or beats.shape[1] != N_LEADS:
        raise EcgkitError(f"beats of shape {tuple(beats.shape)}; expected (n, {N_LEADS}, period)")
    return beats[..., np.arange(sig_len) % beats.shape[-1]]


def _fade(marks: NDArray[np.float64], rr: NDArray[np.float64], ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights `(n, period)` that fall along a cosine to 0 at the ends of what belongs to the beat."""
    next_beat = np.where(np.isnan(marks[:, _P, ONSET]), marks[:, _QRS, ONSET] - _CLEAR, marks[:, _P, ONSET]) + rr
    left = np.fmax(ms[0], marks[:, _T, OFFSET] - rr)
    right = np.fmin(ms[-1], next_beat)
    inside = np.minimum(ms - left[:, None], right[:, None] - ms) / FADE
    return 0.5 - 0.5 * np.cos(np.pi * inside.clip(0, 1))


#: Seconds of the strips that are measured.
STRIP = 5.0
_INTERVALS = {"pr": "PR", "qrs": "QRS", "qt": "QT", "p_duration": "P duration"}
_ANGLES = {"axis": "axis", "t_axis": "T axis"}
_LEAD_KINDS = {"p": "P", "q": "Q", "r": "R", "s": "S", "rp": "R'", "t": "T", "st60": "ST60"}
#: Measurements that may name a coordinate, and how a name says them. III and aVR only repeat I and II.
NAMED: dict[str, str] = _INTERVALS | _ANGLES | {
    f"{kind}_{lead}": f"{text} {lead}" for kind, text in _LEAD_KINDS.items() for lead in LEADS
    if lead not in ("III", "aVR")}
#: Changes below these are no part of a name: about what two halves of one ECG differ by.
LEAST = {"pr": 10.0, "qrs": 5.0, "qt": 12.0, "p_duration": 10.0, "axis": 10.0, "t_axis": 10.0}
LEAST_MV = 0.05
#: An effect that could be measured in a smaller share of the ECGs names nothing.
LEAST_MEASURED = 0.5
NOTHING = "no measurement moves"


def measured_beats(beats: NDArray[np.float32], fs: float) -> pd.DataFrame:
    """Measurements `NAMED` of beats `(n, 12, period)` in mV, each tiled to a strip of `STRIP` seconds."""
    return measure(tiled(beats, round(STRIP * fs)), fs).table[list(NAMED)]


def measured_effects(before: pd.DataFrame, after: pd.DataFrame, patients: Any = None, *, n_boot: int = 500,
                     seed: int = 0) -> pd.DataFrame:
    """How measurements (of `measured_beats`) of the same beats change; see `limits_of_agreement`.

    Columns `says` (how a name says it), `unit`, `n` beats in which it was measured both times, `effect` (mean change in
    its unit) with the 95 % interval `effect_low` and `effect_high`, and `spread`: the standard deviation of the
    measurement over the beats before, but at least `LEAST`, since R' is nearly always 0.
    """
    table = limits_of_agreement(before, after, patients, n_boot=n_boot, seed=seed)
    return pd.DataFrame({"says": table.index.map(NAMED), "unit": [COLUMNS[name].split(";")[0] for name in table.index],
                         "n": table["n"], "effect": table["bias"], "effect_low": table["bias_low"],
                         "effect_high": table["bias_high"],
                         "spread": before.std().fillna(0).clip(lower=_least(table.index))})


def telling(effects: pd.DataFrame, n_beats: int, n_parts: int = 3) -> list[str]:
    """Up to `n_parts` measurements that tell what a coordinate does, from effects on `n_beats`; the clearest first.

    Those whose interval leaves out 0 and whose effect is large enough to matter; of each kind (R, S, ST60 ...) the lead
    with the largest effect in spreads.
    """
    sure = (effects["effect_low"] > 0) | (effects["effect_high"] < 0)
    good = effects[sure & (effects["effect"].abs() >= _least(effects.index))
                   & (effects["n"] >= LEAST_MEASURED * n_beats)]
    order = (good["effect"] / good["spread"]).abs().sort_values(ascending=False, kind="stable").index.to_series()
    kind = order.where(order.isin([*_INTERVALS, *_ANGLES]), order.str.split("_").str[0])
    return list(order[~kind.duplicated()][:n_parts])


def coordinate_name(effects: pd.DataFrame, n_beats: int, n_parts: int = 3) -> str:
    """A readable name such as "QRS +18 ms, R V5 +0.40 mV"; S and Q are negative, so "S V1 −0.30 mV" is deeper."""
    return ", ".join(said(name, float(effects.loc[name, "effect"]))  # type: ignore[arg-type]
                     for name in telling(effects, n_beats, n_parts)) or NOTHING


def _least(measurements: pd.Index[Any]) -> pd.Series[float]:
    return pd.Series([LEAST.get(name, LEAST_MV) for name in measurements], measurements)


def said(measurement: str, effect: float) -> str:
    """An effect in words: "QRS +18 ms"."""
    if measurement in _INTERVALS:
        text = f"{effect:+.0f} ms"
    elif measurement in _ANGLES:
        text = f"{effect:+.0f}°"
    else:
        text = f"{effect:+.2f} mV"
    return f"{NAMED[measurement]} {text}".replace("-", "−")
