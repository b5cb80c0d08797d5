"""Tests of measurements as features: once only, fit for a linear model; and of forests on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ecgkit.datasets import synthetic
from ecgkit.errors import EcgkitError
from ecgkit.physiology import COLUMNS, judge, load_rules, measure
from ecgkit.training import measured as module
from ecgkit.training.measured import FURTHEST, Filled, MeasuredFeatures


@pytest.fixture(scope="module")
def signals() -> NDArray[np.float32]:
    found = np.array(synthetic.load(n_patients=8, seconds=5).signals)
    found[2, 4] = 0.0  # a lead that fell off
    return found


def test_they_are_what_is_measured_whatever_the_chunks(signals: NDArray[np.float32],
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 3)
    found = MeasuredFeatures(100).embed(signals)
    assert MeasuredFeatures(100).names == tuple(COLUMNS)
    assert found.shape == (len(signals), MeasuredFeatures(100).n_features)
    np.testing.assert_allclose(found, measure(signals, 100).table, rtol=1e-4, atol=1e-4)
    missing = {name for name, value in zip(COLUMNS, found[2], strict=True) if np.isnan(value)}
    assert {"r_aVL", "st60_aVL"} <= missing
    assert MeasuredFeatures(100).embed(signals[:0]).shape == (0, len(COLUMNS))


def test_with_rules_the_margin_of_each_rule_follows(signals: NDArray[np.float32], tmp_path: Path) -> None:
    plain, ruled = MeasuredFeatures(100, tmp_path), MeasuredFeatures(100, tmp_path, rules=True)
    found, kept = ruled.embed(signals), sorted(tmp_path.iterdir())
    assert ruled.names[len(COLUMNS):] == tuple(load_rules()["rule"].unique())
    np.testing.assert_array_equal(found[:, :len(COLUMNS)], plain.embed(signals))
    assert sorted(tmp_path.iterdir()) == kept, "what was measured for the rules serves without them"
    verdicts = judge(measure(signals, 100).table, np.nan, np.nan).set_index(["ecg", "rule"])["margin"]
    for rule, step in (("LVH Sokolow-Lyon", 0.1), ("first-degree AV block", 20.0)):  # mV, ms
        margin = verdicts.xs(rule, level="rule") / step
        np.testing.assert_allclose(found[:, ruled.names.index(rule)], margin, rtol=1e-3, atol=1e-3)
    assert ruled.embed(signals[:0]).shape == (0, ruled.n_features)
    assert plain.identity() != ruled.identity()


def test_nothing_is_measured_twice_and_what_was_measured_survives(signals: NDArray[np.float32], tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)
    n, calls = len(signals), list[int]()

    def counted(part: NDArray[np.float32], fs: float) -> object:
        calls.append(len(part))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure(part, fs)

    monkeypatch.setattr(module, "measure", counted)
    kept = MeasuredFeatures(100, folder=tmp_path / "new")
    with pytest.raises(KeyboardInterrupt):
        kept.embed(signals)
    first = kept.embed(signals)
    assert sum(calls[2:]) == n - 4, "the first chunk was there"
    before = len(calls)
    np.testing.assert_array_equal(kept.embed(signals), first)
    assert len(calls) == before
    kept.embed(signals[:4] * np.float32(2))
    assert len(calls) == before + 1, "other signals are measured anew"
    monkeypatch.setattr(MeasuredFeatures, "identity", lambda _: {"delineator": "another"})
    kept.embed(signals[:4])
    assert len(calls) == before + 2, "and so are the same ones by other code"


def test_a_damaged_file_is_named(signals: NDArray[np.float32], tmp_path: Path) -> None:
    kept = MeasuredFeatures(100, folder=tmp_path)
    kept.embed(signals[:1])
    file, = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(EcgkitError, match="measurements are damaged; remove the file"):
        kept.embed(signals[:1])


def test_what_is_missing_becomes_the_median_and_is_flagged_once() -> None:
    nan = np.nan
    x = np.array([[1.0, 10, 5, nan, 2], [2, nan, nan, nan, 2], [3, 30, 7, nan, nan], [6, 50, 9, nan, 2]])
    filled = Filled.of(x)
    np.testing.assert_array_equal(filled.median, [2.5, 30, 7, 0, 2])
    # 1 and 2 are missing together; 3 always, which tells nothing; 0 never.
    np.testing.assert_array_equal(filled.flagged, [1, 4])
    out = filled(x)
    np.testing.assert_array_equal(out[:, 5:], [[0, 0], [1, 0], [0, 1], [0, 0]])
    np.testing.assert_allclose(out[:, 0], (x[:, 0] - 3) / x[:, 0].std())
    known = np.array([10, 30, 30, 50])
    np.testing.assert_allclose(out[:, 1], (known - 30) / known.std())
    np.testing.assert_array_equal(out[:, 3:5], 0)


def test_nothing_is_far_out_and_other_ecgs_are_measured_by_the_first() -> None:
    x = np.random.default_rng(0).normal(3, 2, (200, 4))
    filled = Filled.of(x)
    far = np.array([[1e6, -1e6, np.nan, 3.0]])
    out = filled(far)
    assert out.shape == (1, 4), "nothing was missing, so nothing is flagged"
    np.testing.assert_array_equal(out[0, :2], [FURTHEST, -FURTHEST])
    assert np.abs(out[0, 2:]).max() < 0.2
