"""Verdicts of rules beside labels: two matrices, and what each rule stands for among PTB-XL's and the simulator's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.physiology.rules import VERDICTS, load_rules

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


#: The simulator's diseases (`ecgkit.simulator.ALL_NAMES`) that each rule should find. A rule on one sign (ST
#: elevation, ST depression, T inversion beside a prominent R) stands for every disease that brings the sign. The rules
#: that are not here have no disease of their own.
RULE_EDITS: Mapping[str, tuple[str, ...]] = {
    "complete LBBB": ("LBBB",), "complete RBBB": ("RBBB",), "incomplete RBBB": ("IRBBB",),
    "left anterior fascicular block": ("LAFB",), "left posterior fascicular block": ("LPFB",),
    "pre-excitation": ("WPW",), "first-degree AV block": ("1AVB",), "atrial fibrillation": ("AF",),
    "acute anterior infarction": ("AMI_acute",), "acute inferior infarction": ("IMI_acute",),
    "ST elevation": ("AMI_acute", "IMI_acute"),
    "old anterior infarction": ("AMI", "AMI_acute", "ASMI"),
    "old inferior infarction": ("IMI", "IMI_acute", "IMI_mild"),
    "old lateral infarction": ("LMI",), "old posterior infarction": ("PMI",),
    "anterior ischaemia": ("ISCAN",), "lateral ischaemia": ("ISCLA",), "inferior ischaemia": ("ISCIN",),
    "ST depression": ("ISCLA", "ISCIN", "STD", "DIG", "LVH"),
    "T inversion": ("ISCAN", "ISCLA", "ISCIN", "LVH"),
    "LVH Sokolow-Lyon": ("LVH", "VCLVH"), "LVH R in aVL": ("LVH", "VCLVH"), "LVH Cornell": ("LVH", "VCLVH"),
    "LVH with strain": ("LVH",), "left atrial enlargement": ("LAE",), "long QT": ("LQT",), "low voltage": ("LVOLT",),
}


def rule_labels() -> dict[str, tuple[str, ...]]:
    """PTB-XL's SCP codes or superclasses that each rule stands for, any of them: the column `label` of the rules."""
    labels = load_rules().groupby("rule", sort=False)["label"].first()
    return {str(rule): tuple(text.split()) for rule, text in labels.items()}


def verdict_matrix(verdicts: pd.DataFrame) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Verdicts of `ecgkit.physiology.judge` as a matrix.

    Parameters
    ----------
    verdicts : DataFrame
        As `judge` returns it: for each ECG in turn every rule in the same order.

    Returns
    -------
    met : ndarray, shape (n, n_rules)
        1 met, 0 not met, nan not measurable.
    names : tuple of str
        The rules.

    Raises
    ------
    EcgkitError
        If rows are missing or in another order.
    """
    rules = verdicts["rule"].to_numpy()
    names = tuple(str(name) for name in pd.unique(rules))
    n = len(verdicts) // max(len(names), 1)
    if len(verdicts) != n * len(names) or (rules != np.tile(np.array(names, dtype=object), n)).any():
        raise EcgkitError("the verdicts are not every rule of one ECG after the other; give the table of "
                          "ecgkit.physiology.judge as it is")
    value = verdicts["verdict"].map(dict(zip(VERDICTS, (0.0, np.nan, 1.0), strict=True)))
    return np.asarray(value, dtype=np.float64).reshape(n, len(names)), names


def beside_labels(verdicts: pd.DataFrame, labels: Any, label_names: Sequence[str],
                  stands_for: Mapping[str, Sequence[str]]) -> tuple[NDArray[np.float64], NDArray[np.bool_],
                                                                    tuple[str, ...]]:
    """Verdicts and labels of some ECGs, for `ecgkit.physiology.agreement.agreement_table`.

    Parameters
    ----------
    verdicts : DataFrame
        As `judge` returns it, n ECGs.
    labels : array_like of bool, shape (n, n_labels)
        Which labels each ECG has. For the simulator, whether a severity is that of the full disease.
    label_names : sequence of str
        Their names. PTB-XL's rules need SCP codes (task "all") and superclasses.
    stands_for : mapping
        The labels of each rule, any of which will do: `rule_labels()` for PTB-XL, `RULE_EDITS` for the simulator.

    Returns
    -------
    met : ndarray, shape (n, n_kept)
        1 met, 0 not met, nan not measurable.
    truth : ndarray of bool, shape (n, n_kept)
        Whether the ECG has a label that the rule stands for.
    names : tuple of str
        The rules kept: those that stand for one of these labels.

    Raises
    ------
    EcgkitError
        If the arrays do not fit together.
    """
    met, names = verdict_matrix(verdicts)
    has = np.asarray(labels, dtype=bool)
    if has.shape != (len(met), len(label_names)):
        raise EcgkitError(f"labels of shape {has.shape} for {len(met)} ECGs judged and {len(label_names)} label names")
    mine = np.array([[name in stands_for.get(rule, ()) for rule in names] for name in label_names], dtype=bool)
    mine = mine.reshape(len(label_names), len(names))
    kept = mine.any(axis=0)
    return met[:, kept], (has @ mine)[:, kept], tuple(np.array(names)[kept].tolist())
