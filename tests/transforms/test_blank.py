"""Tests of blanking: what is lost is lost as stated, and the rest is untouched."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ecgkit.errors import EcgkitError
from ecgkit.transforms.disturb import blank_group, blank_partially, blank_parts, keep_leads, time_out

ALL = [blank_group, keep_leads, blank_parts, blank_partially, time_out]
each = pytest.mark.parametrize("blank", ALL)


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


@each
def test_what_is_kept_is_untouched_and_the_input_too(blank) -> None:
    x = torch.randn(50, 12, 30, generator=generator(3))
    copy = x.clone()
    y = blank(x, generator=generator())
    assert torch.equal(x, copy)
    assert torch.equal(y[y != 0], x[y != 0])
    assert (y == 0).any()


@each
def test_a_seed_repeats_and_leaves_the_global_generator_alone(blank) -> None:
    x, before = torch.ones(20, 12, 30), torch.random.get_rng_state()
    first, second, other = (blank(x, generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


@each
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
