"""Tests of the encoders: each by its name, the depths of xresnet1d, and two streams side by side."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from ecgkit.errors import EcgkitError
from ecgkit.leads import CHEST, LEADS, LIMB
from ecgkit.models import ENCODERS, XResNet1d, build_encoder
from ecgkit.models.cpc import StepEncoder
from ecgkit.models.encoders import DEPTHS, DualStream, ResidualBlock

#: Options that make each encoder tiny.
TINY: dict[str, dict[str, Any]] = {
    **{name: {"widths": (4, 4, 4, 4)} for name in DEPTHS},
    "dual_stream": {"widths": (4, 4, 4, 4)},
    "cpc": {"width": 8, "hidden": 6, "stride": 5},
    "s4d": {"width": 8, "state": 6, "blocks": 2},
}
every_encoder = pytest.mark.parametrize("name", sorted(ENCODERS))


def tiny(name: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_encoder(name, **TINY[name])


def tiny_steps(name: str) -> StepEncoder:
    net = tiny(name).eval()
    assert isinstance(net, StepEncoder)
    return net


def test_every_encoder_has_a_row_here() -> None:
    assert set(TINY) == set(ENCODERS)


@every_encoder
def test_any_length_becomes_n_features(name: str) -> None:
    net = tiny(name).eval()
    for sig_len in (250, 333, 1000):
        assert net(torch.randn(2, 12, sig_len)).shape == (2, net.n_features)


@every_encoder
def test_a_configuration_survives_json_and_builds_the_same_encoder(name: str) -> None:
    net = tiny(name)
    again = build_encoder(**json.loads(json.dumps(net.config)))
    again.load_state_dict(net.state_dict())
    x = torch.randn(2, 12, 250)
    assert again.config == net.config
    assert torch.equal(net.eval()(x), again.eval()(x))


@every_encoder
def test_the_seed_decides_the_weights(name: str) -> None:
    x = torch.randn(3, 12, 250, generator=torch.Generator().manual_seed(1))
    embedded = [tiny(name, seed)(x) for seed in (0, 0, 1)]
    assert torch.equal(embedded[0], embedded[1])
    assert not torch.equal(embedded[0], embedded[2])


@every_encoder
def test_every_weight_learns(name: str) -> None:
    net = tiny(name)
    for parameter in net.parameters():
        if not parameter.any():  # Residual branches start shut.
            nn.init.ones_(parameter)
    embedded = net(torch.randn(4, 12, 250))
    # Not the sum of squares: behind a normalisation that is a constant.
    (embedded * torch.randn(embedded.shape)).sum().backward()
    still = [key for key, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not still


@every_encoder
def test_an_ecg_is_embedded_by_itself_in_eval_mode(name: str) -> None:
    net, x = tiny(name).eval(), torch.randn(3, 12, 250)
    torch.testing.assert_close(net(x)[1:2], net(x[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["cpc", "s4d"])
@pytest.mark.parametrize("sig_len", [250, 500])
def test_step_encoders_give_steps_and_their_context(name: str, sig_len: int) -> None:
    net, x = tiny_steps(name), torch.randn(2, 12, sig_len)
    steps = net.steps(x)
    context = net.context(steps)
    assert steps.shape == (2, sig_len // net.stride, net.step_features)
    assert context.shape == (2, sig_len // net.stride, net.context_features)
    torch.testing.assert_close(net(x), torch.cat([context.mean(dim=1), context.max(dim=1).values], dim=1))


@pytest.mark.parametrize("name", ["cpc", "s4d"])
def test_nothing_looks_ahead(name: str) -> None:
    net, x = tiny_steps(name).double(), torch.randn(2, 12, 250).double()
    changed, step = x.clone(), 20
    changed[..., step * net.stride:] += 1
    before, after = net.context(net.steps(x)), net.context(net.steps(changed))
    torch.testing.assert_close(before[:, :step], after[:, :step], rtol=0, atol=1e-12)
    # The next step sees the change, and a later one still remembers the first sample.
    assert (before[:, step] - after[:, step]).abs().max() > 1e-3
    changed = x.clone()
    changed[..., 0] += 1
    assert (net.context(net.steps(changed))[:, 5] - before[:, 5]).abs().max() > 1e-6


@pytest.mark.parametrize(("name", "options", "message"), [
    ("lstm", {}, "unknown encoder 'lstm'; choose from xresnet1d18.*dual_stream, cpc, s4d"),
    ("cpc", {"depth": 3}, "encoder cpc: .*depth"),
    ("cpc", {"stride": 0}, "stride 0: give a whole number from 1 on"),
    ("cpc", {"hidden": 2.5}, "hidden 2.5: give a whole number"),
    ("s4d", {"blocks": 0}, "blocks 0: give a whole number"),
    ("s4d", {"state": 7}, "state 7: give an even number"),
    ("dual_stream", {"backbone": "vgg"}, "unknown encoder 'vgg'; choose from xresnet1d18"),
    ("dual_stream", {"widths": (8, 8)}, "xresnet1d18 has 4 stages"),
    ("dual_stream", {"hidden": 8}, "encoder dual_stream: .*hidden"),
])
def test_bad_options_are_one_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(EcgkitError, match=message) as caught:
        build_encoder(name, **options)
    assert "\n" not in str(caught.value)


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


def test_every_weight_of_a_block_learns() -> None:
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


NARROW = (4, 4, 4, 4)


@pytest.mark.parametrize("lead", LEADS)
def test_a_lead_reaches_the_stream_of_its_group_only(lead: str) -> None:
    net, x = DualStream(widths=NARROW).eval(), torch.randn(2, 12, 250)
    changed = x.clone()
    changed[:, LEADS.index(lead)] += torch.randn(250)
    same = (net.streams(x) == net.streams(changed)).flatten(2).all(dim=2).all(dim=0)
    assert same.tolist() == [lead in CHEST, lead in LIMB]


def test_a_stream_is_its_backbone_on_its_leads() -> None:
    net, x = DualStream(backbone="xresnet1d34", widths=NARROW, kernel_size=7).eval(), torch.randn(2, 12, 250)
    alone = XResNet1d("xresnet1d34", n_leads=6, widths=NARROW, kernel_size=7).eval()
    for group, leads in enumerate((x[:, :6], x[:, 6:])):
        alone.load_state_dict(net.nets[group].state_dict())
        assert torch.equal(net.streams(x)[:, group], alone(leads))


def test_forward_lays_the_streams_side_by_side() -> None:
    net, x = DualStream(widths=NARROW).eval(), torch.randn(3, 12, 250)
    streams = net.streams(x)
    assert streams.shape == (3, net.n_groups, net.n_features // net.n_groups) == (3, 2, 8)
    assert torch.equal(net(x), torch.cat([streams[:, 0], streams[:, 1]], dim=1))


def test_the_default_is_as_large_as_one_xresnet1d18() -> None:
    both, one = (sum(p.numel() for p in net.parameters()) for net in (DualStream(), XResNet1d()))
    assert both == pytest.approx(one, rel=0.05)


def test_other_than_twelve_leads_are_refused() -> None:
    with pytest.raises(RuntimeError, match="split"):
        DualStream(widths=NARROW)(torch.randn(2, 13, 250))
