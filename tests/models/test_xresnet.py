"""Tests of xresnet1d: shapes, sizes, and the identities that its design promises."""

from __future__ import annotations

import pytest
import torch

from ecgkit.errors import EcgkitError
from ecgkit.models import ENCODERS, XResNet1d, build_encoder
from ecgkit.models.xresnet import DEPTHS, ResidualBlock


@pytest.mark.parametrize("name", sorted(DEPTHS))
def test_every_depth_embeds_any_length_and_any_number_of_leads(name: str) -> None:
    net = build_encoder(name, n_leads=3, widths=(8, 8, 12, 16)).eval()
    for sig_len in (125, 250, 1000):
        assert net(torch.randn(2, 3, sig_len)).shape == (2, net.n_features)


@pytest.mark.parametrize(("name", "convolutions"), [("xresnet1d18", 18), ("xresnet1d34", 34), ("xresnet1d50", 50),
                                                    ("xresnet1d101", 101)])
def test_the_name_counts_the_layers(name: str, convolutions: int) -> None:
    net = XResNet1d(name, widths=(8, 8, 8, 8))
    inner = sum(isinstance(layer, torch.nn.Conv1d) for block in net.blocks for layer in block.residual.modules())
    # One layer for the stem and one for the classifier, as He et al. count.
    assert inner + 2 == convolutions


def test_a_new_block_is_the_identity_on_what_is_positive() -> None:
    block = ResidualBlock(8, 8, 5, 1, bottleneck=False).eval()
    x = torch.rand(2, 8, 20)
    torch.testing.assert_close(block(x), x)


def test_a_striding_block_pools_its_shortcut() -> None:
    block = ResidualBlock(8, 8, 5, 2, bottleneck=False).eval()
    x = torch.arange(10.0).expand(1, 8, 10)
    torch.testing.assert_close(block(x)[0, 0], torch.tensor([0.5, 2.5, 4.5, 6.5, 8.5]))


def test_drop_path_skips_residuals_in_training_only() -> None:
    block = ResidualBlock(4, 4, 5, 1, bottleneck=False, drop_path=0.5)
    torch.nn.init.ones_(block.residual[-1].get_parameter("1.weight"))
    x = torch.rand(400, 4, 20)
    skipped = (block.train()(x) == x).flatten(1).all(dim=1).float().mean().item()
    assert skipped == pytest.approx(0.5, abs=0.1)
    assert not (block.eval()(x) == x).flatten(1).all(dim=1).any()


def test_every_weight_learns() -> None:
    net = build_encoder("xresnet1d18", widths=(8, 8, 8, 8))
    for block in net.blocks:
        torch.nn.init.ones_(block.residual[-1].get_parameter("1.weight"))
    net(torch.randn(4, 12, 250)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_a_configuration_builds_the_same_encoder() -> None:
    net = build_encoder("xresnet1d50", widths=(8, 8, 8, 8), kernel_size=7)
    again = build_encoder(**net.config)
    again.load_state_dict(net.state_dict())
    x = torch.randn(2, 12, 250)
    assert torch.equal(net.eval()(x), again.eval()(x))


def test_errors_name_the_choice() -> None:
    with pytest.raises(EcgkitError, match="unknown encoder 'resnet'; choose from .*xresnet1d18"):
        build_encoder("resnet")
    with pytest.raises(EcgkitError, match="width"):
        build_encoder("xresnet1d18", width=3)
    with pytest.raises(EcgkitError, match="4 stages"):
        build_encoder("xresnet1d18", widths=(8, 8))


def test_every_registered_encoder_keeps_its_promises() -> None:
    for name in ENCODERS:
        net = build_encoder(name)
        assert isinstance(net.n_features, int)
        assert net.config["name"] == name
