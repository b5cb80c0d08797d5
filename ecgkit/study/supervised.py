"""Ways to train a classifier on the same labelled ECGs, from the plainest to the best so far."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.models.windowed import Classifier
from ecgkit.training.simulated import SimulatedSettings, pretrain_on_simulator
from ecgkit.training.supervised import SupervisedSettings, train_classifier

#: Each recipe and what it adds to the one before.
RECIPES = {
    "scratch": "random weights, the labels alone",
    "simulator": "weights that first learnt from simulated ECGs",
    "statements": "also the finer statements of the same ECGs, learnt beside",
}
#: Weights that know something are changed more gently than random ones.
GENTLE = 0.5


def train_recipe(recipe: str, data: ECGDataset, *, finer: ECGDataset | None = None,
                 settings: SupervisedSettings | None = None, simulated: SimulatedSettings | None = None, seed: int = 0,
                 checkpoints: str | Path | None = None, device: str = "cpu") -> tuple[Classifier, pd.DataFrame]:
    """Train a classifier on the training folds of a dataset by one of `RECIPES`.

    Parameters
    ----------
    recipe : str
        A key of `RECIPES`.
    data : ECGDataset
        With folds; fold 9 is watched, fold 10 is not touched.
    finer : ECGDataset, optional
        The same ECGs with finer labels, for "statements".
    settings : SupervisedSettings, optional
        Of training on `data`.
    simulated : SimulatedSettings, optional
        Of pretraining on the simulator.
    seed, checkpoints, device
        As in `train_classifier`.

    Returns
    -------
    Classifier, DataFrame
        As of `train_classifier`.

    Raises
    ------
    EcgkitError
        For an unknown recipe, or "statements" without finer labels.
    """
    if recipe not in RECIPES:
        raise EcgkitError(f"no recipe {recipe!r}; choose from {', '.join(RECIPES)}")
    if recipe == "statements" and finer is None:
        raise EcgkitError("the recipe statements needs finer labels of the same ECGs: give `finer`")
    settings, start = settings or SupervisedSettings(), None
    if recipe != "scratch":
        base = simulated or SimulatedSettings()
        base = replace(base, encoder=settings.encoder, encoder_options=settings.encoder_options, fs=data.fs,
                       crop_seconds=settings.crop_seconds)
        start = pretrain_on_simulator(base, seed=seed, checkpoints=checkpoints, device=device)[0].encoder
        rate = GENTLE * settings.schedule.learning_rate
        settings = replace(settings, schedule=replace(settings.schedule, learning_rate=rate))
    return train_classifier(data.train, validation=data.validation, settings=settings, seed=seed, start=start,
                            beside=finer if recipe == "statements" else None, checkpoints=checkpoints, device=device)


def age_sex_control(train: ECGDataset, test: ECGDataset) -> NDArray[np.float64]:
    """Predict each label from age and sex alone.

    A logistic regression on a cubic spline of age with five knots, sex, and whether either is missing.

    Parameters
    ----------
    train, test : ECGDataset
        With the columns `age` (years) and `sex` (0 male, 1 female), and the same labels.

    Returns
    -------
    ndarray, shape (len(test), n_labels)
        Probabilities; the training prevalence where the training ECGs have only one class.

    Raises
    ------
    EcgkitError
        Where a column is missing.
    """
    for data in (train, test):
        lacking = {"age", "sex"} - set(data.records)
        if lacking:
            raise EcgkitError(f"{data.name}: the records lack the column {sorted(lacking)[0]}")
    spline = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), SplineTransformer(n_knots=5))
    aged = spline.fit_transform(_column(train, "age"))
    known, asked = _features(train, aged), _features(test, spline.transform(_column(test, "age")))
    out = np.empty((len(test), len(test.label_names)))
    for k, y in enumerate(train.labels.T):
        out[:, k] = LogisticRegression(max_iter=1000).fit(known, y).predict_proba(asked)[:, 1] if 0 < y.mean() < 1 \
            else y.mean()
    return out


def _column(data: ECGDataset, name: str) -> NDArray[np.float64]:
    return pd.to_numeric(data.records[name], errors="coerce").to_numpy(dtype=float)[:, None]


def _features(data: ECGDataset, aged: NDArray[np.float64]) -> NDArray[np.float64]:
    age, sex = _column(data, "age"), _column(data, "sex")
    return np.hstack([aged, np.nan_to_num(sex, nan=0.5), np.isnan(age), np.isnan(sex)])
