"""Localisation scores what is inside the truth: by hand, against all ways to break ties, and at the ends."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.localisation import (
    distance_to_truth,
    edit_iou,
    iou,
    pointing_game,
    relevance_mass,
    relevance_rank,
    true_mask,
)
from ecgkit.simulator import EDIT_NAMES, Cohort

METRICS = (pointing_game, relevance_mass, relevance_rank, iou)


def _blank(sig_len: int = 10) -> np.ndarray:
    return np.zeros((1, 12, sig_len))


def _example() -> tuple[np.ndarray, np.ndarray]:
    """Two true samples of lead 3; the map finds one of them, and more strongly a false one of negative sign."""
    maps, mask = _blank(), _blank().astype(bool)
    mask[0, 3, 4:6] = True
    maps[0, 3, 4], maps[0, 3, 5], maps[0, 7, 0], maps[0, 3, 7] = 3, -1, 2, -6
    return maps, mask


@pytest.mark.parametrize(("metric", "signed", "expected"), [
    (pointing_game, False, 0), (pointing_game, True, 1), (relevance_mass, False, 4 / 12), (relevance_mass, True, 3 / 5),
    (relevance_rank, False, 1 / 2), (relevance_rank, True, 1 / 2), (iou, False, 1 / 3), (iou, True, 1 / 3)])
def test_by_hand(metric, signed: bool, expected: float) -> None:
    assert metric(*_example(), signed=signed) == pytest.approx([expected])


def test_tolerance_counts_samples_of_the_same_lead() -> None:
    maps, mask = _example()
    np.testing.assert_array_equal([pointing_game(maps, mask, t)[0] for t in (0, 1, 2)], [0, 0, 1])
    maps[0, 3, 7], maps[0, 2, 4] = 0, 9
    assert pointing_game(maps, mask, 9)[0] == 0


def test_equally_large_samples_share() -> None:
    maps, mask = _example()
    maps[0, 3, 5] = 6
    assert pointing_game(maps, mask)[0] == 0.5


@pytest.mark.parametrize("signed", [False, True])
@settings(deadline=None)
@given(maps=arrays(np.int8, (1, 8, 1), elements=st.integers(-2, 2)), mask=arrays(bool, (1, 8, 1)))
def test_rank_is_the_mean_over_all_ways_to_break_ties(signed: bool, maps: np.ndarray, mask: np.ndarray) -> None:
    values = (maps if signed else abs(maps)).ravel().astype(int)
    k = int(mask.sum())
    if k == 0:
        assert np.isnan(relevance_rank(maps, mask, signed=signed))[0]
        return
    best = sum(np.sort(values)[-k:])
    hits = [mask.ravel()[list(chosen)].mean() for chosen in combinations(range(8), k)
            if values[list(chosen)].sum() == best]
    assert relevance_rank(maps, mask, signed=signed)[0] == pytest.approx(np.mean(hits))


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(1e-6, 1e6), seed=st.integers(0, 99))
def test_the_unit_of_a_map_does_not_matter(scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps, mask = rng.normal(size=(3, 12, 8)), rng.random((3, 12, 8)) < 0.2
    for metric in METRICS:
        np.testing.assert_allclose(metric(scale * maps, mask), metric(maps, mask))


def test_the_truth_itself_is_best_and_its_opposite_worst() -> None:
    truth = np.abs(np.random.default_rng(0).normal(size=(4, 12, 50)))
    mask = true_mask(truth, 1.0)
    for metric in METRICS:
        np.testing.assert_array_equal(metric(truth * mask, mask).round(12), 1)
        np.testing.assert_array_equal(metric(truth * ~mask, mask), 0)
        np.testing.assert_array_equal(metric(-truth * mask, mask).round(12), 1)


def test_evidence_against_the_label_is_no_signed_hit() -> None:
    maps, mask = _example()
    assert relevance_mass(-np.abs(maps), mask, signed=True)[0] == 0
    assert pointing_game(-mask.astype(float), mask, signed=True)[0] == 0


def test_chance() -> None:
    rng = np.random.default_rng(1)
    maps, mask = rng.normal(size=(300, 12, 50)), np.broadcast_to(rng.random((12, 50)) < 0.2, (300, 12, 50))
    for metric in (pointing_game, relevance_mass, relevance_rank):
        assert metric(maps, mask).mean() == pytest.approx(mask.mean(), abs=0.07)
    silent = np.zeros((1, 12, 50))
    assert relevance_rank(silent, mask[:1])[0] == pytest.approx(mask[0].mean())
    assert relevance_mass(silent, mask[:1])[0] == 0


@pytest.mark.parametrize("metric", METRICS)
def test_not_determined(metric) -> None:
    maps, mask = _example()
    maps, mask = np.repeat(maps, 4, axis=0), np.repeat(mask, 4, axis=0)
    maps[1, 0, 0], maps[2, 5, 5], mask[3] = np.nan, np.inf, False
    with np.errstate(all="raise"):
        got = metric(maps, mask)
    np.testing.assert_array_equal(np.isnan(got), [False, True, True, True])
    assert got[0] == metric(*_example())[0]
    with pytest.raises(EcgkitError, match=r"maps has shape \(4, 12, 10\) and mask \(4, 12, 9\)"):
        metric(maps, mask[..., 1:])


def test_edit_iou_by_hand() -> None:
    before, truth = np.ones((6, 12, 10)), np.zeros((6, 12, 10))
    truth[:5, 2, :4] = 0.2
    after = before.copy()
    after[0, 2, :4] += 0.3
    after[1, 2, 2:6] += 0.06
    after[2, 2, :4] += 0.04
    after[3, 2, :4] -= 0.2
    after[4, 0, 0] = np.nan
    np.testing.assert_allclose(edit_iou(before, after, truth), [1, 1 / 3, 0, 1, np.nan, np.nan])
    np.testing.assert_allclose(edit_iou(before, after, truth, signed=True), [1, 1 / 3, 0, 0, np.nan, np.nan])
    np.testing.assert_allclose(edit_iou(before, after, truth, 0.1)[:3], [1, 0, 0])


def test_the_true_counterfactual_has_the_true_mask() -> None:
    cohort = Cohort(seed=3, seconds=3)
    sick = np.flatnonzero(cohort.severity(range(60))[:, :2].any(axis=1))
    x, healthy = cohort.signals(sick), cohort.counterfactual(sick)
    assert (edit_iou(x, healthy, cohort.truth_mask(sick)) > 0.99).all()
    assert (edit_iou(x, healthy, healthy - x, signed=True) == 1).all()


def test_nothing_half_all_and_too_much_of_the_true_change() -> None:
    cohort = Cohort(seed=2)
    sick = np.eye(12)[[EDIT_NAMES.index("LVH")]]
    before, truth = cohort.signals([0], severity=sick), cohort.counterfactual([0], severity=sick)
    needed = float(np.sqrt(np.mean((truth.astype(float) - before) ** 2)))
    for share, correlation in ((0.0, 0.0), (0.5, 1.0), (1.0, 1.0), (3.0, 1.0), (-1.0, -1.0)):
        found = distance_to_truth(before, (before + share * (truth - before)).astype(np.float32), truth).iloc[0]
        np.testing.assert_allclose(found, [abs(1 - share) * needed, abs(1 - share), correlation], atol=1e-5)


def test_each_ecg_is_for_itself_and_undefined_where_nothing_is_to_change() -> None:
    generator = np.random.default_rng(0)
    before, after, truth = generator.normal(size=(3, 4, 12, 50))
    truth[3] = before[3]
    found = distance_to_truth(before, after, truth)
    for k in range(4):
        assert found["rms"][k] == pytest.approx(np.sqrt(np.mean((after[k] - truth[k]) ** 2)))
    for k in range(3):
        assert found["correlation"][k] == pytest.approx(
            np.corrcoef((after[k] - before[k]).ravel(), (truth[k] - before[k]).ravel())[0, 1])
    assert found.iloc[3].isna().tolist() == [False, True, True]


def test_shapes_that_differ_are_said() -> None:
    with pytest.raises(EcgkitError, match=r"all must be \(n, 12, sig_len\)"):
        distance_to_truth(np.zeros((1, 12, 5)), np.zeros((1, 12, 5)), np.zeros((1, 12, 6)))
