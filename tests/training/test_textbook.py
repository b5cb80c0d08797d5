"""Tests of the textbook: rules as scores of labels, and a head that says what network and rules say together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from ecgkit.datasets import synthetic
from ecgkit.datasets.base import ECGDataset
from ecgkit.models.encoders import build_encoder
from ecgkit.models.windowed import Classifier, Embedder
from ecgkit.physiology import load_rules
from ecgkit.physiology.verdicts import DEFINITIONS
from ecgkit.training.measured import MeasuredFeatures
from ecgkit.training.textbook import RIDGE, UNKNOWN, rule_scores, textbook

RULES = [str(rule) for rule in load_rules()["rule"].unique()]
NAMES = ("NORM", "LBBB", "CD", "unheard of")


def margins(**told: float) -> np.ndarray:
    """One ECG's row of rules, all far from met but those told."""
    row = np.full(len(RULES), -20.0)
    for rule, steps in told.items():
        row[RULES.index(rule.replace("_", " "))] = steps
    return row


@pytest.fixture(scope="module")
def data() -> ECGDataset:
    return synthetic.load(n_patients=60, seconds=5)


def network(*names: str, seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    return Classifier(build_encoder("xresnet1d18", widths=[8, 8, 8, 8]), names, fs=100, crop_len=250).eval()


def test_any_rule_of_a_label_speaks_for_it_and_against_being_normal() -> None:
    seen = np.stack([margins(), margins(complete_LBBB=2.0), margins(complete_RBBB=2.0), margins(long_QT=2.0)])
    norm, lbbb, cd, unknown = rule_scores(seen, NAMES).T
    np.testing.assert_allclose(lbbb, [-20, 2, -20, -20])
    np.testing.assert_allclose(cd[1:3], 2, atol=1e-6)
    np.testing.assert_allclose(cd[[0, 3]], -20 + np.log(len(DEFINITIONS["CD"].rules)))
    np.testing.assert_allclose(norm[1:], -2, atol=1e-6)
    assert norm[0] > 10
    assert np.isnan(unknown).all()


def test_what_could_not_be_judged_counts_as_not_met() -> None:
    row = margins(complete_LBBB=np.nan)
    np.testing.assert_allclose(rule_scores(row[None], ["LBBB"]), UNKNOWN)
    measured = np.concatenate([np.full(3, 99.0), row])  # measurements stand before the rules, and are not looked at
    np.testing.assert_array_equal(rule_scores(measured[None], NAMES), rule_scores(row[None], NAMES))


def test_a_head_learns_what_both_say_and_leaves_the_encoder_alone(data: ECGDataset) -> None:
    embedder = network("x", seed=1).embedder().eval()
    before = [value.clone() for value in embedder.state_dict().values()]
    simulated, measured = network("NORM", "LBBB", "unheard of"), MeasuredFeatures(100, rules=True)
    taught = textbook(embedder, simulated, data, measured)
    assert taught.label_names == simulated.label_names
    assert all(map(torch.equal, before, embedder.state_dict().values()))
    np.testing.assert_allclose(taught.embedder().embed(data.signals), embedder.embed(data.signals), rtol=1e-5)
    says = taught.in_batches(data.signals, 64, n_outputs=3, doing="").numpy()
    np.testing.assert_allclose(says.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(says.std(axis=0), 1, rtol=1e-3)
    network_says = scaled(simulated.in_batches(data.signals, 64, n_outputs=3, doing="").numpy())
    rules = scaled(rule_scores(measured.embed(data.signals), taught.label_names))
    both = network_says + np.where(np.isnan(rules), network_says, rules)
    fitted = Ridge(alpha=RIDGE, fit_intercept=False).fit(x := scaled(embedder.embed(data.signals)), scaled(both))
    np.testing.assert_allclose(says, scaled(fitted.predict(x)), atol=2e-3)


def scaled(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1)


def test_labels_are_not_looked_at(data: ECGDataset) -> None:
    embedder = Embedder(build_encoder("xresnet1d18", widths=[8, 8, 8, 8]), fs=100, crop_len=250).eval()
    simulated, measured = network("NORM", "MI"), MeasuredFeatures(100, rules=True)
    with_labels, without = (textbook(embedder, simulated, part, measured) for part in (data, data.with_labels(())))
    assert all(map(torch.equal, with_labels.state_dict().values(), without.state_dict().values()))
