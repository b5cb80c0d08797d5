"""Whether cardiology names what a style coordinate does: its effects beside the signs that rules speak of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from ecgkit.explain.naming import NAMED, said, telling
from ecgkit.physiology import load_rules
from ecgkit.physiology.defining import DEFINITIONS

#: Kinds of coordinates of a label, the nearest to cardiology first.
DEFINING, FURTHER, CANDIDATE, SILENT = "defining sign", "further sign", "candidate", "no measurement moves"
KINDS = (DEFINING, FURTHER, CANDIDATE, SILENT)
#: Rules beside the defining ones that stand for statements of a superclass: also these signs are cardiology's.
FURTHER_RULES: Mapping[str, tuple[str, ...]] = {
    "MI": ("acute anterior infarction", "acute lateral infarction", "acute inferior infarction", "ST elevation",
           "old posterior infarction"),
    "STTC": ("long QT",),
    "CD": ("incomplete RBBB",),
    "HYP": ("LVH with strain", "right atrial enlargement", "left atrial enlargement"),
}
#: What a rule measures, as the measurements that may name a coordinate; III and aVR are told by I, II and aVF.
_LEAD_SIGNS: Mapping[str, tuple[str, ...]] = {
    "q": ("q",), "q_ms": ("q",), "r": ("r",), "r_ms": ("r",), "rpeak": ("r",), "notched": ("rp",), "rp": ("rp",),
    "s_beyond_ms": ("s",), "st20": ("st60",), "st60": ("st60",), "t": ("t",), "p": ("p",), "p_terminal": ("p",),
    "p_terminal_ms": ("p",), "qrs_net": ("q", "r", "rp", "s"), "qrs_swing": ("q", "r", "rp", "s"),
    "sokolow": ("r",),
}
_WHOLE_SIGNS: Mapping[str, tuple[str, ...]] = {
    "pr": ("pr",), "qrs": ("qrs",), "axis": ("axis",), "qtc_fridericia": ("qt",), "cornell": ("r_aVL", "s_V3", "q_V3")}
#: Alternatives and measurements that only say where a rule may be used, and are no sign of the disease.
_CONDITIONS = ("narrow QRS", "V1 not as in LBBB")
_PROMINENT = "prominent_r_{lead}"


def signs_of(rules: Sequence[str]) -> set[str]:
    """Measurements of `NAMED` that are signs in some rules; conditions for using a rule are left out.

    The conditions are: a narrow QRS, a V1 that is not as in left bundle branch block, a prominent R.
    """
    table = load_rules()
    found: set[str] = set()
    for row in table[table["rule"].isin(rules)].itertuples():
        condition = row.alternative in _CONDITIONS or (row.measurement == "qrs" and str(row.comparison).startswith("<"))
        if not condition and row.measurement != _PROMINENT:
            found |= _measured_by(str(row.measurement), str(row.leads).split())
    return found & set(NAMED)


def defining_signs(label: str) -> set[str]:
    """Signs of the rules that define a label; none where no rule does."""
    return signs_of(DEFINITIONS[label].rules) if label in DEFINITIONS else set()


def further_signs(label: str) -> set[str]:
    """Signs of further rules for a label that do not define it."""
    return signs_of(FURTHER_RULES.get(label, ())) - defining_signs(label)


def graded(effects: pd.DataFrame, label: str) -> dict[str, str]:
    """Say whether a coordinate's name holds a sign of a label.

    Parameters
    ----------
    effects : DataFrame, indexed by measurement
        Of one coordinate, from `StyleExplainer.names`.
    label : str

    Returns
    -------
    dict
        `kind`: the first of `KINDS` that fits what is in the name; `sign`: of the label's signs that move surely and
        by more than repeatability, the one that moves most, in words, whether the name holds it or not; "" for none.
    """
    own, further = defining_signs(label), further_signs(label)
    named = set(effects.index[effects["telling"]])
    kind = (DEFINING if named & own else FURTHER if named & further else CANDIDATE if named else SILENT)
    signs = effects[effects.index.isin(own | further)]
    most = telling(signs, int(effects["n"].max()), 1)
    return {"kind": kind, "sign": said(most[0], float(signs.loc[most[0], "effect"])) if most else ""}  # type: ignore[arg-type]


def _measured_by(measurement: str, leads: Sequence[str]) -> set[str]:
    if measurement in _WHOLE_SIGNS:
        return set(_WHOLE_SIGNS[measurement])
    one_lead = re.fullmatch(r"(p_terminal|p_terminal_ms)_(\w+)", measurement)
    base, leads = (one_lead[1], [one_lead[2]]) if one_lead else (measurement.removesuffix("_{lead}"), leads)
    found = {f"{wave}_{lead}" for wave in _LEAD_SIGNS.get(base, ()) for lead in leads}
    return found | ({"s_V1", "q_V1"} if base == "sokolow" else set())
