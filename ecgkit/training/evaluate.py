"""Score a classifier on a dataset, with intervals."""

from __future__ import annotations

import pandas as pd

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import best_f1_thresholds, score_table
from ecgkit.models.classifier import Classifier


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
