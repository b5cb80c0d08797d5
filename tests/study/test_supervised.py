"""Tests of the recipes and of the control that sees no signal: each is what it says, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecgkit.datasets.base import ECGDataset, from_arrays
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc
from ecgkit.study.supervised import RECIPES, age_sex_control, train_recipe, words
from ecgkit.training import Schedule, SimulatedSettings, SupervisedSettings
from tests.training.test_supervised import bumps

SETTINGS = SupervisedSettings(encoder_options={"widths": [4, 4, 4, 4]}, crop_seconds=1.0,
                              schedule=Schedule(epochs=2, batch_size=16))
SIMULATED = SimulatedSettings(ecgs_per_epoch=32, schedule=Schedule(epochs=1, batch_size=16))


def test_every_recipe_trains_another_classifier_of_the_same_labels(tmp_path: Path) -> None:
    data = bumps(80)
    scores = []
    for recipe in RECIPES:
        model, history = train_recipe(recipe, data, finer=data, settings=SETTINGS, simulated=SIMULATED,
                                      checkpoints=tmp_path)
        assert model.label_names == data.label_names
        assert len(history) == 2
        scores.append(model.predict(data.signals))
    assert not any(np.allclose(one, other) for k, one in enumerate(scores) for other in scores[:k])


def test_mistakes_are_named() -> None:
    with pytest.raises(EcgkitError, match="no recipe 'magic'; choose from scratch, simulator, statements"):
        train_recipe("magic", bumps(40))
    with pytest.raises(EcgkitError, match="needs finer labels"):
        train_recipe("statements", bumps(40))


def people(n: int, seed: int) -> ECGDataset:
    """Label OLD grows with age, FEMALE is sex, CHANCE is neither, NEVER never occurs."""
    rng = np.random.default_rng(seed)
    age, sex = rng.uniform(20, 90, n), rng.integers(0, 2, n).astype(float)
    old = rng.random(n) < 1 / (1 + np.exp(-(age - 55) / 5))
    labels = np.stack([old, sex == 1, rng.random(n) < 0.5, np.zeros(n)], axis=1)
    age[:10], sex[5:15] = np.nan, np.nan
    records = pd.DataFrame({"record": np.arange(n), "patient_id": np.arange(n), "age": age, "sex": sex})
    return from_arrays(np.zeros((n, 12, 10)), labels, ("OLD", "FEMALE", "CHANCE", "NEVER"), 100, records=records)


def test_it_finds_what_age_and_sex_tell_and_nothing_else() -> None:
    train, test = people(800, 0), people(600, 1)
    probabilities = age_sex_control(train, test)
    old, female, chance, _ = auroc(test.labels, probabilities)
    assert old > 0.9
    assert female > 0.95
    assert 0.4 < chance < 0.6
    assert (probabilities[:, 3] == 0).all()
    assert np.isfinite(probabilities).all()


def test_without_the_columns_it_says_which() -> None:
    bare = from_arrays(np.zeros((4, 12, 10)), np.eye(4), "ABCD", 100)
    with pytest.raises(EcgkitError, match="lack the column age"):
        age_sex_control(bare, bare)


def test_words_are_those_of_the_scores() -> None:
    model, _ = train_recipe("scratch", bumps(40), settings=SETTINGS)
    table = pd.DataFrame({"auroc": [0.7, 0.81]}, index=["A", "macro"])
    names = ("measurements, random forest", "measurements, logistic regression", "age and sex only")
    over_seeds = pd.DataFrame({0: [0.9, 0.8, 0.85], 1: [0.8, 0.8, 0.87]}, index=["A", "B", "macro"])
    found = words(bumps(40), model, over_seeds, dict.fromkeys(names, table))
    assert (found["sup_mean"], found["sup_min"], found["sup_max"]) == ("0.860", "0.850", "0.870")
    assert (found["sup_worst_label"], found["sup_worst_auroc"]) == ("B", "0.800")
    assert (found["sup_forest"], found["sup_age_sex"], found["sup_n_seeds"]) == ("0.810", "0.810", "2")
