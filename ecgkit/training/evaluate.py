"""Score a classifier on a dataset, with intervals, and say so in a table and a model card."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit import __version__
from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import best_f1_thresholds, score_table
from ecgkit.models.windowed import Classifier
from ecgkit.training.supervised import SupervisedSettings


def evaluate(classifier: Classifier, data: ECGDataset, *, validation: ECGDataset | None = None, n_boot: int = 1000,
             seed: int = 0) -> pd.DataFrame:
    """Score every label, with 95 % intervals over patients.

    Parameters
    ----------
    classifier : Classifier
    data : ECGDataset
        Same labels and rate as the classifier.
    validation : ECGDataset, optional
        Where the thresholds of F1 are chosen; without it F1 is left out.
    n_boot : int
        Bootstrap resamples.
    seed : int
        Of the resamples.

    Returns
    -------
    DataFrame
        See `ecgkit.evaluation.score_table`.

    Raises
    ------
    EcgkitError
        Where labels or rate differ.
    """
    for part in (data, validation):
        if part is not None and (part.label_names, part.fs) != (classifier.label_names, classifier.fs):
            raise EcgkitError(f"{part.name}: the classifier knows {', '.join(classifier.label_names)} at "
                              f"{classifier.fs:g} Hz, the data have {', '.join(part.label_names)} at {part.fs:g} Hz")
    thresholds = best_f1_thresholds(validation.labels, classifier.predict(validation.signals)) if validation else None
    return score_table(data.labels, classifier.predict(data.signals), data.label_names,
                       data.records["patient_id"].to_numpy(), thresholds=thresholds, n_boot=n_boot, seed=seed)


def predictions_table(data: ECGDataset, probabilities: NDArray[np.float64]) -> pd.DataFrame:
    """One row per ECG: its name, its labels (`true_...`) and the probabilities (`p_...`), to be written as CSV."""
    truth = pd.DataFrame(data.labels, columns=[f"true_{name}" for name in data.label_names])
    predicted = pd.DataFrame(probabilities.round(4), columns=[f"p_{name}" for name in data.label_names])
    return pd.concat([data.records["record"], truth, predicted], axis=1)


def model_card(data: ECGDataset, settings: SupervisedSettings, *, seed: int, scores: pd.DataFrame) -> dict[str, Any]:
    """Say what a classifier was trained on, how it scored, and what it is for.

    Parameters
    ----------
    data : ECGDataset
        The whole set, with folds.
    settings : SupervisedSettings
    seed : int
        Of the training.
    scores : DataFrame
        Of the test fold: `evaluate`.

    Returns
    -------
    dict
        Survives JSON; `ecgkit.models.save_classifier` takes it.
    """
    auroc = {str(name): round(float(value), 4) for name, value in scores["auroc"].items()}
    return {"data": data.name, "n_train": len(data.train), "n_test": len(data.test), "fingerprint": data.fingerprint(),
            "settings": asdict(settings), "seed": seed, "test_auroc": auroc, "ecgkit": __version__, "licence": "MIT",
            "intended_use": "research and teaching; not a medical device, not for decisions about patients",
            "limits": "trained and tested on one source of ECGs; other devices and populations were not tried"}
