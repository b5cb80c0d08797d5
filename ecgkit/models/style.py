"""An encoder of beats and a generator that draws them through style coordinates (Karras et al. 2020, Lang et al. 2021).

Beats follow themselves, so every convolution runs on a ring: the end of a beat is the neighbour of its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, leaky_relu, pad

from ecgkit.leads import INDEPENDENT, TWELVE_FROM_INDEPENDENT, independent


class StyleEncoder(nn.Module):
    """Strided convolutions from a beat of `period` samples to its latent numbers.

    `widths` are the channels of each level, of which each after the first has half the rate of the one before; signals
    are divided by `millivolts`.
    """

    def __init__(self, n_latent: int, period: int, *, widths: Sequence[int] = (32, 48, 64), kernel_size: int = 7,
                 millivolts: float = 0.25) -> None:
        super().__init__()
        self.millivolts = millivolts
        self.levels = nn.ModuleList(
            nn.Conv1d(before, after, kernel_size, stride=1 if level == 0 else 2, padding=kernel_size // 2,
                      padding_mode="circular")
            for level, (before, after) in enumerate(zip((len(INDEPENDENT), *widths), widths, strict=False)))
        for _ in widths[1:]:
            period = -(-period // 2)
        self.latent = nn.Linear(widths[-1] * period, n_latent)

    def forward(self, x: Tensor) -> Tensor:
        """Map beats `(batch, 12, period)` in mV to `(batch, n_latent)`."""
        x = independent(x) / self.millivolts
        for level in self.levels:
            x = leaky_relu(level(x), 0.2)
        return self.latent(x.flatten(1))


class StyleGenerator(nn.Module):
    """Draws a beat from a learnt constant; each convolution's input channels are scaled by style coordinates.

    Every coordinate is an affine function of the latent numbers. Coordinates stand in the order of `places`. `widths`
    are the channels of each level, the coarsest first, each of twice the rate of the one before, so `period` is a
    multiple of ``2 ** (len(widths) - 1)``; signals are multiplied by `millivolts`.
    """

    twelve: Tensor

    def __init__(self, n_latent: int, period: int, *, widths: Sequence[int] = (32, 32, 24), kernel_size: int = 5,
                 millivolts: float = 0.25) -> None:
        super().__init__()
        self.millivolts = millivolts
        self.register_buffer("twelve", torch.tensor(TWELVE_FROM_INDEPENDENT, dtype=torch.float32), persistent=False)
        self.start = nn.Parameter(torch.randn(widths[0], period // 2 ** (len(widths) - 1)))
        self.layers = nn.ModuleList()
        self.leads = nn.ModuleList()
        for before, after in zip((widths[0], *widths), widths, strict=False):
            self.layers += [ModulatedConv(before, after, kernel_size), ModulatedConv(after, after, kernel_size)]
            self.leads.append(ModulatedConv(after, len(INDEPENDENT), 1, demodulate=False))
        self.sizes = [layer.weight.shape[1] for layer in self._modulated()]
        self.affine = nn.Linear(n_latent, sum(self.sizes))
        nn.init.normal_(self.affine.weight, std=n_latent ** -0.5)
        nn.init.ones_(self.affine.bias)

    @property
    def places(self) -> list[str]:
        """Where each style coordinate acts: ``"layer 3, channel 5"``."""
        names = [*(f"layer {k + 1}" for k in range(len(self.layers))),
                 *(f"leads {k + 1}" for k in range(len(self.leads)))]
        return [f"{name}, channel {channel}" for name, size in zip(names, self.sizes, strict=True)
                for channel in range(size)]

    def style(self, latent: Tensor) -> Tensor:
        """Style coordinates `(batch, n_coordinates)` of latent numbers `(batch, n_latent)`."""
        return self.affine(latent)

    def draw(self, style: Tensor) -> Tensor:
        """Beats `(batch, 12, period)` in mV of style coordinates `(batch, n_coordinates)`."""
        parts = style.split(self.sizes, dim=1)
        n_layers = len(self.layers)
        x = self.start.expand(len(style), -1, -1)
        eight = x.new_zeros(len(style), len(INDEPENDENT), x.shape[-1])
        for level, to_leads in enumerate(self.leads):
            if level:
                x, eight = _doubled(x), _doubled(eight)
            for k in (2 * level, 2 * level + 1):
                x = leaky_relu(self.layers[k](x, parts[k]), 0.2) * 2 ** 0.5
            eight = eight + to_leads(x, parts[n_layers + level])
        return torch.einsum("oi,bil->bol", self.twelve, self.millivolts * eight)

    def forward(self, latent: Tensor) -> Tensor:
        """Map latent numbers `(batch, n_latent)` to beats `(batch, 12, period)` in mV."""
        return self.draw(self.style(latent))

    def _modulated(self) -> list[ModulatedConv]:
        return [*self.layers, *self.leads]


class StyleNet(nn.Module):
    """Encoder and generator together; latent are the encoder's `n_latent` numbers and the classifier's probabilities.

    `encoder` and `generator` are further options of `StyleEncoder` and `StyleGenerator`.
    """

    def __init__(self, n_latent: int, n_labels: int, period: int, *, millivolts: float = 0.25,
                 encoder: dict[str, Any] | None = None, generator: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.encoder = StyleEncoder(n_latent, period, millivolts=millivolts, **(encoder or {}))
        self.generator = StyleGenerator(n_latent + n_labels, period, millivolts=millivolts, **(generator or {}))

    def style(self, x: Tensor, probabilities: Tensor) -> Tensor:
        """Style coordinates `(batch, n_coordinates)` of beats `(batch, 12, period)` and `(batch, n_labels)`."""
        return self.generator.style(torch.cat([self.encoder(x), probabilities], dim=1))

    def forward(self, x: Tensor, probabilities: Tensor) -> Tensor:
        """Beats as they are drawn again, `(batch, 12, period)` in mV."""
        return self.generator.draw(self.style(x, probabilities))


class ModulatedConv(nn.Module):
    """A convolution on a ring whose input channels are scaled per beat, with outputs brought back to unit variance.

    To scale inputs and outputs is to scale the kernel (Karras et al. 2020, equations 1 and 3), without one kernel for
    each beat.
    """

    def __init__(self, before: int, after: int, kernel_size: int, *, demodulate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, kernel_size) * (before * kernel_size) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(after))
        self.demodulate = demodulate

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map `(batch, before, length)` with styles `(batch, before)` to `(batch, after, length)`."""
        half = self.weight.shape[-1] // 2
        y = conv1d(pad(x * style[..., None], (half, half), mode="circular"), self.weight)
        if self.demodulate:
            power = style.square() @ self.weight.square().sum(dim=2).T
            y = y * (power + 1e-8).rsqrt()[..., None]
        return y + self.bias[:, None]


def _doubled(x: Tensor) -> Tensor:
    """Twice the rate on a ring: each sample, and the mean of it and the next."""
    between = (x + x.roll(-1, dims=-1)) / 2
    return torch.stack([x, between], dim=-1).flatten(-2)
