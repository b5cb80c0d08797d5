"""Tests of the augmentations: each does what it says, per ECG, from its own generator."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import convolve1d
from torch import Tensor

from ecgkit.errors import EcgkitError
from ecgkit.leads import FROM_ELECTRODES, limb_residual
from ecgkit.transforms import (
    Perturb,
    add_electrode_noise,
    add_emg,
    add_noise,
    add_wander,
    blank_group,
    blank_partially,
    blank_parts,
    crop_at,
    emg_power,
    every_crop,
    filtered,
    gaussian,
    keep_leads,
    mask_leads,
    normal,
    random_crop,
    scale_gain,
    time_out,
    uniform,
)


def ramp(batch: int, sig_len: int) -> torch.Tensor:
    return torch.arange(sig_len).float().expand(batch, 12, sig_len)


def test_random_crops_are_windows_at_places_of_their_own() -> None:
    x = random_crop(ramp(64, 1000), 250, torch.Generator().manual_seed(0))
    assert x.shape == (64, 12, 250)
    assert (x.diff(dim=-1) == 1).all()
    assert (x == x[:, :1]).all(), "all leads of an ECG are cut at the same place"
    starts = x[:, 0, 0]
    assert starts.unique().numel() > 50
    assert starts.min() < 100
    assert starts.max() > 650


def test_random_crops_reach_both_ends_and_repeat_by_seed() -> None:
    x = random_crop(ramp(500, 12), 10, torch.Generator().manual_seed(1))
    assert set(x[:, 0, 0].tolist()) == {0.0, 1.0, 2.0}
    assert torch.equal(x, random_crop(ramp(500, 12), 10, torch.Generator().manual_seed(1)))


def test_a_crop_begins_where_it_is_told() -> None:
    x = ramp(3, 12) + 100 * torch.arange(3)[:, None, None]
    found = crop_at(x, torch.tensor([0, 7, 2]), 5)
    assert torch.equal(found, torch.stack([x[0, :, 0:5], x[1, :, 7:12], x[2, :, 2:7]]))


@given(st.integers(1, 40), st.integers(0, 100))
def test_every_crop_covers_the_signal_with_half_overlap(crop_len: int, spare: int) -> None:
    crops = every_crop(ramp(1, crop_len + spare), crop_len)[0, :, 0]
    assert crops[0, 0] == 0
    assert crops[-1, -1] == crop_len + spare - 1
    if len(crops) > 1:
        assert crops[:, 0].diff().max() <= max(crop_len // 2, 1)


def test_ten_seconds_give_seven_windows() -> None:
    assert every_crop(ramp(2, 1000), 250).shape == (2, 7, 12, 250)


@pytest.mark.parametrize("cut", [random_crop, every_crop])
def test_short_signals_are_never_padded(cut) -> None:
    with pytest.raises(EcgkitError, match="100 samples has no window of 250"):
        cut(ramp(1, 100), 250)


ALL = [blank_group, keep_leads, blank_parts, blank_partially, time_out]
each_blank = pytest.mark.parametrize("blank", ALL)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lost(blank, *args: float, batch: int = 1000, sig_len: int = 20) -> Tensor:
    return blank(torch.ones(batch, 12, sig_len), *args, generator=generator()) == 0


def stretches(gone: Tensor) -> Tensor:
    """How often each row, closed to a ring, goes from kept to lost."""
    return (gone & ~gone.roll(1, -1)).sum(dim=-1)


def test_a_group_is_all_limb_or_all_chest_leads() -> None:
    gone = lost(blank_group, 0.6, batch=4000)
    assert (gone == gone[..., :1]).all()
    limb, chest = gone[:, :6, 0], gone[:, 6:, 0]
    assert (limb.all(1) == limb.any(1)).all()
    assert (chest.all(1) == chest.any(1)).all()
    assert not (limb.any(1) & chest.any(1)).any()
    assert limb.any(1).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert chest.any(1).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert not lost(blank_group, 0).any()


def test_kept_leads_are_any_number_of_any_leads() -> None:
    gone = lost(keep_leads, 3, batch=6000)
    assert (gone == gone[..., :1]).all()
    kept = (~gone[..., 0]).sum(dim=1)
    shares = torch.bincount(kept, minlength=13)[3:] / 6000
    assert kept.min() == 3
    assert shares.tolist() == pytest.approx([0.1] * 10, abs=0.02)
    assert gone[..., 0].float().mean(dim=0).tolist() == pytest.approx([(12 - 7.5) / 12] * 12, abs=0.03)
    assert not lost(keep_leads, 12).any()


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_parts_are_one_stretch_of_each_lead_from_anywhere_around_the_end(share: float) -> None:
    gone = lost(blank_parts, share)
    assert (gone.sum(dim=-1) == round(share * 20)).all()
    assert (stretches(gone) == (1 if 0 < share < 1 else 0)).all()
    if 0 < share < 1:
        assert gone.float().mean(dim=(0, 1)).tolist() == pytest.approx([share] * 20, abs=0.03), "any place as likely"
        assert (gone[:, 0] != gone[:, 1]).any(-1).float().mean() > 0.9, "each lead has its own"


def test_partial_blanking_is_one_of_the_two_for_each_ecg() -> None:
    gone = lost(blank_partially, 2, 0.5)
    whole = (gone == gone[..., :1]).all(dim=-1).all(dim=-1)
    assert whole.float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert (gone[whole][..., 0].sum(dim=1) <= 10).all()
    assert (gone[~whole].sum(dim=-1) == 10).all()


def test_a_time_out_is_one_window_of_all_leads_inside_the_recording() -> None:
    gone = lost(time_out, 0.5, batch=8000)
    assert (gone == gone[:, :1]).all()
    row = gone[:, 0]
    length = row.sum(dim=1)
    assert (torch.bincount(length) / 8000).tolist() == pytest.approx([1 / 11] * 11, abs=0.02), "0 to half of 20"
    assert (row.int().diff(dim=1).clamp(min=0).sum(dim=1) + row[:, 0] == (length > 0)).all(), "no wrapping"
    tens = row[length == 10]
    starts = torch.bincount(tens.int().argmax(dim=1), minlength=11) / len(tens)
    assert starts.tolist() == pytest.approx([1 / 11] * 11, abs=0.05)
    assert not lost(time_out, 0).any()


def test_a_time_out_may_take_everything() -> None:
    lengths = lost(time_out, 1.0, batch=2000, sig_len=4)[:, 0].sum(dim=1)
    assert lengths.unique().tolist() == [0, 1, 2, 3, 4]


@each_blank
def test_what_is_kept_is_untouched_and_the_input_too(blank) -> None:
    x = torch.randn(50, 12, 30, generator=generator(3))
    copy = x.clone()
    y = blank(x, generator=generator())
    assert torch.equal(x, copy)
    assert torch.equal(y[y != 0], x[y != 0])
    assert (y == 0).any()


@each_blank
def test_a_seed_of_blanking_repeats_and_leaves_the_global_generator_alone(blank) -> None:
    x, before = torch.ones(20, 12, 30), torch.random.get_rng_state()
    first, second, other = (blank(x, generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


@each_blank
def test_a_batch_of_one(blank) -> None:
    assert blank(torch.ones(1, 12, 30), generator=generator()).shape == (1, 12, 30)


@pytest.mark.parametrize(("blank", "value", "message"), [
    (blank_group, 1.5, "probability is 1.5"), (keep_leads, 0, "keep from 1 to 12"),
    (keep_leads, 13, "keep from 1 to 12"), (blank_parts, -0.1, "share is -0.1"), (time_out, 2, "share is 2"),
])
def test_mistakes_are_told_in_one_line(blank, value: float, message: str) -> None:
    with pytest.raises(EcgkitError, match=message):
        blank(torch.ones(2, 12, 5), value)


def test_groups_need_twelve_leads() -> None:
    with pytest.raises(EcgkitError, match="groups of leads"):
        blank_group(torch.ones(2, 8, 5))


NOISES = {"emg": lambda x, size, g: add_emg(x, size, 100, g),
          "pink": lambda x, size, g: add_electrode_noise(x, size, 1, g)}
each_noise = pytest.mark.parametrize("name", NOISES)


def silence(batch: int = 200, sig_len: int = 200) -> Tensor:
    return torch.zeros(batch, 12, sig_len)


def spectrum(noise: Tensor) -> Tensor:
    return torch.fft.rfft(noise[:, 0]).abs().square().mean(dim=0)


def test_leads_are_differences_of_electrodes() -> None:
    ra, la, ll, *chest = FROM_ELECTRODES.T
    assert ra[:6].tolist() == pytest.approx([-1, -1, 0, 1, -0.5, -0.5])
    assert la[:6].tolist() == pytest.approx([1, 0, -1, -0.5, 1, -0.5])
    assert ll[:6].tolist() == pytest.approx([0, 1, 1, -0.5, -0.5, 1])
    assert FROM_ELECTRODES.sum(axis=1) == pytest.approx(np.zeros(12)), "a potential of all electrodes is not seen"
    assert np.stack(chest)[:, 6:] == pytest.approx(np.eye(6))


@each_noise
def test_noise_keeps_einthovens_law(name: str) -> None:
    noise = NOISES[name](silence(), 0.1, generator())
    assert np.abs(limb_residual(noise.numpy())).max() < 1e-6
    assert noise.abs().max() > 0.1


@each_noise
def test_strength_is_drawn_for_each_ecg_and_measured_at_the_electrode(name: str) -> None:
    noise = NOISES[name](silence(2000), 0.2, generator())
    between_two = noise[:, 0].square().mean(dim=1).sqrt()
    assert between_two.mean().item() == pytest.approx(0.1 * math.sqrt(2), rel=0.05)
    assert between_two.min() < 0.02
    against_three = noise[:, 6].square().mean().sqrt() / noise[:, 0].square().mean().sqrt()
    assert against_three.item() == pytest.approx(math.sqrt(4 / 3 / 2), rel=0.05)


def test_muscle_noise_has_the_spectrum_of_shwedyk() -> None:
    noise = add_emg(silence(2000, 500), 1, 500, generator())
    frequency = torch.fft.rfftfreq(500, 1 / 500)
    expected = torch.tensor([f**2 / ((f**2 + 60**2) * (f**2 + 120**2)**2) for f in frequency.tolist()])
    assert torch.allclose(emg_power(frequency), expected)
    measured = spectrum(noise)
    measured, expected = measured[1:-1] / measured[1:-1].sum(), expected[1:-1] / expected[1:-1].sum()
    assert (measured / expected).sub(1).abs().max() < 0.25
    assert 50 < frequency[1:-1][measured.argmax()] < 80


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_electrode_noise_falls_off_with_its_exponent(exponent: float) -> None:
    power = spectrum(add_electrode_noise(silence(1000), 1, exponent, generator()))[1:-1]
    octaves = torch.log2(torch.arange(1, 100).float())
    slope = np.polyfit(octaves.numpy(), torch.log2(power).numpy(), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.05)


def test_coloured_noise_has_no_mean() -> None:
    assert add_electrode_noise(silence(), 1, 2, generator()).mean(dim=-1).abs().max() < 1e-5


@each_noise
def test_noise_is_added_and_none_changes_nothing(name: str) -> None:
    x = torch.randn(5, 12, 51, generator=generator(3))
    assert torch.allclose(NOISES[name](x, 0, generator()), x)
    on_silence = NOISES[name](torch.zeros_like(x), 0.1, generator())
    assert torch.allclose(NOISES[name](x, 0.1, generator()), x + on_silence, atol=1e-6)


@each_noise
def test_a_seed_of_noise_repeats_and_leaves_the_global_generator_alone(name: str) -> None:
    x, before = silence(3), torch.random.get_rng_state()
    first, second, other = (NOISES[name](x, 0.1, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


@each_noise
def test_a_batch_of_one_keeps_its_dtype(name: str) -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        assert NOISES[name](silence(1).to(dtype), 0.1, generator()).dtype == dtype


@each_noise
def test_twelve_leads_are_needed(name: str) -> None:
    with pytest.raises(EcgkitError, match="noise at electrodes needs"):
        NOISES[name](torch.zeros(2, 8, 50), 0.1, generator())


def test_a_blur_halves_the_power_at_its_cutoff_and_keeps_the_mean() -> None:
    t = torch.arange(1000) / 100
    for cutoff in (12.0, 18.0):
        wave = torch.sin(2 * torch.pi * cutoff * t).expand(1, 12, -1)
        kept = filtered(wave, gaussian(cutoff, 100.0, sigmas=3))[..., 50:-50].square().mean() / wave.square().mean()
        assert float(kept) == pytest.approx(0.5, rel=0.02)
    level = torch.full((1, 12, 50), 0.7)
    torch.testing.assert_close(filtered(level, gaussian(12.0, 100.0, sigmas=3)), level)


@pytest.mark.parametrize("sigmas", [3.0, 4.0])
def test_taps_are_a_symmetric_mean(sigmas: float) -> None:
    taps = gaussian(9.0, 100.0, sigmas)
    assert float(taps.sum()) == pytest.approx(1)
    torch.testing.assert_close(taps, taps.flip(0))
    assert len(taps) % 2 == 1
    assert len(gaussian(9.0, 100.0, 4.0)) > len(gaussian(9.0, 100.0, 3.0))


def test_a_signal_is_filtered_as_by_a_slow_reference_and_goes_on_as_it_ended() -> None:
    x = torch.randn(2, 12, 60, generator=torch.Generator().manual_seed(0))
    taps = gaussian(12.0, 100.0)
    expected = convolve1d(x.numpy(), taps.numpy(), axis=-1, mode="nearest")
    np.testing.assert_allclose(filtered(x, taps).numpy(), expected, atol=1e-5)


def test_gain_is_one_factor_for_all_leads_of_an_ecg() -> None:
    x = torch.ones(2000, 12, 5)
    y = scale_gain(x, 0.2, generator())
    assert (y == y[:, :1, :1]).all()
    assert y[:, 0, 0].log().std().item() == pytest.approx(0.2, rel=0.1)


def test_masking_takes_whole_leads_of_half_the_ecgs() -> None:
    y = mask_leads(torch.ones(4000, 12, 5), 0.3, generator())
    assert (y == y[..., :1]).all()
    lost = y[..., 0] == 0
    assert lost.float().mean().item() == pytest.approx(0.15, abs=0.01)
    untouched = (~lost).all(dim=1).float().mean().item()
    assert untouched == pytest.approx(0.5 + 0.5 * 0.7**12, abs=0.03)


def test_wander_is_slow_and_bounded() -> None:
    y = add_wander(torch.zeros(50, 12, 1000), 0.1, 100, generator())
    assert y.abs().max() <= 0.1
    power = torch.fft.rfft(y - y.mean(-1, keepdim=True)).abs().square().sum(dim=(0, 1))
    assert power[:16].sum() / power.sum() > 0.95, "0 to 1.5 Hz"


def test_noise_differs_in_strength_between_ecgs() -> None:
    spread = add_noise(torch.zeros(300, 12, 500), 0.2, generator()).std(dim=(1, 2))
    assert spread.max() < 0.21
    assert spread.mean().item() == pytest.approx(0.1, rel=0.15)


def test_all_strengths_zero_changes_nothing() -> None:
    x = torch.randn(3, 12, 250)
    assert torch.equal(Perturb(0, 0, 0, 0)(x, 100, generator()), x)


def test_a_seed_of_perturb_repeats_and_leaves_the_global_generator_alone() -> None:
    x, before = torch.randn(3, 12, 250), torch.random.get_rng_state()
    first, second, other = (Perturb()(x, 100, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_draws_come_from_the_generator_that_is_given() -> None:
    x = torch.empty(1)
    for draw in (uniform, normal):
        assert torch.equal(draw(x, (5,), generator(3)), draw(x, (5,), generator(3)))
        assert not torch.equal(draw(x, (5,), generator(3)), draw(x, (5,), generator(4)))
    assert normal(x, (10_000,), generator()).std().item() == pytest.approx(1, abs=0.05)
    assert uniform(x, (10_000,), generator()).mean().item() == pytest.approx(0.5, abs=0.02)
