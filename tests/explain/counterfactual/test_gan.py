"""`CounterfactualGAN`: it answers what was asked, says why where it does not, and comes back from a file the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import ecgkit
from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.judges import outcomes
from ecgkit.explain.battery.realism import einthoven_residual
from ecgkit.explain.counterfactual.gan import DEFAULT, CounterfactualGAN, least_plausible, load, plausibility
from ecgkit.explain.counterfactual.windows import discriminator_condition
from ecgkit.explain.results import Change, Counterfactuals, classify
from ecgkit.models import Classifier, build_encoder, model_card, save_classifier, shipped, weights
from ecgkit.models.generator import Discriminator
from ecgkit.models.weights import shipped_explainers
from tests.explain.gan_helpers import FS, NAMES, TINY, V5, Heights, dataset, ruler, same, signals


@pytest.fixture(scope="module")
def explainer() -> CounterfactualGAN:
    return CounterfactualGAN(Heights(), settings=TINY).fit(dataset(48))


@pytest.fixture
def x() -> NDArray[np.float32]:
    """ECGs of another length than the training windows, none of which is A by much."""
    found = signals(12, 100, seed=1)
    found[:, V5] -= np.maximum(0, found[:, V5].mean(axis=-1) + 0.1)[:, None]
    return found


@contextmanager
def with_(explainer: CounterfactualGAN, **values: Any) -> Iterator[CounterfactualGAN]:
    """The explainer with some attributes replaced for a while."""
    kept = {name: getattr(explainer, name) for name in values}
    for name, value in values.items():
        setattr(explainer, name, value)
    try:
        yield explainer
    finally:
        for name, value in kept.items():
            setattr(explainer, name, value)


def credulous(explainer: CounterfactualGAN) -> Any:
    """The explainer for which every ECG is plausible: what the others say of an answer is seen alone."""
    return with_(explainer, limit=-np.inf)


def test_answers_are_what_the_classifier_says_of_them(explainer: CounterfactualGAN, x: NDArray[np.float32]) -> None:
    with credulous(explainer):
        found = explainer(x, {"A": 0.8})
    assert found.signals.shape == x.shape
    assert found.signals.dtype == np.float32
    p = 1 / (1 + np.exp(-classify(explainer.classifier, found.signals)))
    np.testing.assert_allclose(found.probabilities, p, atol=1e-6)
    near = np.abs(p[:, 0] - 0.8) <= 0.05
    np.testing.assert_array_equal(found.valid, near)
    before = classify(explainer.classifier, x)[:, 0]
    assert (classify(explainer.classifier, found.signals)[:, 0] - before > 0).all(), "all went the right way"
    assert all(why.startswith("not reached: A is ") for why in found.reason[~near])
    assert (found.reason[near] == "").all()


def test_graded_wishes_are_followed_in_order(explainer: CounterfactualGAN, x: NDArray[np.float32]) -> None:
    wanted = np.linspace(0.1, 0.9, 9)
    with credulous(explainer):
        p = np.stack([explainer(x, {"A": float(p)}).probabilities[:, 0] for p in wanted], axis=1)
        each = explainer(np.repeat(x[:1], 9, axis=0), {"A": wanted}).probabilities[:, 0]
    assert np.corrcoef(np.tile(wanted, len(x)), p.ravel())[0, 1] > 0.7
    np.testing.assert_allclose(each, p[0], atol=1e-5)


def test_an_ecg_that_is_as_wanted_stays_as_it_is(explainer: CounterfactualGAN, x: NDArray[np.float32]) -> None:
    p = 1 / (1 + np.exp(-classify(explainer.classifier, x)[:, 0]))
    found = explainer(x, {"A": p})
    np.testing.assert_array_equal(found.signals, x)
    assert found.valid.all()


def test_implausible_answers_are_not_given_with_the_reason(explainer: CounterfactualGAN, x: NDArray[np.float32]) -> \
        None:
    with credulous(explainer):
        plain = explainer(x, {"A": 0.9})
    assert plain.valid.sum() >= 3, "there is something to doubt"
    with with_(explainer, limit=np.inf):
        doubted = explainer(x, {"A": 0.9})
    assert not doubted.valid.any()
    assert all(why.startswith("not plausible") for why in doubted.reason[plain.valid])
    assert all(why.startswith("not reached") for why in doubted.reason[~plain.valid])
    assert set(outcomes(doubted)[plain.valid]) == {"abstained"}
    np.testing.assert_array_equal(doubted.signals, plain.signals)


def test_where_the_typical_is_not_plausible_the_wish_itself_is_asked_for(
        explainer: CounterfactualGAN, x: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch) -> None:
    aims: list[NDArray[np.float64]] = []
    corrected = CounterfactualGAN._corrected

    def told(self: CounterfactualGAN, *given: Any) -> Counterfactuals:
        aims.append(given[3][0].copy())
        found = corrected(self, *given)
        plausible = np.arange(len(found)) < 2 if len(aims) == 1 else np.arange(len(found)) != 3
        return replace(found, valid=plausible, reason=np.where(plausible, "", f"doubted {len(aims)}"))

    monkeypatch.setattr(CounterfactualGAN, "_corrected", told)
    with with_(explainer, ends=torch.tensor([[-5.0, 5.0], [-5.0, 5.0]])):
        found = explainer(x, {"A": 0.95})
    np.testing.assert_allclose(aims[0], 5.0)
    np.testing.assert_allclose(aims[1], np.full(len(x) - 2, np.log(19)))
    assert found.reason.tolist() == [""] * 5 + ["doubted 1"] + [""] * 6, "else the first stays"


def test_what_a_twin_does_not_follow_is_not_given(explainer: CounterfactualGAN, x: NDArray[np.float32]) -> None:
    with credulous(explainer):
        plain = explainer(x, {"A": 0.9})
        for twin, believed in ((Heights(), True), (Heights(sign=-1.0), False)):
            with with_(explainer, twins=(twin,)):
                found = explainer(x, {"A": 0.9})
            assert found.valid.tolist() == (plain.valid & believed).tolist()
        assert all(why.startswith("not general") and "(A)" in why for why in found.reason[plain.valid])
        assert set(outcomes(found)[plain.valid]) == {"abstained"}


def test_a_wish_near_the_middle_needs_no_twin(explainer: CounterfactualGAN, x: NDArray[np.float32]) -> None:
    with credulous(explainer), with_(explainer, twins=(Heights(sign=-1.0),)):
        found = explainer(x, {"A": 0.6})
    assert not any(why.startswith("not general") for why in found.reason)


def test_several_answers_begin_with_the_plain_one_and_repeat_by_seed(explainer: CounterfactualGAN,
                                                                     x: NDArray[np.float32]) -> None:
    with credulous(explainer):
        plain, found = explainer(x, {"A": 0.9}), explainer.several(x, {"A": 0.9}, n=3, seed=5)
        again = explainer.several(x, {"A": 0.9}, n=3, seed=5)
    assert len(found) == 3
    np.testing.assert_array_equal(found[0].signals, plain.signals)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one.signals, other.signals)
    assert not np.array_equal(found[1].signals, found[2].signals)


def test_it_comes_back_from_a_file_and_answers_the_same_to_the_bit(explainer: CounterfactualGAN, tmp_path: Path,
                                                                   x: NDArray[np.float32]) -> None:
    file = tmp_path / "e.safetensors"
    explainer.save(file, {"data": "heights"})
    again = CounterfactualGAN.restored(file, Heights())
    assert (again.label_names, again.fs) == (NAMES, FS)
    assert again.limit == explainer.limit
    for target in ({"A": 0.9}, {"B": 0.05, "A": 0.5}):
        one, other = explainer(x, target), again(x, target)
        for name, value in vars(one).items():
            np.testing.assert_array_equal(getattr(other, name), value, err_msg=name)


def test_an_explainer_of_another_classifier_is_refused(explainer: CounterfactualGAN, tmp_path: Path) -> None:
    explainer.save(tmp_path / "e.safetensors", {})
    with pytest.raises(EcgkitError, match=r"e\.safetensors explains another classifier"):
        CounterfactualGAN.restored(tmp_path / "e.safetensors", Heights(sign=-1.0))


def small(seed: int) -> Classifier:
    torch.manual_seed(seed)
    return Classifier(build_encoder("xresnet1d18", widths=(8, 8, 8, 8)), NAMES, fs=FS, crop_len=64).eval()


def test_twins_are_kept_with_it_and_the_callers_stay_as_they_were(tmp_path: Path, x: NDArray[np.float32]) -> None:
    classifier, twin = small(0), small(1)
    digests = [[value.clone() for value in model.state_dict().values()] for model in (classifier, twin)]
    explainer = CounterfactualGAN(classifier, twins=[twin], settings=replace(TINY, steps=2)).fit(dataset(8))
    for model, values in zip((classifier, twin), digests, strict=True):
        assert all(map(torch.equal, model.state_dict().values(), values))
    explainer.save(tmp_path / "e.safetensors", {})
    again = CounterfactualGAN.restored(tmp_path / "e.safetensors", classifier)
    assert len(again.twins) == 1
    assert same(again.twins[0], explainer.twins[0])
    np.testing.assert_array_equal(again(x, {"B": 0.9}).signals, explainer(x, {"B": 0.9}).signals)
    explainer.twins = (Heights(),)
    with pytest.raises(EcgkitError, match="twins must be ecgkit classifiers"):
        explainer.save(tmp_path / "other.safetensors", {})


def test_any_module_is_explained_once_its_labels_and_rate_are_given() -> None:
    plain = nn.Sequential(nn.Flatten(), nn.Linear(12 * 64, 2))
    with pytest.raises(EcgkitError, match="give label_names and fs"):
        CounterfactualGAN(plain)
    explainer = CounterfactualGAN(plain, label_names=("left", "right"), fs=FS, settings=replace(TINY, steps=1))
    found = explainer.fit(dataset(4, 64))(signals(3, 64), {"right": 0.05})
    assert found.probabilities.shape == (3, 2)
    assert list(explainer.history["step"]) == [1]


def test_the_classifier_is_left_alone() -> None:
    classifier = Heights().train()
    CounterfactualGAN(classifier, settings=replace(TINY, steps=1)).fit(dataset(4))(signals(1), {"A": 0.9})
    assert classifier.training
    assert all(parameter.requires_grad for parameter in classifier.parameters())


def test_before_training_it_says_what_to_do(tmp_path: Path) -> None:
    explainer = CounterfactualGAN(Heights())
    with pytest.raises(EcgkitError, match=r"has not been trained; call fit\(data\) first"):
        explainer(signals(1), {"A": 0.5})
    with pytest.raises(EcgkitError, match=r"cannot be saved: call fit\(data\) first"):
        explainer.save(tmp_path / "e.safetensors", {})


def test_data_of_another_rate_are_refused() -> None:
    with pytest.raises(EcgkitError, match="heights has 500 Hz, the classifier expects 100; load it with fs=100"):
        CounterfactualGAN(Heights()).fit(replace(dataset(2), fs=500.0))


@pytest.mark.parametrize(("change", "target", "words"), [
    (lambda x: x[0], {"A": 0.5}, r"signals of shape \(12, 100\); give \(n, 12, sig_len\)"),
    (lambda x: x[:, :8], {"A": 0.5}, r"signals of shape \(12, 8, 100\)"),
    (lambda x: np.where(np.arange(100) == 7, np.nan, x), {"A": 0.5}, "of finite millivolts at 100 Hz"),
    (lambda x: x, {"MI": 0.5}, "no label 'MI'; the classifier has A, B"),
    (lambda x: x, {"A": 1.0}, "target of A: give one probability between 0 and 1"),
    (lambda x: x, {}, "nothing is asked"),
])
def test_what_cannot_be_answered_is_refused_in_one_line(explainer: CounterfactualGAN, x: NDArray[np.float32],
                                                        change: Any, target: dict[str, float], words: str) -> None:
    with pytest.raises(EcgkitError, match=words) as caught:
        explainer(change(x), target)
    assert "\n" not in str(caught.value)


def test_a_collapse_is_said(explainer: CounterfactualGAN) -> None:
    assert explainer.collapsed == ""
    with with_(explainer, history=pd.DataFrame({"correlation": [0.9, 0.1, 0.0, 0.1, 0.0, 0.1]})):
        assert explainer.collapsed == "answers hardly follow the wishes: correlation 0.06"


def test_the_wish_is_put_again_along_the_slope_of_the_answers_and_the_closest_is_kept(
        explainer: CounterfactualGAN, monkeypatch: pytest.MonkeyPatch) -> None:
    # A generator that gives half of what more is asked for, and once far too much.
    asked: list[float] = []
    x = np.zeros((1, 12, 100), dtype=np.float32)

    def drawn(self: CounterfactualGAN, x: NDArray[np.float32], now: NDArray[np.float64],
              aims: dict[int, NDArray[np.float64]], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        asked.append(float(aims[0][0]))
        answer = x.copy()
        answer[:, V5] = (50.0 if len(asked) == 2 else asked[-1] / 2) / 6  # six logits for each millivolt of V5
        return answer

    monkeypatch.setattr(CounterfactualGAN, "_generate", drawn)
    now, noise, wish = np.zeros((1, 2)), np.zeros((1, 4), dtype=np.float32), {0: np.array([np.log(4)])}
    with credulous(explainer):
        monkeypatch.setattr("ecgkit.explain.counterfactual.gan.ROUNDS", 2)
        overshot = explainer._corrected(x, now, wish, wish, noise)
        assert asked == pytest.approx([np.log(4), 2 * np.log(4)]), "half came, so twice as much is asked for"
        assert overshot.probabilities[0, 0] == pytest.approx(2 / 3), "the first came closer"
        assert wish[0][0] == np.log(4)
        assert explainer._corrected(x, now, wish, wish, noise).valid.all(), "without the accident"


LENGTH = 50
ENDS = torch.tensor([[-3.0, 4.0], [-5.0, 3.0]])


@pytest.fixture(scope="module")
def discriminator() -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(4, widths=(8, 8), kernel_size=3).eval()


def test_an_ecg_is_as_real_as_it_is_for_the_kind_that_suits_it_best(discriminator: Discriminator) -> None:
    real, scores = signals(70, 2 * LENGTH), []
    for label, end in np.ndindex(2, 2):
        told = discriminator_condition(torch.full((70,), label), ENDS[label, end].expand(70), 2)
        with torch.no_grad():
            scores.append(sum(discriminator(torch.from_numpy(half), told).numpy() / 2
                              for half in np.split(real, 2, axis=2)))
    np.testing.assert_allclose(plausibility(discriminator, real, ENDS, LENGTH), np.max(scores, axis=0), atol=1e-5)
    assert len(set(np.argmax(scores, axis=0))) > 1, "more than one kind is the best of some"


@pytest.mark.parametrize("sig_len", [LENGTH - 20, LENGTH, LENGTH + 7, 3 * LENGTH])
def test_ecgs_of_any_length_are_scored_to_their_ends(discriminator: Discriminator, sig_len: int) -> None:
    x = signals(2, sig_len)
    x[1] = x[0]
    x[1, :, -1] += 1.0
    first, second = plausibility(discriminator, x, ENDS, LENGTH)
    assert first != second


def test_the_limit_is_what_one_of_a_hundred_real_ecgs_falls_short_of(discriminator: Discriminator) -> None:
    real = dataset(300)
    limit = least_plausible(discriminator, real, ENDS, LENGTH)
    short = plausibility(discriminator, real.signals, ENDS, LENGTH) < limit
    assert 0 < short.sum() <= 3


def test_of_no_ecg_nothing_is_said(discriminator: Discriminator) -> None:
    assert plausibility(discriminator, signals(1, LENGTH)[:0], ENDS, LENGTH).shape == (0,)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as a package ships them: the classifiers `small` and `other`, and an explainer of the first."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "shipped" / "explainers").mkdir(parents=True)
    for seed, name in enumerate(("small", "other")):
        save_classifier(small(seed), folder / "shipped" / f"{name}.safetensors", {})
    explainer = CounterfactualGAN(small(0), settings=replace(TINY, steps=1)).fit(dataset(4))
    explainer.save(folder / "shipped" / "explainers" / "small.safetensors", {"data": "heights"})
    return folder


@pytest.fixture
def shipping(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(weights, "files", lambda package: folder)
    return folder / "shipped"


def test_a_shipped_one_brings_its_classifier(shipping: Path) -> None:
    explainer = load("small")
    found = explainer(signals(2), {"A": 0.95})
    assert found.signals.shape == (2, 12, 100)
    assert list(shipped_explainers()) == ["small"]


def test_a_file_of_ones_own_needs_its_classifier(shipping: Path) -> None:
    file = shipping / "explainers" / "small.safetensors"
    np.testing.assert_array_equal(load(file, "small")(signals(1), {"A": 0.9}).signals,
                                  load("small")(signals(1), {"A": 0.9}).signals)
    with pytest.raises(EcgkitError, match="give also the classifier that it explains"):
        load(file)
    with pytest.raises(EcgkitError, match="explains another classifier"):
        load(file, "other")
    with pytest.raises(EcgkitError, match="holds no explainer"):
        load(shipping / "small.safetensors", "small")


def test_where_none_is_shipped_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "files", lambda package: tmp_path)
    with pytest.raises(EcgkitError, match="no such explainer is shipped .there are none.") as caught:
        load()
    assert "\n" not in str(caught.value)


def test_what_is_shipped_is_small_says_what_it_is_and_answers() -> None:
    assert DEFAULT in shipped(), "its classifier"
    for name, path in shipped_explainers().items():
        assert path.stat().st_size <= 4 * 2**20
        assert {"data", "licence", "intended_use"} <= set(model_card(path))
        explainer = load(name)
        found = explainer(np.zeros((1, 12, round(10 * explainer.fs)), np.float32), {explainer.label_names[0]: 0.95})
        assert found.probabilities.shape == (1, len(explainer.label_names))


def test_the_one_that_comes_with_the_package_answers_and_says_how_it_was_tested() -> None:
    explainer = load()
    card = model_card(shipped_explainers()[DEFAULT])
    assert "not a medical device" in card["intended_use"]
    assert {"GAN", "an attack of the same norm"} == set(card["battery"])
    assert len(card["battery"]["GAN"]) >= 6
    assert card["battery_data"]
    x = ecgkit.load("synthetic", n_patients=8).signals[:4]
    found = explainer(x, {"MI": 0.95})
    assert found.signals.shape == x.shape
    assert found.probabilities.shape == (4, 5)
    assert einthoven_residual(found.signals).max() < 1e-5
    assert found.valid.any(), "simulated hearts, which it was not trained on, included"
    assert (found.probabilities[found.valid, explainer.label_names.index("MI")] >= 0.9 - 1e-6).all()


@pytest.fixture(scope="module")
def measuring() -> CounterfactualGAN:
    return CounterfactualGAN(ruler(), settings=TINY).fit(dataset(48))


def test_a_regressor_is_explained_in_its_units(measuring: CounterfactualGAN) -> None:
    x = signals(12, 100, seed=1)
    before = ruler().predict(x)[:, 0]
    with credulous(measuring):
        found, changed = measuring(x, {"A": 110}), measuring(x, {"A": Change(np.full(12, 15.0))})
    np.testing.assert_allclose(found.probabilities, ruler().predict(found.signals), atol=1e-3)
    assert found.valid.sum() >= 6
    assert (np.abs(found.probabilities[found.valid, 0] - 110) <= 1.5 + 1e-3).all()
    inside = changed.valid
    assert inside.sum() >= 4
    np.testing.assert_allclose(changed.probabilities[inside, 0], before[inside] + 15, atol=1.51)


def test_what_no_training_ecg_has_is_not_given(measuring: CounterfactualGAN) -> None:
    with credulous(measuring):
        found = measuring(signals(3), {"A": [100, 500, 20]})
    assert found.reason[1:].tolist() == ["out of range: no training ECG has such a A"] * 2
    assert not found.valid[1:].any()
    assert set(outcomes(found)[1:]) == {"abstained"}


@pytest.mark.parametrize(("gain", "consents"), [(6.0, True), (3.6, True), (2.4, False), (-6.0, False)])
def test_a_twin_has_to_see_half_of_the_change(measuring: CounterfactualGAN, gain: float, consents: bool) -> None:
    x = np.zeros((1, 12, 100), dtype=np.float32)
    raised = x.copy()
    raised[:, V5] = 0.5
    now, wish = classify(measuring.classifier, x), {0: np.array([3.0])}
    reached = Counterfactuals(raised, np.array([[130.0, 100.0]]), np.array([True]), np.array([""], dtype=object))
    with with_(measuring, limit=-np.inf, twins=(ruler(gain),)):
        found = measuring._doubted(reached, x, now, wish)
    assert found.valid.tolist() == [consents]
    assert found.reason[0].startswith("not general") == (not consents)


def test_an_explained_regressor_comes_back_from_a_file(measuring: CounterfactualGAN, tmp_path: Path) -> None:
    measuring.save(tmp_path / "e.safetensors", {})
    again, x = load(tmp_path / "e.safetensors", measuring.classifier), signals(2)
    np.testing.assert_array_equal(again(x, {"B": 95}).signals, measuring(x, {"B": 95}).signals)
