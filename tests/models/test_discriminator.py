"""Tests of the discriminator: what it hears, that it judges each ECG alone, and that length plays no part."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ecgkit.models.discriminator import Discriminator


def drawn(widths: tuple[int, ...] = (8, 8)) -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(4, widths=widths, kernel_size=3)


def noise(n: int, sig_len: int = 64, seed: int = 0) -> Tensor:
    return torch.randn(n, 12, sig_len, generator=torch.Generator().manual_seed(seed))


def scores(model: Discriminator, x: Tensor, condition: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        return model(x, torch.ones(len(x), 4) if condition is None else condition)


@pytest.mark.parametrize("n", [1, 5, 16])
def test_one_score_for_each_ecg(n: int) -> None:
    assert scores(drawn(), noise(n)).shape == (n,)


def test_a_score_is_a_mean_over_time() -> None:
    # Of n whole periods, n times the score is a line in n: both borders add the same each time.
    period = noise(1, 64)
    total = [n * float(scores(drawn(), period.repeat(1, 1, n))) for n in (2, 3, 4, 8)]
    step = total[1] - total[0]
    assert abs(step) > 1e-3
    assert total[2] - total[1] == pytest.approx(step, rel=1e-3)
    assert total[3] - total[0] == pytest.approx(6 * step, rel=1e-3)


def test_the_condition_is_projected_on_the_features() -> None:
    model, x, c = drawn(), noise(3), torch.eye(4)[:3]
    heard = scores(model, x, c) - scores(model, x, 0 * c)
    assert float(heard.abs().min()) > 0
    louder = model.project(c) - model.project(0 * c)
    assert louder.shape == (3, 8)


@pytest.mark.parametrize("n", [3, 8, 16])
def test_an_ecg_is_judged_alone(n: int) -> None:
    model, x = drawn(), noise(n)
    alone = torch.cat([scores(model, each[None]) for each in x])
    torch.testing.assert_close(scores(model, x), alone, atol=1e-5, rtol=1e-5)


def test_the_algebra_of_limb_leads_is_not_judged() -> None:
    x = noise(2)
    other = x.clone()
    other[:, 2:6] = 7.0
    assert torch.equal(scores(drawn(), x), scores(drawn(), other))


def test_it_is_built_again_from_what_it_says_of_itself() -> None:
    model = drawn((8, 12))
    again = Discriminator(**model.config)
    again.load_state_dict(model.state_dict())
    assert torch.equal(scores(model, noise(2)), scores(again, noise(2)))
