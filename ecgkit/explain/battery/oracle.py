"""The rule oracle: does the measurement that defines a diagnosis cross its threshold, and do unrelated ones stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecgkit.errors import EcgkitError
from ecgkit.evaluation.checks import Array, ratio
from ecgkit.physiology import Measurements, judge
from ecgkit.physiology.defining import definition, excludes_broad_qrs
from ecgkit.physiology.repeat import ANGLES
from ecgkit.physiology.rules import HAIR, STEPS, VERDICTS


@dataclass(frozen=True)
class Oracle:
    """What the rules say of some edits.

    Parameters
    ----------
    crossed : ndarray, shape (n,)
        1 if the defining rules turned as wanted, 0 if not, nan where that cannot be asked.
    new : ndarray of bool, shape (n,)
        Whether a defining rule is met after that was not before.
    rule : ndarray of str, shape (n,)
        The rule that decides: the one met most clearly before (disease to healthy) or after (healthy to disease).
    movement : ndarray, shape (n,)
        How far its margin moved in the wanted direction, in steps (`ecgkit.physiology.rules.STEPS`: 20 ms, 0.1 mV, 15
        degrees ...); nan where it was not measurable before or after.
    """

    crossed: Array
    new: NDArray[np.bool_]
    rule: NDArray[Any]
    movement: Array


def rule_oracle(before: Measurements, after: Measurements, label: str, age: ArrayLike, sex: ArrayLike, *,
                up: bool = False) -> Oracle:
    """Judge ECGs before and after an edit by the rules that define a label.

    Disease to healthy: of the ECGs that met a defining rule, 1 where none of those rules is met any longer; one that
    cannot be measured afterwards counts 0. Healthy to disease: of the ECGs that met none, 1 where one is met now.

    Several rules are for a narrow QRS only. They are judged with the QRS duration of the ECG before, so that no edit
    gets rid of Q or ST by widening QRS.

    Parameters
    ----------
    before, after : Measurements
        Of the same n ECGs.
    label : str
        A key of `ecgkit.physiology.defining.DEFINITIONS`.
    age, sex : array_like, shape (n,) or one number for all
        As `ecgkit.physiology.judge` takes them.
    up : bool
        Whether the disease was to appear.

    Raises
    ------
    EcgkitError
        For a label that no rule defines, or tables of different ECGs.
    """
    rules = definition(label).rules
    first, second = before.table.reset_index(drop=True), after.table.reset_index(drop=True)
    if len(first) != len(second):
        raise EcgkitError(f"measurements of {len(first)} ECGs before and {len(second)} after: give the same ECGs")
    # One call for all: most of what judging costs does not depend on the number of ECGs.
    three = pd.concat([first, second, second.assign(qrs=first["qrs"])], ignore_index=True)
    met, margin = _judged(three, rules, *(np.tile(np.broadcast_to(who, len(first)), 3) for who in (age, sex)))
    narrow = np.array([excludes_broad_qrs(rule) for rule in rules])
    (met_before, met_after), (margin_before, margin_after) = (
        (before_, np.where(narrow, same_qrs, after_)) for before_, after_, same_qrs in (np.split(met, 3),
                                                                                       np.split(margin, 3)))
    had, has = met_before == 1, met_after == 1
    if up:
        known = ~had.any(axis=1) & ~np.isnan(met_before).all(axis=1)
        crossed = np.where(known, has.any(axis=1), np.nan)
    else:
        crossed = np.where(had.any(axis=1), (~had | (met_after == 0)).all(axis=1), np.nan)
    deciding = np.nan_to_num(margin_after if up else margin_before, nan=-np.inf).argmax(axis=1)
    row = np.arange(len(first))
    movement = (margin_after - margin_before)[row, deciding] * (1 if up else -1)
    return Oracle(crossed, (has & ~had).any(axis=1), np.array(rules, dtype=object)[deciding], movement)


def unrelated_moves(before: Measurements, after: Measurements, label: str,
                    repeatability: Mapping[str, float]) -> pd.DataFrame:
    """How far the measurements moved that have no part in a diagnosis, in units of their repeatability.

    Parameters
    ----------
    before, after : Measurements
        Of the same n ECGs.
    label : str
        A key of `ecgkit.physiology.defining.DEFINITIONS`.
    repeatability : mapping
        Of each measurement, in its unit, how far two measurements of the same ECG lie apart: column `p95` of
        `ecgkit.physiology.repeat.limits_of_agreement`.

    Returns
    -------
    DataFrame, n rows, one column for each unrelated measurement
        Up to 1 is within repeatability. inf where it could be measured before, and no longer: an edit that destroys a
        wave does not leave it as it was. nan where it could not be measured before.

    Raises
    ------
    EcgkitError
        For a label that no rule defines, or a measurement without repeatability.
    """
    names = list(definition(label).unrelated)
    missing = [name for name in names if not repeatability.get(name, np.nan) >= 0]
    if missing:
        raise EcgkitError(f"no repeatability of {', '.join(missing)}; give the column p95 of limits_of_agreement")
    first, second = (m.table[names].to_numpy(np.float64) for m in (before, after))
    if first.shape != second.shape:
        raise EcgkitError(f"measurements of {len(first)} ECGs before and {len(second)} after: give the same ECGs")
    difference = second - first
    angle = np.isin(names, ANGLES)
    difference[:, angle] = (difference[:, angle] + 180) % 360 - 180
    moves = np.abs(difference) / np.maximum([repeatability[name] for name in names], HAIR)
    return pd.DataFrame(np.where(~np.isnan(first) & np.isnan(second), np.inf, moves), columns=names)


def unrelated_share(moves: pd.DataFrame) -> Array:
    """Share of each ECG's unrelated measurements that stay within repeatability, `(n,)`; nan where there are none."""
    values = moves.to_numpy(np.float64)
    count = (~np.isnan(values)).sum(axis=1)
    return ratio((values <= 1).sum(axis=1), count, count > 0)


def unrelated_table(moves: pd.DataFrame) -> pd.DataFrame:
    """Which unrelated measurements move most.

    Returns
    -------
    DataFrame, indexed by measurement, the one most often outside first
        `n` (ECGs in which it could be measured before), the shares of them `within` its repeatability and `lost` (not
        measurable after), and the `median` move of the others.
    """
    values = moves.to_numpy(np.float64)
    n, lost = (~np.isnan(values)).sum(axis=0), np.isinf(values).sum(axis=0)
    table = pd.DataFrame({"n": n, "within": ratio((values <= 1).sum(axis=0), n, n > 0),
                          "lost": ratio(lost, n, n > 0),
                          "median": moves.replace(np.inf, np.nan).median().to_numpy()},
                         index=pd.Index(moves.columns, name="measurement"))
    return table.sort_values("within", kind="stable")


def _judged(table: pd.DataFrame, rules: tuple[str, ...], age: ArrayLike, sex: ArrayLike) -> tuple[Array, Array]:
    """Verdicts (1, 0, nan) and margins in steps of some rules, both `(n, n_rules)`."""
    verdicts = judge(table, age, sex)
    verdicts = verdicts[verdicts["rule"].isin(rules)]
    value = verdicts["verdict"].map(dict(zip(VERDICTS, (0.0, np.nan, 1.0), strict=True)))
    steps = verdicts["margin"].to_numpy(np.float64) / verdicts["unit"].map(STEPS).to_numpy(np.float64)
    place = verdicts["rule"].map({rule: k for k, rule in enumerate(rules)}).to_numpy(np.intp)
    out = np.full((2, len(table), len(rules)), np.nan)
    out[:, verdicts["ecg"].to_numpy(np.intp), place] = value.to_numpy(np.float64), steps
    return out[0], out[1]
