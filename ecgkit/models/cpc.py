"""Encoders of short steps and their causal context, as contrastive predictive coding needs them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.leads import N_LEADS


class StepEncoder(nn.Module, ABC):
    """Fully connected layers over steps that do not overlap; a subclass adds the context of the steps so far.

    In eval mode neither a step nor its context depends on a later sample. A step has `stride` samples (what is left at
    the end of a signal is not seen) and `step_features`, the width of all `depth` layers.
    """

    def __init__(self, config: dict[str, Any], *, n_leads: int, stride: int, step_features: int, depth: int,
                 context_features: int) -> None:
        super().__init__()
        self.config = config
        self.stride, self.step_features, self.context_features = stride, step_features, context_features
        self.n_features = 2 * context_features
        layers: list[nn.Module] = []
        for inputs in (n_leads * stride, *[step_features] * (depth - 1)):
            linear = nn.Linear(inputs, step_features, bias=False)
            # Keeps the size of activations from layer to layer, also untrained in eval mode (the random control).
            nn.init.kaiming_normal_(linear.weight)
            layers += [linear, nn.BatchNorm1d(step_features), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def steps(self, x: Tensor) -> Tensor:
        """Embed each step by itself: `(batch, n_leads, sig_len)` to `(batch, sig_len // stride, step_features)`."""
        if x.shape[-1] < self.stride:
            raise EcgkitError(f"signals of {x.shape[-1]} samples, shorter than one step of {self.stride}")
        samples = x.unfold(-1, self.stride, self.stride).transpose(1, 2).flatten(2)
        return self.layers(samples.flatten(0, 1)).unflatten(0, samples.shape[:2])

    @abstractmethod
    def context(self, steps: Tensor) -> Tensor:
        """Sum up the steps so far: `(batch, steps, step_features)` to `(batch, steps, context_features)`."""

    def forward(self, x: Tensor) -> Tensor:
        """Embed signals: `(batch, n_leads, sig_len)` to `(batch, n_features)`, mean and maximum of the context."""
        context = self.context(self.steps(x))
        return torch.cat([context.mean(dim=1), context.amax(dim=1)], dim=1)


class CPCEncoder(StepEncoder):
    """Four fully connected layers and a two-layer LSTM.

    Mehari & Strodthoff 2022 (10.1016/j.compbiomed.2021.105114), who use stride 1 at 100 Hz, and width and hidden 512;
    the defaults, features of a step (`width`) and of the LSTM's state (`hidden`), are for two CPU cores.
    """

    def __init__(self, *, n_leads: int = N_LEADS, width: int = 256, hidden: int = 256, stride: int = 6) -> None:
        check_sizes(n_leads=n_leads, width=width, hidden=hidden, stride=stride)
        config = {"name": "cpc", "n_leads": n_leads, "width": width, "hidden": hidden, "stride": stride}
        super().__init__(config, n_leads=n_leads, stride=stride, step_features=width, depth=4,
                         context_features=hidden)
        self.lstm = nn.LSTM(width, hidden, num_layers=2, batch_first=True)

    def context(self, steps: Tensor) -> Tensor:
        """Run the LSTM over the steps."""
        return self.lstm(steps)[0]


def check_sizes(**sizes: int) -> None:
    """Raise EcgkitError where a size is not a whole number from 1 on."""
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise EcgkitError(f"{name} {size!r}: give a whole number from 1 on")


#: Range of dt at the start (Gu et al. 2022): what a state remembers fades by a factor of e over 2 / dt steps.
DT_MIN, DT_MAX = 1e-3, 1e-1


class S4D(nn.Module):
    """Diagonal state-space layer: one linear system with `state` states for each channel.

    Gu et al. 2022, "On the parameterization and initialization of diagonal state space models" (NeurIPS): S4D-Lin
    start A_n = -1/2 + i pi n, B = 1, zero-order hold. Only one of each pair of conjugate states is kept; the other one
    makes the output twice the real part, so `state` is even.
    """

    def __init__(self, width: int, state: int) -> None:
        super().__init__()
        if state % 2:
            raise EcgkitError(f"state {state}: give an even number, as states come in conjugate pairs")
        pairs = state // 2
        self.log_dt = nn.Parameter(torch.empty(width, 1).uniform_(math.log(DT_MIN), math.log(DT_MAX)))
        # The logarithm keeps the real part negative, and so the system stable.
        self.log_decay = nn.Parameter(torch.full((width, pairs), math.log(0.5)))
        self.frequency = nn.Parameter(math.pi * torch.arange(pairs).repeat(width, 1))
        # Real and imaginary part; each has variance 1/2, so that C has variance 1.
        self.c = nn.Parameter(torch.randn(width, pairs, 2) * math.sqrt(0.5))
        self.d = nn.Parameter(torch.randn(width))

    def discretised(self) -> tuple[Tensor, Tensor]:
        """Return A dt and C B_bar with B_bar = (exp(A dt) - 1) / A, both complex and of shape `(width, state / 2)`."""
        a = torch.complex(-self.log_decay.exp(), self.frequency)
        a_dt = a * self.log_dt.exp()
        return a_dt, torch.view_as_complex(self.c) * torch.expm1(a_dt) / a

    def kernel(self, length: int) -> Tensor:
        """Impulse response K_l = 2 Re sum_n C_n B_bar_n exp(A_n dt)^l, of shape `(width, length)`."""
        a_dt, cb = self.discretised()
        powers = torch.exp(a_dt[..., None] * torch.arange(length, device=a_dt.device))
        return 2 * torch.einsum("wn,wnl->wl", cb, powers).real

    def forward(self, u: Tensor) -> Tensor:
        """Causal convolution of `(batch, width, length)` with the kernel, plus the direct path D u."""
        length = u.shape[-1]
        # Twice the length keeps the end of the circular convolution from the start; powers of two are fastest.
        padded = 1 << (2 * length - 1).bit_length()
        # The FFT knows no bf16.
        with torch.autocast(u.device.type, enabled=False):
            u = u.to(self.d.dtype)
            spectrum = torch.fft.rfft(u, n=padded) * torch.fft.rfft(self.kernel(length), n=padded)
            return torch.fft.irfft(spectrum, n=padded)[..., :length] + self.d[:, None] * u


class S4DBlock(nn.Module):
    """Layer normalisation, S4D, GELU and a gated pointwise layer, beside a shortcut."""

    def __init__(self, width: int, state: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.s4d = S4D(width, state)
        self.mix = nn.Sequential(nn.GELU(), nn.Linear(width, 2 * width), nn.GLU(dim=-1))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, steps, width)` to the same shape."""
        return x + self.mix(self.s4d(self.norm(x).mT).mT)


class S4DEncoder(StepEncoder):
    """Two fully connected layers over short steps, then `blocks` of S4D as their context, both `width` wide."""

    def __init__(self, *, n_leads: int = N_LEADS, width: int = 96, state: int = 64, blocks: int = 4,
                 stride: int = 4) -> None:
        check_sizes(n_leads=n_leads, width=width, state=state, blocks=blocks, stride=stride)
        config = {"name": "s4d", "n_leads": n_leads, "width": width, "state": state, "blocks": blocks,
                  "stride": stride}
        super().__init__(config, n_leads=n_leads, stride=stride, step_features=width, depth=2,
                         context_features=width)
        self.blocks = nn.Sequential(*[S4DBlock(width, state) for _ in range(blocks)], nn.LayerNorm(width))

    def context(self, steps: Tensor) -> Tensor:
        """Run the blocks over the steps."""
        return self.blocks(steps)
