"""Tests of the electrodes' noise: its leads, its spectrum and its strength."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ecgkit.errors import EcgkitError
from ecgkit.leads import limb_residual
from ecgkit.transforms.disturb import FROM_ELECTRODES, add_electrode_noise, add_emg, emg_power

NOISES = {"emg": lambda x, size, g: add_emg(x, size, 100, g),
          "pink": lambda x, size, g: add_electrode_noise(x, size, 1, g)}
each = pytest.mark.parametrize("name", NOISES)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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


@each
def test_noise_keeps_einthovens_law(name: str) -> None:
    noise = NOISES[name](silence(), 0.1, generator())
    assert np.abs(limb_residual(noise.numpy())).max() < 1e-6
    assert noise.abs().max() > 0.1


@each
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


@each
def test_noise_is_added_and_none_changes_nothing(name: str) -> None:
    x = torch.randn(5, 12, 51, generator=generator(3))
    assert torch.allclose(NOISES[name](x, 0, generator()), x)
    on_silence = NOISES[name](torch.zeros_like(x), 0.1, generator())
    assert torch.allclose(NOISES[name](x, 0.1, generator()), x + on_silence, atol=1e-6)


@each
def test_a_seed_repeats_and_leaves_the_global_generator_alone(name: str) -> None:
    x, before = silence(3), torch.random.get_rng_state()
    first, second, other = (NOISES[name](x, 0.1, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


@each
def test_a_batch_of_one_keeps_its_dtype(name: str) -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        assert NOISES[name](silence(1).to(dtype), 0.1, generator()).dtype == dtype


@each
def test_twelve_leads_are_needed(name: str) -> None:
    with pytest.raises(EcgkitError, match="noise at electrodes needs"):
        NOISES[name](torch.zeros(2, 8, 50), 0.1, generator())
