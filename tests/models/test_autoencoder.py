"""Tests of the autoencoder: every length, the same code wherever it lies, limb leads, and a loss worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgkit.errors import EcgkitError
from ecgkit.leads import LEADS, from_independent, limb_residual
from ecgkit.models.autoencoder import Autoencoder, elbo_loss
from ecgkit.models.windowed import folded, unfolded


@pytest.fixture(scope="module")
def net() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(channels=4, widths=(16, 16, 16)).eval()


def ecgs(sig_len: int, n: int = 2) -> torch.Tensor:
    eight = np.random.default_rng(0).normal(0, 0.3, (n, 8, sig_len)).astype(np.float32)
    return torch.from_numpy(from_independent(eight))


@pytest.mark.parametrize("sig_len", [250, 256, 1000, 1001])
def test_ecgs_of_every_length_come_back_as_long(net: Autoencoder, sig_len: int) -> None:
    mean, log_variance = net.encode(ecgs(sig_len))
    assert mean.shape == log_variance.shape == (2, 4, -(-sig_len // net.stride))
    drawn = net(ecgs(sig_len)).detach()
    assert drawn.shape == (2, 12, sig_len)
    assert np.abs(limb_residual(drawn.numpy())).max() < 1e-6


def test_a_later_ecg_has_a_later_code(net: Autoencoder) -> None:
    x = torch.zeros(1, 12, 640)
    x[:, :, 300:320] = ecgs(20, 1)
    early, late = net(x), net(x.roll(2 * net.stride, dims=-1))
    torch.testing.assert_close(early[..., 150:450], late[..., 150 + 2 * net.stride:450 + 2 * net.stride])
    assert (early[..., 300:320] - early[..., 100:101]).abs().max() > 1e-3


def test_a_window_is_drawn_as_it_is_within_the_whole(net: Autoencoder) -> None:
    x = ecgs(960)
    torch.testing.assert_close(net(x[..., 320:640])[..., 128:192], net(x)[..., 448:512], atol=1e-5, rtol=1e-4)


def test_folding_goes_both_ways() -> None:
    x = torch.arange(12.0).reshape(1, 2, 6)
    assert sorted(folded(x)[0, :, 0].tolist()) == [0, 1, 6, 7]
    torch.testing.assert_close(unfolded(folded(x)), x)


def test_the_loss_is_the_bound_of_a_drawn_code(net: Autoencoder) -> None:
    x = ecgs(256)
    mean, log_variance = (part.double().detach().numpy() for part in net.encode(x))
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(3)).numpy()
    code = torch.from_numpy(mean + noise * np.sqrt(np.exp(log_variance))).float()
    rows = [LEADS.index(lead) for lead in ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")]
    missed = (x - net.decode(code, 256)).detach().double().numpy()[:, rows]
    variance = np.exp(log_variance)
    divergence = 0.5 * (mean**2 + variance - np.log(variance) - 1).sum()
    expected = (missed**2 / (2 * 0.1**2)).mean() + 2.0 * divergence / missed.size
    found = elbo_loss(net, x, 2.0, 0.1, torch.Generator().manual_seed(3)).detach()
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_it_learns_to_draw() -> None:
    torch.manual_seed(0)
    net, x = Autoencoder(channels=4, widths=(16, 16, 16)), torch.zeros(8, 12, 128)
    x[:, 6:] = torch.sin(torch.arange(128) / 10 + torch.arange(8)[:, None])[:, None]
    optimizer, generator = torch.optim.Adam(net.parameters(), 1e-2), torch.Generator().manual_seed(0)
    for _ in range(50):
        optimizer.zero_grad()
        elbo_loss(net, x, 1.0, 0.1, generator).backward()
        optimizer.step()
    assert float((net.eval()(x) - x).detach().square().mean()) < 0.1 * float(x.square().mean())


def test_other_shapes_are_refused(net: Autoencoder) -> None:
    with pytest.raises(EcgkitError, match="expected"):
        net(torch.zeros(1, 8, 250))
