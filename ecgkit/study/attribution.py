"""Page 08, attributions: every method maps the same ECGs, and every map is examined beside maps of no model."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import means, with_ends
from ecgkit.evaluation.checks import ratio
from ecgkit.explain.attribution import players
from ecgkit.explain.attribution.methods import (
    MODEL_FREE,
    attribute,
    completeness_error,
    normal_background,
    reference_maps,
)
from ecgkit.explain.attribution.players import SEGMENTS, player_cells, player_sums, segments
from ecgkit.explain.battery import localisation
from ecgkit.explain.battery.examine import Truth
from ecgkit.explain.battery.perturbation import (
    consistency,
    deletion,
    infidelity,
    insertion,
    max_sensitivity,
    randomisation,
)
from ecgkit.explain.results import classify
from ecgkit.leads import LEADS, N_LEADS
from ecgkit.models.windowed import Classifier
from ecgkit.physiology import delineate, median_beats
from ecgkit.progress import track
from ecgkit.simulator import Waves
from ecgkit.study.counterfactuals import classifiers_in
from ecgkit.training.checkpoint import whole

Maps = NDArray[np.float32]
Array = NDArray[np.float64]
#: Uniform noise of max-sensitivity, mV, and how often it is drawn.
NOISE_MV, N_NOISES = 0.02, 3
#: Boxes of infidelity.
N_BOXES = 16
#: ECGs that are mapped before their maps are summed up and forgotten.
_CHUNK = 256
#: Columns of `examine`, and whether high values are good.
METRICS: Mapping[str, bool] = {
    "completeness error": False, "deletion": True, "insertion": True, "deletion, absolute": True,
    "insertion, absolute": True, "infidelity": False, "max-sensitivity": False, "consistency": True,
    "consistency, samples": True, "likeness, random": False, "likeness, shuffled": False, "inside the table": True,
    "pointing game": True, "relevance mass": True, "relevance rank": True, "IoU": True, "ms": False}
#: Those of them that ask the classifier again, label by label.
_ASKED = tuple(METRICS)[:6]
#: Those of them that need a truth.
LOCALISED = {"pointing game": localisation.pointing_game, "relevance mass": localisation.relevance_mass,
             "relevance rank": localisation.relevance_rank, "IoU": localisation.iou}


@dataclass(frozen=True)
class Cases:
    """ECGs `(n, 12, sig_len)` in mV with their waves, each with one label that the classifier says of it.

    An ECG with two labels is there twice. `table` has the columns `row` (of the dataset that they are from), `record`,
    `patient_id` and `label`; `background` is normal ECGs that nothing of the study is from.
    """

    table: pd.DataFrame
    x: Maps
    waves: Waves
    background: Maps

    def __len__(self) -> int:
        return len(self.table)

    def subset(self, places: NDArray[np.intp]) -> Cases:
        """Some of them, by place."""
        w = self.waves
        return replace(self, table=self.table.iloc[places].reset_index(drop=True), x=self.x[places],
                       waves=Waves(w.ms[places], w.kind[places], w.rr[places], w.fs))

    def each(self) -> dict[str, NDArray[np.intp]]:
        """Places of each label's, in the order of the table."""
        return {str(label): np.asarray(rows) for label, rows in self.table.groupby("label", sort=False).indices.items()}

    def drawn(self, n_each: int, seed: int = 0) -> Cases:
        """At most so many of each label, drawn at random; 0 takes all."""
        if not n_each:
            return self
        rng = np.random.default_rng(seed)
        drawn = [np.sort(rng.permutation(places)[:n_each]) for places in self.each().values()]
        return self.subset(np.concatenate(drawn))

    @cached_property
    def parts(self) -> NDArray[np.int8]:
        """Segments of the samples, `(n, sig_len)`."""
        return segments(self.waves, self.x.shape[2])

    @cached_property
    def cells(self) -> NDArray[np.int64]:
        """Number of each sample's lead × segment; -1 for the rest."""
        return player_cells(self.parts)

    @cached_property
    def normalised(self) -> Maps:
        """The ECGs with the P, QRS, ST and T of a normal beat."""
        beats = median_beats(self.background, delineate(self.background, self.waves.fs))
        return players.normal_beats(self.x, self.waves, players.normal_template(beats))


#: From a classifier and cases to maps `(n, 12, sig_len)`.
Method = Callable[[nn.Module, Cases], Maps]


def networks(folder: str | Path, data: ECGDataset) -> dict[str, Classifier]:
    """The networks of 09_counterfactuals' runs whose maps are compared, by kind."""
    return classifiers_in(folder, data, ("trained", "retrained", "random", "shuffled"))


def cases_of(classifier: Classifier, data: ECGDataset, train: ECGDataset, *, n_background: int = 64) -> Cases:
    """Everything that a classifier says (p >= 0.5) of some ECGs, as far as the cardiology table knows the label.

    `n_background` normal ECGs of `train` are what maps compare with, so of NORM nothing is to be explained. Where
    there are none, or the classifier says nothing, EcgkitError is raised.
    """
    background, described = normal_background(train, n_background), set(cardiology_table()["label"])
    says = classify(classifier, data.signals) >= 0
    found = [(row, label) for label, column in zip(classifier.label_names, says.T, strict=True) if label in described
             for row in np.flatnonzero(column)]
    if not found or not len(background):
        raise EcgkitError(f"nothing to explain: {len(found)} labels said of {len(data)} ECGs, {len(background)} normal "
                          "ECGs for the background; give more ECGs, or a trained classifier")
    rows, labels = np.array([row for row, _ in found]), [label for _, label in found]
    whose = data.records[["record", "patient_id"]].iloc[rows].reset_index(drop=True)
    table = pd.concat([pd.Series(rows, name="row"), whose, pd.Series(labels, name="label")], axis=1)
    once, place = np.unique(rows, return_inverse=True)
    waves = delineate(data.batch(once), data.fs)
    return Cases(table, data.batch(rows), Waves(waves.ms[place], waves.kind[place], waves.rr[place], waves.fs),
                 background)


def truth_of(cases: Cases, data: ECGDataset) -> NDArray[np.bool_] | None:
    """Samples that the label's diseases change by more than 50 µV, `(n, 12, sig_len)`; None for recorded ECGs."""
    if "ecg_index" not in data.records:
        return None
    truth, rows = Truth(data), cases.table["row"].to_numpy()
    mask = np.zeros(cases.x.shape, dtype=bool)
    for label, places in cases.each().items():
        mask[places] = localisation.true_mask(truth.mask(rows[places], label))
    return mask


def cardiology_table() -> pd.DataFrame:
    """Rows of `label`, `leads`, `segments`, `sign` (in words) and `source` (a DOI, or secondary: a textbook)."""
    return pd.read_csv(Path(__file__).with_name("cardiology.csv"), dtype=str)


def cardiology_cells(label: str) -> NDArray[np.bool_]:
    """Leads by segments in which signs of a label are looked for, `(12, 5)`; an unknown label raises EcgkitError."""
    rows = dict(iter(cardiology_table().groupby("label", sort=False)[["leads", "segments"]]))
    if label not in rows:
        raise EcgkitError(f"the cardiology table has no label {label!r}; it has {', '.join(map(str, rows))}")
    cells = np.zeros((N_LEADS, len(SEGMENTS)), dtype=bool)
    for leads, where in rows[label].itertuples(index=False):
        of_leads = np.ones(N_LEADS, dtype=bool) if leads == "all" else np.isin(LEADS, leads.split())
        cells |= of_leads[:, None] & np.isin(SEGMENTS, where.split())
    return cells


def methods(names: Sequence[str], *, options: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Method]:
    """Attribution methods (`METHODS`) by name with `options` of each, then the `MODEL_FREE` maps."""
    arms: dict[str, Method] = {name: partial(_attributed, method=name, seed=0, **(options or {}).get(name, {}))
                               for name in names}
    return arms | {name: partial(_model_free, name=name, seed=0) for name in MODEL_FREE}


def _attributed(model: nn.Module, cases: Cases, *, method: str, seed: int, **options: Any) -> Maps:
    maps = np.empty_like(cases.x)
    for label, places in cases.each().items():
        some = cases.subset(places)
        maps[places] = attribute(model, some.x, label, method=method, background=cases.background, waves=some.waves,
                                 seed=seed, **options)
    return maps


def _model_free(_: nn.Module, cases: Cases, *, name: str, seed: int) -> Maps:
    return reference_maps(cases.x, cases.waves, seed=seed)[name]


def shown_map(arm: Method, model: nn.Module, case: Cases) -> Maps:
    """The map of one case, smoothed to be drawn, `(12, sig_len)`."""
    return localisation.smoothed(arm(model, case), case.waves.fs)[0]


def summed(model: nn.Module, cases: Cases, method: Method) -> tuple[Array, Array]:
    """Sums of maps over lead × segment, signed and of absolute values, `(n, 12, 5)` each; maps are not kept."""
    parts: list[tuple[Array, Array]] = []
    for start in track(range(0, len(cases), _CHUNK), "cohort", unit="chunk"):
        some = cases.subset(np.arange(start, min(start + _CHUNK, len(cases))))
        maps = method(model, some)
        parts.append((player_sums(maps, some.parts), player_sums(maps, some.parts, absolute=True)))
    signed, absolute = zip(*parts, strict=True)
    return np.concatenate(signed), np.concatenate(absolute)


def inside_table(absolute: Array, labels: Sequence[str]) -> Array:
    """Share of each map that lies in the cells of the cardiology table, `(n,)`, from sums of absolute values."""
    cells_of = {label: cardiology_cells(label) for label in set(labels)}
    cells = np.stack([cells_of[label] for label in labels])
    total = absolute.sum(axis=(1, 2))
    return ratio((absolute * cells).sum(axis=(1, 2)), total, total > 0)


def examine(arms: Mapping[str, Method], classifiers: Mapping[str, Classifier], cases: Cases, *, folder: Path,
            n_sensitive: int = 2, truth: NDArray[np.bool_] | None = None) -> pd.DataFrame:
    """Examine the maps of every one of `methods` on the same cases, "trained" of the `networks` being explained.

    The values of each method are kept in `folder` as soon as it is done, for a second call. `n_sensitive` cases of each
    label are asked for max-sensitivity. A row for each method and case: `method`, the columns of `cases.table`, and
    those of `METRICS`, nan where one has no meaning; some need the `truth` of `truth_of`.
    """
    found = []
    for name, arm in track(arms.items(), "methods", total=len(arms), unit="method"):
        kept = folder / f"{_digest(name, arm, classifiers, cases, n_sensitive)}.csv"
        if kept.is_file():
            values = pd.read_csv(kept)
        else:
            values = _examined(name, arm, classifiers, cases, n_sensitive, truth)
            with whole(kept) as part:
                values.to_csv(part, index=False)
        found.append(pd.concat([cases.table, values], axis=1).assign(method=name))
    values = pd.concat(found, ignore_index=True)
    return values[["method", *values.columns.drop("method")]]


def _examined(name: str, arm: Method, classifiers: Mapping[str, Classifier], cases: Cases, n_sensitive: int,
              truth: NDArray[np.bool_] | None) -> pd.DataFrame:
    model = classifiers["trained"]
    arm(model, cases.subset(np.arange(1)))  # the first call imports and warms up
    started = time.perf_counter()
    maps = arm(model, cases)
    values = {"ms": np.full(len(cases), 1000 * (time.perf_counter() - started) / len(cases))}
    values["inside the table"] = inside_table(player_sums(maps, cases.parts, absolute=True), list(cases.table["label"]))
    values |= {column: np.full(len(cases), np.nan) for column in _ASKED}
    for label, places in cases.each().items():
        some, normal = cases.subset(places), cases.normalised[places]
        for column, part in _asked(name, maps[places], model, some, normal, label).items():
            values[column][places] = part
    if n_sensitive:
        few = np.concatenate([places[:n_sensitive] for places in cases.each().values()])
        some = cases.subset(few)
        values["max-sensitivity"] = np.full(len(cases), np.nan)
        values["max-sensitivity"][few] = max_sensitivity(lambda x: arm(model, replace(some, x=x)), some.x, NOISE_MV,
                                                         n_draws=N_NOISES, seed=0)
    if "retrained" in classifiers:
        alike = consistency(maps, arm(classifiers["retrained"], cases), cases.cells, cases.waves.fs)
        values["consistency"] = alike["segment", "signed", "pearson"].to_numpy()
        values["consistency, samples"] = alike["time", "signed", "pearson"].to_numpy()
    values |= {f"likeness, {kind}": randomisation(maps, arm(classifiers[kind], cases))
               for kind in ("random", "shuffled") if kind in classifiers}
    if truth is not None:
        values |= {metric: score(maps, truth) for metric, score in LOCALISED.items()}
    return pd.DataFrame(values)


def _asked(name: str, maps: Maps, model: Classifier, cases: Cases, normal: Maps, label: str) -> dict[str, Array]:
    """What is measured of one label's maps by asking the classifier again."""
    k, values = model.label_names.index(label), {}
    if name not in MODEL_FREE:
        values["completeness error"] = completeness_error(model, cases.x, maps, label, method=name,
                                                          background=cases.background, waves=cases.waves)
    for curve in (deletion, insertion):
        ask = partial(curve, model, cases.x, normal, maps, cases.cells, k)
        by_sign = values[curve.__name__] = ask(signed=True).area
        # Where nothing is negative, both forms are the same.
        values[f"{curve.__name__}, absolute"] = by_sign if (maps >= 0).all() else ask(signed=False).area
    values["infidelity"] = infidelity(model, cases.x, normal, maps, k, n_draws=N_BOXES, seed=0)
    return values


def _digest(name: str, arm: Method, classifiers: Mapping[str, Classifier], cases: Cases, n_sensitive: int) -> str:
    """Name of a file that holds what only these methods, classifiers and cases give."""
    said = f"{name} {getattr(arm, 'keywords', '')} {n_sensitive} {list(cases.table['label'])}"
    number = zlib.crc32(cases.background.tobytes(), zlib.crc32(cases.x.tobytes(), zlib.crc32(said.encode())))
    for model in classifiers.values():
        for weight in model.state_dict().values():
            number = zlib.crc32(weight.cpu().numpy().tobytes(), number)
    return f"{number:08x}"


def mean_maps(sums: Array, cases: pd.DataFrame, *, n_boot: int = 1000) -> dict[str, Array]:
    """Mean lead × segment map of each label with its 95 % ends, `(3, 12, 5)`; these are infinite for one patient."""
    found = {}
    for label, rows in cases.groupby("label", sort=False).indices.items():
        patients = cases["patient_id"].to_numpy()[rows]
        result = means(sums[rows].reshape(len(rows), -1), patients, n_boot=n_boot)
        found[str(label)] = np.stack([result.estimate, *result.interval()]).reshape(3, *sums.shape[1:])
        if len(np.unique(patients)) == 1:
            found[str(label)][1:] = np.array([-np.inf, np.inf])[:, None, None]
    return found


def attribution_table(values: pd.DataFrame, by: str = "method", *, n_boot: int = 1000) -> pd.DataFrame:
    """By method (or another column): `n` cases, and the mean of every metric with its ends, `_low` and `_high`."""
    metrics = [name for name in METRICS if name in values]
    columns = [metric + end for metric in metrics for end in ("", "_low", "_high")]
    rows: dict[Any, dict[str, float]] = {}
    for name, part in values.groupby(by, sort=False):
        result = means(part[metrics].to_numpy(np.float64), part["patient_id"].to_numpy(), n_boot=n_boot)
        triples = np.column_stack([result.estimate, *result.interval()])
        rows[name] = {"n": len(part)} | dict(zip(columns, triples.ravel(), strict=True))
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)


def printed_attribution(table: pd.DataFrame, metrics: Sequence[str] = tuple(METRICS)) -> pd.DataFrame:
    """An `attribution_table` in words: `0.53 (0.48 to 0.58)`; a dash where there is no value."""
    shown = {"n": table["n"].map("{:,}".format)}
    for metric in metrics:
        if metric == "ms" and metric in table:
            shown[metric] = table[metric].map("{:.0f}".format).where(table[metric].notna(), "–")
        elif metric in table:
            shown[metric] = with_ends(table, metric, to=" to ", unknown="–")
    return pd.DataFrame(shown)


def against_model_free(values: pd.DataFrame, *, n_boot: int = 1000) -> pd.DataFrame:
    """The best method of each `metric` beside the best map that ignores the classifier, on the same cases.

    The columns are `method`, `value`, `model-free`, `its value`; `difference` (first less second) with its 95 %
    interval over patients, `low` and `high`; `better`: yes or no where that lies on one side of 0, else unclear. Both
    were chosen on these cases, so the difference flatters neither much.
    """
    rows = {}
    for metric, high_is_good in METRICS.items():
        if metric == "ms" or metric not in values:
            continue
        wide = values.pivot_table(index=["patient_id", "row", "label"], columns="method", values=metric)
        mean = wide.mean() if high_is_good else -wide.mean()
        free = mean.reindex(list(MODEL_FREE)).dropna()
        arms = mean.drop(list(MODEL_FREE), errors="ignore").dropna()
        if arms.empty or free.empty:
            continue
        method, other = str(arms.idxmax()), str(free.idxmax())
        patients = wide.index.get_level_values("patient_id").to_numpy()
        result = means((wide[method] - wide[other]).to_numpy()[:, None], patients, n_boot=n_boot)
        (low,), (high,) = result.interval()
        good, bad = (low > 0, high < 0) if high_is_good else (high < 0, low > 0)
        rows[metric] = {"method": method, "value": wide[method].mean(), "model-free": other,
                        "its value": wide[other].mean(), "difference": result.estimate[0], "low": low, "high": high,
                        "better": "yes" if good else "no" if bad else "unclear"}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")


def words(data: ECGDataset, said: Cases, few: Cases, table: pd.DataFrame, against: pd.DataFrame,
          inside: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """What the prose of the page says, from its tables."""
    said_so = {verdict: "; ".join(against.index[against["better"] == verdict]) or "none" for verdict in ("yes", "no")}
    truth = "Recorded ECGs have no known truth; the run on simulated ECGs measures it"
    alike = "No retrained classifier is in this run"
    if "relevance rank" in against.index:
        truth = ("Where the truth is known, the best method ({method}) has {value:.2f} of its most relevant samples "
                 "inside it, and the best map that ignores the classifier ({model-free}) {its value:.2f}"
                 ).format(**against.loc["relevance rank"])
    if "consistency" in table:
        by = table["consistency"].drop(list(MODEL_FREE), errors="ignore").sort_values()
        alike = (f"Maps of two classifiers that were trained alike correlate by {by.iloc[0]:.2f} ({by.index[0]}) to "
                 f"{by.iloc[-1]:.2f} ({by.index[-1]}) over leads × segments")
    shares = {name: f"{inside[name]['inside the table'].mean():.2f}" for name in ("expected-gradients", "|x|")}
    return {"data": data.name, "n_test": f"{len(data.test):,}", "n_said": f"{len(said):,}", "n_few": f"{len(few):,}",
            "n_metrics": str(len(against)), "better": said_so["yes"], "worse": said_so["no"], "truth": truth,
            "consistency": alike, "inside": shares["expected-gradients"], "inside_free": shares["|x|"]}
