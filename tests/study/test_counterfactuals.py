"""Page 09: seeds that never meet, controls that are what they say, runs that are found, and edits that are shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import ecgkit
from ecgkit.datasets import ECGDataset, from_arrays
from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.examine import Answers
from ecgkit.explain.results import classify
from ecgkit.leads import LEADS, limb_residual
from ecgkit.models import Classifier, build_encoder, save_classifier
from ecgkit.study import counterfactuals as panel
from ecgkit.study.counterfactuals import (
    HUM_LEAD,
    HUM_MV,
    JUDGE_SEED,
    KINDS,
    METHODS,
    chosen,
    hum,
    hum_size,
    hummed,
    runs_in,
    seen_in_training,
    settings_of,
    shown_questions,
    told_labels,
    train_explained,
    train_judges,
    untrained,
)
from ecgkit.training import Schedule, SupervisedSettings, train_classifier
from ecgkit.training.supervised import new_classifier
from tests.explain.gan_helpers import NAMES, same, signals

V2 = LEADS.index(HUM_LEAD)
TINY = SupervisedSettings(encoder_options={"widths": (8, 8, 8, 8)}, crop_seconds=0.64,
                          schedule=Schedule(epochs=1, batch_size=16))


def dataset(n: int = 50, sig_len: int = 100) -> ECGDataset:
    """ECGs in ten folds; a third has the first label, half the second."""
    labels = np.stack([np.arange(n) % 3 == 0, np.arange(n) % 2 == 0], axis=1)
    numbers = [str(k) for k in range(n)]
    records = pd.DataFrame({"record": numbers, "patient_id": numbers, "strat_fold": np.arange(n) % 10 + 1})
    return from_arrays(signals(n, sig_len), labels, NAMES, 100.0, records=records, name="ten folds")


class Trained(list[dict[str, Any]]):
    """What `train_classifier` was asked for, in place of it."""

    def __call__(self, train: ECGDataset, **options: Any) -> tuple[Classifier, pd.DataFrame]:
        self.append({"train": train, **options})
        return new_classifier(train, TINY, seed=options["seed"]).eval(), pd.DataFrame()


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    calls = Trained()
    monkeypatch.setattr(panel, "train_classifier", calls)
    return calls


def test_no_network_shares_a_seed_with_another_of_any_kind(trained: Trained) -> None:
    for kind in set(KINDS) - {"random"}:
        train_explained(kind, dataset(), settings=TINY, twins=["xresnet1d18"] * 3, label="A")
    train_judges(dataset(), ["xresnet1d18", "xresnet1d34", "xresnet1d18"], settings=TINY)
    seeds = [call["seed"] for call in trained]
    assert len(seeds) == len(set(seeds)) == 4 * 4 + 3
    assert seeds[-3:] == [JUDGE_SEED, JUDGE_SEED + 1, JUDGE_SEED + 2]


def test_only_the_training_folds_are_learnt_and_fold_9_is_watched(trained: Trained) -> None:
    data = dataset()
    for kind in set(KINDS) - {"random"}:
        train_explained(kind, data, settings=TINY, label="A")
    train_judges(data, ["xresnet1d18"], settings=TINY)
    for call in trained:
        assert set(call["train"].records["strat_fold"]) == set(range(1, 9))
        assert set(call["validation"].records["strat_fold"]) == {9}
        np.testing.assert_array_equal(call["validation"].labels, data.validation.labels)


def test_shuffled_labels_are_the_same_labels_on_other_ecgs(trained: Trained) -> None:
    data = dataset()
    train_explained("shuffled", data, settings=TINY, twins=["xresnet1d18"])
    first, second = (call["train"] for call in trained)
    assert sorted(map(tuple, first.labels)) == sorted(map(tuple, data.train.labels)), "each row whole"
    assert (first.labels != data.train.labels).any()
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.signals, data.train.signals)


def test_the_trained_and_the_retrained_learn_the_labels_as_they_are(trained: Trained) -> None:
    data = dataset()
    for kind in ("trained", "retrained"):
        train_explained(kind, data, settings=TINY)
    for call in trained:
        np.testing.assert_array_equal(call["train"].labels, data.train.labels)
        np.testing.assert_array_equal(call["train"].signals, data.train.signals)
    assert trained[0]["seed"] != trained[1]["seed"]


def test_only_ecgs_of_the_label_hum_in_training(trained: Trained) -> None:
    data = dataset()
    train_explained("shortcut", data, settings=TINY, label="B")
    change = trained[0]["train"].signals - data.train.signals
    has = data.train.labels[:, 1].astype(bool)
    assert not change[~has].any()
    assert (np.abs(change[has][:, V2]).max(axis=-1) > 0.9 * HUM_MV).all()
    assert not np.delete(change, V2, axis=1).any()
    np.testing.assert_array_equal(seen_in_training("shortcut", data, "B").signals, trained[0]["train"].signals)
    np.testing.assert_array_equal(seen_in_training("shuffled", data).signals, data.train.signals)


def test_one_is_trained_in_truth_and_a_shipped_one_is_taken(tmp_path: Path) -> None:
    explained, twins = train_explained("trained", dataset(), settings=TINY, twins=["xresnet1d18"])
    alone, _ = train_classifier(dataset().train, validation=dataset().validation, settings=TINY, seed=1000)
    assert same(explained, alone)
    assert not same(explained, twins[0])
    assert not explained.training
    save_classifier(explained, tmp_path / "c.safetensors", {})
    taken, none = train_explained("trained", dataset(), settings=TINY, shipped=str(tmp_path / "c.safetensors"))
    assert same(taken, explained)
    assert none == []


def test_judges_have_names_and_their_own_rates(trained: Trained) -> None:
    judges = train_judges(dataset(), ["xresnet1d18", "s4d", "xresnet1d18"], settings=TINY)
    assert list(judges) == ["xresnet1d18 1", "s4d 2", "xresnet1d18 3"]
    rates = [call["settings"].schedule.learning_rate for call in trained]
    assert rates[0] == rates[2] == TINY.schedule.learning_rate > rates[1]
    assert [call["settings"].encoder for call in trained] == ["xresnet1d18", "s4d", "xresnet1d18"]


def test_random_networks_are_not_trained_but_speak_as_loudly() -> None:
    data = dataset(80)
    explained, twins = train_explained("random", data, settings=TINY, twins=["xresnet1d18"])
    logits = classify(explained, data.train.signals)
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(logits.std(axis=0), 2, rtol=0.02)
    np.testing.assert_allclose(logits.mean(axis=0), 0, atol=0.01)
    assert not same(explained, twins[0])
    assert same(explained, untrained(data.train, TINY, 4000))
    assert not any(module.training for module in explained.modules())
    assert all(bool(torch.isfinite(value).all()) for value in explained.state_dict().values())


@pytest.mark.parametrize(("fs", "seconds"), [(100, 10), (100, 2.5), (500, 10)])
def test_the_hum_is_heard_as_loud_as_it_is(fs: float, seconds: float) -> None:
    n = round(seconds * fs)
    alone = hum(6, n, fs, seed=1)
    np.testing.assert_allclose(hum_size(alone, fs), HUM_MV, rtol=0.05)
    np.testing.assert_allclose(hum_size(3 * alone + 0.7, fs), 3 * HUM_MV, rtol=0.05)
    assert len(np.unique(alone[:, V2, 0])) == 6, "each has a phase of its own"
    assert not np.delete(alone, V2, axis=1).any()
    assert not limb_residual(alone).any()
    slow = np.zeros_like(alone)
    slow[:, V2] = np.sin(2 * np.pi * 5 * np.arange(n) / fs)
    np.testing.assert_allclose(hum_size(slow + alone, fs), HUM_MV, rtol=0.05)
    assert (hum_size(slow, fs) < 0.005).all()


def test_a_part_of_a_set_hums_and_its_store_stays_silent() -> None:
    data = dataset()
    before, part = data.store.copy(), data.subset([7, 3, 0, 9])
    loud = hummed(part, "A", seed=2)
    assert (hum_size(loud.signals - part.signals, 100) > 0.05).tolist() == part.labels[:, 0].astype(bool).tolist()
    np.testing.assert_array_equal(data.store, before)
    assert loud.records.equals(part.records)
    assert loud.name == "ten folds, A with a hum"
    np.testing.assert_array_equal(hummed(part, "A", seed=2).signals, loud.signals)


def test_unknown_kinds_and_labels_are_refused_in_one_line() -> None:
    with pytest.raises(EcgkitError, match="no kind 'nosuch'; choose from trained, retrained"):
        train_explained("nosuch", dataset(), settings=TINY)
    with pytest.raises(EcgkitError, match="no label 'MI' to plant the shortcut in; there are A, B"):
        train_explained("shortcut", dataset(), settings=replace(TINY), label="MI")


def test_every_method_has_settings_of_its_own_length() -> None:
    found = {name: settings_of(name, 123) for name in METHODS}
    assert {each.steps for each in found.values()} == {123}
    assert len({str(each) for each in found.values()}) == len(METHODS)


def test_the_cycle_gan_is_paid_for_the_way_back_and_not_for_small_edits() -> None:
    bare = settings_of("cyclegan", 10)
    assert not bare.graded
    assert bare.generator == {"residual": False, "warp_ms": 0.0}
    paid = {name for name, weight in vars(bare.weights).items() if weight}
    assert paid == {"reach", "adversarial", "cycle"}


def test_an_unknown_method_is_one_line() -> None:
    with pytest.raises(EcgkitError, match="no method 'vae'; choose from gan, cyclegan"):
        settings_of("vae", 10)


DATA = ecgkit.load("synthetic", n_patients=12, seconds=4.0)


def network(seed: int) -> Classifier:
    torch.manual_seed(seed)
    encoder = build_encoder("xresnet1d18", widths=(8, 8, 8, 8))
    return Classifier(encoder, DATA.label_names, fs=100.0, crop_len=250).eval()


def write_run(folder: Path, model: Classifier, data: ecgkit.ECGDataset = DATA, **about: str) -> None:
    folder.mkdir()
    save_classifier(model, folder / "classifier.safetensors", {})
    (folder / "about.json").write_text(json.dumps({"method": "gan", "data": data.name,
                                                   "fingerprint": data.fingerprint(), **about}))


def test_runs_are_found_by_what_they_are_and_what_they_explain(tmp_path: Path) -> None:
    other = ecgkit.load("synthetic", n_patients=13, seconds=4.0)
    write_run(tmp_path / "a", network(1), kind="random")
    write_run(tmp_path / "b", network(0), kind="trained")
    write_run(tmp_path / "c", network(2), other, kind="trained")
    write_run(tmp_path / "d", network(3), kind="trained", method="cyclegan")
    found = runs_in(tmp_path, DATA)
    assert list(found) == ["trained", "random", "cyclegan"]
    np.testing.assert_allclose(classify(found["trained"].classifier(), DATA.signals[:2]),
                               classify(network(0), DATA.signals[:2]))
    assert runs_in(tmp_path, other)["trained"].folder.name == "c"
    assert list(runs_in(tmp_path / "b", DATA)) == ["trained"]


def test_no_trained_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EcgkitError, match="no run of kind trained .* there is nothing. Run 09_counterfactuals"):
        runs_in(tmp_path, DATA)
    write_run(tmp_path / "a", network(1), kind="random")
    with pytest.raises(EcgkitError, match=f"explains {DATA.name}; there is {DATA.name}"):
        runs_in(tmp_path, DATA)


ASKED = pd.DataFrame({"row": range(6), "label": list("AAAABB"), "wanted": [0.05, 0.05, 0.95, 0.95, 0.05, 0.95]})


def answers(*outcome: str) -> Answers:
    n = len(outcome)
    return Answers(np.zeros((n, 12, 10), np.float32), np.zeros((n, 2)), np.array(outcome), np.ones(n))


def test_valid_answers_are_chosen_and_all_attempts_where_none_is() -> None:
    found = answers("valid", "failed", "failed", "abstained", "valid", "failed")
    assert chosen(found, ASKED, "A", 0.05).tolist() == [0]
    assert chosen(found, ASKED, "A", 0.95).tolist() == [2, 3]


def test_what_nobody_asked_is_one_line() -> None:
    with pytest.raises(EcgkitError, match="nobody asked for A at 0.5"):
        chosen(answers(*["valid"] * 6), ASKED, "A", 0.5)


def test_the_question_with_more_answers_is_shown_and_the_disease_away_where_both_have_as_many() -> None:
    found = shown_questions(answers("failed", *["valid"] * 5), ASKED)
    assert found == {"A": 0.95, "B": 0.05}
    assert shown_questions(answers(*["failed"] * 6), ASKED) == {"A": 0.05, "B": 0.05}


class Silent(SimpleNamespace):
    """An explainer that writes its card in place of its weights."""

    def save(self, path: Path, card: dict[str, Any]) -> None:
        path.write_text(json.dumps(card))


def test_what_is_saved_is_found_and_told(tmp_path: Path) -> None:
    history = pd.DataFrame({"minutes": [0.2, 1.6], "correlation": [0.5, 0.9]})
    explainer: Any = Silent(history=history, collapsed="")
    found = answers("valid", "failed", "valid", "valid", "valid", "abstained")
    panel.save(tmp_path, DATA, explainer, network(0), found, ASKED, seed=3, kind="shuffled", method="gan",
               source="synthetic", task="superclass", shortcut="", steps=9)
    about = json.loads((tmp_path / "about.json").read_text())
    assert list(about) == ["kind", "method", "source", "task", "data", "minutes", "n_train", "fingerprint", "labels",
                           "shortcut", "steps", "collapsed", "correlation"]
    assert (about["minutes"], about["correlation"], about["fingerprint"]) == (1.6, 0.9, DATA.fingerprint())
    card = json.loads((tmp_path / "explainer.safetensors").read_text())
    assert card["valid"]["A to 0.05"] == {"n": 2, "valid": 0.5, "failed": 0.5, "abstained": 0.0}
    assert same(panel.Run(tmp_path, about).classifier(), network(0))
    assert json.loads((tmp_path / "summary.json").read_text())["valid"] == pytest.approx(4 / 6)
    examined = pd.DataFrame({"changed": [0.1, 0.3], "size": [11.0, 13.0]})
    said = panel.words("shuffled", DATA, explainer, found, examined)
    assert said == {"what": KINDS["shuffled"], "data": DATA.name, "n_asked": "2", "ms": "1", "valid": "67 %",
                    "minutes": "2", "changed": "20 %", "size": "12", "collapsed": "answers follow the wishes"}


class FirstSample(nn.Module):
    """As logits, the first samples of I and II."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :2, 0]


def test_what_a_network_cannot_tell_is_refused() -> None:
    data = dataset(200)
    x = np.random.default_rng(0).normal(size=(200, 12, 20)).astype(np.float32)
    x[:, 0, 0] += 3 * data.labels[:, 0]
    x[:, 1, 0] -= 3 * data.labels[:, 1]
    table = told_labels(FirstSample(), replace(data, store=x, rows=np.arange(200)), n_boot=100)
    assert table["refused"].to_dict() == {NAMES[0]: False, NAMES[1]: True, "macro": True}, "the second is told wrong"
    assert table["AUROC"].str.fullmatch(r"\d\.\d\d \(.*\)").all()
