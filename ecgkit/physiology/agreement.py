"""How well rules agree with labels: sensitivity, specificity and predictive value, with intervals over patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.evaluation.checks import Array, ratio
from ecgkit.evaluation.resampling import Bootstrap, resample_patients

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
        Whose ECG each row is; intervals are over patients.
    n_boot, seed : int
        Number of resamples and their seed.

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
    verdict, positive = _checked(met, truth, names)
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
        low, high = Bootstrap(once[:, k], samples[..., k]).interval()
        columns |= {name: once[:, k], f"{name}_low": low, f"{name}_high": high}
    return pd.DataFrame(columns, index=pd.Index(names, name="rule"))


def printed_agreement(table: pd.DataFrame) -> pd.DataFrame:
    """Round an `agreement_table` for print: shares in percent with their intervals, a dash where there is none."""
    words = {"sensitivity": "sensitivity %", "specificity": "specificity %", "ppv": "predictive value %"}
    counts = {"positives": "ECGs with label", "n": "of", "not_measurable": "not measurable"}
    columns = {text: table[name].map("{:,}".format) for name, text in counts.items()}
    for name, text in words.items():
        value, low, high = ((100 * table[f"{name}{end}"]).map("{:.1f}".format) for end in ("", "_low", "_high"))
        columns[text] = (value + " (" + low + "–" + high + ")").where(table[name].notna(), "–")
    return pd.DataFrame(columns)


def _shares(counts: Array) -> Array:
    """`_SHARES` from counts `(..., 5)`: right, labelled; rightly not met, not labelled; met."""
    right, labelled, rejected, others, met = np.moveaxis(counts, -1, 0)
    return np.stack([ratio(right, labelled, labelled > 0), ratio(rejected, others, others > 0),
                     ratio(right, met, met > 0)], axis=-1)


def _checked(met: Any, truth: Any, names: Sequence[str]) -> tuple[Array, NDArray[np.bool_]]:
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
    return verdict, label.astype(bool)
