"""Tests of the encoders of steps: causality of their context, LSTM and diagonal state spaces."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import expm
from torch import Tensor

from ecgkit.errors import EcgkitError
from ecgkit.models.cpc import DT_MAX, DT_MIN, S4D, CPCEncoder, S4DBlock, S4DEncoder, StepEncoder


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


def shaken(width: int, state: int, seed: int = 0) -> S4D:
    """A layer in double precision whose parameters have left their start."""
    torch.manual_seed(seed)
    layer = S4D(width, state).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


def by_recurrence(layer: S4D, u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Step through x' = A x + B u, y = C x + D u, with every state, for `(batch, width, length)`."""
    weights = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    y = np.zeros_like(u)
    for channel in range(u.shape[1]):
        half = -np.exp(weights["log_decay"][channel]) + 1j * weights["frequency"][channel]
        half_c = weights["c"][channel, :, 0] + 1j * weights["c"][channel, :, 1]
        a, c = np.concatenate([half, half.conj()]), np.concatenate([half_c, half_c.conj()])
        # Zero-order hold without its formula: u is one more state, which stays as it is for dt.
        held = np.zeros((len(a) + 1, len(a) + 1), dtype=np.complex128)
        held[:-1, :-1], held[:-1, -1] = np.diag(a), 1
        step = expm(held * np.exp(weights["log_dt"][channel, 0]))
        for recording in range(len(u)):
            x = np.zeros(len(a), dtype=np.complex128)
            for k, now in enumerate(u[recording, channel]):
                x = step[:-1, :-1] @ x + step[:-1, -1] * now
                out = c @ x
                assert abs(out.imag) < 1e-9
                y[recording, channel, k] = out.real + weights["d"][channel] * now
    return y


@pytest.mark.parametrize("length", [1, 2, 31, 64, 65])
def test_the_convolution_is_the_recurrence(length: int) -> None:
    layer = shaken(3, 8)
    u = np.random.default_rng(length).standard_normal((2, 3, length))
    np.testing.assert_allclose(layer(torch.from_numpy(u)).detach().numpy(), by_recurrence(layer, u), rtol=0, atol=1e-10)


def test_single_precision_is_enough() -> None:
    layer, u = shaken(4, 16), torch.randn(2, 4, 500, dtype=torch.float64)
    exact = layer(u)
    torch.testing.assert_close(layer.float()(u.float()).double(), exact, rtol=0, atol=1e-4 * exact.std().item())


def test_an_impulse_gives_the_kernel_and_the_direct_path() -> None:
    layer, impulse = shaken(3, 8), torch.zeros(1, 3, 40, dtype=torch.float64)
    impulse[..., 0] = 1
    expected = layer.kernel(40)
    expected[:, 0] += layer.d
    torch.testing.assert_close(layer(impulse)[0], expected)


def test_it_starts_as_s4d_lin() -> None:
    layer = S4D(200, 8)
    dt = layer.log_dt.exp()
    assert DT_MIN <= dt.min() < 2 * DT_MIN
    assert DT_MAX / 2 < dt.max() <= DT_MAX
    a_dt, _ = layer.discretised()
    expected = torch.tensor([complex(-0.5, math.pi * n) for n in range(4)])
    torch.testing.assert_close(a_dt / dt, expected.expand(200, 4))
    assert torch.view_as_complex(layer.c).var().item() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("log_decay", [-8.0, 0.0, 3.0])
def test_it_is_stable_wherever_training_takes_it(log_decay: float) -> None:
    layer = shaken(3, 8)
    torch.nn.init.constant_(layer.log_decay, log_decay)
    powers = layer.discretised()[0].exp()
    assert powers.abs().max() < 1


def test_a_block_starts_from_its_shortcut() -> None:
    block, x = S4DBlock(6, 4), torch.randn(2, 30, 6)
    torch.nn.init.zeros_(block.mix[1].get_parameter("weight"))
    torch.nn.init.zeros_(block.mix[1].get_parameter("bias"))
    assert torch.equal(block(x), x)
    assert not torch.equal(S4DBlock(6, 4)(x), x)


def test_half_precision_around_it_leaves_the_states_in_single() -> None:
    net, x = S4DEncoder(width=8, state=4, blocks=2).eval(), torch.randn(2, 12, 250)
    exact = net(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = net(x)
    torch.testing.assert_close(rough.float(), exact, rtol=0, atol=0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_gives_what_the_cpu_gives() -> None:
    net, x = S4DEncoder(width=8, state=4, blocks=2).eval(), torch.randn(2, 12, 250)
    there = net.cuda()(x.cuda())
    there.sum().backward()
    torch.testing.assert_close(there.cpu(), net.cpu()(x), rtol=1e-4, atol=1e-4)
