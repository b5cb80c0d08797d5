"""Diagnostic rules as data (`rules.csv`): each is met, not met or not measurable, with its margin to the threshold.

How a rule is read. A row of `rules.csv` is one condition; a rule is met when any of its alternatives is, and an
alternative when all of its conditions hold. A row without alternative belongs to every alternative of its rule. Rows
that share a `group` are asked of one lead at a time: so a Q must be broad and deep in the same lead, and the leads of
an ST elevation may have thresholds of their own. A strict comparison is one with a threshold moved by `HAIR`, so a
condition holds exactly when its margin is not negative.

ST is judged 20 ms after the end of QRS, where the published limits are for the J point. The end of QRS is found once
for all leads, and some slope of QRS or the foot of the ST segment may still lie there. This time, the limits of atrial
fibrillation, the prominent R and the single late R peak of left bundle branch block were chosen on simulated ECGs and
on PTB-XL's folds 1 to 8, so agreement is to be reported on other ECGs.

No cardiologist has reviewed these rules. What they leave out: the slurring of a delta wave, f waves, reciprocal leads,
whether a change is new, hypertrophy as another reason for ST and T changes, and every limit for children.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache as remember
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecgkit.errors import EcgkitError
from ecgkit.leads import CHEST

VERDICTS = ("not met", "not measurable", "met")
#: Leads side by side, in the frontal plane and on the chest. aVR is left out: -aVR, between I and II, is their mean,
#: so that it shares what both have in common.
NEIGHBOURS = (("aVL", "I", "II", "aVF", "III"), CHEST)
#: One step in each unit (half a small square of ECG paper in time, one in voltage): margins in different units are
#: compared in steps. This settles which condition binds, never the verdict.
STEPS: Mapping[str, float] = {"ms": 20.0, "mV": 0.1, "degrees": 15.0, "1/min": 10.0, "ratio": 0.1}
#: An R is prominent from here on, mV, whatever the S; the source of the rules on T has the word and no number.
PROMINENT_R = 0.5
#: Far finer than any measurement, in every unit.
HAIR = 1e-9


def _s(table: pd.DataFrame, lead: str) -> pd.Series[float]:
    """S, or the QS of a lead without R: mV, never positive."""
    q, r, s = (table[f"{wave}_{lead}"] for wave in ("q", "r", "s"))
    return s.where(r > 0, q).where(r.notna())


def _tallest(table: pd.DataFrame, lead: str) -> pd.Series[float]:
    return table[[f"r_{lead}", f"rp_{lead}"]].max(axis=1, skipna=False)


def _deepest(table: pd.DataFrame, lead: str) -> pd.Series[float]:
    return table[[f"q_{lead}", f"s_{lead}"]].min(axis=1, skipna=False)


#: Measurements that combine others, each a function of the table and a lead.
DERIVED: Mapping[str, Callable[[pd.DataFrame, str], pd.Series[float]]] = {
    # Sokolow-Lyon voltage with R of this lead, and Cornell voltage, mV.
    "sokolow_{lead}": lambda table, lead: table[f"r_{lead}"] - _s(table, "V1"),
    "cornell": lambda table, _: table["r_aVL"] - _s(table, "V3"),
    # Largest positive plus largest negative deflection of the QRS, mV: > 0 is R/S > 1; and their distance, mV.
    "qrs_net_{lead}": lambda table, lead: _tallest(table, lead) + _deepest(table, lead),
    "qrs_swing_{lead}": lambda table, lead: _tallest(table, lead) - _deepest(table, lead),
    # By how much R outweighs S, or exceeds `PROMINENT_R` where that is more, mV: > 0 is "prominent R or R/S > 1".
    "prominent_r_{lead}": lambda table, lead: _tallest(table, lead) + np.maximum(_deepest(table, lead), -PROMINENT_R),
    # By how much S outlasts R, or 40 ms where that is shorter, ms.
    "s_beyond_ms_{lead}": lambda table, lead: table[f"s_ms_{lead}"] - table[f"r_ms_{lead}"].clip(upper=40),
}


@remember
def _rules() -> pd.DataFrame:
    rules = pd.read_csv(Path(__file__).with_name("rules.csv"), dtype=str, keep_default_na=False)
    for column, blank in {"threshold": np.nan, "at_least": 0.0, "age_from": -np.inf, "age_to": np.inf}.items():
        rules[column] = pd.to_numeric(rules[column]).fillna(blank)
    alone = rules.index.to_series().astype(str)
    return rules.assign(at_least=rules["at_least"].astype(int), contiguous=rules["contiguous"] == "yes",
                        group=rules["group"].where(rules["group"] != "", alone))


def load_rules() -> pd.DataFrame:
    """The conditions of all rules, one a row.

    Returns
    -------
    DataFrame
        `rule` (its name), `label` (PTB-XL's codes or superclass that it stands for, separated by spaces),
        `alternative` (any of them will do; "" is part of all), `group` (rows to be met in the same leads; a row alone
        has its number), `measurement` (a column of the table of measurements or a key of `DERIVED`; `{lead}` stands
        for the lead), `leads` (separated by spaces; "" for none), `at_least` (how many leads must hold; 0 is all),
        `contiguous` (whether these must be side by side), `comparison` (>=, >, <= or <), `threshold`, `unit`, `sex`
        ("m", "f" or "" for both), `age_from` and `age_to` (years, from <= age < to), `source` (a DOI, or "secondary"
        where no primary source is at hand). In brackets follows what is not the source's: "threshold ours" where it
        gives no number; "at J + 20 ms" where it asks for the J point; "one lead is enough" where it names two, and
        says that one of them may look otherwise.
    """
    return _rules().copy()


def judge(table: pd.DataFrame, age: ArrayLike, sex: ArrayLike) -> pd.DataFrame:
    """Judge ECGs by every rule.

    Parameters
    ----------
    table : DataFrame, n rows
        Measurements, as of `ecgkit.physiology.measure`; nan where a thing could not be measured.
    age : array_like, shape (n,) or one number for all
        Years; nan is unknown.
    sex : array_like, shape (n,) or one number for all
        0 male, 1 female; nan is unknown.

    Returns
    -------
    DataFrame, n times as many rows as there are rules
        `ecg` (from the index of `table`), `rule`, `verdict` ("met", "not met" or "not measurable"), `margin` (of the
        condition that binds: how far beyond its threshold it is, negative where not met, nan where not measurable),
        `unit` and `binding` (the measurement that decides: the weakest condition of the best alternative; where not
        measurable the one that is missing, or "sex" or "age").

    Raises
    ------
    EcgkitError
        If the table lacks a column, or sex or age cannot be understood.

    Notes
    -----
    Kleene's three-valued logic: a verdict is given where it holds whatever the missing values are. A rule that depends
    on an unknown sex or age has a verdict where that is the same for everyone the patient could be.
    """
    age, sex = (_per_ecg(values, len(table), name) for values, name in ((age, "age"), (sex, "sex")))
    if not np.isin(sex[~np.isnan(sex)], (0, 1)).all():
        raise EcgkitError("sex has a value that is none of 0 (male), 1 (female) and nan (unknown)")
    rules = _rules()
    names = rules["rule"].unique()
    answers = [_judge_rule(rules[rules["rule"] == name], table, age, sex) for name in names]
    tidy = {key: np.stack([answer[key] for answer in answers], axis=1).ravel() for key in answers[0]}
    verdict = np.array(VERDICTS, dtype=object)[tidy.pop("verdict").astype(int) + 1]
    return pd.DataFrame({"ecg": np.repeat(table.index.to_numpy(), len(names)), "rule": np.tile(names, len(table)),
                         "verdict": verdict, **tidy})


def _per_ecg(values: ArrayLike, n: int, name: str) -> NDArray[np.float64]:
    try:
        return np.broadcast_to(np.asarray(values, dtype=np.float64), (n,))
    except (TypeError, ValueError):
        raise EcgkitError(f"{name} must be one number, or one for each of the {n} ECGs, nan where unknown") from None


def _judge_rule(rows: pd.DataFrame, table: pd.DataFrame, age: NDArray[np.float64],
                sex: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """`verdict` (-1, 0, 1), `margin`, `unit` and `binding` of one rule, each (n,), over all that a patient could be."""
    edges = sorted({-np.inf, np.inf, *rows["age_from"], *rows["age_to"]})
    sexes = ("m", "f") if (rows["sex"] != "").any() else ("",)
    answers, fits = [], []
    for letter in sexes:
        for young, old in pairwise(edges):
            applies = rows["sex"].isin(["", letter]) & (rows["age_from"] <= young) & (rows["age_to"] >= old)
            answers.append(_evaluate(list(rows[applies].itertuples()), table))
            fits.append((np.isnan(age) | ((young <= age) & (age < old)))
                        & (np.isnan(sex) | (letter == "") | (sex == (letter == "f"))))
    possible = np.stack(fits)
    every = {key: np.stack([answer[key] for answer in answers]) for key in answers[0]}
    distance = np.nan_to_num(np.abs(every["margin"]), nan=np.finfo(np.float64).max)
    nearest = np.where(possible, distance, np.inf).argmin(axis=0)
    chosen = {key: values[nearest, np.arange(len(table))] for key, values in every.items()}
    split = (np.where(possible, every["verdict"], 1).min(axis=0)
             != np.where(possible, every["verdict"], -1).max(axis=0))
    missing = np.where(np.isnan(sex), "sex", "age").astype(object)
    unknown: dict[str, Any] = {"verdict": 0, "margin": np.nan, "unit": "", "binding": missing}
    return {key: np.where(split, unknown[key], values) for key, values in chosen.items()}


def _evaluate(rows: Sequence[Any], table: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Judge by the rows that apply to one sex and age.

    A missing margin is taken as hopeless, then as certain: where the verdicts agree, it does not matter. Where they
    differ, the verdict hangs on a missing value, so one that is just short of its threshold is the one that binds.
    """
    cells = [(row, lead) for row in rows for lead in row.leads.split() or [""]]
    margins = np.stack([_margin(row, lead, table) for row, lead in cells])
    steps = margins / np.array([[STEPS[row.unit]] for row, _ in cells])
    columns = np.arange(len(table))
    deciding, met = [], []
    for missing in (-np.inf, np.inf, -np.finfo(np.float64).tiny):
        score = np.where(np.isnan(steps), missing, steps)
        deciding.append(_deciding(cells, score))
        met.append(score[deciding[-1], columns] >= 0)
    surely, possibly, _ = met
    cell = np.select([surely, ~possibly], deciding[:2], deciding[2])
    units, names = (np.array(texts, dtype=object) for texts in (
        [row.unit for row, _ in cells], [row.measurement.format(lead=lead) for row, lead in cells]))
    return {"verdict": np.where(surely, 1, np.where(possibly, 0, -1)), "margin": margins[cell, columns],
            "unit": units[cell], "binding": names[cell]}


def _margin(row: Any, lead: str, table: pd.DataFrame) -> NDArray[np.float64]:
    """How far each ECG is beyond the threshold of a condition in one lead, (n,)."""
    derived = DERIVED.get(row.measurement)
    try:
        values = derived(table, lead) if derived else table[row.measurement.format(lead=lead)]
    except KeyError as error:
        raise EcgkitError(f"the table of measurements lacks a column: {error.args[0]}; "
                          "give the table of ecgkit.physiology.measure") from None
    above = row.comparison.startswith(">")
    strict = not row.comparison.endswith("=")
    return (values.to_numpy(np.float64) - row.threshold) * (1 if above else -1) - (HAIR if strict else 0)


def _deciding(cells: Sequence[tuple[Any, str]], score: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which cell decides, (n,): of the best alternative the worst group, of that the lead that just suffices."""
    ways = []
    for alternative in {row.alternative: None for row, _ in cells if row.alternative} or {"": None}:
        groups: dict[tuple[str, str], list[int]] = {}
        for k, (row, _) in enumerate(cells):
            if row.alternative in ("", alternative):
                groups.setdefault((row.alternative, row.group), []).append(k)
        ways.append(_pick(score, [_of_group(cells, group, score) for group in groups.values()], 0))
    return _pick(score, ways, -1)


def _of_group(cells: Sequence[tuple[Any, str]], group: Sequence[int], score: NDArray[np.float64]) -> NDArray[np.intp]:
    weakest: dict[str, Any] = {}
    for lead in {cells[k][1]: None for k in group}:
        weakest[lead] = _pick(score, [np.full(score.shape[1], k) for k in group if cells[k][1] == lead], 0)
    row = cells[group[0]][0]
    count = row.at_least or len(weakest)
    if not row.contiguous:
        return _pick(score, list(weakest.values()), -count)
    runs = [chain[k:k + count] for chain in NEIGHBOURS for k in range(len(chain) - count + 1)]
    known = [run for run in runs if set(run) <= set(weakest)]
    return _pick(score, [_pick(score, [weakest[lead] for lead in run], 0) for run in known], -1)


def _pick(score: NDArray[np.float64], candidates: Sequence[NDArray[np.intp]], rank: int) -> NDArray[np.intp]:
    """Of some cells for each ECG, the one whose score has this rank, (n,): 0 is the lowest, -1 the highest."""
    if len(candidates) == 1:
        return candidates[0]
    stacked = np.stack(candidates)
    order = np.argsort(np.take_along_axis(score, stacked, axis=0), axis=0, kind="stable")
    return np.take_along_axis(stacked, order[rank][None], axis=0)[0]
