"""Tests of the discriminator: what it hears, that it judges each ECG alone, and that nothing drowns in length."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ecgkit.models.generator import Discriminator


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


def test_when_something_happens_is_not_judged() -> None:
    quiet = torch.zeros(3, 12, 128)
    for row, at in enumerate((32, 48, 64)):
        quiet[row, :, at:at + 8] = torch.hann_window(8)
    torch.testing.assert_close(*scores(drawn(), quiet)[[0, 1]])
    torch.testing.assert_close(*scores(drawn(), quiet)[[0, 2]])


def test_a_single_event_is_not_drowned_by_length() -> None:
    # The mean over time fades with the length, the maximum does not.
    told = []
    for sig_len in (128, 4096):
        x = torch.zeros(2, 12, sig_len)
        x[1, :, 40:48] = 0.5
        told.append(float(scores(drawn(), x).diff().abs()))
    assert told[1] > 0.1 * told[0]


def test_it_looks_at_signal_slope_and_curvature_at_the_full_rate() -> None:
    model, seen = drawn(), []
    model.levels[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    ramp = (torch.arange(64.0) / 64).square().expand(1, 12, -1)
    scores(model, ramp)
    signal, slope, bend = seen[0].chunk(3, dim=1)
    assert signal.shape == (1, 8, 64)
    torch.testing.assert_close(slope[..., 1:], 2 * signal.diff(dim=-1))
    torch.testing.assert_close(bend[..., 2:], 4 * signal.diff(dim=-1).diff(dim=-1))


def test_the_condition_is_projected_on_the_features() -> None:
    model, x, c = drawn(), noise(3), torch.eye(4)[:3]
    heard = scores(model, x, c) - scores(model, x, 0 * c)
    assert float(heard.abs().min()) > 0
    louder = model.project(c) - model.project(0 * c)
    assert louder.shape == (3, 16), "means and maxima"


def test_an_ecg_is_held_against_many_conditions_at_once() -> None:
    model, x, conditions = drawn(), noise(3), torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = model.against_all(x, conditions)
    one_by_one = torch.stack([scores(model, x, each.expand(3, 4)) for each in conditions], dim=1)
    torch.testing.assert_close(found, one_by_one)


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
