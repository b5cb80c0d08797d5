"""Reach: outcomes counted apart, rank correlations against SciPy, and which labels are to stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.reach import follows, kept, outcomes, validity_table
from ecgkit.explain.results import Counterfactuals, judged


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
