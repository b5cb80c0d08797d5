"""Robustness: filters and noise do what they say, and flips that live in high frequencies do not survive them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.transfer import disturb, low_pass, survives
from ecgkit.leads import limb_residual
from ecgkit.simulator import Cohort

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
