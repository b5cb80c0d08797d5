"""Tests of the recipes: each is what it says, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.study.supervised import RECIPES, train_recipe
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
