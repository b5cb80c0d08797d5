"""Delineation scores: matching against all possible matchings, tables by hand, spans, invariants, mistakes."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.errors import EcgkitError
from ecgkit.physiology.wave_scores import (
    MARKS,
    WAVES,
    delineation_summary,
    delineation_table,
    match,
    printed_delineation,
)
from ecgkit.simulator import waves as simulated

WIDE = [[0.0, 10_000.0]]
places = st.lists(st.integers(0, 1200).map(float), max_size=5)


def marks(*beats):
    """One ECG from beats that are {wave: (onset, peak, offset)}."""
    ms = np.full((1, len(beats), 3, 3), np.nan)
    for k, beat in enumerate(beats):
        for wave, values in beat.items():
            ms[0, k, WAVES.index(wave)] = values
    return ms


def peaks(times):
    return marks(*({"QRS": (np.nan, time, np.nan)} for time in times))


def best_matching(found, true, tolerance):
    """Most pairs within the tolerance, and their least total error, by trying every one-to-one assignment."""
    slots = [*range(len(found)), *[None] * len(true)]
    best = (0, 0.0)
    for chosen in set(permutations(slots, len(true))):
        errors = [abs(found[k] - t) for k, t in zip(chosen, true, strict=True) if k is not None]
        if all(error <= tolerance for error in errors):
            best = max(best, (len(errors), -sum(errors)))
    return best


@settings(max_examples=60, deadline=None)
@given(places, places.map(lambda x: x[:4]), st.sampled_from([20.0, 150.0, 400.0]))
def test_as_many_matches_as_can_be_and_then_the_least_error(found, true, tolerance):
    result = match(peaks(found), peaks(true), WIDE, tolerance=tolerance)
    error = result.error[np.isfinite(result.error)]
    count, least = best_matching(found, true, tolerance)
    assert len(error) == count
    assert np.abs(error).sum() == -least
    assert result.true_positive[0, 1, 1] == count
    assert result.false_positive[0, 1, 1] == len(found) - count
    assert result.false_negative[0, 1, 1] == len(true) - count


@settings(max_examples=40, deadline=None)
@given(places, places, st.randoms())
def test_the_order_of_beats_and_a_shift_of_time_do_not_matter(found, true, random):
    result = match(peaks(found), peaks(true), WIDE)
    shuffled = random.sample(found, len(found))
    moved = match(peaks(shuffled) + 500, peaks(true) + 500, [[500.0, 10_500.0]])
    assert np.nansum(np.abs(moved.error)) == np.nansum(np.abs(result.error))
    for name in ("true_positive", "false_positive", "false_negative"):
        assert (getattr(moved, name) == getattr(result, name)).all()


def test_the_tolerance_itself_is_within():
    assert match(peaks([250]), peaks([100]), WIDE).true_positive[0, 1, 1] == 1
    assert match(peaks([250.001]), peaks([100]), WIDE).true_positive[0, 1, 1] == 0
    assert match(peaks([250]), peaks([100]), WIDE, tolerance=75).false_negative[0, 1, 1] == 1


def test_each_mark_is_matched_by_itself_and_errors_are_found_minus_true():
    true = marks({"P": (100, 150, 200), "QRS": (260, 300, 350)}, {"QRS": (1060, 1100, 1150)})
    found = marks({"QRS": (1062, 1095, 1400)}, {"QRS": (258, 300, 351)})
    result = match(found, true, WIDE)
    np.testing.assert_equal(result.error[0, :, 1], [[-2, 0, 1], [2, -5, np.nan]])
    assert np.isnan(result.error[0, :, [0, 2]]).all()
    assert result.false_negative[0].tolist() == [[1, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert result.false_positive[0].tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_outside_the_span_a_found_wave_is_matched_but_never_invented():
    true = marks({"QRS": (1000, 1040, 1090)}, {"QRS": (1900, 1940, 1990)})
    found = marks({"P": (850, 900, 1002), "QRS": (998, 999, 1000)},
                  {"QRS": (1900, 1940, 1990), "T": (1980, 2100, 2200)},
                  {"P": (1300, np.nan, 1400), "T": (np.nan, np.nan, 2100)})
    result = match(found, true, [[1000.0, 1990.0]])
    assert result.true_positive[0].tolist() == [[0, 0, 0], [2, 2, 2], [0, 0, 0]]
    assert result.false_positive[0].tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_a_mark_left_out_of_a_true_wave_is_neither_missed_nor_invented():
    true = marks({"QRS": (np.nan, 300, 350)})
    result = match(marks({"QRS": (260, 302, 350)}, {"QRS": (700, 740, 800)}), true, WIDE)
    assert result.true_positive[0, 1].tolist() == [0, 1, 1]
    assert result.false_negative[0, 1].tolist() == [0, 0, 0]
    assert result.false_positive[0, 1].tolist() == [1, 1, 1]


def test_invented_p_waves_per_beat():
    true = np.concatenate([marks({"QRS": (260, 300, 350)}, {"QRS": (1260, 1300, 1350)})] * 2)
    found = true.copy()
    found[1, 1, 0] = (1100, 1150, 1200)
    assert match(found, true, WIDE * 2).false_p_share == 0.25
    assert np.isnan(match(found, np.full_like(true, np.nan), WIDE * 2).false_p_share)


def test_table_by_hand():
    true = np.concatenate([peaks([100, 1000]), peaks([100, 1000]), peaks([100, 1000])])
    found = np.concatenate([peaks([110, 1000]), peaks([80, 5000]), peaks([180, 1000])])
    table = delineation_table(found, true, WIDE * 3, n_boot=50)
    assert table.index.tolist() == [(t, w, m) for t in (150.0, 75.0) for w in WAVES for m in MARKS]
    row = table.loc[(150, "QRS", "peak")]
    assert row[["n", "true_positive", "false_positive", "false_negative"]].tolist() == [6, 5, 1, 1]
    assert row[["sensitivity", "precision", "f1"]].tolist() == pytest.approx([5 / 6, 5 / 6, 5 / 6])
    errors = [10, 0, -20, 80, 0]
    assert row[["mean", "sd"]].tolist() == pytest.approx([np.mean(errors), np.std(errors, ddof=1)])
    row = table.loc[(75, "QRS", "peak")]
    assert row[["true_positive", "false_positive", "false_negative"]].tolist() == [4, 2, 2]
    assert row[["mean", "sd"]].tolist() == pytest.approx([-2.5, np.std([10, 0, -20, 0], ddof=1)])
    assert table.loc[(150, "P", "onset"), ["sensitivity", "precision", "f1", "mean", "sd"]].isna().all()
    assert printed_delineation(table).loc[(75, "QRS", "peak"), "error, ms"] == "-2.5 ± 12.6"


def test_intervals_are_over_ecgs():
    """Three ECGs with F1 1, 1 and 0: the resamples' F1 are these of drawing three of them."""
    true = np.concatenate([peaks([100, 500, 900])] * 3)
    found = true.copy()
    found[2] += 5000
    row = delineation_table(found, true, WIDE * 3, n_boot=4000, seed=1).loc[(150, "QRS", "peak")]
    assert row["f1"] == pytest.approx(2 / 3)
    assert (row["f1_low"], row["f1_high"]) == (0, 1)  # all three the bad one: 1/27; none of it: 8/27
    assert row["sd"] == row["sd_low"] == row["sd_high"] == 0
    same = delineation_table(found, true, WIDE * 3, n_boot=200, seed=3)
    assert same.equals(delineation_table(found, true, WIDE * 3, n_boot=200, seed=3))


def test_a_summary_is_the_table_in_one_row():
    rng = np.random.default_rng(3)
    true = np.sort(rng.uniform(0, 10_000, (3, 8, 1, 1)), axis=1) + np.arange(9).reshape(3, 3) * 40.0
    found = true + rng.normal(0, 60, true.shape)
    found[rng.random(true.shape) < 0.2] = np.nan
    found, true = found[:, 1:], true[:, :-1]
    row = delineation_summary(found, true, WIDE * 3)
    table = delineation_table(found, true, WIDE * 3, n_boot=2)
    for wave in WAVES:
        for tolerance in (150, 75):
            assert row[f"{wave}_f1_{tolerance}"] == table.loc[(tolerance, wave, "peak"), "f1"]
            assert row[f"{wave}_precision_{tolerance}"] == table.loc[(tolerance, wave, "peak"), "precision"]
        for mark in ("onset", "offset"):
            assert row[[f"{wave}_{mark}_mean", f"{wave}_{mark}_sd"]].tolist() == \
                table.loc[(150, wave, mark), ["mean", "sd"]].tolist()
    assert row["false_p_75"] == match(found, true, WIDE * 3, tolerance=75).false_p_share
    assert len(row) == 2 * 7 + 12
    assert np.isnan(delineation_summary(np.full_like(true, np.nan), true * np.nan, WIDE * 3)).all()


def test_the_names_are_the_simulators():
    assert (simulated.WAVES, simulated.MARKS) == (WAVES, MARKS)


def test_a_shift_by_one_sample_is_seen():
    rng = np.random.default_rng(0)
    true = np.sort(rng.uniform(0, 10_000, (4, 10, 1, 1)), axis=1) + np.arange(9).reshape(3, 3) * 40.0
    table = delineation_table(true + 2, true, [[-1e3, 2e4]] * 4, tolerances=[150], n_boot=20)
    assert table["mean"].tolist() == pytest.approx([2] * 9)
    assert (table["f1"] == 1).all()


@pytest.mark.parametrize(("change", "words"), [
    ({"found": np.zeros((1, 2, 3))}, r"found boundaries of shape \(1, 2, 3\)"),
    ({"true": np.zeros((0, 2, 3, 3))}, "true boundaries of shape"),
    ({"found": np.full((1, 2, 3, 3), np.inf)}, "found boundaries of ECG 0 are infinite"),
    ({"found": np.zeros((2, 2, 3, 3))}, "2 ECGs found, 1 true"),
    ({"span": [[5.0, 1.0]]}, "first <= last"),
    ({"span": [[np.nan, 1.0]]}, "first <= last"),
    ({"tolerance": 0}, "a tolerance of 0 ms"),
])
def test_mistakes(change, words):
    with pytest.raises(EcgkitError, match=words):
        match(**{"found": np.zeros((1, 2, 3, 3)), "true": np.zeros((1, 2, 3, 3)), "span": WIDE} | change)
