"""A random forest on measurements: the control that knows thresholds and their combinations, and no network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from ecgkit.errors import EcgkitError


@dataclass(frozen=True)
class ForestSettings:
    """What a random forest needs; all else is as Breiman (2001) has it, with trees that are grown to their ends.

    Parameters
    ----------
    n_trees : int
    """

    n_trees: int = 500


@dataclass(frozen=True)
class Forest:
    """One random forest per label.

    Parameters
    ----------
    trees : tuple of RandomForestClassifier or float
        For each label the forest, or the prevalence where one class only was seen.
    """

    trees: tuple[RandomForestClassifier | float, ...]

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities `(n, n_labels)` of measurements `(n, n_features)`."""
        return np.stack([np.full(len(features), each) if isinstance(each, float) else
                         each.predict_proba(features)[:, 1] for each in self.trees], axis=1)


def random_forest(features: NDArray[np.float64], labels: NDArray[np.uint8], *, seed: int,
                  settings: ForestSettings | None = None) -> Forest:
    """Grow a random forest for each label.

    A missing measurement goes down whichever side of a split serves the training ECGs better, as any value does.

    Parameters
    ----------
    features : ndarray, shape (n, n_features)
        Measurements of the labelled ECGs; nan where unknown.
    labels : ndarray, shape (n, n_labels)
        Multi-hot.
    seed : int
        Of the trees.
    settings : ForestSettings, optional

    Raises
    ------
    EcgkitError
        Where shapes do not fit or there is no ECG.
    """
    settings = settings or ForestSettings()
    if features.ndim != 2 or np.ndim(labels) != 2 or len(features) != len(labels) or not len(features):
        raise EcgkitError(f"measurements of shape {features.shape} and labels of shape {np.shape(labels)}; expected "
                          "(n, n_features) and (n, n_labels) with n from 1 on")

    def grown(truth: NDArray[np.uint8]) -> RandomForestClassifier | float:
        if truth.all() or not truth.any():
            return float(truth.mean())
        return RandomForestClassifier(settings.n_trees, random_state=seed).fit(features, truth)

    return Forest(tuple(grown(truth) for truth in np.asarray(labels).T))
