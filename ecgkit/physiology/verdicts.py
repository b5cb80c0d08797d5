"""Rules beside labels: what each rule stands for, what defines a label, and how well verdicts agree with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import Bootstrap, resample_patients, with_ends
from ecgkit.evaluation.checks import Array, ratio
from ecgkit.physiology.columns import COLUMNS
from ecgkit.physiology.rules import STEPS, VERDICTS, judge, load_rules

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
    """The verdicts of `ecgkit.physiology.judge` as a matrix `(n, n_rules)`, and the rules' names.

    1 is met, 0 not met, nan not measurable. An `EcgkitError` is raised if rows are missing or in another order.
    """
    rules = verdicts["rule"].to_numpy()
    names = tuple(str(name) for name in pd.unique(rules))
    n = len(verdicts) // max(len(names), 1)
    if len(verdicts) != n * len(names) or (rules != np.tile(np.array(names, dtype=object), n)).any():
        raise EcgkitError("the verdicts are not every rule of one ECG after the other; give the table of "
                          "ecgkit.physiology.judge as it is")
    value = verdicts["verdict"].map(dict(zip(VERDICTS, (0.0, np.nan, 1.0), strict=True)))
    return np.asarray(value, dtype=np.float64).reshape(n, len(names)), names


def margins(measured: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """How far beyond its threshold each ECG is by each rule, `(n, n_rules)`, in `ecgkit.physiology.rules.STEPS`.

    `measured` `(n, n_measurements)` has the columns of `ecgkit.physiology.COLUMNS`. Age and sex count as unknown; nan
    is not measurable.
    """
    verdicts = judge(pd.DataFrame(measured, columns=list(COLUMNS)), np.nan, np.nan)
    steps = verdicts["margin"] / verdicts["unit"].map(STEPS)
    return steps.to_numpy(dtype=np.float64).reshape(len(measured), load_rules()["rule"].nunique())


def beside_labels(verdicts: pd.DataFrame, labels: Any, label_names: Sequence[str],
                  stands_for: Mapping[str, Sequence[str]]) -> tuple[NDArray[np.float64], NDArray[np.bool_],
                                                                    tuple[str, ...]]:
    """Verdicts and labels of some ECGs, for `agreement_table`.

    `verdicts` are those of `judge`; `labels` `(n, n_labels)` say which of `label_names` each ECG has: PTB-XL's SCP
    codes (task "all") and superclasses, or whether the simulator's severity is that of the full disease. `stands_for`
    has the labels of each rule, any of which will do: `rule_labels()` for PTB-XL, `RULE_EDITS` for the simulator.

    Returns, for the rules that stand for one of these labels: the verdicts as `verdict_matrix` gives them, whether the
    ECG has such a label, both `(n, n_kept)`, and the rules' names. `EcgkitError` if the arrays do not fit together.
    """
    met, names = verdict_matrix(verdicts)
    has = np.asarray(labels, dtype=bool)
    if has.shape != (len(met), len(label_names)):
        raise EcgkitError(f"labels of shape {has.shape} for {len(met)} ECGs judged and {len(label_names)} label names")
    mine = np.array([[name in stands_for.get(rule, ()) for rule in names] for name in label_names], dtype=bool)
    mine = mine.reshape(len(label_names), len(names))
    kept = mine.any(axis=0)
    return met[:, kept], (has @ mine)[:, kept], tuple(np.array(names)[kept].tolist())


_RHYTHM = ("heart_rate", "rr_cv", "p_share")
_ATRIA = ("p_duration", "p_II")
_VOLTAGES = ("axis", "r_II", "r_V5", "s_V1")


@dataclass(frozen=True)
class Definition:
    """What the diagnosis behind a label rests on.

    Any of its `rules` (`ecgkit.physiology.load_rules`) makes the diagnosis; a change of this diagnosis alone leaves the
    `unrelated` measurements (`ecgkit.physiology.COLUMNS`) as they are.
    """

    rules: tuple[str, ...]
    unrelated: tuple[str, ...]


_LVH = ("LVH Sokolow-Lyon", "LVH R in aVL", "LVH Cornell")
_BEFORE_QRS = (*_RHYTHM, *_ATRIA)

#: PTB-XL's superclasses, then the simulator's diseases. NORM is defined by no rule: it is the absence of the others.
#: Left out of `unrelated` is whatever the disease may bring with it. A block, an infarction and hypertrophy may widen
#: QRS, and then QT; the broad Q of an infarction begins earlier than the R that it replaces, so PR is shorter; CD holds
#: first-degree block, so PR; HYP holds enlarged atria, so all of P; hypertrophy, infarction and a fascicular block turn
#: the axis. Atrial fibrillation leaves QRS alone, but neither P nor the rhythm, and its f waves run through ST and T.
#: No cardiologist has reviewed these lists; the simulator's true counterfactuals keep to them.
DEFINITIONS: Mapping[str, Definition] = {
    "MI": Definition(("old anterior infarction", "old inferior infarction", "old lateral infarction"), _BEFORE_QRS),
    "STTC": Definition(("ST depression", "T inversion", "anterior ischaemia", "lateral ischaemia",
                        "inferior ischaemia"), (*_BEFORE_QRS, "pr", "qrs", *_VOLTAGES)),
    "CD": Definition(("complete LBBB", "complete RBBB", "left anterior fascicular block",
                      "left posterior fascicular block", "first-degree AV block", "pre-excitation"), _BEFORE_QRS),
    "HYP": Definition(_LVH, (*_RHYTHM, "pr")),
    "LBBB": Definition(("complete LBBB",), _BEFORE_QRS),
    "RBBB": Definition(("complete RBBB",), (*_BEFORE_QRS, "pr")),
    "1AVB": Definition(("first-degree AV block",), (*_BEFORE_QRS, "qrs", "qt", *_VOLTAGES)),
    "AMI": Definition(("old anterior infarction",), _BEFORE_QRS),
    "AMI_acute": Definition(("acute anterior infarction", "ST elevation"), _BEFORE_QRS),
    "IMI": Definition(("old inferior infarction",), _BEFORE_QRS),
    "IMI_acute": Definition(("acute inferior infarction", "ST elevation"), _BEFORE_QRS),
    "LVH": Definition(_LVH, (*_BEFORE_QRS, "pr")),
    "LQT": Definition(("long QT",), (*_BEFORE_QRS, "pr", "qrs", *_VOLTAGES)),
    "WPW": Definition(("pre-excitation",), _BEFORE_QRS),
    "LAFB": Definition(("left anterior fascicular block",), (*_BEFORE_QRS, "pr")),
    "AF": Definition(("atrial fibrillation",), ("qrs", *_VOLTAGES)),
}


def definition(label: str) -> Definition:
    """What defines a label; `EcgkitError` for one that no rule defines."""
    if label not in DEFINITIONS:
        raise EcgkitError(f"no rule defines {label!r}; rules define {', '.join(DEFINITIONS)}")
    return DEFINITIONS[label]


def excludes_broad_qrs(rule: str) -> bool:
    """Whether a rule only asks that QRS be narrow: a condition for using it, not a sign of the disease."""
    rules = load_rules()
    rows = rules[rules["rule"] == rule]
    if rows.empty:
        raise EcgkitError(f"no rule {rule!r}; there are {', '.join(rules['rule'].unique())}")
    of_qrs = rows.loc[rows["measurement"] == "qrs", "comparison"]
    return bool(len(of_qrs)) and bool((of_qrs == "<").all())


_SHARES = ("sensitivity", "specificity", "ppv")


def agreement_table(met: Any, truth: Any, names: Sequence[str], patients: Any, *, n_boot: int = 1000,
                    seed: int = 0) -> pd.DataFrame:
    """Compare the verdicts of some rules with labels, rule by rule.

    Parameters
    ----------
    met : array_like, shape (n, n_rules)
        1 met, 0 not met, nan not measurable. An ECG that a rule cannot judge is left out of that rule's shares.
    truth : array_like of 0 and 1, shape (n, n_rules)
        Whether the ECG has what the rule stands for.
    names : sequence of str
        The rules.
    patients : array_like, shape (n,)
        Whose ECG each row is; intervals are over patients, `n_boot` resamples of them.

    Returns
    -------
    DataFrame, indexed by rule
        `n` (ECGs judged), `positives` (those of them that have the label), `not_measurable` (the other ECGs);
        `sensitivity`, `specificity`, `ppv` (share of the ECGs that meet the rule which have the label), each with the
        ends `_low` and `_high` of its 95 % interval, and nan where no ECG determines it.

    Raises
    ------
    EcgkitError
        Where the arrays do not fit together, or hold other values.
    """
    verdict, label = np.asarray(met, dtype=np.float64), np.asarray(truth)
    if verdict.ndim != 2 or verdict.shape != label.shape or verdict.shape[1] != len(names) or not len(verdict):
        raise EcgkitError(f"met has shape {verdict.shape} and truth {label.shape} for {len(names)} rules; both must be "
                          "(n, n_rules), n >= 1")
    for values, what, allowed in ((verdict, "met", "1, 0 or nan"), (label, "truth", "0 or 1")):
        wrong = ~((values == 0) | (values == 1) | (np.isnan(verdict) if what == "met" else False))
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise EcgkitError(f"{what} of rule {names[column]} is {values[row, column]} in row {row}; it must be "
                              f"{allowed}")
    positive = label.astype(bool)
    judged, yes = np.isfinite(verdict), verdict == 1
    groups = np.stack([yes & positive, judged & positive, ~yes & judged & ~positive, judged & ~positive, yes], axis=2)
    n, n_rules, n_groups = groups.shape
    flat = groups.reshape(n, n_rules * n_groups).astype(np.float64)
    drawn = np.concatenate([(weights.T @ flat).reshape(-1, n_rules, n_groups)
                            for weights in resample_patients(patients, n_boot=n_boot, seed=seed, n=n)])
    once, samples = _shares(flat.sum(axis=0).reshape(n_rules, n_groups)), _shares(drawn)
    columns: dict[str, Any] = {"n": judged.sum(axis=0), "positives": (judged & positive).sum(axis=0),
                               "not_measurable": (~judged).sum(axis=0)}
    for k, name in enumerate(_SHARES):
        columns |= Bootstrap(once[:, k], samples[..., k]).columns(name)
    return pd.DataFrame(columns, index=pd.Index(names, name="rule"))


def printed_agreement(table: pd.DataFrame) -> pd.DataFrame:
    """Round an `agreement_table` for print: shares in percent with their intervals, a dash where there is none."""
    shares = {"sensitivity %": "sensitivity", "specificity %": "specificity", "predictive value %": "ppv"}
    counts = {"ECGs with label": "positives", "of": "n", "not measurable": "not_measurable"}
    return pd.DataFrame({
        **{text: table[name].map("{:,}".format) for text, name in counts.items()},
        **{text: with_ends(100 * table, name, digits=1, unknown="–") for text, name in shares.items()}})


def _shares(counts: Array) -> Array:
    """`_SHARES` from counts `(..., 5)`: right, labelled; rightly not met, not labelled; met."""
    right, labelled, rejected, others, met = np.moveaxis(counts, -1, 0)
    return np.stack([ratio(right, labelled, labelled > 0), ratio(rejected, others, others > 0),
                     ratio(right, met, met > 0)], axis=-1)
