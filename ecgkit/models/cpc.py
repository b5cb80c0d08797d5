"""Encoders of short steps and their causal context, as contrastive predictive coding needs them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.leads import N_LEADS


class StepEncoder(nn.Module, ABC):
    """Fully connected layers over steps that do not overlap; a subclass adds the context of the steps so far.

    In eval mode neither a step nor its context depends on a later sample; in training, batch normalisation sees the
    whole batch.

    Parameters
    ----------
    config : dict
        From which `build_encoder(**config)` builds the encoder again.
    n_leads : int
        Channels of the input.
    stride : int
        Samples of a step; what is left at the end of a signal is not seen.
    step_features : int
        Width of every layer, and so the features of a step.
    depth : int
        Layers, each with batch normalisation and a rectifier.
    context_features : int
        Features of the context.
    """

    def __init__(self, config: dict[str, Any], *, n_leads: int, stride: int, step_features: int, depth: int,
                 context_features: int) -> None:
        super().__init__()
        self.config = config
        self.stride = stride
        self.step_features = step_features
        self.context_features = context_features
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
    the defaults are for two CPU cores.

    Parameters
    ----------
    n_leads : int
        Channels of the input.
    width : int
        Features of a step.
    hidden : int
        Features of the LSTM's state.
    stride : int
        Samples of a step.
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
