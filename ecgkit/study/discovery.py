"""Page 11, its second half: what carries each label in networks trained on ECGs, and what of it cardiology names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import with_ends
from ecgkit.explain.attribution.players import beat_aligned
from ecgkit.explain.discovery.carried import LEAST_SHARE, RATE, answers, carried
from ecgkit.explain.discovery.shape import UNITS, Shapes
from ecgkit.leads import LEADS
from ecgkit.models.windowed import Classifier
from ecgkit.physiology import load_rules, measure
from ecgkit.physiology.repeat import limits_of_agreement
from ecgkit.physiology.verdicts import DEFINITIONS
from ecgkit.study.counterfactuals import train_explained
from ecgkit.training import Schedule, SupervisedSettings

Array = NDArray[np.float64]
_INTERVALS = {"pr": "PR", "qrs": "QRS", "qt": "QT", "p_duration": "P duration"}
_ANGLES = {"axis": "axis", "t_axis": "T axis"}
_LEAD_KINDS = {"p": "P", "q": "Q", "r": "R", "s": "S", "rp": "R'", "t": "T", "st60": "ST60"}
#: Measurements that tell what a change of a number does to an ECG, in words. III and aVR only repeat I and II.
NAMED: dict[str, str] = _INTERVALS | _ANGLES | {
    f"{kind}_{lead}": f"{text} {lead}" for kind, text in _LEAD_KINDS.items() for lead in LEADS
    if lead not in ("III", "aVR")}
#: Changes below these tell nothing: about what two halves of one ECG differ by.
LEAST = {"pr": 10.0, "qrs": 5.0, "qt": 12.0, "p_duration": 10.0, "axis": 10.0, "t_axis": 10.0}
LEAST_MV = 0.05
#: What a discovery is to cardiology: a sign of the rules that define the label, of other rules for it, or of none.
DEFINING, FURTHER, CANDIDATE = "defining sign", "further sign", "candidate"
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
    """Measurements of `NAMED` that are signs in some rules; conditions for using a rule are left out."""
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


def _measured_by(measurement: str, leads: Sequence[str]) -> set[str]:
    if measurement in _WHOLE_SIGNS:
        return set(_WHOLE_SIGNS[measurement])
    one_lead = re.fullmatch(r"(p_terminal|p_terminal_ms)_(\w+)", measurement)
    base, leads = (one_lead[1], [one_lead[2]]) if one_lead else (measurement.removesuffix("_{lead}"), leads)
    found = {f"{wave}_{lead}" for wave in _LEAD_SIGNS.get(base, ()) for lead in leads}
    return found | ({"s_V1", "q_V1"} if base == "sokolow" else set())


#: Kinds of networks that are asked, and how many of each beside the first.
BESIDE = {"trained": 2, "shuffled": 1, "random": 1}
#: ECGs in which it is measured what a change of a number does.
N_SEEN = 100


def networks(data: ECGDataset, *, shipped: str, epochs: int, checkpoints: Path) -> dict[str, list[Classifier]]:
    """Networks by kind: trained on the labels, the first of them a shipped one; on shuffled labels; not trained."""
    settings = SupervisedSettings(schedule=Schedule(epochs=epochs))
    found = {}
    for kind, n_beside in BESIDE.items():
        first, others = train_explained(kind, data, settings=settings, twins=[settings.encoder] * n_beside,
                                        shipped=shipped if kind == "trained" else "", checkpoints=checkpoints)
        found[kind] = [first, *others]
    return found


def discoveries(by_kind: Mapping[str, Sequence[Classifier]], data: ECGDataset, labels: Sequence[str], *,
                n_boot: int = 500) -> pd.DataFrame:
    """What carries each label in networks of each kind: found on fold 9, and confirmed on fold 10 or not.

    By `kind`, `label` and `number`: `carried` on fold 9, where how a label moves a number is seen in folds 1 to 9; the
    same of fold 10 alone with the ending `_10`; and `confirmed`, for what was found: the same sign, a share of at least
    `LEAST_SHARE` in every network, and sure among all that were found for the label (Bonferroni). Labels that all ECGs
    of a fold have, or none, are left out.
    """
    other = [each.label_names for some in by_kind.values() for each in some if each.label_names != data.label_names]
    if other:
        raise EcgkitError(f"a network has the labels {', '.join(other[0])}, {data.name} has "
                          f"{', '.join(data.label_names)}; give a network of these")
    learnt, old, new = Shapes.of(data.train.signals, data.fs).numbers, data.validation, data.test
    first, second = (Shapes.of(fold.signals, data.fs) for fold in (old, new))
    said, said_again = ({kind: answers(some, shapes) for kind, some in by_kind.items()} for shapes in (first, second))
    tables = {}
    for kind, label in product(by_kind, labels):
        k = list(data.label_names).index(label)
        if any(len(np.unique(part.labels[:, k])) < 2 for part in (old, new)):
            continue
        truth = np.concatenate([data.train.labels[:, k], old.labels[:, k]])
        whose = np.concatenate([part.records["patient_id"].to_numpy() for part in (data.train, old)])
        found = carried(said[kind][0][:, :, k], said[kind][1][:, :, k], np.concatenate([learnt, first.numbers]), truth,
                        whose, asked=np.arange(len(truth)) >= len(learnt), n_boot=n_boot)
        again = carried(said_again[kind][0][:, :, k], said_again[kind][1][:, :, k], second.numbers, new.labels[:, k],
                        new.records["patient_id"].to_numpy(), n_boot=n_boot)
        sure = again["p"] * max(1, int(found["found"].sum())) <= RATE
        found["confirmed"] = found["found"] & sure & (again["least"] >= LEAST_SHARE) & (
            np.sign(again["moved"]) == np.sign(found["moved"]))
        tables[kind, label] = found.join(again.add_suffix("_10"))
    return pd.concat(tables, names=["kind", "label"])


def meanings(found: pd.DataFrame, data: ECGDataset) -> pd.DataFrame:
    """What was found in the trained networks is in measurements, and to cardiology; confirmed or not.

    Each number is changed as its label moves it, in ECGs of the test fold, and these are measured again. By `label` and
    `number`, the largest share first: `name`, up to three measurements that change most; `kind`, as `DEFINING` says;
    `confirmed`; and `moved`, `share`, `share_low`, `share_high` of fold 10. Of a label without any finding, the number
    of the largest share.
    """
    shapes = Shapes.of(data.test.batch(np.arange(min(N_SEEN, len(data.test)))), data.fs)
    before = measure(shapes.signals, data.fs).table[list(NAMED)]
    mine: pd.DataFrame = found[found.index.get_level_values("kind") == "trained"].droplevel("kind")
    mine = mine.sort_values("share", ascending=False).sort_index(level="label", sort_remaining=False, kind="stable")
    by = mine.groupby(level="label")
    mine = mine[mine["found"] | ((by["found"].transform("sum") == 0) & (by.cumcount() == 0))]
    rows = {}
    for (label, number), row in zip(mine.index, mine.to_dict("records"), strict=True):
        after = measure(shapes.changed(number, np.full(len(before), row["moved"])), data.fs).table[list(NAMED)]
        change = limits_of_agreement(before, after, n_boot=1)["bias"].fillna(0)
        large = change[change.abs() >= [LEAST.get(name, LEAST_MV) for name in change.index]]
        signs = set(large.index)
        kind = DEFINING if signs & defining_signs(label) else FURTHER if signs & further_signs(label) else CANDIDATE
        rows[label, number] = {
            "name": said(large, before.std()), "kind": kind, "confirmed": row["confirmed"],
            **{name: row[f"{name}_10"] for name in ("moved", "share", "share_low", "share_high")}}
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.set_axis(pd.MultiIndex.from_tuples(rows, names=["label", "number"]))


def said(change: pd.Series[float], spread: pd.Series[float], most: int = 3) -> str:
    """Changes of measurements in words, of each kind (R, S, ST60 ...) the largest in spreads: "QRS +18 ms"."""
    order = (change / spread[change.index].clip(lower=1e-6)).abs().sort_values(ascending=False).index.to_series()
    kind = order.where(order.isin([*_INTERVALS, *_ANGLES]), order.str.split("_").str[0])
    return ", ".join(_in_unit(name, change[name]) for name in order[~kind.duplicated()][:most]) or \
        "no measurement changes enough"


def _in_unit(measurement: str, change: float) -> str:
    unit = " ms" if measurement in _INTERVALS else "°" if measurement in _ANGLES else " mV"
    return f"{NAMED[measurement]} {change:+.{2 if unit == ' mV' else 0}f}{unit}".replace("-", "−")


def printed(meant: pd.DataFrame) -> pd.DataFrame:
    """`meanings` for print."""
    units = [UNITS[number] for number in meant.index.get_level_values(-1)]
    moved = [f"{by:+.{0 if unit == 'ms' else 2}f} {unit}".replace("-", "−")
             for by, unit in zip(meant["moved"], units, strict=True)]
    return pd.DataFrame({"moved by the label": moved, "share of the separation": with_ends(meant, "share", to=" to "),
                         "which is": meant["name"], "to cardiology": meant["kind"],
                         "confirmed": meant["confirmed"].map({True: "yes", False: "no"})}, index=meant.index)


def counted(found: pd.DataFrame) -> pd.DataFrame:
    """How many numbers were found and confirmed in each label's networks of each kind, and what share is accounted."""
    by = found.groupby(level=["kind", "label"], sort=False)
    table = pd.DataFrame({"found on fold 9": by["found"].sum(), "confirmed on fold 10": by["confirmed"].sum()})
    return table.assign(accounted=by["share_10"].sum())


def mean_beats(meant: pd.DataFrame, data: ECGDataset, most: int = 2) -> tuple[list[str], Array]:
    """Mean beats of the test fold as they are and as each label changes the numbers that carry it, `most` for a label.

    Titles, and beats `(n_changes, 2, 12, period)` in mV for `ecgkit.figures.changed_beats`.
    """
    shapes = Shapes.of(data.test.batch(np.arange(min(N_SEEN, len(data.test)))), data.fs)
    first = meant.groupby(level="label", sort=False).head(most)
    drawn, titles = [], []
    for (label, number), row in zip(first.index, first.to_dict("records"), strict=True):
        changed = shapes.changed(number, np.full(len(shapes.signals), 2 * row["moved"]))
        both = [np.nanmean(beat_aligned(x, shapes.waves, data.fs), axis=0) for x in (shapes.signals, changed)]
        drawn.append(both)
        titles.append(f"{label}: {number} ({row['kind']}), twice as far as the label moves it")
    return titles, np.array(drawn)


def words(found: pd.DataFrame, meant: pd.DataFrame, data: ECGDataset) -> dict[str, str]:
    """What the prose of the page says of the real ECGs."""
    count = found.groupby(level="kind")[["found", "confirmed"]].sum().to_dict("index")
    sure = meant[meant["confirmed"]]
    kinds = sure["kind"].value_counts().to_dict()
    accounted = found.loc["trained"].groupby(level="label", sort=False)["share_10"].sum()
    candidates = [f"{label}: {number}" for label, number in sure.index[sure["kind"] == CANDIDATE]]
    return {
        "data": data.name, "n": f"{len(data.validation):,} ECGs of fold 9 and {len(data.test):,} of fold 10",
        "found": f"{count['trained']['confirmed']} of {count['trained']['found']} findings of fold 9 are confirmed on "
                 f"fold 10: {kinds.get(DEFINING, 0)} defining signs, {kinds.get(FURTHER, 0)} further signs, "
                 f"{kinds.get(CANDIDATE, 0)} that no rule here asks about",
        "candidates": "; ".join(candidates) or "none",
        "control": f"{count['shuffled']['confirmed']} in networks that learnt shuffled labels, "
                   f"{count['random']['confirmed']} in networks of random weights",
        "accounted": ", ".join(f"{label} {share:.2f}" for label, share in accounted.items())}
