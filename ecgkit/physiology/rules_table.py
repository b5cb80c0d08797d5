"""The diagnostic rules in words, for people to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ecgkit.physiology.rules import load_rules

WORDS: Mapping[str, str] = {
    "heart_rate": "heart rate", "p_share": "share of beats with a P", "rr_cv": "RR variation (SD/mean)",
    "pr": "PR", "qrs": "QRS", "qtc_fridericia": "QTc (Fridericia)", "axis": "QRS axis",
    "p_{lead}": "P", "p_terminal_V1": "terminal P of V1", "p_terminal_ms_V1": "duration of terminal P of V1",
    "q_{lead}": "Q", "q_ms_{lead}": "duration of Q", "r_{lead}": "R", "r_ms_{lead}": "duration of R",
    "rpeak_{lead}": "time of the R peak", "notched_{lead}": "notched R (1 is yes)", "rp_{lead}": "R′", "t_{lead}": "T",
    "st20_{lead}": "ST at J + 20 ms", "st60_{lead}": "ST at J + 60 ms", "sokolow_{lead}": "S of V1 + R",
    "cornell": "R of aVL + S of V3", "qrs_net_{lead}": "R − S", "qrs_swing_{lead}": "R + S",
    "prominent_r_{lead}": "R − S, or R − 0.5 mV if more,",
    "s_beyond_ms_{lead}": "duration of S beyond that of R, or beyond 40 ms,",
}
_SIGNS = {">=": "≥", ">": ">", "<=": "≤", "<": "<"}
_UNITS = {"ratio": "", "degrees": "°", "1/min": "/min"}
_WHO = {"m": "men", "f": "women", "": ""}


def rules_table() -> pd.DataFrame:
    """The rules, one a row: `rule`, `label` (PTB-XL's codes), `criterion` in words, `source`."""
    return pd.DataFrame([{"rule": rule, "label": rows["label"].iloc[0], "criterion": _criterion(rows),
                          "source": "; ".join(rows["source"].unique())}
                         for rule, rows in load_rules().groupby("rule", sort=False)])


def _criterion(rows: pd.DataFrame) -> str:
    """`A and B and either (C) or (D)`, from the rows of one rule."""
    parts = {alternative: " and ".join(_asked(group) for _, group in part.groupby("group", sort=False))
             for alternative, part in rows.groupby("alternative", sort=False)}
    always = [parts.pop("")] if "" in parts else []
    either = ["either " + " or ".join(f"({part})" for part in parts.values())] if parts else []
    return " and ".join(always + either)


def _asked(group: pd.DataFrame) -> str:
    """What a group of rows asks: `in 2 neighbouring leads of II, III, aVF: ST at J + 20 ms ≥ 0.1 mV`."""
    rows: list[Any] = list(group.itertuples())
    count, leads = rows[0].at_least, rows[0].leads
    if not count:
        return ", ".join(_condition(row, row.leads) for row in rows)
    same = all(row.leads == leads for row in rows)
    of = f" of {_listed(leads)}" if same else ""
    conditions = ", ".join(_condition(row, "" if same else row.leads) for row in rows)
    return f"in {count} {'neighbouring ' if rows[0].contiguous else ''}lead{'s' if count > 1 else ''}{of}: {conditions}"


def _condition(row: Any, leads: str) -> str:
    who = _WHO[row.sex]
    if np.isfinite(row.age_from):
        who += f" from {row.age_from:g} years"
    if np.isfinite(row.age_to):
        who += f" under {row.age_to:g} years"
    notes = "; ".join(note for note in (_listed(leads), who.strip()) if note)
    unit = _UNITS.get(row.unit, f" {row.unit}")
    text = f"{WORDS[row.measurement]} {_SIGNS[row.comparison]} {row.threshold:g}{unit}".replace("-", "−")
    return f"{text} ({notes})" if notes else text


def _listed(leads: str) -> str:
    return leads.replace(" ", ", ")
