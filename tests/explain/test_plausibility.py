"""How real an ECG looks: of the kind that suits it best, window by window, and what one of a hundred falls short of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgkit.explain.conditions import discriminator_condition
from ecgkit.explain.counterfactual.plausibility import least_plausible, plausibility
from ecgkit.models.generator import Discriminator
from tests.explain.gan_helpers import dataset, signals

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
