"""Exact Shapley values of a few-label classifier's forest, and the reasons that they are, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.explain.report.changes import name_of, number, unit_of
from ecgkit.physiology import COLUMNS
from ecgkit.training.few_labels import FewLabelClassifier
from ecgkit.training.forest import Forest
from ecgkit.training.measured import MeasuredFeatures
from ecgkit.training.probe import Features


@dataclass(frozen=True)
class ForestShap:
    """What each feature adds to a probability, `values` `(n, n_labels, n_features)`, and from what, `base`."""

    values: NDArray[np.float64]
    base: NDArray[np.float64]


def forest_shap(forest: Forest, features: Features) -> ForestShap:
    """Shapley values of each label's forest (Lundberg et al. 2020, Tree SHAP, path dependent), exact.

    What a tree says without knowing a feature is the mean over both ways, weighted by the ECGs that it was grown from.
    `base` is what the forest says without any, and with the sum of the values it is `Forest.predict`. Two measurements
    that say the same share as the trees do, which ask now one and now the other.

    Parameters
    ----------
    forest : Forest
        As `FewLabelClassifier.forest_`.
    features : ndarray, shape (n, n_features)
        Nan where missing, as in `Seen.measured` of `FewLabelClassifier.see`.

    Returns
    -------
    ForestShap
        In probability.

    Raises
    ------
    EcgkitError
        Where the number of features is another, or the leaves do not tell how many ECGs they were grown from.
    """
    from shap import TreeExplainer  # takes seconds

    x, values, base = forest.bins(features).astype(np.float64), [], []
    for label in forest.trees():
        trees = [{"features": tree["feature"], "thresholds": tree["threshold"].astype(np.float64),
                  "values": tree["share"][:, None] / len(label), "node_sample_weight": tree["n"].astype(np.float64),
                  "children_left": tree["left"], "children_right": tree["right"], "children_default": tree["left"]}
                 for tree in label]
        explainer = TreeExplainer({"trees": trees}, feature_perturbation="tree_path_dependent")
        values.append(explainer.shap_values(x, check_additivity=False).reshape(x.shape))
        base.append(np.ravel(explainer.expected_value)[0])
    return ForestShap(np.stack(values, axis=1), np.array(base))


def feature_name(name: str) -> str:
    """One of `MeasuredFeatures.names` in words: `R in V5`, `rule LVH Cornell`."""
    return name_of(name) if name in COLUMNS else f"rule {name}"


def reasons(shap_row: NDArray[Any], feature_values: NDArray[Any], names: Sequence[str], top: int = 6) -> list[str]:
    """What moves one label's forest most for one ECG, the strongest first: `QRS 148 ms: +0.19`, in probability.

    Shapley values, measurements and their names are `(n_features,)`; what rounds to 0.00 is left out.
    """
    order = np.argsort(-np.abs(shap_row), kind="stable")[:top]
    return [f"{measured_in_words(names[k], feature_values[k])}: {'−' if shap_row[k] < 0 else '+'}{abs(shap_row[k]):.2f}"
            for k in order if abs(shap_row[k]) >= 0.005]


def reasons_for(model: FewLabelClassifier, measured: NDArray[np.float64], top: int = 6) -> dict[str, list[str]]:
    """The `reasons` of each label's forest for one ECG: its row of `Seen.measured`."""
    names, found = MeasuredFeatures(model.fs, rules=True).names, forest_shap(model.forest_, measured[None])
    return {label: reasons(row, measured, names, top)
            for label, row in zip(model.label_names, found.values[0], strict=True)}


def measured_in_words(name: str, value: float) -> str:
    """One of `MeasuredFeatures.names` and its value: `QRS 148 ms`, `rule LVH Cornell not met by 2.0 steps`."""
    if np.isnan(value):
        return f"{feature_name(name)} not measurable"
    if name not in COLUMNS:
        return f"{feature_name(name)} {'met' if value >= 0 else 'not met'} by {abs(value):.1f} steps"
    unit = unit_of(name)
    text = ("yes" if value else "no") if COLUMNS[name].startswith("0 or 1") else number(name, value)
    return f"{feature_name(name)} {text}{'' if unit in ('', '°', '/min') else ' '}{unit}"
