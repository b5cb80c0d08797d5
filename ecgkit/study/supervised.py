"""Ways to train a classifier on the same labelled ECGs, from the plainest to the best so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from ecgkit.study.label_runs import MEASURED, label_study, read_predictions
from ecgkit.training.measured import MeasuredFeatures
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
    """Train a classifier by one of `RECIPES`; fold 9 is watched, fold 10 is not touched.

    "statements" needs `finer`: the same ECGs with finer labels. `settings` are of training on `data`, `simulated` of
    pretraining on the simulator; the rest, and what is returned, is as of `ecgkit.train_classifier`. EcgkitError is
    raised for an unknown recipe, or "statements" without finer labels.
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
    """Predict each label from age and sex alone: probabilities `(len(test), n_labels)`.

    A logistic regression on a cubic spline of `age` (years) with five knots, `sex` (0 male, 1 female), and whether
    either is missing; the training prevalence where the training ECGs have only one class.
    """
    for data in (train, test):
        if lacking := sorted({"age", "sex"} - set(data.records)):
            raise EcgkitError(f"{data.name}: the records lack the column {lacking[0]}")
    spline = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), SplineTransformer(n_knots=5))
    aged = spline.fit_transform(_column(train, "age"))
    known, asked = _features(train, aged), _features(test, spline.transform(_column(test, "age")))
    out = np.empty((len(test), len(test.label_names)))
    for k, y in enumerate(train.labels.T):
        out[:, k] = LogisticRegression(max_iter=1000).fit(known, y).predict_proba(asked)[:, 1] if 0 < y.mean() < 1 \
            else y.mean()
    return out


def controls(data: ECGDataset, measured: MeasuredFeatures, folder: Path, known: Path) -> dict[str, NDArray[Any]]:
    """Probabilities by measurements, and by age and sex, for test ECGs; a slow forest comes from `known` if there."""
    found: dict[str, NDArray[Any]] = {}
    for mode in MEASURED:
        row = label_study(data, measured, mode=mode, folder=folder, fractions=[1], seeds_high=1,
                          known=known if mode == "random forest" else None)
        found[f"measurements, {mode}"] = read_predictions(folder / row["predictions"][0])["test"]
    return found | {"age and sex only": age_sex_control(data.train, data.test)}


def words(data: ECGDataset, model: Classifier, over_seeds: pd.DataFrame,
          tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Words of the page, from AUROC of each label `over_seeds` and the scores of each of the `controls`."""
    macro, worst = over_seeds.loc["macro"], over_seeds.drop("macro").mean(axis=1)
    named = {"sup_forest": "measurements, random forest", "sup_logistic": "measurements, logistic regression",
             "sup_age_sex": "age and sex only"}
    return {"sup_data": data.name, "sup_n_train": f"{len(data.train):,}", "sup_n_test": f"{len(data.test):,}",
            "sup_parameters": f"{sum(p.numel() for p in model.parameters()):,}",
            "sup_n_seeds": str(over_seeds.shape[1]), "sup_mean": f"{macro.mean():.3f}", "sup_min": f"{macro.min():.3f}",
            "sup_max": f"{macro.max():.3f}", "sup_worst_label": str(worst.idxmin()),
            "sup_worst_auroc": f"{worst.min():.3f}"} | {
        name: "{auroc:.3f}".format(**tables[control].loc["macro"]) for name, control in named.items()}


def _column(data: ECGDataset, name: str) -> NDArray[np.float64]:
    return pd.to_numeric(data.records[name], errors="coerce").to_numpy(dtype=float)[:, None]


def _features(data: ECGDataset, aged: NDArray[np.float64]) -> NDArray[np.float64]:
    age, sex = _column(data, "age"), _column(data, "sex")
    return np.hstack([aged, np.nan_to_num(sex, nan=0.5), np.isnan(age), np.isnan(sex)])
