"""Tests of supervised training and of evaluation, on a dataset whose answer is known."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from ecgkit.datasets.base import ECGDataset, from_arrays
from ecgkit.errors import EcgkitError
from ecgkit.training import Schedule, SupervisedSettings, evaluate, train_classifier
from ecgkit.training.supervised import train_regressor

SMALL = SupervisedSettings(encoder_options={"widths": [8, 8, 8, 8]}, crop_seconds=1.0,
                           schedule=Schedule(epochs=8, batch_size=16, learning_rate=0.02))


def bumps(n: int = 160, names: tuple[str, ...] = ("BUMP", "SLOPE")) -> ECGDataset:
    """ECGs that carry a bump in V1 or a slope in II, on noise; every two ECGs share a patient."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (n, 2))
    x = 0.1 * rng.normal(size=(n, 12, 200))
    x[:, 6] += labels[:, :1] * np.tile(np.hanning(50), 4)
    x[:, 1] += labels[:, 1:] * np.tile(np.linspace(0, 1, 50), 4)
    records = pd.DataFrame({"record": np.arange(n).astype(str), "patient_id": np.arange(n) // 2,
                            "strat_fold": np.arange(n) // 2 % 10 + 1})
    return from_arrays(x, labels, names, 100, records=records)


def test_it_learns_what_is_there_and_says_so_with_intervals() -> None:
    data = bumps()
    model, history = train_classifier(data.train, validation=data.validation, settings=SMALL)
    assert history["validation_auroc"].iloc[-1] > 0.95
    table = evaluate(model, data.test, validation=data.validation, n_boot=50)
    assert list(table.index) == ["BUMP", "SLOPE", "macro"]
    assert (table["auroc"] > 0.95).all()
    assert (table["auroc_low"] <= table["auroc"]).all()


def test_labels_that_mean_nothing_are_not_learnt() -> None:
    data = bumps()
    shuffled = np.random.default_rng(1).permutation(data.labels)
    data = from_arrays(data.store, shuffled, data.label_names, 100, records=data.records)
    model, _ = train_classifier(data.train, settings=SMALL)
    test = data.folds(9, 10)
    assert 0.2 < evaluate(model, test, n_boot=20).loc["macro", "auroc"] < 0.8


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    data = bumps(40)
    models = [train_classifier(data, settings=SMALL, seed=seed)[0].state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(a, b) for a, b in zip(models[0].values(), models[1].values(), strict=True))
    assert not torch.equal(models[0]["head.2.weight"], models[2]["head.2.weight"])


def test_a_finished_run_is_taken_up_not_repeated(tmp_path: Path) -> None:
    data = bumps(40)
    first, _ = train_classifier(data, settings=SMALL, checkpoints=tmp_path)
    written = next(tmp_path.iterdir()).stat().st_mtime_ns
    again, _ = train_classifier(data, settings=SMALL, checkpoints=tmp_path)
    assert next(tmp_path.iterdir()).stat().st_mtime_ns == written
    x = torch.randn(2, 12, 100)
    assert torch.equal(first(x), again(x))


def test_labels_learnt_beside_are_dropped_in_the_end_and_matter_meanwhile() -> None:
    data = bumps(80)
    rare = np.zeros((80, 1), dtype=np.uint8)
    rare[:3] = 1
    beside = from_arrays(data.store, np.hstack([data.labels[:, :1], rare]), ("BUMP", "RARE"), 100, records=data.records)
    shuffled = beside.subset(np.random.default_rng(0).permutation(80))
    only = data.with_labels(["SLOPE"])
    models = [train_classifier(only, settings=SMALL, beside=more)[0] for more in (None, beside, shuffled)]
    assert all(model.label_names == ("SLOPE",) for model in models)
    scores = [model.predict(data.signals) for model in models]
    assert not np.allclose(scores[0], scores[1])
    np.testing.assert_array_equal(scores[1], scores[2], "found by record, whatever the order")


def test_mistakes_are_told_in_one_line() -> None:
    data = bumps(40)
    with pytest.raises(EcgkitError, match="labels or rate differ"):
        train_classifier(data, validation=bumps(20, ("A", "B")), settings=SMALL)
    with pytest.raises(EcgkitError, match="2 s are shorter than the window of 2.5 s"):
        train_classifier(data)
    with pytest.raises(EcgkitError, match="has no record '30', which arrays has"):
        train_classifier(data, settings=SMALL, beside=data.subset(np.arange(30)))
    model, _ = train_classifier(data, settings=SupervisedSettings(
        encoder_options={"widths": [4, 4, 4, 4]}, crop_seconds=1.0, schedule=Schedule(epochs=1)))
    with pytest.raises(EcgkitError, match="the classifier knows BUMP, SLOPE at 100 Hz"):
        evaluate(model, bumps(20, ("A", "B")))


def heights(n: int = 160) -> tuple[ECGDataset, NDArray[np.float64]]:
    """ECGs with a bump in V1 of some height, which is what is to be read in µV; a second quantity is half unknown."""
    data, rng = bumps(n), np.random.default_rng(1)
    height = rng.uniform(0.5, 1.5, n)
    x = np.array(data.signals)
    x[:, 6] = np.tile(np.hanning(50), 4) * height[:, None]
    values = np.column_stack([1000 * height, np.where(np.arange(n) % 2, 1000 * height - 500, np.nan)])
    return from_arrays(x, data.labels, data.label_names, 100, records=data.records), values


def test_a_regressor_learns_what_is_known_of_each_quantity() -> None:
    data, values = heights()
    fold = data.records["strat_fold"].to_numpy()
    model, history = train_regressor(data.train, values[fold <= 8], {"height": "µV", "less": "µV"},
                                     settings=replace(SMALL, dropout=0.0))
    said = model.predict(data.folds(9, 10).signals)
    truth = values[fold > 8, 0]
    assert np.corrcoef(said[:, 0], truth)[0, 1] > 0.9
    assert np.abs(said[:, 1] - (truth - 500)).mean() < 150
    assert (model.units, len(history)) == (("µV", "µV"), 8)


@pytest.mark.parametrize(("values", "words"), [
    (np.zeros((3, 1)), "values of shape (3, 1) for 160 ECGs and 1 units"),
    (np.full((160, 1), np.nan), "height: unknown of all training ECGs"),
    (np.full((160, 1), 7.0), "height: unknown of all training ECGs, or the same in all"),
])
def test_what_cannot_be_learnt_is_named(values: NDArray[np.float64], words: str) -> None:
    with pytest.raises(EcgkitError, match=re.escape(words)):
        train_regressor(bumps(), values, {"height": "µV"}, settings=SMALL)
