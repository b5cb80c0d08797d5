"""The study of attributions: every method maps the same ECGs, and every map is examined beside maps of no model."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from ecgkit.evaluation.checks import ratio
from ecgkit.evaluation.resampling import Bootstrap, resample_patients
from ecgkit.explain.attribution.methods import attribute, completeness_error
from ecgkit.explain.attribution.players import QRS, player_sums, segments
from ecgkit.explain.battery import localisation
from ecgkit.explain.battery.perturbation import deletion, infidelity, insertion
from ecgkit.explain.battery.stability import consistency, max_sensitivity, randomisation
from ecgkit.leads import N_LEADS
from ecgkit.models.windowed import Classifier
from ecgkit.progress import track
from ecgkit.simulator import Waves
from ecgkit.study.cases import Cases, cardiology_cells


def reference_maps(x: NDArray[np.float32], waves: Waves, *, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """All maps of some ECGs that ignore the model, by name.

    Parameters
    ----------
    x : ndarray, shape (n, 12, sig_len)
        Millivolts at `waves.fs`.
    waves : Waves
        Of the same ECGs.
    seed : int
        Of the random map.

    Returns
    -------
    dict of str to ndarray of float32, shape (n, 12, sig_len)
        See `deviation`, `slope`, `qrs_template`, `random_map`.
    """
    return {"|x|": deviation(x), "|dx/dt|": slope(x, waves.fs), "QRS template": qrs_template(waves, x.shape[2]),
            "random": random_map(x.shape, seed)}


def deviation(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each sample is from its lead's median, in mV."""
    return np.abs(x - np.median(x, axis=-1, keepdims=True)).astype(np.float32)


def slope(x: NDArray[np.float32], fs: float) -> NDArray[np.float32]:
    """How steep each lead is at each sample, in mV/s, by central differences."""
    return np.abs(np.gradient(x, 1 / fs, axis=-1)).astype(np.float32)


def qrs_template(waves: Waves, sig_len: int) -> NDArray[np.float32]:
    """1 within QRS, in all leads, and 0 elsewhere: `(n, 12, sig_len)`."""
    inside = segments(waves, sig_len) == QRS
    return np.repeat(inside[:, None], N_LEADS, axis=1).astype(np.float32)


def random_map(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Independent normal numbers of either sign."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


#: Maps of no model, by `ecgkit.study.attribution`.
MODEL_FREE = ("|x|", "|dx/dt|", "QRS template", "random")
#: Uniform noise of max-sensitivity, mV, and how often it is drawn.
NOISE_MV, N_NOISES = 0.02, 3
#: Boxes of infidelity.
N_BOXES = 16
#: ECGs that are mapped before their maps are summed up and forgotten.
_CHUNK = 256
#: From a classifier and cases to maps `(n, 12, sig_len)`.
Method = Callable[[nn.Module, Cases], NDArray[np.float32]]


def methods(names: Sequence[str], *, seed: int = 0, options: Mapping[str, Mapping[str, Any]] | None = None
            ) -> dict[str, Method]:
    """Attribution methods by name, then `MODEL_FREE` maps, as functions of a classifier and cases.

    Parameters
    ----------
    names : sequence of str
        Of `ecgkit.explain.attribution.methods.METHODS`.
    seed : int
    options : mapping, optional
        Of each method.
    """
    arms: dict[str, Method] = {name: partial(_attributed, method=name, seed=seed, **(options or {}).get(name, {}))
                               for name in names}
    return arms | {name: partial(_model_free, name=name, seed=seed) for name in MODEL_FREE}


def _attributed(model: nn.Module, cases: Cases, *, method: str, seed: int, **options: Any) -> NDArray[np.float32]:
    maps = np.empty_like(cases.x)
    for label, places in cases.each().items():
        some = cases.subset(places)
        maps[places] = attribute(model, some.x, label, method=method, background=cases.background, waves=some.waves,
                                 seed=seed, **options)
    return maps


def _model_free(_: nn.Module, cases: Cases, *, name: str, seed: int) -> NDArray[np.float32]:
    return reference_maps(cases.x, cases.waves, seed=seed)[name]


def summed(model: nn.Module, cases: Cases, method: Method) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums of maps over lead × segment, signed and of absolute values, `(n, 12, 5)` each; maps are not kept."""
    parts: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    for start in track(range(0, len(cases), _CHUNK), "cohort", unit="chunk"):
        some = cases.subset(np.arange(start, min(start + _CHUNK, len(cases))))
        maps = method(model, some)
        parts.append((player_sums(maps, some.parts), player_sums(maps, some.parts, absolute=True)))
    signed, absolute = zip(*parts, strict=True)
    return np.concatenate(signed), np.concatenate(absolute)


def inside_table(absolute: NDArray[np.float64], labels: Sequence[str]) -> NDArray[np.float64]:
    """Share of each map that lies in the cells of the cardiology table, `(n,)`, from sums of absolute values."""
    cells = np.stack([cardiology_cells(label) for label in labels])
    total = absolute.sum(axis=(1, 2))
    return ratio((absolute * cells).sum(axis=(1, 2)), total, total > 0)


def examine(arms: Mapping[str, Method], classifiers: Mapping[str, Classifier], cases: Cases, *, n_sensitive: int = 2,
            truth: NDArray[np.bool_] | None = None, seed: int = 0, folder: str | Path | None = None) -> pd.DataFrame:
    """Examine the maps of every method on the same cases.

    Parameters
    ----------
    arms : mapping
        From `methods`.
    classifiers : mapping
        From `classifiers_in`: "trained" is explained.
    cases : Cases
    n_sensitive : int
        Cases of each label that max-sensitivity is measured on; 0 leaves it out.
    truth : ndarray of bool, shape (n, 12, sig_len), optional
        From `truth_of`.
    seed : int
    folder : path, optional
        Where the values of each method are kept as soon as it is done; a second call takes them from there.

    Returns
    -------
    DataFrame, one row for each method and case
        `method`, the columns of `cases.table`, and the columns of `METRICS` (`attribution_table`), nan where one has no
        meaning.
    """
    found = []
    for name, arm in track(arms.items(), "methods", total=len(arms), unit="method"):
        kept = None if folder is None else Path(folder) / f"{_digest(name, arm, classifiers, cases, n_sensitive)}.csv"
        if kept is not None and kept.is_file():
            values = pd.read_csv(kept)
        else:
            values = _examined(name, arm, classifiers, cases, n_sensitive, truth, seed)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                values.to_csv(kept.with_suffix(".part"), index=False)
                kept.with_suffix(".part").replace(kept)
        found.append(pd.concat([cases.table, values], axis=1).assign(method=name))
    values = pd.concat(found, ignore_index=True)
    return values[["method", *values.columns.drop("method")]]


def _examined(name: str, arm: Method, classifiers: Mapping[str, Classifier], cases: Cases, n_sensitive: int,
              truth: NDArray[np.bool_] | None, seed: int) -> pd.DataFrame:
    model = classifiers["trained"]
    arm(model, cases.subset(np.arange(1)))  # the first call imports and warms up
    started = time.perf_counter()
    maps = arm(model, cases)
    values = {"ms": np.full(len(cases), 1000 * (time.perf_counter() - started) / len(cases))}
    values["inside the table"] = inside_table(player_sums(maps, cases.parts, absolute=True), list(cases.table["label"]))
    values |= _asked(name, maps, model, cases, seed)
    if n_sensitive:
        few = np.concatenate([places[:n_sensitive] for places in cases.each().values()])
        some = cases.subset(few)
        values["max-sensitivity"] = np.full(len(cases), np.nan)
        values["max-sensitivity"][few] = max_sensitivity(lambda x: arm(model, replace(some, x=x)), some.x, NOISE_MV,
                                                         n_draws=N_NOISES, seed=seed)
    if "retrained" in classifiers:
        alike = consistency(maps, arm(classifiers["retrained"], cases), cases.cells, cases.waves.fs)
        values["consistency"] = alike["segment", "signed", "pearson"].to_numpy()
        values["consistency, samples"] = alike["time", "signed", "pearson"].to_numpy()
    for kind in ("random", "shuffled"):
        if kind in classifiers:
            values[f"likeness, {kind}"] = randomisation(maps, arm(classifiers[kind], cases))
    if truth is not None:
        values |= {"pointing game": localisation.pointing_game(maps, truth),
                   "relevance mass": localisation.relevance_mass(maps, truth),
                   "relevance rank": localisation.relevance_rank(maps, truth), "IoU": localisation.iou(maps, truth)}
    return pd.DataFrame(values)


def _asked(name: str, maps: NDArray[np.float32], model: Classifier, cases: Cases,
           seed: int) -> dict[str, NDArray[np.float64]]:
    """What is measured by asking the classifier again, label by label."""
    columns = ("completeness error", "deletion", "insertion", "deletion, absolute", "insertion, absolute", "infidelity")
    values = {column: np.full(len(cases), np.nan) for column in columns}
    for label, places in cases.each().items():
        some, part, k = cases.subset(places), maps[places], model.label_names.index(label)
        normal = cases.normalised[places]
        if name not in MODEL_FREE:
            values["completeness error"][places] = completeness_error(
                model, some.x, part, label, method=name, background=cases.background, waves=some.waves)
        for curve in (deletion, insertion):
            ask = partial(curve, model, some.x, normal, part, some.cells, k)
            by_sign = values[curve.__name__][places] = ask(signed=True).area
            # Where nothing is negative, both forms are the same.
            values[f"{curve.__name__}, absolute"][places] = by_sign if (part >= 0).all() else ask(signed=False).area
        values["infidelity"][places] = infidelity(model, some.x, normal, part, k, n_draws=N_BOXES, seed=seed)
    return values


def _digest(name: str, arm: Method, classifiers: Mapping[str, Classifier], cases: Cases, n_sensitive: int) -> str:
    """Name of a file that holds what only these methods, classifiers and cases give."""
    said = f"{name} {getattr(arm, 'keywords', '')} {n_sensitive} {list(cases.table['label'])}"
    number = zlib.crc32(cases.background.tobytes(), zlib.crc32(cases.x.tobytes(), zlib.crc32(said.encode())))
    for model in classifiers.values():
        for weight in model.state_dict().values():
            number = zlib.crc32(weight.cpu().numpy().tobytes(), number)
    return f"{number:08x}"


#: Columns of `ecgkit.study.attribution.examine`, and whether high values are good.
METRICS: Mapping[str, bool] = {
    "completeness error": False, "deletion": True, "insertion": True, "deletion, absolute": True,
    "insertion, absolute": True, "infidelity": False, "max-sensitivity": False, "consistency": True,
    "consistency, samples": True, "likeness, random": False, "likeness, shuffled": False, "inside the table": True,
    "pointing game": True, "relevance mass": True, "relevance rank": True, "IoU": True, "ms": False}


def means(values: NDArray[np.float64], patients: NDArray[np.generic], *, n_boot: int = 1000,
          seed: int = 0) -> Bootstrap:
    """Mean of each column `(n, n_columns)` over what is not nan, on all rows and on resamples of the patients."""
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)

    def mean(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        count = weights.T @ known
        return ratio(weights.T @ filled, count, count > 0)

    drawn = [mean(weights) for weights in resample_patients(patients, n_boot=n_boot, seed=seed, n=len(values))]
    return Bootstrap(mean(np.ones((len(values), 1)))[0], np.concatenate(drawn))


def mean_maps(sums: NDArray[np.float64], cases: pd.DataFrame, *, n_boot: int = 1000) -> dict[str, NDArray[np.float64]]:
    """Mean lead × segment map of each label with its 95 % interval over patients.

    Parameters
    ----------
    sums : ndarray, shape (n, 12, 5)
        From `ecgkit.study.attribution.summed`.
    cases : DataFrame
        `label` and `patient_id` of each.

    Returns
    -------
    dict of label to ndarray, shape (3, 12, 5)
        Mean, and low and high end of its interval, which is without ends where there is one patient.
    """
    found = {}
    for label, rows in cases.groupby("label", sort=False).indices.items():
        patients = cases["patient_id"].to_numpy()[rows]
        result = means(sums[rows].reshape(len(rows), -1), patients, n_boot=n_boot)
        found[str(label)] = np.stack([result.estimate, *result.interval()]).reshape(3, *sums.shape[1:])
        if len(np.unique(patients)) == 1:
            found[str(label)][1:] = np.array([-np.inf, np.inf])[:, None, None]
    return found


def attribution_table(values: pd.DataFrame, by: str = "method", *, n_boot: int = 1000) -> pd.DataFrame:
    """Mean of every metric that was measured, for each method.

    Parameters
    ----------
    values : DataFrame
        From `ecgkit.study.attribution.examine`.
    by : str
        Column that is grouped by.

    Returns
    -------
    DataFrame, indexed by `by`
        `n` cases; each metric, and the ends `_low` and `_high` of its 95 % interval over patients.
    """
    metrics = [name for name in METRICS if name in values]
    rows: dict[Any, dict[str, float]] = {}
    for name, part in values.groupby(by, sort=False):
        result = means(part[metrics].to_numpy(np.float64), part["patient_id"].to_numpy(), n_boot=n_boot)
        low, high = result.interval()
        rows[name] = {"n": len(part)}
        for metric, *ends in zip(metrics, result.estimate, low, high, strict=True):
            rows[name] |= {metric + end: x for end, x in zip(("", "_low", "_high"), ends, strict=True)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)


def against_model_free(values: pd.DataFrame, *, n_boot: int = 1000) -> pd.DataFrame:
    """The best method of each metric beside the best map that ignores the classifier, on the same cases.

    Returns
    -------
    DataFrame, indexed by `metric`
        `method`, `value`, `model-free`, `its value`; `difference` (first less second) with `low` and `high`, the ends
        of its 95 % interval over patients; `better`: yes or no where the interval lies on one side of 0, else unclear.
        Both were chosen on these cases, so the difference flatters neither much.
    """
    rows = {}
    for metric, high_is_good in METRICS.items():
        if metric == "ms" or metric not in values:
            continue
        wide = values.pivot_table(index=["patient_id", "row", "label"], columns="method", values=metric)
        mean = wide.mean() if high_is_good else -wide.mean()
        arms, free = mean.drop(list(MODEL_FREE), errors="ignore").dropna(), mean.reindex(MODEL_FREE).dropna()
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


def printed_attribution(table: pd.DataFrame, metrics: list[str] | None = None) -> pd.DataFrame:
    """An `attribution_table` in words: `0.53 (0.48–0.58)`; a dash where there is no value."""
    shown = {"n": table["n"].map("{:,}".format)}
    for metric in METRICS if metrics is None else metrics:
        if metric not in table:
            continue
        form = "{:.0f}" if metric == "ms" else "{:.2f}"
        ends = [table[metric + end].map(form.format) for end in ("", "_low", "_high")]
        words = ends[0] if metric == "ms" else ends[0] + " (" + ends[1] + " to " + ends[2] + ")"
        shown[metric] = words.where(table[metric].notna(), "–")
    return pd.DataFrame(shown)
