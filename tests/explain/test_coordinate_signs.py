"""Which coordinates cardiology names, on effects made by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from ecgkit.explain.style.beats import NAMED
from ecgkit.physiology import load_rules
from ecgkit.study.discovery import FURTHER_RULES, defining_signs, further_signs, graded, signs_of


def effects_of(**named: tuple[float, bool]) -> pd.DataFrame:
    """Effects of a coordinate that moves a few measurements surely; the flag says whether the name holds it."""
    rows = {name: {"n": 50, "effect": effect, "effect_low": effect - 0.01, "effect_high": effect + 0.01,
                   "spread": 1.0, "telling": told} for name, (effect, told) in named.items()}
    return pd.DataFrame(rows).T.astype({"effect": float, "telling": bool})


def test_signs_are_those_of_the_rules() -> None:
    assert signs_of(["first-degree AV block"]) == {"pr"}
    assert signs_of(["LVH Sokolow-Lyon"]) == {"r_V5", "r_V6", "s_V1", "q_V1"}
    assert signs_of(["LVH Cornell"]) == {"r_aVL", "s_V3", "q_V3"}
    assert signs_of(["left atrial enlargement"]) == {"p_V1"}
    assert signs_of(["old anterior infarction"]) == {"q_V2", "q_V3"}
    assert signs_of(["atrial fibrillation", "no such rule"]) == set()


def test_a_condition_is_no_sign() -> None:
    assert "qrs" not in signs_of(["ST depression", "old inferior infarction"])
    assert "qrs" in signs_of(["complete LBBB"])
    assert not any(name.startswith("r_") for name in signs_of(["T inversion"]))


@pytest.mark.parametrize("label", ["MI", "STTC", "CD", "HYP"])
def test_every_superclass_has_signs(label: str) -> None:
    assert defining_signs(label) <= set(NAMED)
    assert defining_signs(label)
    assert not defining_signs(label) & further_signs(label)
    assert set(FURTHER_RULES[label]) <= set(load_rules()["rule"])


def test_the_name_decides() -> None:
    assert graded(effects_of(q_V2=(-0.2, True), axis=(-30.0, True)), "MI")["kind"] == "defining sign"
    assert graded(effects_of(st60_V2=(0.2, True)), "MI")["kind"] == "further sign"
    assert graded(effects_of(r_V4=(-0.3, True)), "MI") == {"kind": "candidate", "sign": ""}
    assert graded(effects_of(r_V4=(-0.3, False)), "MI")["kind"] == "no measurement moves"
    assert graded(effects_of(r_V4=(-0.3, True)), "NORM") == {"kind": "candidate", "sign": ""}


def test_a_sign_outside_the_name_is_told() -> None:
    found = graded(effects_of(r_V4=(-0.3, True), q_V2=(-0.06, False), q_V3=(-0.2, False)), "MI")
    assert found == {"kind": "candidate", "sign": "Q V3 −0.20 mV"}
    assert graded(effects_of(r_V4=(-0.3, True), q_V2=(-0.02, False)), "MI")["sign"] == ""
