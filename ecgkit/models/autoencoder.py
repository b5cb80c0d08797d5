"""A variational autoencoder of ECGs of any length: a code of a few channels, one column for every 160 ms at 100 Hz."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from ecgkit.errors import EcgkitError
from ecgkit.leads import INDEPENDENT, N_LEADS, TWELVE_FROM_INDEPENDENT, independent
from ecgkit.models.windowed import FOLD, folded, unfolded


class Autoencoder(nn.Module):
    """Convolutional beta-VAE of the eight independent leads (Kingma & Welling 2014; Higgins et al. 2017).

    Nothing is normalised over time, so a code may be as long as an ECG asks for. What it draws obeys the algebra of the
    limb leads. The code has `channels`; `widths` are the channels of each level, which halves the rate, the first that
    of neighbouring samples taken as one (`FOLD`); signals are divided by `millivolts`.
    """

    millivolts: Tensor
    twelve: Tensor

    def __init__(self, channels: int = 16, *, widths: Sequence[int] = (48, 64, 96), kernel_size: int = 5,
                 millivolts: float = 0.25) -> None:
        super().__init__()
        self.config = {"channels": channels, "widths": list(widths), "kernel_size": kernel_size,
                       "millivolts": millivolts}
        self.stride = FOLD * 2 ** len(widths)
        self.register_buffer("millivolts", torch.tensor(float(millivolts)), persistent=False)
        self.register_buffer("twelve", torch.tensor(TWELVE_FROM_INDEPENDENT, dtype=torch.float32), persistent=False)
        leads = FOLD * len(INDEPENDENT)
        self.encoder = nn.Sequential(
            nn.Conv1d(leads, widths[0], kernel_size, padding=kernel_size // 2),
            *(_Level(before, after, kernel_size, 0.5)
              for before, after in zip((widths[0], *widths), widths, strict=False)),
            nn.Conv1d(widths[-1], 2 * channels, 1))
        self.decoder = nn.Sequential(
            nn.Conv1d(channels, widths[-1], 3, padding=1),
            *(_Level(before, after, kernel_size, 2.0)
              for before, after in zip(widths[::-1], (*widths[-2::-1], widths[0]), strict=True)),
            nn.Conv1d(widths[0], leads, kernel_size, padding=kernel_size // 2))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of the code of ECGs `(batch, 12, sig_len)` in mV.

        Both are `(batch, channels, sig_len / stride)`, rounded up. Another shape raises `EcgkitError`.
        """
        if x.ndim != 3 or x.shape[1] != N_LEADS:
            raise EcgkitError(f"signals of shape {tuple(x.shape)}; expected (batch, {N_LEADS}, sig_len)")
        eight = pad(independent(x) / self.millivolts, (0, -x.shape[-1] % self.stride), mode="replicate")
        mean, log_variance = self.encoder(folded(eight)).chunk(2, dim=1)
        return mean, log_variance.clamp(-10.0, 5.0)

    def decode(self, code: Tensor, sig_len: int) -> Tensor:
        """ECGs `(batch, 12, sig_len)` in mV of codes `(batch, channels, positions)`."""
        eight = unfolded(self.decoder(code))[..., :sig_len] * self.millivolts
        return torch.einsum("oi,bil->bol", self.twelve, eight)

    def forward(self, x: Tensor) -> Tensor:
        """ECGs `(batch, 12, sig_len)` in mV as their mean codes draw them."""
        return self.decode(self.encode(x)[0], x.shape[-1])


class _Level(nn.Module):
    """A residual block of two convolutions after a change of the rate."""

    def __init__(self, before: int, after: int, kernel_size: int, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.first = nn.Conv1d(before, after, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm1d(after)
        self.second = nn.Conv1d(after, after, kernel_size, padding=kernel_size // 2)
        self.shortcut = nn.Conv1d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.avg_pool1d(x, 2) if self.rate < 1 else interpolate(x, scale_factor=self.rate, mode="linear")
        inside = nn.functional.silu(self.norm(self.first(x)))
        return nn.functional.silu(self.second(inside) + self.shortcut(x))


def elbo_loss(model: Autoencoder, x: Tensor, beta: float, noise_mv: float, generator: torch.Generator) -> Tensor:
    """Negative evidence lower bound per sample of a lead, with `beta` times the divergence from a standard normal.

    `x` is `(batch, 12, sig_len)` in mV, `noise_mv` the standard deviation of what the model need not draw.
    """
    mean, log_variance = model.encode(x)
    noise = torch.randn(mean.shape, generator=generator).to(mean)
    drawn = model.decode(mean + noise * (0.5 * log_variance).exp(), x.shape[-1])
    missed = ((independent(x) - independent(drawn)) / noise_mv).square()
    divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum()
    return 0.5 * missed.mean() + 0.5 * beta * divergence / missed.numel()
