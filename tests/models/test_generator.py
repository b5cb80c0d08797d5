"""Tests of the generator and of its discriminator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ecgkit.leads import LEADS, from_independent, independent
from ecgkit.models.generator import EDIT_HZ, LEAST_MV, Discriminator, Edited, Generator, displaced
from ecgkit.models.windowed import FOLD

SMALL: dict[str, Any] = {"widths": (8, 8), "kernel_size": 3}
#: A window has to begin at a multiple of this: the rate of the coarsest level of `SMALL`.
BLOCK = FOLD * 2


def ecgs(n: int = 2, sig_len: int = 200, seed: int = 0) -> Tensor:
    """Twelve leads of noise, in mV, that obey the limb-lead algebra."""
    eight = np.random.default_rng(seed).normal(size=(n, 8, sig_len)).cumsum(axis=-1) / 10
    return torch.from_numpy(from_independent(eight).astype(np.float32))


def drawn(seed: int = 0, scale: float = 1.0, **options: Any) -> Generator:
    """A generator whose last layers are drawn at random too, so that it edits and bends."""
    torch.manual_seed(seed)
    model = Generator(3, **{**SMALL, **options}).eval()
    for layer in (model.edit, model.displace):
        nn.init.normal_(layer.weight, std=0.3 * scale)
    return model


def edited(model: Generator, x: Tensor) -> Edited:
    with torch.no_grad():
        return model.edited(x, torch.linspace(-1, 1, 3).expand(len(x), 3))


@pytest.mark.parametrize("sig_len", [1, 7, 250, 251, 1000])
def test_any_length_comes_out_as_it_went_in(sig_len: int) -> None:
    done = edited(drawn(), ecgs(3, sig_len))
    assert done.signals.shape == (3, 12, sig_len)
    assert (done.edit.shape, done.local.shape, done.shift.shape) == ((3, 8, sig_len), (3, 8, sig_len), (3, sig_len))
    assert torch.isfinite(done.signals).all()


def test_limb_leads_obey_their_algebra_to_the_bit() -> None:
    done = edited(drawn(), ecgs())
    lead = dict(zip(LEADS, done.signals.unbind(dim=1), strict=True))
    one, two = lead["I"], lead["II"]
    assert float(done.edit.abs().mean()) > 0.1, "it does edit"
    for name, implied in (("III", two - one), ("aVR", -one / 2 - two / 2), ("aVL", one - two / 2),
                          ("aVF", two - one / 2)):
        assert torch.equal(lead[name], implied), name


def test_the_answer_is_the_bent_ecg_and_the_edit() -> None:
    x, model = ecgs(), drawn()
    done = edited(model, x)
    assert float(done.shift.abs().max()) > 1
    expected = displaced(independent(x), done.shift) + done.edit
    torch.testing.assert_close(independent(done.signals), expected)
    fresh = edited(drawn(residual=False), x)
    torch.testing.assert_close(independent(fresh.signals), fresh.edit)


def test_what_a_heart_vector_explains_is_not_local() -> None:
    done = edited(drawn(), ecgs())
    explained = (done.edit - done.local).permute(1, 0, 2).flatten(1).numpy()
    assert np.linalg.matrix_rank(explained, tol=1e-3) == 3
    assert np.linalg.matrix_rank(done.local.permute(1, 0, 2).flatten(1).numpy(), tol=1e-3) == 8


def test_a_window_is_edited_as_within_the_whole() -> None:
    model, x = drawn(), ecgs(1, 1000)
    whole, first, border = edited(model, x), 100 * BLOCK, 25 * BLOCK
    part = edited(model, x[..., first:first + 400])
    for name in ("edit", "local", "shift", "signals"):
        inner = slice(first + border, first + 400 - border)
        torch.testing.assert_close(getattr(part, name)[..., border:-border], getattr(whole, name)[..., inner],
                                   atol=1e-5, rtol=1e-5, msg=name)
    assert not torch.allclose(part.edit[..., :4], whole.edit[..., first:first + 4], atol=1e-3), "borders do differ"


@pytest.mark.parametrize(("fs", "warp_ms"), [(100.0, 120.0), (100.0, 20.0), (500.0, 40.0)])
def test_time_never_folds_however_wild_the_weights(fs: float, warp_ms: float) -> None:
    for seed in range(5):
        shift = edited(drawn(seed, scale=1e4, fs=fs, warp_ms=warp_ms), ecgs(4, 1003, seed)).shift
        assert float(shift.diff(dim=-1).min()) > -1
        assert float(shift.abs().max()) <= warp_ms * fs / 1000 + 1e-4
    assert float(shift.diff(dim=-1).min()) < -0.2, "they are wild"


def test_it_begins_without_bending_time() -> None:
    torch.manual_seed(0)
    done = edited(Generator(3, **SMALL), ecgs())
    assert not done.shift.any()
    assert 0 < float(done.edit.abs().max()) < 3


def test_without_a_warp_nothing_is_displaced() -> None:
    assert not edited(drawn(warp_ms=0), ecgs()).shift.any()


def test_no_displacement_is_the_identity_to_the_bit() -> None:
    x = ecgs()
    assert torch.equal(displaced(x, torch.zeros(len(x), x.shape[-1])), x)


@pytest.mark.parametrize("by", [-3, 1, 4])
def test_whole_samples_are_fetched_as_they_are(by: int) -> None:
    x = ecgs()
    at = (torch.arange(x.shape[-1]) + by).clamp(0, x.shape[-1] - 1)
    assert torch.equal(displaced(x, torch.full((len(x), x.shape[-1]), float(by))), x[..., at])


def test_between_samples_lines_and_parabolas_are_exact() -> None:
    # Catmull and Rom's cubic reproduces polynomials of the second degree.
    t = torch.arange(50, dtype=torch.float64)
    shift = torch.rand(1, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 4 - 2
    inner, at = slice(4, -4), t + shift[0]
    for power in (1, 2):
        x = (2 - 0.3 * t**power).expand(1, 12, 50)
        torch.testing.assert_close(displaced(x, shift)[0, :, inner], (2 - 0.3 * at**power).expand(12, 50)[:, inner])


def test_a_displacement_has_a_slope_to_learn_from() -> None:
    x = torch.arange(20.0).expand(1, 12, 20)
    shift = torch.full((1, 20), 0.25, requires_grad=True)
    displaced(x, shift)[..., 5].sum().backward()
    assert shift.grad is not None
    assert shift.grad[0].tolist() == [12.0 if k == 5 else 0.0 for k in range(20)]


def test_an_edit_holds_nothing_where_no_heart_beats() -> None:
    done = edited(drawn(fs=500.0, warp_ms=0), ecgs(4, 2500))
    power = np.abs(np.fft.rfft(done.edit.numpy() * np.hanning(2500), axis=-1))**2
    hz = np.fft.rfftfreq(2500, 1 / 500)
    assert power[..., hz > 1.5 * EDIT_HZ].sum() < 1e-4 * power.sum()
    assert power[..., (hz > EDIT_HZ / 2) & (hz < EDIT_HZ)].sum() > 1e-3 * power.sum(), "below, it may"


def test_closed_gates_leave_the_ecg_as_it_is_to_the_bit() -> None:
    torch.manual_seed(0)
    model, x = Generator(3, **SMALL), ecgs()
    assert model.edit.bias is not None
    nn.init.constant_(model.edit.bias[model.edit.out_channels // 2:], -200.0)
    done = edited(model, x)
    assert not done.edit.any()
    assert torch.equal(independent(done.signals), independent(x))


def test_an_edit_is_bounded() -> None:
    done = edited(drawn(scale=1e4, most_mv=0.5, warp_ms=0, fs=40.0), ecgs())  # a rate at which no filter can ring
    assert float(done.local.abs().max()) == pytest.approx(0.5 - LEAST_MV, rel=1e-3)


def test_the_condition_is_heard() -> None:
    model, x = drawn(), ecgs(1)
    with torch.no_grad():
        one, other = model(x, torch.ones(1, 3)), model(x, -torch.ones(1, 3))
    assert float((one - other).abs().mean()) > 1e-3


def test_a_batch_is_its_ecgs_one_by_one() -> None:
    model, x = drawn(), ecgs(3)
    alone = torch.cat([edited(model, each[None]).signals for each in x])
    torch.testing.assert_close(edited(model, x).signals, alone, atol=1e-5, rtol=1e-5)


def test_it_is_built_again_from_what_it_says_of_itself() -> None:
    model = drawn(fs=250.0, warp_ms=30.0, most_mv=1.0, residual=False, millivolts=0.5)
    again = Generator(**model.config)
    again.load_state_dict(model.state_dict())
    x = ecgs()
    assert torch.equal(edited(model, x).signals, edited(again, x).signals)


def judge(widths: tuple[int, ...] = (8, 8)) -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(4, widths=widths, kernel_size=3)


def noise(n: int, sig_len: int = 64, seed: int = 0) -> Tensor:
    return torch.randn(n, 12, sig_len, generator=torch.Generator().manual_seed(seed))


def scores(model: Discriminator, x: Tensor, condition: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        return model(x, torch.ones(len(x), 4) if condition is None else condition)


@pytest.mark.parametrize("n", [1, 5, 16])
def test_one_score_for_each_ecg(n: int) -> None:
    assert scores(judge(), noise(n)).shape == (n,)


def test_when_something_happens_is_not_judged() -> None:
    quiet = torch.zeros(3, 12, 128)
    for row, at in enumerate((32, 48, 64)):
        quiet[row, :, at:at + 8] = torch.hann_window(8)
    torch.testing.assert_close(*scores(judge(), quiet)[[0, 1]])
    torch.testing.assert_close(*scores(judge(), quiet)[[0, 2]])


def test_a_single_event_is_not_drowned_by_length() -> None:
    # The mean over time fades with the length, the maximum does not.
    told = []
    for sig_len in (128, 4096):
        x = torch.zeros(2, 12, sig_len)
        x[1, :, 40:48] = 0.5
        told.append(float(scores(judge(), x).diff().abs()))
    assert told[1] > 0.1 * told[0]


def test_it_looks_at_signal_slope_and_curvature_at_the_full_rate() -> None:
    model, seen = judge(), []
    model.levels[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    ramp = (torch.arange(64.0) / 64).square().expand(1, 12, -1)
    scores(model, ramp)
    signal, slope, bend = seen[0].chunk(3, dim=1)
    assert signal.shape == (1, 8, 64)
    torch.testing.assert_close(slope[..., 1:], 2 * signal.diff(dim=-1))
    torch.testing.assert_close(bend[..., 2:], 4 * signal.diff(dim=-1).diff(dim=-1))


def test_the_condition_is_projected_on_the_features() -> None:
    model, x, c = judge(), noise(3), torch.eye(4)[:3]
    heard = scores(model, x, c) - scores(model, x, 0 * c)
    assert float(heard.abs().min()) > 0
    louder = model.project(c) - model.project(0 * c)
    assert louder.shape == (3, 16), "means and maxima"


def test_an_ecg_is_held_against_many_conditions_at_once() -> None:
    model, x, conditions = judge(), noise(3), torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = model.against_all(x, conditions)
    one_by_one = torch.stack([scores(model, x, each.expand(3, 4)) for each in conditions], dim=1)
    torch.testing.assert_close(found, one_by_one)


@pytest.mark.parametrize("n", [3, 8, 16])
def test_an_ecg_is_judged_alone(n: int) -> None:
    model, x = judge(), noise(n)
    alone = torch.cat([scores(model, each[None]) for each in x])
    torch.testing.assert_close(scores(model, x), alone, atol=1e-5, rtol=1e-5)


def test_the_algebra_of_limb_leads_is_not_judged() -> None:
    x = noise(2)
    other = x.clone()
    other[:, 2:6] = 7.0
    assert torch.equal(scores(judge(), x), scores(judge(), other))


def test_a_discriminator_is_built_again_from_what_it_says_of_itself() -> None:
    model = judge((8, 12))
    again = Discriminator(**model.config)
    again.load_state_dict(model.state_dict())
    assert torch.equal(scores(model, noise(2)), scores(again, noise(2)))
