"""Tests of S4D against the recurrence that its convolution stands for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import expm

from ecgkit.models.cpc import DT_MAX, DT_MIN, S4D, S4DBlock, S4DEncoder


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
