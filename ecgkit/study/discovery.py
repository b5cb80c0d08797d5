"""Page 11, discovery: what style coordinates do in other beats, whether cardiology names them, and age and sex."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import Bootstrap, auroc, bootstrap, paired_difference, resample_patients, with_ends
from ecgkit.evaluation.checks import ratio
from ecgkit.explain.style.attfind import Move, mean_of
from ecgkit.explain.style.beats import NAMED, said, style_beats, telling
from ecgkit.explain.style.explainer import Discovery, StyleExplainer, moves_of
from ecgkit.explain.style.training import LEAST_VARIETY, StyleSettings
from ecgkit.models import load_classifier
from ecgkit.models.windowed import Classifier
from ecgkit.physiology import delineate, load_rules, median_beats
from ecgkit.physiology.verdicts import DEFINITIONS
from ecgkit.study.counterfactuals import classifiers_in

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


def graded(effects: pd.DataFrame, label: str) -> dict[str, str]:
    """Say whether a coordinate's name holds a sign of a label, from its effects (`StyleExplainer.names`).

    `kind` is the first of `KINDS` that fits what is in the name; `sign`, of the label's signs that move surely and by
    more than repeatability, the one that moves most, in words, whether the name holds it or not; "" for none.
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


Array = NDArray[np.float64]
#: Fewer ECGs with known age and sex than this have no correlations.
_FEWEST = 10
#: Fewer beats without the label than this tell nothing of what raises it.
_FEWEST_OPEN = 5


@dataclass(frozen=True)
class BeatSet:
    """One beat of each ECG of `data`, `(n, 12, period)` as of `ecgkit.explain.style.beats`."""

    beats: NDArray[np.float32]
    data: ECGDataset

    def __len__(self) -> int:
        return len(self.beats)

    @property
    def patients(self) -> NDArray[np.generic]:
        """Whose they are, `(n,)`."""
        return self.data.records["patient_id"].to_numpy()


def beat_set(data: ECGDataset, n_most: int = 0) -> BeatSet:
    """The median beats of ECGs, of `n_most` at most, evenly spaced; ECGs without a usable beat are left out."""
    if 0 < n_most < len(data):
        data = data.subset(np.linspace(0, len(data) - 1, n_most).round().astype(int))
    signals = data.signals
    found = style_beats(median_beats(signals, delineate(signals, data.fs)), data.fs)
    return BeatSet(found.signals, data.subset(found.rows))


def networks(folder: str | Path, data: ECGDataset, shipped: str = "") -> dict[str, Classifier]:
    """The trained network of 09_counterfactuals, or a shipped one, and that of random weights, by kind."""
    found = classifiers_in(folder, data, ("trained", "random"))
    return found | ({"trained": load_classifier(shipped)} if shipped else {})


def fitted(classifiers: Mapping[str, Classifier], train: BeatSet, *, steps: int, widths: Sequence[int],
           least_variety: float, checkpoints: Path) -> dict[str, StyleExplainer]:
    """A style explainer of each classifier, by its kind."""
    settings = StyleSettings(steps=steps, averaging=min(0.995, 1 - 10 / steps), least_variety=least_variety,
                             generator={"widths": tuple(widths)})
    return {kind: StyleExplainer(model, label_names=model.label_names, fs=train.data.fs, settings=settings).fit(
        train.beats, checkpoints=checkpoints) for kind, model in classifiers.items()}


def readings(explainer: StyleExplainer, classifier: Classifier, test: BeatSet) -> dict[str, Array]:
    """The classifier's probabilities `(n, n_labels)` of the whole ECGs, of one beat, and of that beat drawn again."""
    return {"whole ECG": classifier.predict(test.data.signals), "one beat": explainer.probabilities(test.beats),
            "one beat, drawn again": explainer.probabilities(explainer.redrawn(test.beats))}


def compared_to_whole(read: Mapping[str, Array], test: BeatSet, label_names: Sequence[str], *,
                      n_boot: int = 1000) -> dict[str, pd.DataFrame]:
    """`paired_difference` of the AUROC of every further reading and of the first."""
    truth = test.data.labels[:, [test.data.label_names.index(name) for name in label_names]]
    whole, *others = read
    return {name: paired_difference(truth, read[name], read[whole], test.patients, label_names=label_names,
                                    n_boot=n_boot) for name in others}


def discover(explainer: StyleExplainer, search: BeatSet, test: BeatSet, label: str, *, n_top: int = 10,
             n_search: int = 60) -> Discovery:
    """Coordinates that raise a label, sought in `n_search` open beats of `search`, named and tried in `test`."""
    place = explainer.label_names.index(label)
    open_beats, tried = (np.flatnonzero(explainer.probabilities(each.beats)[:, place] < 0.5)
                         for each in (search, test))
    if min(len(open_beats), len(tried)) < _FEWEST_OPEN:
        raise EcgkitError(f"the classifier does not give {label} to {len(open_beats)} of {len(search)} beats to search "
                          f"in and {len(tried)} of {len(test)} to try it in; {_FEWEST_OPEN} of each are needed")
    chosen = np.random.default_rng(0).permutation(open_beats)[:n_search]
    return explainer.explain(test.beats, label, search=search.beats[np.sort(chosen)], n_top=n_top,
                             patients=test.patients)


def discover_all(explainers: Mapping[str, StyleExplainer], search: BeatSet, test: BeatSet, labels: Sequence[str],
                 **options: Any) -> tuple[dict[tuple[str, str], Discovery], list[str]]:
    """`discover` each label of each kind of network: what was found, by kind and label, and why others were not."""
    found, silent = {}, []
    for kind, explainer in explainers.items():
        for label in labels:
            try:
                found[kind, label] = discover(explainer, search, test, label, **options)
            except EcgkitError as why:
                silent.append(f"{label} ({kind}): {why}")
    if not any(kind == "trained" for kind, _ in found):
        raise EcgkitError("no label could be explained: " + "; ".join(silent))
    return found, silent


def coordinate_table(explainer: StyleExplainer, found: Discovery, test: BeatSet, *,
                     n_boot: int = 1000) -> pd.DataFrame:
    """The coordinates of a label by `rank` from 1, with their effects in beats that they were not sought in.

    The columns are `label`, `coordinate`, `end`, `place`, `name`, `kind` and `sign` (`graded`), `search_effect` (in the
    beats where it was sought), and in those test beats that the label could be raised in: `n`, `agreement` (share in
    which the logit rises), `effect` (mean change of the logit), `effect_low`, `effect_high`.
    """
    changes, patients = _open_changes(explainer, found, test)
    mean = mean_of(changes, patients, n_boot=n_boot).columns("effect") | {"effect": changes.mean(axis=0)}
    kept = found.coordinates[["coordinate", "end", "place", "name"]]
    kinds = pd.DataFrame([graded(found.effects.loc[c], found.label) for c in kept["coordinate"]], kept.index)
    table = pd.concat([kept, kinds], axis=1).assign(
        label=found.label, search_effect=found.coordinates["effect"], n=len(changes),
        agreement=(changes > 0).mean(axis=0), **mean)
    return table.set_axis(pd.RangeIndex(1, len(table) + 1, name="rank"))


def carried_table(explainer: StyleExplainer, found: Discovery, table: pd.DataFrame, test: BeatSet, *,
                  n_boot: int = 1000) -> pd.DataFrame:
    """How much of the effect each `kind` of coordinate of a `coordinate_table` carries.

    The columns are `label`, `coordinates` (how many), `share` of the sum of the mean changes of the logit that the
    moves make one by one, with `share_low` and `share_high`, and `flipped`, the share of beats that those of this kind
    take across a probability of 0.5 together.
    """
    changes, patients = _open_changes(explainer, found, test)
    kinds = list(dict.fromkeys(table["kind"]))
    member = np.stack([table["kind"] == kind for kind in kinds], axis=1).astype(np.float64)
    mean = mean_of(changes, patients, n_boot=n_boot)
    shares = Bootstrap(*(values @ member / values.sum(axis=-1, keepdims=True)
                         for values in (mean.estimate, mean.samples)))
    moves = moves_of(found.coordinates)
    flipped = [explainer.flips(test.beats, found.label, [m for m, has in zip(moves, one, strict=True) if has])
               for one in member.T]
    return pd.DataFrame({"label": found.label, "coordinates": member.sum(axis=0).astype(int), **shares.columns("share"),
                         "flipped": flipped}, index=pd.Index(kinds, name="kind"))


def age_sex_table(explainer: StyleExplainer, moves: Sequence[Move], test: BeatSet, *,
                  n_boot: int = 1000) -> pd.DataFrame:
    """Rank correlation of moves' coordinates (each `coordinate` and `end` once) with age and sex.

    The columns are `n`, then for `age` and `sex` (1 female) the correlation with its ends `_low` and `_high`, positive
    where older patients, or women, stand nearer to the end of the move; the same with `_held` before these ends: of
    what is left of the ranks when a linear function of the labels is taken off. The ranks stand through the resamples,
    as the labels' share does. nan where a side never varies.
    """
    who = test.data.records[["age", "sex"]].astype(np.float64)
    known = who.notna().all(axis=1).to_numpy()
    once = list(dict.fromkeys(moves))
    index = pd.MultiIndex.from_tuples([(move.coordinate, move.end) for move in once], names=["coordinate", "end"])
    columns: dict[str, Array | int] = {"n": int(known.sum())}
    towards = np.array([1 if move.end else -1 for move in once])
    values = explainer.style(test.beats).numpy()[:, [move.coordinate for move in once]] * towards
    ranks = [pd.DataFrame(part[known]).rank().to_numpy() for part in (values, who.to_numpy())]
    labels = np.column_stack([np.ones(known.sum()), test.data.labels[known]])
    for ending in ("", "_held"):
        x, y = ranks if not ending else [part - labels @ np.linalg.lstsq(labels, part, rcond=None)[0] for part in ranks]
        found = _correlations(x, y, test.patients[known], n_boot)
        for k, name in enumerate(("age", "sex")):
            columns |= {column: each.reshape(len(index), 2)[:, k]
                        for column, each in found.columns(f"{name}{ending}").items()}
    return pd.DataFrame(columns, index=index)


def age_sex_read(explainer: StyleExplainer, train: BeatSet, test: BeatSet, *, n_boot: int = 1000) -> pd.DataFrame:
    """How well regressions read age and sex from the style code, and from the classifier's answers alone.

    The columns are `age` (correlation of read and true age) and `sex` (AUROC of female) in test beats, with `_low` and
    `_high`, `n_train` and `n_test`. nan where too few have a known age and sex.
    """
    odds = [explainer.probabilities(each.beats).clip(1e-6, 1 - 1e-6) for each in (train, test)]
    sources = {"style code": [explainer.style(each.beats).numpy() for each in (train, test)],
               "answers": [np.log(p / (1 - p)) for p in odds]}
    who = [each.data.records[["age", "sex"]].astype(np.float64).to_numpy() for each in (train, test)]
    known = [~np.isnan(part).any(axis=1) for part in who]
    (old, new), patients = [part[has] for part, has in zip(who, known, strict=True)], test.patients[known[1]]
    enough = min(len(old), len(new)) >= _FEWEST and all(len(np.unique(part[:, 1])) == 2 for part in (old, new))
    rows = {}
    for name, parts in sources.items():
        seen, asked = (part[has] for part, has in zip(parts, known, strict=True))
        row: dict[str, float] = {"n_train": len(seen), "n_test": len(asked)}
        if enough:
            age = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 5, 13))).fit(seen, old[:, 0]).predict(asked)
            chosen = GridSearchCV(LogisticRegression(max_iter=500), {"C": np.logspace(-4, 1, 6)}, scoring="roc_auc")
            sex = make_pipeline(StandardScaler(), chosen).fit(seen, old[:, 1]).predict_proba(asked)[:, 1]
            of_age = _correlations(age[:, None], new[:, :1], patients, n_boot)
            of_sex = bootstrap(auroc, new[:, 1:], sex[:, None], patients, n_boot=n_boot)
            row |= {name: value.item() for name, value in (of_age.columns("age") | of_sex.columns("sex")).items()}
        rows[name] = row
    columns = ["age", "age_low", "age_high", "sex", "sex_low", "sex_high", "n_train", "n_test"]
    return pd.DataFrame(rows).T.reindex(columns=columns).rename_axis("read from")


def _open_changes(explainer: StyleExplainer, found: Discovery, test: BeatSet) -> tuple[Array, NDArray[np.generic]]:
    """Changes `(n, n_moves)` in the test beats in which the label could be raised, and whose these are."""
    side = explainer.probabilities(test.beats)[:, explainer.label_names.index(found.label)] < 0.5
    return (explainer.changes(test.beats[side], found.label, moves_of(found.coordinates)), test.patients[side])


def _correlations(x: Array, y: Array, patients: NDArray[np.generic], n_boot: int) -> Bootstrap:
    """Pearson's correlation of columns `(n, k)` with columns `(n, m)`: estimates `(k * m,)`, x by x."""
    parts = [_weighted(x, y, np.ones((len(x), 1)))]
    parts += [_weighted(x, y, weights) for weights in resample_patients(patients, n_boot=n_boot)]
    return Bootstrap(parts[0][0], np.concatenate(parts[1:]))


def _weighted(x: Array, y: Array, weights: Array) -> Array:
    share = (weights / weights.sum(axis=0)).T
    # Off the plain mean first: the variance is then no small difference of large numbers.
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    mean_x, mean_y = share @ x, share @ y
    products = share @ (x[:, :, None] * y[:, None]).reshape(len(x), -1)
    covariance = products.reshape(len(share), x.shape[1], -1) - mean_x[:, :, None] * mean_y[:, None]
    spread = np.sqrt((share @ x**2 - mean_x**2).clip(0)[:, :, None] * (share @ y**2 - mean_y**2).clip(0)[:, None])
    return ratio(covariance, spread, spread > 1e-12).reshape(len(share), -1)


def between(table: pd.DataFrame, name: str, *, digits: int = 2, sign: str = "") -> pd.Series[str]:
    """A column with its interval for print: `−0.53 (−0.60 to −0.48)`."""
    return with_ends(table, name, digits=digits, sign=sign, to=" to ").str.replace("-", "−", regex=False)


def percent(share: float) -> str:
    """A share for print."""
    return f"{100 * share:.0f} %"


def holding_signs(coordinates: pd.DataFrame, first: int | None = None) -> pd.Series[float]:
    """Share of the (first) coordinates of each classifier's labels whose name holds a sign of the label."""
    kinds = coordinates.groupby(["classifier", "label"], sort=False)["kind"]
    return kinds.agg(lambda kind: kind.head(first or len(kind)).isin([DEFINING, FURTHER]).mean())


def words(compared: Mapping[str, pd.DataFrame], mine: pd.DataFrame, flipped: pd.DataFrame, carried: pd.DataFrame,
          whom: pd.DataFrame, n_top: int) -> dict[str, str]:
    """What the prose of the page says of the trained network, from `compared_to_whole` and the tables of it alone."""
    beat, drawn = (table.loc[["macro"]] for table in compared.values())
    difference = [between(table, "difference", digits=3, sign="+").iloc[0] for table in (beat, drawn)]
    three = flipped.xs(min(3, n_top), level="moves")
    named = ", ".join(f"{percent(row.flipped)} ({label})" for label, row in three.iterrows())
    n_open = (mine["kind"] == CANDIDATE).groupby("label", sort=False).sum()
    share = carried["share"].reindex(pd.MultiIndex.from_product([n_open.index, [CANDIDATE]])).fillna(0).droplevel(1)
    shares = ", ".join(f"{percent(value)} ({label})" for label, value in share.items())
    read = "Too few patients with a known age and sex for a reading of either"
    if whom["age"].notna()["style code"]:
        age, sex = (between(whom, name)["style code"] for name in ("age", "sex"))
        read = (f"The style code tells age (correlation {age}) and sex (AUROC {sex}); the classifier's answers alone "
                f"tell {whom['age']['answers']:.2f} and {whom['sex']['answers']:.2f}")
    return {
        "kept": f"One beat without its rhythm keeps a macro AUROC of {beat['a'].iloc[0]:.3f} of "
                f"{beat['b'].iloc[0]:.3f} (difference {difference[0]}); drawn again by the generator it is "
                f"{drawn['a'].iloc[0]:.3f} ({difference[1]})",
        "flip": f"The first {min(3, n_top)} coordinates of each label together flip the network's answer in {named} of "
                f"test beats; as many random ones flip {percent(three['random'].max())} at most",
        "candidates": f"Of the {len(mine)} coordinates of all labels, {n_open.sum()} have a name without any sign of "
                      f"their label; they carry {shares} of the change of the logit. {(mine['kind'] == SILENT).sum()} "
                      "more move no measurement enough to have a name",
        "read": read}


def control_words(coordinates: pd.DataFrame, history: pd.DataFrame) -> dict[str, str]:
    """What the prose says of the network of random weights, and of the variety of what the generators draw."""
    control, holds = "This run has no network of random weights to compare with", holding_signs(coordinates)
    if "random" in holds.index:
        shares = holds.groupby("classifier").mean()
        control = (f"A network of random weights has signs in {percent(shares['random'])} of its coordinates' names, "
                   f"the trained one in {percent(shares['trained'])}")
        if shares["random"] > 0.5 * shares["trained"]:
            control += "; so a sign in a name is weak evidence that a network uses it"
    variety = history["variety"].groupby("classifier").last()
    ends = "it ends at " + " and ".join(f"{value:.2f} ({kind})" for kind, value in variety.items())
    if variety.min() < LEAST_VARIETY:
        ends += ". **That is a collapse, and nothing on this page can be believed; train longer**"
    return {"control": control, "variety": ends}


def held_words(who: pd.DataFrame) -> str:
    """How many coordinates of an `age_sex_table` go with age, and with sex, the labels held."""
    age, sex = (int(((who[f"{name}_held_low"] > 0) | (who[f"{name}_held_high"] < 0)).sum()) for name in ("age", "sex"))
    return f"{age} go with age and {sex} with sex"
