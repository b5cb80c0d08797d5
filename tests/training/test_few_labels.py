"""Tests of the few-label classifier: what it joins, that it is calibrated and kept, and its manners."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.base import clone
from sklearn.model_selection import KFold, cross_val_predict

from ecgkit import pretrained
from ecgkit.datasets import synthetic
from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc, macro
from ecgkit.models import model_card, shipped_encoders, weights
from ecgkit.models.encoders import build_encoder
from ecgkit.models.windowed import Classifier, Embedder
from ecgkit.training.few_labels import BELIEF, LEAST_SLOPE, FewLabelClassifier, Seen, load_any


@pytest.fixture(scope="module")
def data() -> ECGDataset:
    return synthetic.load(n_patients=240, seconds=5)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    torch.manual_seed(0)
    return Embedder(build_encoder("xresnet1d18", widths=[8, 8, 8, 8]), fs=100, crop_len=250).eval()


@pytest.fixture(scope="module")
def fitted(data: ECGDataset, embedder: Embedder) -> FewLabelClassifier:
    model = FewLabelClassifier(encoder=embedder, n_trees=20)
    return model.fit(data.train.signals, data.train.labels, groups=data.train.records["patient_id"],
                     label_names=data.label_names)


#: What `fit_seen` is told of an encoder that has no textbook.
SMALL = Embedder(build_encoder("xresnet1d18", widths=[8, 8, 8, 8]), fs=100, crop_len=250)


def seen(n: int, seed: int = 0) -> tuple[Seen, NDArray[np.uint8]]:
    """Label 0 is in the measurements, 1 in the embedding, 2 in both, 3 always there."""
    rng = np.random.default_rng(seed)
    measured, embedded = rng.normal(size=(n, 6)), rng.normal(size=(n, 4)).astype(np.float32)
    noise = 0.5 * rng.normal(size=n)
    labels = [measured[:, 0] > 0, embedded[:, 0] > 0, measured[:, 1] + embedded[:, 1] + noise > 1, np.ones(n)]
    measured[rng.random((n, 6)) < 0.05] = np.nan
    return Seen(measured, embedded), np.stack(labels, axis=1).astype(np.uint8)


def test_it_learns_what_either_member_sees() -> None:
    known, y = seen(300)
    asked, truth = seen(500, 1)
    model = FewLabelClassifier(encoder=SMALL, n_trees=50).fit_seen(known, y)
    alone = [auroc(truth, model.forest_.predict(asked.measured)), auroc(truth, model.probe_.logits(asked.embedded))]
    joined = auroc(truth, model.logits(asked))
    assert joined[0] > 0.8
    assert joined[1] > 0.8
    assert joined[2] > max(each[2] for each in alone) + 0.02, "each sees half of it"


def test_probabilities_are_calibrated_on_ecgs_that_were_not_learnt_from() -> None:
    known, y = seen(600)
    asked, truth = seen(4000, 1)
    p = expit(FewLabelClassifier(encoder=SMALL, n_trees=50).fit_seen(known, y).logits(asked))
    for k in range(3):
        for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
            inside = (p[:, k] >= low) & (p[:, k] < high)
            assert truth[inside, k].mean() == pytest.approx(p[inside, k].mean(), abs=0.12)
    assert (p[:, 3] > 0.99).all()


def test_a_few_ecgs_neither_turn_the_order_around_nor_make_it_sure() -> None:
    for seed in range(10):
        known, y = seen(6, seed)
        model = FewLabelClassifier(encoder=SMALL, n_trees=10).fit_seen(known, y)
        assert np.isfinite(model.logits(seen(20, 99)[0])).all()
        slope = model.line_[0]
        mixed = (y.min(axis=0) == 0) & (y.max(axis=0) == 1)
        assert (slope[mixed] >= LEAST_SLOPE).all()
        assert (slope[mixed] < 3).all()


def test_further_ecgs_say_what_is_common_and_their_labels_are_not_asked_for() -> None:
    (known, y), (more, _) = seen(20), seen(500, 1)
    alone, helped = (FewLabelClassifier(encoder=SMALL, n_trees=5).fit_seen(known, y, more=further)
                     for further in (None, more))
    everything = np.concatenate([known.embedded, more.embedded])
    np.testing.assert_allclose(helped.probe_.standard.mean, everything.astype(float).mean(axis=0))
    assert not np.allclose(alone.probe_.standard.mean, helped.probe_.standard.mean)
    assert np.isfinite(helped.forest_.bins.edges).all(axis=1).all(), "500 ECGs fill all bins"


def test_what_the_textbook_says_orders_ecgs_while_labels_are_few() -> None:
    known, y = seen(2000)
    names = ("a", "b", "c", "unheard of")
    torch.manual_seed(0)
    taught = Classifier(SMALL.encoder, ("c", "b"), fs=100, crop_len=250).eval()
    with torch.no_grad():
        taught.head[-1].weight = torch.nn.Parameter(torch.zeros(2, SMALL.n_features))
        taught.head[-1].weight[0, 1] = taught.head[-1].weight[1, 0] = 1.0
    wide = Seen(known.measured, np.pad(known.embedded, ((0, 0), (0, SMALL.n_features - 4))))
    asked, truth = wide.rows(slice(1000, 2000)), y[1000:]
    for n, most in ((3, 0.1), (1000, 0.02)):
        few = wide.rows(slice(0, n))
        plain, told = (FewLabelClassifier(encoder=encoder, n_trees=20).fit_seen(
            few, y[:n], more=asked, label_names=names) for encoder in (SMALL, taught))
        np.testing.assert_allclose(told.share_, [0, BELIEF / (BELIEF + n), BELIEF / (BELIEF + n), 0])
        gain = auroc(truth, told.logits(asked)) - auroc(truth, plain.logits(asked))
        np.testing.assert_allclose(gain[[0, 3]], [0, np.nan], atol=1e-9)
        assert (gain[1:3] > (most if n == 3 else -most)).all()


def test_on_simulated_ecgs_it_reads_them(data: ECGDataset, fitted: FewLabelClassifier) -> None:
    p = fitted.predict_proba(data.test.signals)
    assert p.shape == (len(data.test), len(data.label_names))
    assert float(macro(auroc(data.test.labels, p))) > 0.75
    np.testing.assert_array_equal(fitted.predict(data.test.signals), p >= 0.5)
    np.testing.assert_allclose(expit(fitted.decision_function(data.test.signals)), p)


def test_it_has_the_manners_of_scikit_learn(embedder: Embedder) -> None:
    model = FewLabelClassifier(seed=3, encoder=SMALL, n_trees=7)
    assert model.get_params() == {"fs": 100.0, "seed": 3, "encoder": SMALL, "n_trees": 7, "folder": None}
    assert clone(FewLabelClassifier(seed=3)).get_params() == FewLabelClassifier(seed=3).get_params()
    known, y = seen(40)
    first, again = (model.fit_seen(known, y).logits(known) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, model.set_params(seed=4).fit_seen(known, y).logits(known))


def test_tools_of_scikit_learn_take_it(data: ECGDataset, embedder: Embedder) -> None:
    part = data.train.subset(np.arange(40))
    model = FewLabelClassifier(encoder=embedder, n_trees=5)
    p = cross_val_predict(model, np.asarray(part.signals), part.labels, cv=KFold(2), method="predict_proba")
    assert p.shape == part.labels.shape
    assert np.isfinite(p).all()
    with pytest.raises(EcgkitError, match="no parameter 'trees'; there are fs, seed, encoder, n_trees, folder"):
        model.set_params(trees=3)


def test_a_file_gives_the_same_answers_and_is_small(data: ECGDataset, fitted: FewLabelClassifier,
                                                    tmp_path: Path) -> None:
    file = tmp_path / "few.safetensors"
    fitted.save(file, {"data": data.name})
    again = FewLabelClassifier.load(file)
    assert again.label_names_ == data.label_names
    np.testing.assert_array_equal(again.predict_proba(data.test.signals), fitted.predict_proba(data.test.signals))
    assert [path.name for path in tmp_path.iterdir()] == ["few.safetensors"]


def test_by_default_it_takes_the_encoder_that_is_shipped(data: ECGDataset) -> None:
    found = FewLabelClassifier().see(np.asarray(data.signals)[:2])
    np.testing.assert_array_equal(found.embedded, pretrained().embed(np.asarray(data.signals)[:2]))


def test_mistakes_are_told_in_one_line(data: ECGDataset, embedder: Embedder, tmp_path: Path) -> None:
    known, y = seen(5)
    for labels in (y[:4], y[:, 0], y[:0]):
        with pytest.raises(EcgkitError, match="expected \\(n, n_labels\\)"):
            FewLabelClassifier(encoder=SMALL).fit_seen(known, labels)
    with pytest.raises(EcgkitError, match="a name each"):
        FewLabelClassifier(encoder=SMALL).fit_seen(known, y, label_names=("MI",))
    with pytest.raises(EcgkitError, match="has learnt nothing yet"):
        FewLabelClassifier(encoder=embedder).predict_proba(np.asarray(data.signals)[:1])
    with pytest.raises(EcgkitError, match="500 Hz, and the encoder expects 100 Hz"):
        FewLabelClassifier(500, encoder=embedder).see(np.asarray(data.signals)[:1])
    with pytest.raises(EcgkitError, match="not a readable few-label classifier"):
        FewLabelClassifier.load(tmp_path / "none.safetensors")


def test_a_damaged_file_is_refused(fitted: FewLabelClassifier, tmp_path: Path) -> None:
    file = tmp_path / "few.safetensors"
    fitted.save(file, {})
    content = file.read_bytes()
    renamed = content.replace(b"ecgkit-few-labels-1", b"ecgkit-few-labels-9")
    unnamed = content.replace(b'\\"NORM\\", ', b" " * len(b'\\"NORM\\", '))
    unbuilt = content.replace(b'\\"xresnet1d18\\"', b'\\"xresnet1d17\\"')
    assert content not in (renamed, unnamed, unbuilt)
    for damaged in (content[:1000], content[:-10], b"", renamed, unnamed, unbuilt):
        file.write_bytes(damaged)
        with pytest.raises(EcgkitError, match="few-label classifier"):
            FewLabelClassifier.load(file)


def test_a_shipped_one_is_found_by_name_and_a_network_beside_it(fitted: FewLabelClassifier, data: ECGDataset,
                                                                tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "joined.safetensors"
    fitted.save(file, {"data": "simulated"})
    with pytest.raises(EcgkitError, match="joined: no such file of weights; shipped are ptbxl-joined, "):
        load_any("joined")
    monkeypatch.setattr(weights, "_FEW_LABELS", replace(weights._FEW_LABELS, folder=str(tmp_path)))
    signals = np.asarray(data.signals)[:3]
    for named in ("joined", file):
        model = load_any(named)
        assert isinstance(model, FewLabelClassifier)
        assert (model.label_names, model.fs, model.crop_len) == (data.label_names, 100, 250)
        np.testing.assert_array_equal(model.predict_proba(signals), fitted.predict_proba(signals))
    network = load_any("ptbxl-superclass")
    assert isinstance(network, Classifier)
    np.testing.assert_array_equal(network.predict_proba(signals), network.predict(signals))
    with pytest.raises(EcgkitError, match="holds no classifier or few-labels"):
        load_any(shipped_encoders()["utah"])
    assert model_card(file) == {"data": "simulated"}


def test_those_that_are_shipped_are_small_and_say_what_they_are() -> None:
    assert not set(weights.shipped_few_labels()) & {*weights.shipped(), *shipped_encoders()}, "one name, one model card"
    for name, path in weights.shipped_few_labels().items():
        assert path.stat().st_size <= 8 * 2**20
        assert load_any(name).label_names
        assert {"data", "n_train", "fingerprint", "test_auroc", "licence", "intended_use", "limits"} <= set(
            model_card(name))
