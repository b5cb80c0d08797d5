"""Columns of the table of measurements: what each means, and the sheet on which they are filled in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.leads import LEADS

_GLOBAL = {
    "heart_rate": "1/min; 60 s divided by the mean RR of all beats",
    "rr_mean": "ms; mean RR of normal beats that follow normal beats",
    "rr_sd": "ms; standard deviation of the same",
    "rr_rmssd": "ms; root mean square of the differences between successive such RR",
    "rr_cv": "ratio; rr_sd divided by rr_mean",
    "n_beats": "count; beats that the median beat is made of",
    "ectopic_share": "ratio; premature beats among all beats",
    "p_share": "ratio; normal beats that have a P wave among those that begin 300 ms or more into the recording",
    "pr": "ms; P onset to QRS onset",
    "qrs": "ms; QRS onset to QRS offset",
    "qt": "ms; QRS onset to T offset",
    "p_duration": "ms; P onset to P offset",
    "t_duration": "ms; T onset to T offset",
    "qtc_bazett": "ms; QT divided by the square root of the mean RR in seconds",
    "qtc_fridericia": "ms; QT divided by the cube root of the mean RR in seconds",
    "axis": "degrees; direction of the net area of QRS in the frontal plane, -180 to 180, 0 left, 90 down",
    "p_axis": "degrees; the same of P",
    "t_axis": "degrees; the same of T",
    "p_terminal_V1": "mV; lowest point of the last deflection of P in V1 if negative, else 0",
    "p_terminal_ms_V1": "ms; length of that deflection, else 0",
}
_LEAD = {
    "p": "mV; point of P furthest from the baseline",
    "q": "mV; Q (or QS), negative or 0",
    "r": "mV; R, positive or 0",
    "s": "mV; S, negative or 0",
    "rp": "mV; R', positive or 0",
    "t": "mV; point of T furthest from the baseline",
    "q_ms": "ms; length of Q (or QS), 0 if there is none",
    "r_ms": "ms; length of R, 0 if there is none",
    "s_ms": "ms; length of S, 0 if there is none",
    "rp_ms": "ms; length of R', 0 if there is none",
    "rpeak": "ms; QRS onset to the highest point of R",
    "notched": "0 or 1; whether R lasts 40 ms or more and has two maxima of at least half its height, 0.02 mV apart",
    "j": "mV; at the J point, the offset of QRS",
    "st20": "mV; 20 ms after the J point",
    "st60": "mV; 60 ms after the J point",
}
#: Unit and meaning of each column. Voltages are relative to the level just before the onset of QRS.
COLUMNS: dict[str, str] = _GLOBAL | {f"{name}_{lead}": f"{text}, in {lead}" for name, text in _LEAD.items()
                                     for lead in LEADS}

Reasons = NDArray[np.str_]


def why(missing: NDArray[np.bool_], reason: str) -> Reasons:
    """The reason where something is missing, else nothing."""
    return np.where(missing, reason, "")


def either(*reasons: Reasons) -> Reasons:
    """The first reason that there is."""
    first, *others = reasons
    for other in others:
        first = np.where(first != "", first, other)
    return first


@dataclass(frozen=True)
class Sheet:
    """Measurements as they are made: a value, or nan and the reason."""

    values: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    reasons: dict[str, NDArray[Any]] = field(default_factory=dict)

    def put(self, name: str, values: NDArray[Any], reason: Reasons) -> None:
        """Fill in a column: values `(n,)`, and why there is none (empty where there is one)."""
        self.values[name] = np.where(reason == "", values, np.nan).astype(np.float64)
        self.reasons[name] = reason.astype(object)

    def put_leads(self, name: str, values: NDArray[Any], reason: Reasons) -> None:
        """Fill in a column for each lead: values and reasons `(n, 12)`."""
        for k, lead in enumerate(LEADS):
            self.put(f"{name}_{lead}", values[:, k], reason[:, k])

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Values and reasons, in the order of `COLUMNS`."""
        return pd.DataFrame(self.values)[list(COLUMNS)], pd.DataFrame(self.reasons)[list(COLUMNS)]
