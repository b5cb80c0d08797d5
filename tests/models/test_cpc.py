"""Tests of the step encoder and of CPC's encoder: steps stand alone, and the size is the published one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ecgkit.errors import EcgkitError
from ecgkit.models.cpc import CPCEncoder, StepEncoder


class RunningMean(StepEncoder):
    def context(self, steps: Tensor) -> Tensor:
        return steps.cumsum(dim=1) / torch.arange(1, steps.shape[1] + 1)[:, None]


def test_a_sample_reaches_its_own_step_only() -> None:
    net, x = CPCEncoder(width=8, hidden=4, stride=5).eval(), torch.randn(2, 12, 254)
    for sample in (0, 4, 5, 123, 249):
        changed = x.clone()
        changed[..., sample] += 1
        differs = (net.steps(x) - net.steps(changed)).abs().amax(dim=(0, 2)) > 1e-6
        assert differs.nonzero().flatten().tolist() == [sample // 5]


def test_samples_after_the_last_whole_step_are_not_seen() -> None:
    net, x = CPCEncoder(width=8, hidden=4, stride=5).eval(), torch.randn(2, 12, 254)
    torch.testing.assert_close(net(x), net(x[..., :250]))


def test_the_steps_are_a_strided_convolution_and_pointwise_ones() -> None:
    net, x = CPCEncoder(width=8, hidden=4, stride=3), torch.randn(2, 12, 60)
    expected = x
    for index in (0, 3, 6, 9):
        weight = net.layers[index].get_parameter("weight")
        kernel = weight.unflatten(1, (12, 3)) if index == 0 else weight[..., None]
        expected = torch.nn.functional.conv1d(expected, kernel, stride=3 if index == 0 else 1)
        # In training a batch normalisation standardises each channel over batch and time.
        variance, mean = torch.var_mean(expected, dim=(0, 2), keepdim=True, correction=0)
        expected = torch.relu((expected - mean) / torch.sqrt(variance + 1e-5))
    torch.testing.assert_close(net.train().steps(x), expected.mT, rtol=1e-3, atol=1e-4)


def test_an_untrained_net_keeps_the_size_of_activations_in_eval_mode() -> None:
    steps = CPCEncoder(width=256, hidden=4, stride=5).eval().steps(torch.randn(8, 12, 250))
    assert steps.square().mean().item() == pytest.approx(1, rel=0.5)


def test_the_published_size() -> None:
    net = CPCEncoder(width=512, hidden=512, stride=1)
    fully_connected = 12 * 512 + 3 * 512 * 512 + 4 * 2 * 512
    lstm = 2 * 4 * 512 * (512 + 512 + 2)
    assert sum(p.numel() for p in net.parameters()) == fully_connected + lstm
    assert (net.step_features, net.context_features, net.n_features) == (512, 512, 1024)


def test_a_subclass_needs_a_context_only() -> None:
    net = RunningMean({}, n_leads=2, stride=4, step_features=3, depth=1, context_features=3).eval()
    x = torch.randn(2, 2, 40)
    steps = net.steps(x)
    expected = torch.stack([steps[:, :k].mean(dim=1) for k in range(1, 11)], dim=1)
    torch.testing.assert_close(net(x), torch.cat([expected.mean(dim=1), expected.amax(dim=1)], dim=1))


def test_a_signal_shorter_than_a_step_is_refused() -> None:
    with pytest.raises(EcgkitError, match="signals of 4 samples, shorter than one step of 5"):
        CPCEncoder(width=8, hidden=4, stride=5)(torch.randn(2, 12, 4))
