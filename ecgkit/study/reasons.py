"""Page 14, reasons: what measurements say of a label, and whether a network's counterfactuals say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import Bootstrap, means
from ecgkit.evaluation.checks import ratio
from ecgkit.explain.attribution import forest_shap
from ecgkit.explain.battery.examine import Bench, ask
from ecgkit.explain.report.changes import difference
from ecgkit.explain.results import AWAY, Explainer, probability
from ecgkit.leads import LEADS
from ecgkit.physiology import COLUMNS, repeatability
from ecgkit.physiology.rules import STEPS
from ecgkit.physiology.verdicts import DEFINITIONS, margins
from ecgkit.study.battery import attack_like, with_interval
from ecgkit.study.discovery import FURTHER_RULES, defining_signs, further_signs
from ecgkit.training import FewLabelClassifier, MeasuredFeatures
from ecgkit.training.measured import FURTHEST

Array = NDArray[np.float64]
#: The family of each rule and measurement (without its lead), and its name among `ecgkit.study.discovery`'s signs.
_TABLE = pd.read_csv(Path(__file__).with_name("families.csv"), index_col="feature", dtype=str)
FAMILIES = tuple(_TABLE["family"].unique())
FIRST = 3  #: families of the forest that are its first ones
#: Whose change of the measurements is held against the forest, and over whose the own has how much, by name.
OWN, SAME, OTHER, ATTACK = "the counterfactual", "another ECG's, same label", "another label's", "attack of equal norm"
EXCESS = {"own over another ECG's": SAME, "own over the attack": ATTACK}


def family_of(name: str) -> str:
    """Family of one of `MeasuredFeatures.names`; a rule's is that of the sign it asks for first, a narrow QRS aside."""
    return str(_TABLE["family"][_parts(name)[0]])


def _parts(name: str) -> tuple[str, str]:
    """A measurement without its lead, and the lead if there is one."""
    base, _, lead = name.rpartition("_")
    return (base, lead) if lead in LEADS else (name, "")


def _members(names: tuple[str, ...]) -> Array:
    """Whose family each feature is in, `(n_features, n_families)` of 0 and 1."""
    return np.array([[family_of(name) == family for family in FAMILIES] for name in names], dtype=np.float64)


def part_in_rules(name: str, label: str) -> str:
    """Whether a rule, or a rule's measurement, `defines` a label, is for it in a `further` rule, or neither."""
    base, lead = _parts(name)
    sign = _TABLE["sign"][base] + (f"_{'aVF' if lead == 'III' else lead}" if lead else "")
    if {name, sign} & {*DEFINITIONS[label].rules, *defining_signs(label)}:
        return "defines"
    return "further" if {name, sign} & {*FURTHER_RULES.get(label, ()), *further_signs(label)} else "–"


@dataclass(frozen=True)
class Reading:
    """What a few-label classifier's forest says of ECGs: probabilities `(n, n_labels)` over their `base`.

    `shap` `(n, n_labels, n_features)` is what each of the features `names` adds, `by_family` what each of `FAMILIES`.
    """

    model: FewLabelClassifier
    data: ECGDataset
    names: tuple[str, ...]
    measured: Array
    forest: Array
    base: Array
    shap: Array
    by_family: Array
    patients: NDArray[np.generic]


def read(model: FewLabelClassifier, data: ECGDataset) -> Reading:
    """Read ECGs, and take every probability of the forest apart."""
    measured, names = model.see(data.signals).measured, MeasuredFeatures(model.fs, rules=True).names
    found = vars(forest_shap(model.forest_, measured))
    return Reading(model, data, names, measured, model.forest_.predict(measured), found["base"], found["values"],
                   found["values"] @ _members(names), data.records["patient_id"].to_numpy())


def sizes(values: Array, names: Sequence[str], patients: NDArray[np.generic], *, n_boot: int = 1000) -> pd.DataFrame:
    """Mean absolute values of columns, `size`, and their `share` of all, with the ends of their intervals, by name."""
    size = means(np.abs(values), patients, n_boot=n_boot)
    share = Bootstrap(*(part / part.sum(axis=-1, keepdims=True) for part in (size.estimate, size.samples)))
    return pd.DataFrame(size.columns("size") | share.columns("share"), index=pd.Index(names, name="name"))


def strongest(reading: Reading, *, top: int = 8, n_boot: int = 1000) -> pd.DataFrame:
    """The features that move each label's forest most, by `label` and `name`, the strongest first.

    The columns are those of `sizes`, `direction` (rank correlation with the Shapley value), `part` (`part_in_rules`).
    """
    tables, own = {}, pd.DataFrame(reading.measured, columns=reading.names)
    for k, label in enumerate(reading.data.label_names):
        if label in DEFINITIONS:
            shap = pd.DataFrame(reading.shap[:, k], columns=reading.names)
            most = sizes(reading.shap[:, k], reading.names, reading.patients, n_boot=n_boot).nlargest(top, "size")
            tables[label] = most.assign(direction=own[most.index].corrwith(shap[most.index], method="spearman"),
                                        part=[part_in_rules(str(name), label) for name in most.index])
    return pd.concat(tables, names=["label"])


@dataclass(frozen=True)
class Both:
    """ECGs of which network and forest say a label, and the measurements `after` of what is put in their place.

    `rows` of the reading and `places` of the labels `(n,)` are of the valid answers to `n_asked` questions.
    """

    reading: Reading
    thresholds: Array
    n_asked: int
    rows: NDArray[np.intp]
    places: NDArray[np.intp]
    after: Mapping[str, Array]

    def change(self, whose: str) -> Array:
        """Change of the measurements `(n, n_measurements)` by `OWN` or `ATTACK`, angles the shorter way round."""
        before, after = (pd.DataFrame(part[:, :len(COLUMNS)], columns=list(COLUMNS)) for part in (
            self.reading.measured[self.rows], self.after[whose]))
        return difference(before, after).to_numpy()


def both_say(explainer: Explainer, bench: Bench, reading: Reading, thresholds: Array) -> Both:
    """Ask for the label away, of all ECGs of which network and forest say it, and attack them with edits as large.

    The network says a label above 0.5, the forest from `thresholds` `(n_labels,)` on.
    """
    says = (probability(bench.logits) > 0.5) & (reading.forest >= thresholds)
    asked = pd.concat([pd.DataFrame({"row": np.flatnonzero(says[:, bench.place(label)]), "label": label,
                                     "wanted": AWAY}) for label in bench.labels], ignore_index=True)
    answers = ask(explainer, bench, asked)
    valid = answers.outcome == "valid"
    if not valid.any():
        raise EcgkitError(f"{bench.data.name}: no valid answer where both say a label ({len(asked)}); give more ECGs")
    attack = attack_like(answers, bench, asked, bench.classifier)
    after = [reading.model.see(each.signals[valid]).measured for each in (answers, attack)]
    rows, places = (column.to_numpy()[valid] for column in (asked["row"], asked["label"].map(bench.place)))
    return Both(reading, thresholds, len(asked), rows, places, dict(zip((OWN, ATTACK), after, strict=True)))


def units(reading: Reading) -> dict[str, Array]:
    """What a change of each measurement is counted in, but a quarter of a rule's step, or 1, at least."""
    least = [STEPS.get(text.split(";")[0], 4.0) / 4 for text in COLUMNS.values()]
    return {"repeatability": np.fmax([repeatability()[name] for name in COLUMNS], least),
            "standard deviation": np.fmax(np.nanstd(reading.measured[:, :len(COLUMNS)], axis=0), least)}


def moves(change: Array, unit: Array) -> Array:
    """How far each family moves, `(n, n_families)`: mean size in units, each `FURTHEST` at most, of known changes."""
    known, members = np.isfinite(change), _members(tuple(COLUMNS))
    size = np.where(known, np.abs(change) / unit, 0).clip(max=FURTHEST)
    return np.nan_to_num(ratio(size @ members, known @ members, known @ members > 0))


def agreements(evidence: Array, moved: Array) -> dict[str, Array]:
    """How each ECG's evidence `(n, n_families)` agrees with each ECG's moves `(m, n_families)`: both `(n, m)`."""
    n, first = len(evidence), np.argsort(-evidence, axis=1, kind="stable")[:, :FIRST]
    return {"among the first": (first[:, None] == moved.argmax(axis=1)[:, None]).any(axis=2).astype(np.float64),
            "rank correlation": np.corrcoef(*(rankdata(part, axis=1) for part in (evidence, moved)))[:n, n:]}


def agreement_table(both: Both, *, n_boot: int = 1000) -> pd.DataFrame:
    """Do network and forest point to the same families: means with intervals over patients (`with_interval`).

    By `unit`, `statistic` (`agreements`), `label`, and `whose` change: `OWN`, `SAME`, `OTHER`, `ATTACK`, or `EXCESS`.
    """
    patients, evidence = both.reading.patients[both.rows], both.reading.by_family[both.rows, both.places]
    same, others = both.places[:, None] == both.places, patients[:, None] != patients
    values: dict[tuple[str, ...], Array] = {}
    for unit, counted in units(both.reading).items():
        own, attack = (agreements(evidence, moves(both.change(whose), counted)) for whose in (OWN, ATTACK))
        for statistic, pairs in own.items():
            alike, apart = (ratio((pairs * side).sum(axis=1), side.sum(axis=1), side.any(axis=1))
                            for side in (others & same, others & ~same))
            mine = {OWN: np.diag(pairs), SAME: alike, OTHER: apart, ATTACK: np.diag(attack[statistic])}
            mine |= {name: mine[OWN] - mine[whose] for name, whose in EXCESS.items()}
            values |= {(unit, statistic, whose): each for whose, each in mine.items()}
    return _by_label(both, values, ["unit", "statistic", "whose"], n_boot)


def follow_table(both: Both, *, n_boot: int = 1000) -> pd.DataFrame:
    """Does the forest follow the network's counterfactuals: means with intervals over patients (`with_interval`).

    By `what`: the probability `before` and `after`, the share `below` the threshold, what is `lost` of that over the
    base; by `whose` change: `OWN`, `ATTACK`, `SAME` (of the next ECG with the label, added here), `EXCESS`; by `label`.
    """
    reading, rows, places, at = both.reading, both.rows, both.places, np.arange(len(both.rows))
    lender = pd.Series(at).groupby(places).transform(lambda group: np.roll(group, 1)).to_numpy()
    lent = reading.measured[rows, :len(COLUMNS)] + np.nan_to_num(both.change(OWN)[lender])
    before, values = reading.forest[rows, places], dict[tuple[str, ...], Array]()
    for whose, measured in {**both.after, SAME: np.hstack([lent, margins(lent)])}.items():
        after = reading.model.forest_.predict(measured)[at, places]
        lost = _ratio(before - after, before - reading.base[places], places)
        values |= {("before", whose): before, ("after", whose): after, ("lost", whose): lost,
                   ("below", whose): (after < both.thresholds[places]).astype(np.float64)}
    values |= {(what, name): values[what, OWN] - values[what, whose] for name, whose in EXCESS.items()
               for what in ("after", "below", "lost")}
    return _by_label(both, values, ["what", "whose"], n_boot)


def _ratio(a: Array, b: Array, groups: NDArray[np.intp]) -> Array:
    """Values that have, in each group, the mean and the spread of the ratio of means (delta method)."""
    mean_a, mean_b = (pd.Series(part).groupby(groups).transform("mean").to_numpy() for part in (a, b))
    return np.asarray(mean_a / mean_b + (a - mean_a / mean_b * b) / mean_b)


def _by_label(both: Both, values: Mapping[tuple[str, ...], Array], names: list[str], n_boot: int) -> pd.DataFrame:
    labels = {label: both.places == k for k, label in enumerate(both.reading.data.label_names)}
    rows = {(*key, label): with_interval(each[here], both.reading.patients[both.rows][here], n_boot=n_boot)
            for key, each in values.items() for label, here in labels.items() if here.any()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis([*names, "label"])
