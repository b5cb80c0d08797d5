"""Judges of an answer: the wish itself, the rules of a diagnosis, networks that the explainer never saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from torch import nn

from ecgkit.errors import EcgkitError
from ecgkit.evaluation.checks import Array, ratio
from ecgkit.explain.results import Counterfactuals, classify, kept_labels, probability
from ecgkit.leads import from_independent, independent
from ecgkit.physiology import Measurements, judge
from ecgkit.physiology.repeat import ANGLES
from ecgkit.physiology.rules import HAIR, STEPS, VERDICTS
from ecgkit.physiology.verdicts import definition, excludes_broad_qrs

Signals = NDArray[np.float32]
#: What becomes of a request.
OUTCOMES = ("valid", "failed", "abstained")
#: How the reason of a failure begins; any other reason is one for not answering.
FAILURE = "not reached"


def outcomes(found: Counterfactuals) -> NDArray[np.str_]:
    """One of `OUTCOMES` for each ECG, `(n,)`: an answer that misses the target failed; without an answer, abstained."""
    failed = np.char.startswith(np.asarray(found.reason, dtype=str), FAILURE)
    return np.select([found.valid, failed], OUTCOMES[:2], OUTCOMES[2])


def validity_table(outcome: Any, target: Any) -> pd.DataFrame:
    """Shares of what `outcomes` gives by what was asked: a wanted probability, or a text such as ``"MI 0.05"``.

    Columns `n` (requests) and the shares of them that were `valid`, `failed` and `abstained`, indexed by target.
    """
    what = pd.Series(np.asarray(outcome), name="outcome")
    if not what.isin(OUTCOMES).all():
        raise EcgkitError(f"an outcome is none of {', '.join(OUTCOMES)}; give what outcomes of "
                          "ecgkit.explain.battery.judges returns")
    by = pd.Series(np.asarray(target), name="target")
    counts = pd.crosstab(by, what).reindex(columns=list(OUTCOMES), fill_value=0)
    total = counts.sum(axis=1)
    return pd.concat([total.rename("n"), counts.div(total, axis=0)], axis=1)


@dataclass(frozen=True)
class Follows:
    """How closely a classifier's output follows what was wanted.

    `spearman` is the rank correlation of wanted and obtained over all pairs, `per_ecg` `(n,)` the same within each ECG
    (nan with fewer than two different values), `error` `(n,)` the mean absolute difference.
    """

    spearman: float
    per_ecg: Array
    error: Array


def follows(wanted: Any, obtained: Any) -> Follows:
    """Compare wanted and obtained probabilities of a label, `(n, k)` for k wishes.

    nan in `obtained`, where the explainer abstained, is left out.
    """
    aim, got = np.asarray(wanted, dtype=np.float64), np.asarray(obtained, dtype=np.float64)
    if aim.shape != got.shape or aim.ndim != 2:
        raise EcgkitError(f"wanted has shape {aim.shape} and obtained {got.shape}; both must be (n, k)")
    aim = np.where(np.isnan(got), np.nan, aim)
    there = ~np.isnan(got)
    count = there.sum(axis=1)
    error = ratio(np.where(there, np.abs(got - aim), 0).sum(axis=1), count, count > 0)
    return Follows(float(_spearman(aim.reshape(1, -1), got.reshape(1, -1))[0]), _spearman(aim, got), error)


def kept(before: Any, after: Any, label: str, label_names: Sequence[str]) -> Array:
    """How much the labels that were to stay changed: mean absolute change of their probabilities `(n, n_labels)`.

    `kept_labels` says which are to stay while `label` changes; nan where there is none.
    """
    if label not in label_names:
        raise EcgkitError(f"no label {label!r}; there are {', '.join(label_names)}")
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 2 or first.shape[1] != len(label_names):
        raise EcgkitError(f"probabilities of shapes {first.shape} and {second.shape} for {len(label_names)} labels; "
                          "both must be (n, n_labels)")
    stay = kept_labels(label_names)[list(label_names).index(label)]
    total = np.abs(second - first)[:, stay].sum(axis=1)
    return ratio(total, stay.sum(), np.full(len(first), stay.any()))


def _spearman(a: Array, b: Array) -> Array:
    """Rank correlation of each row, `(n,)`; pairs with nan are left out, nan where a side does not vary."""
    ranks = [rankdata(values, axis=1, nan_policy="omit") for values in (a, b)]
    count = (~np.isnan(a)).sum(axis=1, keepdims=True)
    x, y = (np.nan_to_num(rank - (count + 1) / 2) for rank in ranks)
    scale = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return ratio((x * y).sum(axis=1), scale, scale > 0)


@dataclass(frozen=True)
class Oracle:
    """What the rules say of some edits, `(n,)` each.

    Parameters
    ----------
    crossed, new : ndarray
        1 if the defining rules turned as wanted, 0 if not, nan where that cannot be asked; whether one is met after
        that was not before.
    rule, movement : ndarray
        The rule that decides, which is met most clearly before (disease to healthy) or after (healthy to disease), and
        how far its margin moved in the wanted direction, in steps (`ecgkit.physiology.rules.STEPS`: 20 ms, 0.1 mV, 15
        degrees ...); nan where it was not measurable before or after.
    """

    crossed: Array
    new: NDArray[np.bool_]
    rule: NDArray[Any]
    movement: Array


def rule_oracle(before: Measurements, after: Measurements, label: str, age: ArrayLike, sex: ArrayLike, *,
                up: bool = False) -> Oracle:
    """Judge the measurements of the same ECGs before and after an edit by the rules that define a label.

    Disease to healthy: of the ECGs that met a defining rule, 1 where none of those rules is met any longer; one that
    cannot be measured afterwards counts 0. Healthy to disease: of the ECGs that met none, 1 where one is met now.

    Several rules are for a narrow QRS only. They are judged with the QRS duration of the ECG before, so that no edit
    gets rid of Q or ST by widening QRS.

    `label` is a key of `ecgkit.physiology.verdicts.DEFINITIONS`, or an `EcgkitError` is raised; age and sex are as
    `ecgkit.physiology.judge` takes them.
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
    """How far the measurements moved that have no part in a diagnosis, in units of their repeatability, a column each.

    `repeatability` is how far two measurements of the same ECG lie apart: column `p95` of
    `ecgkit.physiology.repeat.limits_of_agreement`. Up to 1 is within it; inf where it could be measured before, and no
    longer: an edit that destroys a wave does not leave it as it was; nan where it could not be measured before.
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


def transfer(before: Any, after: Any, thresholds: Any, up: Any, valid: Any) -> Array:
    """Which flips other classifiers follow.

    A judge follows where its score crosses its own decision threshold in the wanted direction. It is asked only about
    ECGs that it put on the near side of the threshold before, and only where the explained classifier itself flipped.

    Parameters
    ----------
    before, after, thresholds : array_like, shape (n, n_judges), (n, n_judges), (n_judges,)
        Each judge's scores of the asked label, and its threshold, from which it calls the label; chosen on other ECGs
        (`ecgkit.evaluation.best_f1_thresholds` on validation).
    up, valid : array_like of bool, shape (n,)
        What was asked (or one bool for all), and whether the explained classifier flipped.

    Returns
    -------
    ndarray, shape (n, n_judges)
        1 followed, 0 not, nan not counted.
    """
    first, second, limit = (np.asarray(values, dtype=np.float64) for values in (before, after, thresholds))
    if first.ndim != 2 or first.shape != second.shape or limit.shape != first.shape[1:]:
        raise EcgkitError(f"scores of shapes {first.shape} and {second.shape} with thresholds {limit.shape}; give "
                          "(n, n_judges) twice and (n_judges,)")
    n = len(first)
    if np.shape(valid) != (n,) or np.shape(up) not in ((), (n,)):
        raise EcgkitError(f"valid has shape {np.shape(valid)} and up {np.shape(up)} for {n} ECGs")
    wanted = np.broadcast_to(np.asarray(up, dtype=bool), (n,))[:, None]
    counted = np.asarray(valid, dtype=bool)[:, None] & ((first >= limit) != wanted)
    return np.where(counted, (second >= limit) == wanted, np.nan)


#: Hz. 40 is a monitor's filter; beyond 15 lies little but the edges of QRS.
CUTOFFS = (15.0, 25.0, 40.0)
SNR_DB = 20.0
_ORDER = 4


def survives(classifier: nn.Module, before: Signals, after: Signals, *, place: int, up: Any, valid: Any,
             fs: float) -> pd.DataFrame:
    """Ask the explained classifier again, with ECGs before and after that went through the same disturbance.

    A disturbed classifier is one more judge, whose threshold is 0.5; `up` and `valid` are those of `transfer`, and `fs`
    is above 80. Of each disturbance a column: 1 the flip survives, 0 it does not, nan not counted, as the edit had not
    flipped the classifier, or the disturbance alone does.
    """
    disturbances = disturb(before, fs)
    first, second = (np.stack([probability(classify(classifier, disturbed(x)))[:, place]
                               for disturbed in disturbances.values()], axis=1) for x in (before, after))
    return pd.DataFrame(transfer(first, second, np.full(len(disturbances), 0.5), up, valid), columns=list(disturbances))


def disturb(reference: Signals, fs: float, seed: int = 0) -> dict[str, Callable[[Signals], Signals]]:
    """The disturbances by name, each a function of ECGs.

    Low-pass filters are Butterworth's, forth and back, so they have no phase and half the amplitude at the cutoff.
    Noise is white in the eight independent leads, `SNR_DB` below each lead of `reference`: every call adds the same
    noise. Limb-lead algebra is kept by both.
    """
    if not fs > 2 * max(CUTOFFS):
        raise EcgkitError(f"ECGs at {fs:g} Hz: robustness to a low-pass of {max(CUTOFFS):g} Hz needs more than "
                          f"{2 * max(CUTOFFS):g}")
    eight = independent(reference)
    scale = eight.std(axis=-1, keepdims=True) * 10 ** (-SNR_DB / 20)
    draw = np.random.default_rng(seed).standard_normal(eight.shape, dtype=np.float32)
    noise = from_independent((scale * draw).astype(np.float32))
    filters = {f"low-pass {cutoff:g} Hz": partial(low_pass, cutoff=cutoff, fs=fs) for cutoff in CUTOFFS}
    return {**filters, f"noise {SNR_DB:g} dB": lambda x: x + noise}


def low_pass(x: Signals, cutoff: float, fs: float) -> Signals:
    """Zero-phase Butterworth low-pass along the last axis."""
    from scipy.signal import butter, sosfiltfilt  # takes a second

    return sosfiltfilt(butter(_ORDER, cutoff, fs=fs, output="sos"), x, axis=-1).astype(np.float32)
