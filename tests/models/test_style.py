"""Modulated convolutions and the beats that they draw."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import conv1d

from ecgkit.leads import limb_residual
from ecgkit.models.style import ModulatedConv, StyleEncoder, StyleGenerator, StyleNet


def generator(seed: int = 0) -> StyleGenerator:
    torch.manual_seed(seed)
    return StyleGenerator(5, 20, widths=(6, 4, 4), kernel_size=3)


def test_a_modulated_convolution_is_one_with_a_kernel_for_each_beat() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv(3, 4, 5)
    x, style = torch.randn(2, 3, 9), torch.randn(2, 3)
    for beat, s, found in zip(x, style, layer(x, style), strict=True):
        kernel = layer.weight * s[None, :, None]
        kernel = kernel / kernel.square().sum(dim=(1, 2), keepdim=True).sqrt()
        ring = torch.cat([beat[:, -2:], beat, beat[:, :2]], dim=1)
        torch.testing.assert_close(found, conv1d(ring[None], kernel)[0] + layer.bias[:, None])


def test_demodulation_takes_out_a_common_factor_and_its_lack_does_not() -> None:
    torch.manual_seed(0)
    x, style = torch.randn(2, 3, 8), torch.rand(2, 3) + 0.5
    with_it, without = ModulatedConv(3, 4, 3), ModulatedConv(3, 4, 3, demodulate=False)
    torch.testing.assert_close(with_it(x, 7 * style), with_it(x, style))
    torch.testing.assert_close(without(x, 7 * style), 7 * without(x, style))


def test_a_convolution_knows_no_beginning() -> None:
    torch.manual_seed(0)
    layer, x, style = ModulatedConv(3, 4, 5), torch.randn(2, 3, 12), torch.rand(2, 3)
    torch.testing.assert_close(layer(x.roll(5, dims=-1), style), layer(x, style).roll(5, dims=-1))


def test_beats_obey_the_limb_leads_algebra() -> None:
    beats = generator()(torch.randn(3, 5)).detach().numpy()
    assert beats.shape == (3, 12, 20)
    assert np.abs(limb_residual(beats)).max() < 1e-6


def test_every_coordinate_has_a_place_and_acts() -> None:
    net = generator()
    style = net.style(torch.randn(1, 5))
    assert len(set(net.places)) == len(net.places) == style.shape[1]
    still = net.draw(style)
    for k, place in enumerate(net.places):
        moved = style.clone()
        moved[:, k] += 1
        assert (net.draw(moved) - still).abs().max() > 1e-5, place


def test_every_weight_learns() -> None:
    torch.manual_seed(0)
    net = StyleNet(4, 2, 20, encoder={"widths": (4, 6)}, generator={"widths": (6, 4)})
    beats = net(torch.randn(3, 12, 20), torch.rand(3, 2))
    (beats * torch.randn(beats.shape)).sum().backward()
    assert not [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def test_the_encoder_takes_any_period() -> None:
    for period in (20, 25):
        encoder = StyleEncoder(7, period, widths=(4, 4, 4), kernel_size=3)
        assert encoder(torch.randn(2, 12, period)).shape == (2, 7)
