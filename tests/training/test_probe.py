"""Tests of the heads on frozen embeddings: against scikit-learn, under rescaling, with hardly any label."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from ecgkit.datasets.splits import assign_folds
from ecgkit.errors import EcgkitError
from ecgkit.models import Embedder, build_encoder
from ecgkit.models.windowed import Classifier
from ecgkit.training import probe as probe_module
from ecgkit.training.probe import (
    FALLBACK,
    N_FOLDS,
    HeadSettings,
    Standard,
    fixed_steps,
    frozen_head,
    linear_probe,
    prior_of,
)


def embeddings(n: int, d: int = 12, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int64]]:
    """Embeddings of unequal scale with two labels that follow from them, noisily; two ECGs to a patient."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    y = (x[:, :2] + 0.7 * rng.normal(size=(n, 2)) > [0, 0.8]).astype(np.uint8)
    return (x * 10.0 ** rng.integers(-2, 3, d) + rng.normal(size=d)).astype(np.float32), y, np.arange(n) // 2


def test_one_strength_is_the_regression_of_scikit_learn() -> None:
    x, y, groups = embeddings(120)
    probe = linear_probe(x, y, groups=groups, seed=0, strengths=[0.3])
    wide = x.astype(np.float64)
    z = (wide - wide.mean(axis=0)) / wide.std(axis=0)
    for k in range(2):
        reference = LogisticRegression(C=0.3, solver="newton-cholesky", tol=1e-10).fit(z, y[:, k])
        np.testing.assert_allclose(probe.predict(x)[:, k], reference.predict_proba(z)[:, 1], atol=2e-3)
    np.testing.assert_allclose(probe.predict(x), 1 / (1 + np.exp(-probe.logits(x))))


def test_the_strength_is_the_best_across_folds_of_patients() -> None:
    x, y, groups = embeddings(80)
    z = Standard.of(x)(x)
    fold = assign_folds(groups, y, n_folds=N_FOLDS, seed=4)
    strengths = (1e-3, 1e-1, 10.0)
    losses = []
    for strength in strengths:
        scores = np.empty(y.shape)
        for held in range(1, N_FOLDS + 1):
            for k in range(2):
                model = LogisticRegression(C=strength, solver="newton-cholesky")
                model.fit(z[fold != held], y[fold != held, k])
                scores[fold == held, k] = model.predict_proba(z[fold == held])[:, 1]
        losses.append(np.mean([log_loss(y[:, k], scores[:, k]) for k in range(2)]))
    assert linear_probe(x, y, groups=groups, seed=4, strengths=strengths).strength == strengths[np.argmin(losses)]


def test_noise_is_held_back_more_than_signal() -> None:
    x, y, groups = embeddings(200)
    noise = np.random.default_rng(1).permutation(y)
    by = {name: linear_probe(x, labels, groups=groups, seed=0).strength for name, labels in
          (("signal", y), ("noise", noise))}
    assert by["noise"] < by["signal"]


def test_no_patient_is_on_both_sides_of_a_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    # The patient is all that the first feature tells, and all of a patient's ECGs have the same label.
    x, _, groups = embeddings(60)
    x[:, 0] = groups
    y = np.repeat(np.random.default_rng(0).integers(0, 2, (30, 1)), 2, axis=0).astype(np.uint8)
    standard, seen = Standard.of(x), []
    original = probe_module._path

    def watched(z, truth, strengths):  # type: ignore[no-untyped-def]
        seen.append(set(np.round(z[:, 0] * standard.spread[0] + standard.mean[0]).astype(int)))
        return original(z, truth, strengths)

    monkeypatch.setattr(probe_module, "_path", watched)
    linear_probe(x, y, groups=groups, seed=0, standard=standard)
    inside = seen[:N_FOLDS]
    assert all(sum(patient not in fold for fold in inside) == 1 for patient in range(30))
    assert sum(30 - len(fold) for fold in inside) == 30


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 100), st.floats(-3, 3))
def test_rescaled_features_give_the_same_probe_under_their_own_statistics(seed: int, exponent: float) -> None:
    pool, y, groups = embeddings(100, seed=seed)
    pool, y, groups = pool.astype(np.float64), y[:40], groups[:40]
    x = pool[:40]
    factor = 10.0 ** (exponent * np.linspace(-1, 1, x.shape[1]))
    probe = linear_probe(x, y, groups=groups, seed=0, standard=Standard.of(pool))
    moved = linear_probe(x * factor + 3, y, groups=groups, seed=0, standard=Standard.of(pool * factor + 3))
    assert moved.strength == probe.strength
    np.testing.assert_allclose(moved.predict(x * factor + 3), probe.predict(x), atol=1e-4)


def test_the_statistics_are_the_callers() -> None:
    x, y, groups = embeddings(30)
    standard = Standard(np.zeros(12), np.full(12, 2.0))
    assert linear_probe(x, y, groups=groups, seed=0, standard=standard).standard is standard
    np.testing.assert_array_equal(standard(x), x / 2.0)


def test_a_constant_feature_stays_harmless() -> None:
    x, y, groups = embeddings(60)
    x[:, 3], x[:, 4] = 0.0, 123.456
    assert Standard.of(x).spread[[3, 4]].tolist() == [1.0, 1.0]
    probe = linear_probe(x, y, groups=groups, seed=0)
    assert np.isfinite(probe.predict(x + 1e-3)).all()
    assert np.abs(probe.weight[:, [3, 4]]).max() < 1e-6


def test_a_label_of_one_class_gets_its_prevalence_and_others_are_not_touched() -> None:
    x, y, groups = embeddings(40)
    never, always = np.zeros((40, 1), np.uint8), np.ones((40, 1), np.uint8)
    probe = linear_probe(x, np.hstack([y, never, always]), groups=groups, seed=0, strengths=[0.1])
    predicted = probe.predict(x)
    np.testing.assert_allclose(predicted[:, 2], 0.5 / 41)
    np.testing.assert_allclose(predicted[:, 3], 40.5 / 41)
    np.testing.assert_array_equal(predicted[:, :2],
                                  linear_probe(x, y, groups=groups, seed=0, strengths=[0.1]).predict(x))


def test_too_few_positives_for_folds_take_the_fixed_strength() -> None:
    x, y, groups = embeddings(20)
    y[:] = 0
    y[[0, 1], 0] = 1  # one patient
    assert linear_probe(x, y, groups=groups, seed=0).strength == FALLBACK
    for n in (1, 2, 3):
        assert linear_probe(x[:n], y[:n], groups=groups[:n], seed=0).strength == FALLBACK


def test_the_mlp_head_learns_what_no_linear_probe_can_and_repeats_by_seed() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    y = (x[:, :1] * x[:, 1:2] > 0).astype(np.uint8)
    quick = HeadSettings(steps=120, learning_rate=1e-2, dropout=0.1)
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    head = frozen_head(x, y, seed=0, settings=quick)
    assert torch.equal(torch.random.get_rng_state(), before)
    linear = linear_probe(x, y, groups=np.arange(300), seed=0)
    assert roc_auc_score(y[:, 0], head.predict(x)[:, 0]) > 0.95
    assert roc_auc_score(y[:, 0], linear.predict(x)[:, 0]) < 0.7
    few = HeadSettings(steps=5)
    one, same, other = (frozen_head(x, y, seed=seed, settings=few).predict(x) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


def test_the_mlp_head_takes_one_ecg() -> None:
    x, y, _ = embeddings(1)
    assert np.isfinite(frozen_head(x, y, seed=0, settings=HeadSettings(steps=3)).predict(x)).all()


@given(st.integers(1, 500), st.integers(1, 100))
def test_fixed_steps_are_so_many(steps: int, batch_size: int) -> None:
    schedule, n_items = fixed_steps(steps, batch_size=batch_size)
    assert schedule.epochs * (n_items // schedule.batch_size) == steps
    assert n_items // schedule.batch_size <= 25


def test_mistakes_are_told_in_one_line() -> None:
    x, y, groups = embeddings(10)
    with pytest.raises(EcgkitError, match=r"embeddings of shape \(10, 12\) and labels of shape \(9, 2\)"):
        linear_probe(x, y[:9], groups=groups, seed=0)
    with pytest.raises(EcgkitError, match="n from 1 on"):
        frozen_head(x[:0], y[:0], seed=0)
    with pytest.raises(EcgkitError, match="9 patients for 10 embeddings"):
        linear_probe(x, y, groups=groups[:9], seed=0)
    with pytest.raises(EcgkitError, match="give at least one, all above 0"):
        linear_probe(x, y, groups=groups, seed=0, strengths=[1.0, 0.0])
    x[7, 2] = np.nan
    with pytest.raises(EcgkitError, match="embedding of ECG 7 is not finite"):
        linear_probe(x, y, groups=groups, seed=0)
    with pytest.raises(EcgkitError, match="0 steps of training: give at least 1"):
        fixed_steps(0)


def test_a_prior_is_followed_where_labels_are_few_and_may_be_turned_round() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2000, 40)).astype(np.float32)
    direction = rng.normal(size=40)
    labels = (features @ direction > 0).astype(np.uint8)[:, None]
    few, standard = slice(0, 20), Standard.of(features)
    prior = (direction * standard.spread / np.linalg.norm(direction))[None]

    def right(prior) -> float:
        probe = linear_probe(features[few], labels[few], groups=np.arange(20), seed=0, standard=standard, prior=prior)
        assert probe.weight.shape == (1, 40)
        return float(((probe.logits(features[20:]) > 0) == labels[20:]).mean())

    assert right(prior) > 0.9 > right(None) + 0.1
    assert right(-prior) > 0.9, "its sign is learnt"
    with pytest.raises(EcgkitError, match="a prior of shape"):
        right(prior[:, :3])


def test_the_prior_of_a_classifier_is_its_own_direction() -> None:
    torch.manual_seed(0)
    model = Classifier(build_encoder("xresnet1d18", widths=[8] * 4), ("a", "b", "c"), fs=100, crop_len=250)
    with torch.no_grad():
        model.train()(torch.randn(32, 12, 250))  # running statistics other than 0 and 1
    signals = np.random.default_rng(1).normal(size=(50, 12, 250)).astype(np.float32)
    embedder = Embedder(model.encoder, fs=100, crop_len=250)
    features = embedder.embed(signals)
    standard = Standard.of(features)
    said = standard(features) @ prior_of(model, ("c", "a"), standard, features).T
    logits = np.log(model.predict(signals) / (1 - model.predict(signals)))[:, [2, 0]]
    np.testing.assert_allclose(said.std(axis=0), 1, rtol=1e-6)
    assert np.corrcoef(said[:, 0], logits[:, 0])[0, 1] > 0.9999
    assert np.corrcoef(said[:, 1], logits[:, 1])[0, 1] > 0.9999
