"""Judges: outcomes counted apart, rules that true counterfactuals pass, flips that others follow or a filter undoes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.judges import (
    disturb,
    follows,
    kept,
    low_pass,
    outcomes,
    rule_oracle,
    survives,
    transfer,
    unrelated_moves,
    unrelated_share,
    validity_table,
)
from ecgkit.explain.results import Counterfactuals, judged
from ecgkit.leads import limb_residual
from ecgkit.physiology import COLUMNS, Measurements, measure
from ecgkit.physiology.verdicts import DEFINITIONS
from ecgkit.simulator import EDIT_NAMES, Cohort


class Fixed(nn.Module):
    """Logits are the first samples of lead I."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0, :2]


def test_a_missed_target_is_a_failure_and_any_other_reason_an_abstention() -> None:
    x = np.zeros((3, 12, 10), np.float32)
    x[0, 0, 0], x[1, 0, 0] = -4, 4
    found = judged(Fixed(), x, {"MI": 0.05}, ("MI", "CD"))
    reason = found.reason.copy()
    reason[2] = "implausible: far from real ECGs"
    found = Counterfactuals(found.signals, found.probabilities, found.valid, reason)
    assert outcomes(found).tolist() == ["valid", "failed", "abstained"]
    table = validity_table(outcomes(found), [0.05, 0.05, 0.95])
    assert table.index.tolist() == [0.05, 0.95]
    np.testing.assert_array_equal(table.to_numpy(), [[2, 0.5, 0.5, 0], [1, 0, 0, 1]])
    with pytest.raises(EcgkitError, match="none of valid, failed, abstained"):
        validity_table(["yes"], ["MI"])


@settings(deadline=None, max_examples=40)
@given(arrays(np.float64, (4, 5), elements=st.sampled_from([0.05, 0.25, 0.5, 0.9])),
       arrays(np.float64, (4, 5), elements=st.sampled_from([0.1, 0.3, 0.7, np.nan])))
def test_following_is_scipys_rank_correlation_of_the_pairs_that_are_there(wanted: np.ndarray,
                                                                          obtained: np.ndarray) -> None:
    found = follows(wanted, obtained)
    there = ~np.isnan(obtained)

    def slow(a: np.ndarray, b: np.ndarray) -> float:
        return float(spearmanr(a, b).statistic) if len(set(a)) > 1 and len(set(b)) > 1 else np.nan

    np.testing.assert_allclose(found.spearman, slow(wanted[there], obtained[there]), atol=1e-12)
    for k in range(4):
        a, b = wanted[k, there[k]], obtained[k, there[k]]
        np.testing.assert_allclose(found.per_ecg[k], slow(a, b), atol=1e-12)
        np.testing.assert_allclose(found.error[k], np.abs(a - b).mean() if len(a) else np.nan)


def test_shapes_that_do_not_fit_are_said() -> None:
    with pytest.raises(EcgkitError, match=r"both must be \(n, k\)"):
        follows([0.5], [0.5])
    with pytest.raises(EcgkitError, match="for 2 labels"):
        kept(np.zeros((1, 3)), np.zeros((1, 3)), "MI", ["MI", "CD"])
    with pytest.raises(EcgkitError, match="no label 'XX'"):
        kept(np.zeros((1, 2)), np.zeros((1, 2)), "XX", ["MI", "CD"])


def test_neither_the_asked_label_nor_normal_is_to_stay() -> None:
    before, after = np.array([[0.1, 0.9, 0.2, 0.3]]), np.array([[0.8, 0.1, 0.3, 0.0]])
    np.testing.assert_allclose(kept(before, after, "MI", ["NORM", "MI", "CD", "HYP"]), [0.2])
    assert np.isnan(kept(before, after, "NORM", ["NORM", "MI", "CD", "HYP"])).all()


REPEATABLE = dict.fromkeys(COLUMNS, 1.0) | {"pr": 10.0, "p_duration": 11.0, "p_II": 0.05, "heart_rate": 10.0}


@cache
def diseases() -> Measurements:
    """The standard heart, then with each disease in full, measured by the true boundaries."""
    cohort = Cohort(fs=250, variation=0, noise=0)
    ids, severity = np.zeros(13, dtype=int), np.vstack([np.zeros(12), np.eye(12)])
    return measure(cohort.signals(ids, severity=severity), 250, cohort.waves(ids, severity=severity))


def of(*rows: int, **columns: float) -> Measurements:
    """Some rows of `diseases`, with some columns set to other values."""
    table = diseases().table.iloc[list(rows)].reset_index(drop=True)
    return replace(diseases(), table=table.assign(**columns))


# The standard heart's LAFB is 1 ms short of the 45 ms to the peak of R in aVL.
@pytest.mark.parametrize("disease", [name for name in EDIT_NAMES if name != "LAFB"])
def test_the_true_counterfactual_passes_both_ways_and_doing_nothing_does_not(disease: str) -> None:
    k = EDIT_NAMES.index(disease) + 1
    down = rule_oracle(of(k, k, 0), of(0, k, 0), disease, 60, 0)
    np.testing.assert_array_equal(down.crossed, [1, 0, np.nan])
    assert not down.new.any()
    assert down.movement[0] > 0
    assert down.movement[1] == 0
    assert down.rule[0] in DEFINITIONS[disease].rules
    up = rule_oracle(of(0, 0, k), of(k, 0, k), disease, 60, 0, up=True)
    np.testing.assert_array_equal(up.crossed, [1, 0, np.nan])
    assert up.new.tolist() == [True, False, False]
    assert up.movement[0] > 0


def test_widening_qrs_does_not_get_rid_of_a_q() -> None:
    k = EDIT_NAMES.index("IMI") + 1
    wide = {"qrs": 130.0, **{f"{name}_V1": 0.0 for name in ("r", "rp")}}
    assert rule_oracle(of(k, **{name: 0.0 for name in wide if name != "qrs"}), of(k, **wide), "IMI", 60,
                       0).crossed.tolist() == [0]


def test_what_cannot_be_measured_any_more_has_not_crossed() -> None:
    k = EDIT_NAMES.index("1AVB") + 1
    found = rule_oracle(of(k), of(k, pr=np.nan), "1AVB", 60, 0)
    assert found.crossed.tolist() == [0]
    assert np.isnan(found.movement[0])
    assert np.isnan(rule_oracle(of(0, pr=np.nan), of(k), "1AVB", 60, 0, up=True).crossed[0])


def test_one_of_two_rules_is_not_enough_and_a_new_one_is_said() -> None:
    both = {"r_aVL": 1.5, "s_V3": -2.0, "r_V5": 0.5, "r_V6": 0.5, "s_V1": 0.0}
    found = rule_oracle(of(0, 0, **both), of(0, 0, **both | {"s_V3": 0.0, "r_aVL": 1.5}), "LVH", 60, 0)
    assert found.crossed.tolist() == [0, 0]
    moved = rule_oracle(of(0, **both), of(0, **both | {"s_V3": 0.0, "r_aVL": 0.1, "r_V5": 4.0}), "LVH", 60, 0)
    assert moved.crossed.tolist() == [1]
    assert moved.new.tolist() == [True]


def test_the_margin_moves_in_steps() -> None:
    found = rule_oracle(of(0, pr=240.0), of(0, pr=190.0), "1AVB", 60, 0)
    np.testing.assert_allclose(found.movement, [2.5])


def test_unrelated_measurements_move_in_units_of_their_repeatability() -> None:
    before = of(0, 0, 0, pr=160.0, p_II=0.1, axis=175.0)
    after = of(0, 0, 0, p_II=0.1, axis=-175.0).table.assign(pr=[165.0, 180.0, np.nan])
    moves = unrelated_moves(before, replace(before, table=after), "LQT", REPEATABLE)
    assert list(moves.columns) == list(DEFINITIONS["LQT"].unrelated)
    np.testing.assert_allclose(moves["pr"], [0.5, 2.0, np.inf])
    np.testing.assert_allclose(moves["axis"], 10)  # the short way round
    n = len(moves.columns)
    np.testing.assert_allclose(unrelated_share(moves), [(n - 1) / n, (n - 2) / n, (n - 2) / n])


def test_what_could_not_be_measured_before_is_not_counted() -> None:
    before, after = of(0, pr=np.nan), of(0, pr=160.0)
    moves = unrelated_moves(before, after, "LVH", REPEATABLE)
    assert np.isnan(moves["pr"]).all()
    assert unrelated_share(moves).tolist() == [1]
    assert np.isnan(unrelated_share(pd.DataFrame({"pr": [np.nan]}))).all()


def test_a_repeatability_of_nothing_allows_no_move() -> None:
    moves = unrelated_moves(of(0, 0, pr=160.0), replace(of(0, 0), table=of(0, 0).table.assign(pr=[160.0, 161.0])),
                            "LVH", REPEATABLE | {"pr": 0.0})
    assert (moves["pr"] <= 1).tolist() == [True, False]


def test_mistakes_are_said() -> None:
    with pytest.raises(EcgkitError, match="no rule defines 'NORM'"):
        rule_oracle(of(0), of(0), "NORM", 60, 0)
    with pytest.raises(EcgkitError, match="measurements of 1 ECGs before and 2 after"):
        rule_oracle(of(0), of(0, 0), "MI", 60, 0)
    with pytest.raises(EcgkitError, match="measurements of 1 ECGs before and 2 after"):
        unrelated_moves(of(0), of(0, 0), "MI", REPEATABLE)
    with pytest.raises(EcgkitError, match="no repeatability of p_share, pr"):
        unrelated_moves(of(0), of(0), "LVH", {name: np.nan if name == "p_share" else value
                                              for name, value in REPEATABLE.items() if name != "pr"})


BEFORE = np.array([[0.9, 0.9], [0.4, 0.9], [0.8, 0.8], [0.5, 0.35]])
AFTER = np.array([[0.1, 0.6], [0.1, 0.2], [0.1, 0.1], [0.5, 0.3]])
THRESHOLDS = [0.5, 0.3]


def test_judges_follow_across_their_own_thresholds() -> None:
    found = transfer(BEFORE, AFTER, THRESHOLDS, False, [True, True, False, True])
    # The first judge did not call the second ECG before; the third was no flip of the classifier's own; a score at
    # the threshold is a call.
    np.testing.assert_array_equal(found, [[1, 0], [np.nan, 1], [np.nan, np.nan], [0, 0]])


def test_the_other_direction_is_the_mirror_image() -> None:
    valid = [True, True, True, False]
    down = transfer(BEFORE, AFTER, THRESHOLDS, False, valid)
    # Off the thresholds, turning all signs turns the direction.
    np.testing.assert_array_equal(transfer(-BEFORE, -AFTER, [-0.5, -0.3], True, valid), down)
    mixed = transfer(BEFORE, AFTER, THRESHOLDS, [True, False, False, True], valid)
    np.testing.assert_array_equal(mixed[1:], down[1:])
    assert np.isnan(mixed[0]).all()


def test_arrays_that_do_not_fit_are_said() -> None:
    with pytest.raises(EcgkitError, match=r"thresholds \(3,\)"):
        transfer(BEFORE, AFTER, [1, 2, 3], True, np.ones(4))
    with pytest.raises(EcgkitError, match=r"valid has shape \(3,\)"):
        transfer(BEFORE, AFTER, THRESHOLDS, True, np.ones(3))


FS, N = 100.0, 1000
T = np.arange(N) / FS


class Power(nn.Module):
    """One label: the mean square of lead V1 against 0.01 mV²."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return 500 * (x[:, 6].square().mean(dim=-1, keepdim=True) - 0.01)


def sine(frequency: float, amplitude: float = 0.3) -> np.ndarray:
    x = np.zeros((1, 12, N), np.float32)
    x[:, 6] = amplitude * np.sin(2 * np.pi * frequency * T)
    return x


def test_the_filter_has_no_phase_and_half_the_amplitude_at_its_cutoff() -> None:
    inner = slice(200, 800)
    for frequency, gain in ((2, 1.0), (15, 0.5), (45, 0.0)):
        x = sine(frequency)
        np.testing.assert_allclose(low_pass(x, 15, FS)[..., inner], gain * x[..., inner], atol=2e-3)


def test_noise_is_20_db_below_each_lead_the_same_each_time_and_keeps_the_limb_leads() -> None:
    x = Cohort(seed=1).signals(range(3))
    noisy = disturb(x, FS, seed=3)["noise 20 dB"]
    added = noisy(x) - x
    ratio = x[:, [0, 1, 6, 9]].std(axis=-1) / added[:, [0, 1, 6, 9]].std(axis=-1)
    np.testing.assert_allclose(ratio, 10, rtol=0.1)
    assert np.abs(limb_residual(noisy(x))).max() < 1e-6
    np.testing.assert_allclose(noisy(0 * x), added, atol=1e-6)
    assert not np.array_equal(disturb(x, FS, seed=4)["noise 20 dB"](x), noisy(x))


def test_a_flip_survives_up_to_where_its_frequency_is_cut_off() -> None:
    before, after = np.repeat(sine(2, 0.05), 3, axis=0), np.concatenate([sine(2), sine(20), sine(2)])
    found = survives(Power(), before, after, place=0, up=True, valid=[True, True, False], fs=FS)
    assert found.columns.tolist() == ["low-pass 15 Hz", "low-pass 25 Hz", "low-pass 40 Hz", "noise 20 dB"]
    np.testing.assert_array_equal(found.iloc[0], [1, 1, 1, 1])
    np.testing.assert_array_equal(found.iloc[1], [0, 1, 1, 1])
    assert found.iloc[2].isna().all()


def test_what_the_disturbance_flips_by_itself_is_not_counted() -> None:
    found = survives(Power(), sine(20), sine(2, 0.05), place=0, up=False, valid=[True], fs=FS)
    np.testing.assert_array_equal(found.iloc[0], [np.nan, 1, 1, 1])


def test_a_rate_too_low_for_the_filters_is_said() -> None:
    with pytest.raises(EcgkitError, match="ECGs at 80 Hz"):
        disturb(np.zeros((1, 12, 100), np.float32), 80)
