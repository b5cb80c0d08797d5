"""Ways to train a classifier on the same labelled ECGs, from the plainest to the best so far."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.models.classifier import Classifier
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
