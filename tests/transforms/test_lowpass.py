"""Low-pass filters: the power at the cutoff, what passes whole, and signals that end."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d

from ecgkit.transforms.disturb import filtered, gaussian


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
