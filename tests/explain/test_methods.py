"""Tests of the generators by name."""

from __future__ import annotations

import pytest

from ecgkit.errors import EcgkitError
from ecgkit.study.counterfactuals import METHODS, settings_of


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
