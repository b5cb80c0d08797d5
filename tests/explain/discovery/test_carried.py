"""What carries a label: known products, decoys, networks of chance, and a network whose answer is written down."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.explain.discovery.carried import answers, carried
from ecgkit.explain.discovery.shape import NAMES, Shapes
from ecgkit.leads import INVERSE_DOWER
from ecgkit.simulator import Cohort

N = 400


def study(seed: int = 0, *, teach: bool = True) -> tuple[np.ndarray, ...]:
    """Numbers of which the label moves two, and two networks that answer to the first and to one that it leaves."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, N)
    numbers = rng.normal(size=(N, len(NAMES)))
    numbers[:, 0] += 1.0 * truth
    numbers[:, 1] += 1.0 * truth
    weights = np.zeros((2, len(NAMES)))
    weights[:, 0], weights[:, 2] = (2.0, 2.5), 1.0
    logits = numbers @ weights.T if teach else rng.normal(size=(N, 2))
    return logits.T, np.broadcast_to(weights[:, None], (2, N, len(NAMES))).copy(), numbers, truth, np.arange(N)


def test_share_is_answer_times_movement() -> None:
    logits, slopes, numbers, truth, patients = study()
    table = carried(logits, slopes, numbers, truth, patients, n_boot=200)
    moved = numbers[truth == 1].mean(axis=0) - numbers[truth == 0].mean(axis=0)
    apart = (logits[:, truth == 1].mean(axis=1) - logits[:, truth == 0].mean(axis=1)).mean()
    np.testing.assert_allclose(table["moved"], moved)
    assert table["share"].iloc[0] == pytest.approx(2.25 * moved[0] / apart)
    # A linear network is explained wholly.
    assert table["share"].sum() == pytest.approx(1)


def test_only_what_is_both_moved_and_answered_to_is_found() -> None:
    table = carried(*study(), n_boot=200)
    assert table["found"].sum() == 1
    assert table["found"].iloc[0]
    assert table["q"].iloc[1] > 0.05 or table["share"].iloc[1] == 0  # moved, but no network answers
    assert table["p"].iloc[2] > 0.05  # answered to, but not moved


def test_one_network_that_disagrees_withholds_a_finding() -> None:
    logits, slopes, numbers, truth, patients = study()
    slopes[1, :, 0] = 0.0
    assert not carried(logits, slopes, numbers, truth, patients, n_boot=200)["found"].any()


def test_networks_of_chance_find_nothing() -> None:
    assert not carried(*study(teach=False), n_boot=200)["found"].any()


def test_more_ecgs_than_were_asked_about_make_the_movement_surer() -> None:
    logits, slopes, numbers, truth, patients = study()
    asked = np.arange(N) < 100
    some = carried(logits[:, asked], slopes[:, asked], numbers[asked], truth[asked], patients[asked], n_boot=200)
    more = carried(logits[:, asked], slopes[:, asked], numbers, truth, patients, asked=asked, n_boot=200)
    assert more["p"].iloc[0] < some["p"].iloc[0]
    np.testing.assert_allclose(more["moved"], numbers[truth == 1].mean(axis=0) - numbers[truth == 0].mean(axis=0))


def test_a_missing_number_does_not_count() -> None:
    logits, slopes, numbers, truth, patients = study()
    numbers[::3, 0] = slopes[:, ::3, 0] = np.nan
    table = carried(logits, slopes, numbers, truth, patients, n_boot=200)
    known = np.isfinite(numbers[:, 0])
    one, none = numbers[known & (truth == 1), 0].mean(), numbers[known & (truth == 0), 0].mean()
    assert table["moved"].iloc[0] == pytest.approx(one - none)
    assert table["found"].iloc[0]


def test_a_label_that_all_have_is_refused() -> None:
    logits, slopes, numbers, _, patients = study()
    with pytest.raises(EcgkitError, match="all of these ECGs have the label, or none"):
        carried(logits, slopes, numbers, np.ones(N, dtype=int), patients)


class MeanT(nn.Module):
    """Ten times the mean of the heart vector's leftward part over the whole strip, and a constant."""

    def forward(self, x: Tensor) -> Tensor:
        vector = torch.einsum("al,nlt->nat", torch.tensor(INVERSE_DOWER, dtype=torch.float32), x)
        return torch.stack([10 * vector[:, 0].mean(dim=-1), torch.ones(len(x))], dim=1)


def test_answers_are_the_slopes_of_a_known_network() -> None:
    cohort = Cohort(seed=5, fs=100, seconds=5, noise=0)
    shapes = Shapes(cohort.signals(range(6)), cohort.waves(range(6)))
    logits, slopes = answers([MeanT()], shapes)
    assert logits.shape == (1, 6, 2)
    assert slopes.shape == (1, 6, 2, len(NAMES))
    known = np.isfinite(shapes.numbers)
    assert (np.isnan(slopes[0, :, 1]) == ~known).all()
    assert np.allclose(slopes[0, :, 1][known], 0)
    # A leftward wave in T lifts the mean by its area; one downward does nothing to it.
    left, down = (slopes[0, :, 0, NAMES.index(f"T, {direction}")] for direction in ("left", "down"))
    assert (left[np.isfinite(left)] > 1).all()
    assert np.abs(down[np.isfinite(down)]).max() < 0.05


def test_what_patients_differ_by_is_taken_off_where_other_numbers_tell_it() -> None:
    """The label moves a number a little, under a spread that a second number shares: surer with that one held."""
    rng = np.random.default_rng(3)
    truth, common = rng.integers(0, 2, N), rng.normal(size=N)
    numbers = rng.normal(size=(N, len(NAMES)))
    numbers[:, 0] = common + 0.28 * truth + 0.05 * rng.normal(size=N)
    numbers[:, 1] = common
    slopes = np.zeros((2, N, len(NAMES)))
    slopes[:, :, 0] = 1.0 + 0.1 * rng.normal(size=(2, N))
    slopes[:, :, 1] = -0.9 + 0.1 * rng.normal(size=(2, N))
    logits = np.stack([numbers[:, 0] - 0.9 * numbers[:, 1]] * 2)
    table = carried(logits, slopes, numbers, truth, np.arange(N), n_boot=300)
    assert table["q"].iloc[0] > 0.05
    assert table["p"].iloc[0] < 0.05
    assert table["q_held"].iloc[0] < 1e-6
    assert table["found"].iloc[0]


def test_errors_are_over_patients() -> None:
    """Every ECG twice, under its patient's name, tells no more than once."""
    logits, slopes, numbers, truth, patients = study(1)
    once = carried(logits, slopes, numbers, truth, patients, n_boot=100)
    twice = carried(np.tile(logits, 2), np.tile(slopes, (1, 2, 1)), np.tile(numbers, (2, 1)), np.tile(truth, 2),
                    np.tile(patients, 2), n_boot=100)
    np.testing.assert_allclose(twice["q_held"], once["q_held"], rtol=1e-6)
    np.testing.assert_allclose(twice["p"], once["p"], rtol=0.35)
