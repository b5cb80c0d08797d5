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
from ecgkit.explain.attribution import attribute, completeness_error
from ecgkit.explain.cardiology import cardiology_cells
from ecgkit.explain.cases import Cases
from ecgkit.explain.players import player_sums
from ecgkit.explain.reference_maps import reference_maps
from ecgkit.explain.scoring import localisation
from ecgkit.explain.scoring.perturbation import deletion, infidelity, insertion
from ecgkit.explain.scoring.stability import consistency, max_sensitivity, randomisation
from ecgkit.models.classifier import Classifier
from ecgkit.progress import track

#: Maps of no model, by `ecgkit.explain.reference_maps`.
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
        Of `ecgkit.explain.attribution.METHODS`.
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
