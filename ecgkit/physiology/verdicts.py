"""Verdicts of rules beside labels: two matrices, and what each rule stands for among PTB-XL's and the simulator's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.physiology.rules import VERDICTS, load_rules

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
    """Verdicts and labels of some ECGs, for `ecgkit.evaluation.agreement_table`.

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
