"""Tests of what every encoder of the registry promises, whatever its kind."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from ecgkit.errors import EcgkitError
from ecgkit.models import ENCODERS, build_encoder
from ecgkit.models.cpc import StepEncoder
from ecgkit.models.xresnet import DEPTHS

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
