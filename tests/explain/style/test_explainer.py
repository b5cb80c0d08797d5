"""The style explainer, on a classifier that looks at nothing but R in V5."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ecgkit.errors import EcgkitError
from ecgkit.explain.style.explainer import StyleExplainer, moves_of
from tests.explain.style_helpers import TINY, Tall, drawn_beats

SETTINGS = replace(TINY, steps=250, batch_size=16, learning_rate=8e-3, averaging=0.98)


def untrained() -> StyleExplainer:
    return StyleExplainer(Tall(), label_names=("high", "low"), fs=100.0, settings=SETTINGS)


@pytest.fixture(scope="module")
def explainer() -> StyleExplainer:
    return untrained().fit(drawn_beats(200), seed=0)


def test_beats_are_drawn_again_and_judged_alike(explainer: StyleExplainer) -> None:
    beats = drawn_beats(40, seed=1)
    again = explainer.redrawn(beats)
    assert np.abs(again - beats).mean() < 0.8 * np.abs(beats - beats.mean(axis=0)).mean()
    p, q = explainer.probabilities(beats)[:, 0], explainer.probabilities(again)[:, 0]
    assert np.corrcoef(p, q)[0, 1] > 0.9


def test_coordinates_raise_the_label_and_are_named_by_r(explainer: StyleExplainer) -> None:
    found = explainer.explain(drawn_beats(60, seed=1), "high", search=drawn_beats(40, seed=2), n_top=4)
    assert (found.coordinates["effect_low"] > 0).all()
    assert (found.coordinates["effect_low"] <= found.coordinates["effect"]).all()
    assert found.sufficiency["flipped"].iloc[-1] > 0.7
    assert found.sufficiency["random"].iloc[-1] < found.sufficiency["flipped"].iloc[-1]
    assert found.coordinates["name"].str.contains("R ").any()
    first = found.effects.loc[found.coordinates["coordinate"].iloc[0]]
    assert first.loc["r_V5", "effect_low"] > 0


def test_lowering_uses_the_other_beats(explainer: StyleExplainer) -> None:
    beats = drawn_beats(60, seed=1)
    raised, lowered = (explainer.attfind(beats, "high", raised=raised, n_top=2) for raised in (True, False))
    assert raised["n"].iloc[0] + lowered["n"].iloc[0] == 60
    assert (lowered["effect_high"] < 0).all()
    assert (moves_of(lowered)[0].coordinate, moves_of(lowered)[0].end) == \
        (lowered["coordinate"].iloc[0], lowered["end"].iloc[0])


def test_average_beats_stand_in_order(explainer: StyleExplainer) -> None:
    beats = drawn_beats(20, seed=1)
    move = moves_of(explainer.attfind(beats, "high", n_top=1))[0]
    average = explainer.average_beats(beats, move.coordinate)
    assert average.shape == (3, 12, 100)
    np.testing.assert_allclose(average[1], explainer.redrawn(beats).mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(average[2 * move.end], explainer.redrawn(beats, [move]).mean(axis=0), atol=1e-5)


def test_the_seed_decides_and_the_classifier_stays_as_it_was() -> None:
    beats = drawn_beats(30)
    fitted = [StyleExplainer(Tall(), label_names=("high", "low"), fs=100.0, settings=TINY).fit(beats, seed=seed)
              for seed in (0, 0, 1)]
    styles = [each.style(beats) for each in fitted]
    assert torch.equal(styles[0], styles[1])
    assert not torch.equal(styles[0], styles[2])
    assert float(next(fitted[0].classifier.parameters())) == 1


def test_mistakes_are_said(explainer: StyleExplainer) -> None:
    beats = drawn_beats(5)
    with pytest.raises(EcgkitError, match="call fit"):
        untrained().redrawn(beats)
    with pytest.raises(EcgkitError, match="no label 'MI'"):
        explainer.attfind(beats, "MI")
    with pytest.raises(EcgkitError, match="multiple of 2"):
        untrained().fit(beats[..., :99])
    with pytest.raises(EcgkitError, match="none of 5 beats"):
        explainer.attfind(np.zeros_like(beats), "high", raised=False)
