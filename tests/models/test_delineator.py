"""Tests of the delineator's net: every length comes out as it went in, and shift, scale and baseline do not matter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ecgkit.errors import EcgkitError
from ecgkit.models.delineator import CHANNELS, Delineator
from ecgkit.models.weights import load_delineator, model_card, save_delineator


@pytest.fixture(scope="module")
def net() -> Delineator:
    torch.manual_seed(0)
    return Delineator(widths=(8, 8, 8), kernel_size=5).eval()


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    return torch.randn(2, 12, 640, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("sig_len", [625, 626, 640, 2500])
def test_there_is_an_answer_for_every_sample(net: Delineator, sig_len: int) -> None:
    assert net(torch.randn(2, 12, sig_len)).shape == (2, len(CHANNELS), sig_len)


def test_a_later_wave_is_found_later(net: Delineator) -> None:
    x = torch.zeros(1, 12, 640)
    x[0, :, 200:210] = 1.0
    early, late = net(x), net(x.roll(8, dims=-1))
    torch.testing.assert_close(early[..., 100:400], late[..., 108:408], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(early[..., 100:400], late[..., 100:400], atol=1e-3)


def test_neighbouring_samples_are_not_mixed_up(net: Delineator, x: torch.Tensor) -> None:
    moved = x.clone()
    moved[..., 301] += 5 * x.std()
    change = (net(moved) - net(x)).abs().sum(dim=(0, 1))
    assert 280 < float(change.argmax()) < 322


def test_gain_and_baseline_do_not_matter(net: Delineator, x: torch.Tensor) -> None:
    torch.testing.assert_close(net(3 * x), net(x), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(net(x + torch.randn(2, 12, 1)), net(x), atol=1e-4, rtol=1e-4)
    louder = x.clone()
    louder[:, 0] *= 3
    assert not torch.allclose(net(louder), net(x), atol=1e-2), "one lead's gain does matter"


def test_silence_gives_numbers(net: Delineator) -> None:
    assert torch.isfinite(net(torch.zeros(1, 12, 625))).all()


def test_other_shapes_are_refused(net: Delineator) -> None:
    with pytest.raises(EcgkitError, match="expected"):
        net(torch.zeros(1, 8, 625))


def test_weights_come_back(net: Delineator, x: torch.Tensor, tmp_path: Path) -> None:
    save_delineator(net, tmp_path / "net.safetensors", {"data": "none"})
    again = load_delineator(tmp_path / "net.safetensors")
    assert torch.equal(again(x), net(x))
    assert not again.training
    assert model_card(tmp_path / "net.safetensors") == {"data": "none"}
