"""What defines a label: the rules that make the diagnosis, and the measurements that have no part in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ecgkit.errors import EcgkitError
from ecgkit.physiology.rules import load_rules

_RHYTHM = ("heart_rate", "rr_cv", "p_share")
_ATRIA = ("p_duration", "p_II")
_VOLTAGES = ("axis", "r_II", "r_V5", "s_V1")


@dataclass(frozen=True)
class Definition:
    """What the diagnosis behind a label rests on.

    Parameters
    ----------
    rules : tuple of str
        Rules of `ecgkit.physiology.load_rules`, any of which makes the diagnosis.
    unrelated : tuple of str
        Measurements (`ecgkit.physiology.COLUMNS`) that a change of this diagnosis alone leaves as they are.
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
    """What defines a label.

    Raises
    ------
    EcgkitError
        For a label that no rule defines.
    """
    if label not in DEFINITIONS:
        raise EcgkitError(f"no rule defines {label!r}; rules define {', '.join(DEFINITIONS)}")
    return DEFINITIONS[label]


def excludes_broad_qrs(rule: str) -> bool:
    """Whether a rule only asks that QRS be narrow: a condition for using it, not a sign of the disease.

    Raises
    ------
    EcgkitError
        For a rule that does not exist.
    """
    rules = load_rules()
    rows = rules[rules["rule"] == rule]
    if rows.empty:
        raise EcgkitError(f"no rule {rule!r}; there are {', '.join(rules['rule'].unique())}")
    of_qrs = rows.loc[rows["measurement"] == "qrs", "comparison"]
    return bool(len(of_qrs)) and bool((of_qrs == "<").all())
