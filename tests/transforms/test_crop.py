"""Tests of crops."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ecgkit.errors import EcgkitError
from ecgkit.transforms import every_crop, random_crop


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
