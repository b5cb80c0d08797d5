"""The encoders by name; xresnet1d (residual, with the "bag of tricks"), and two of them side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.leads import CHEST, LIMB, N_LEADS
from ecgkit.models.cpc import CPCEncoder, S4DEncoder

#: Blocks in each stage, and whether a block is a bottleneck (He et al. 2016, table 1).
DEPTHS = {
    "xresnet1d18": ((2, 2, 2, 2), False),
    "xresnet1d34": ((3, 4, 6, 3), False),
    "xresnet1d50": ((3, 4, 6, 3), True),
    "xresnet1d101": ((3, 4, 23, 3), True),
}
EXPANSION = 4


class XResNet1d(nn.Module):
    """Encoder from a signal to one embedding per ECG.

    He et al. 2019, "Bag of tricks for image classification" (ResNet-C stem, ResNet-D shortcut), with the kernel size
    and the equal stage widths that Strodthoff et al. 2020 (10.1109/JBHI.2020.3022989) use for ECGs.

    Parameters
    ----------
    name : str
        One of `DEPTHS`.
    n_leads, widths : int, sequence of int
        Channels of the input, and of each stage before expansion.
    kernel_size : int
        Of all convolutions but the pointwise ones; odd.
    drop_path : float
        Probability of skipping the last block's residual branch in training; rises linearly from 0 with depth
        (Huang et al. 2016, "Deep networks with stochastic depth").
    """

    def __init__(self, name: str = "xresnet1d18", *, n_leads: int = N_LEADS,
                 widths: Sequence[int] = (64, 64, 64, 64), kernel_size: int = 5, drop_path: float = 0.0) -> None:
        super().__init__()
        if name not in DEPTHS:
            raise EcgkitError(f"unknown encoder {name!r}; choose from {', '.join(DEPTHS)}")
        counts, bottleneck = DEPTHS[name]
        self.config = {"name": name, "n_leads": n_leads, "widths": list(widths), "kernel_size": kernel_size,
                       "drop_path": drop_path}
        if len(widths) != len(counts):
            raise EcgkitError(f"{name} has {len(counts)} stages, so give as many widths, not {len(widths)}")
        expansion = EXPANSION if bottleneck else 1
        stem = max(widths[0] // 2, 1)
        self.stem = nn.Sequential(
            conv_bn_relu(n_leads, stem, kernel_size, stride=2),
            conv_bn_relu(stem, stem, kernel_size),
            conv_bn_relu(stem, widths[0], kernel_size),
            nn.MaxPool1d(3, stride=2, padding=1),
        )
        drops = iter(torch.linspace(0, drop_path, sum(counts)).tolist())
        blocks: list[nn.Module] = []
        channels = widths[0]
        for stage, (width, count) in enumerate(zip(widths, counts, strict=True)):
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(ResidualBlock(channels, width, kernel_size, stride, bottleneck=bottleneck,
                                            drop_path=next(drops)))
                channels = width * expansion
        self.blocks = nn.Sequential(*blocks)
        self.n_features = 2 * channels

    def forward(self, x: Tensor) -> Tensor:
        """Embed signals: `(batch, n_leads, sig_len)` to `(batch, n_features)`, mean and maximum over time."""
        features = self.blocks(self.stem(x))
        return torch.cat([features.mean(dim=-1), features.amax(dim=-1)], dim=1)


class ResidualBlock(nn.Module):
    """Two (or, as a bottleneck, three) convolutions beside a shortcut that pools where it strides."""

    def __init__(self, channels: int, width: int, kernel_size: int, stride: int, *, bottleneck: bool,
                 drop_path: float = 0.0) -> None:
        super().__init__()
        out = width * EXPANSION if bottleneck else width
        if bottleneck:
            layers = [conv_bn_relu(channels, width, 1), conv_bn_relu(width, width, kernel_size, stride=stride),
                      conv_bn(width, out, 1)]
        else:
            layers = [conv_bn_relu(channels, width, kernel_size, stride=stride), conv_bn(width, out, kernel_size)]
        self.residual = nn.Sequential(*layers)
        # A zero gain makes every block the identity at the start, which steadies the first steps.
        nn.init.zeros_(layers[-1].get_parameter("1.weight"))
        shortcut: list[nn.Module] = []
        if stride > 1:
            shortcut.append(nn.AvgPool1d(stride, ceil_mode=True, count_include_pad=False))
        if channels != out:
            shortcut.append(conv_bn(channels, out, 1))
        self.shortcut = nn.Sequential(*shortcut)
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, channels, sig_len)` to `(batch, out, ceil(sig_len / stride))`."""
        residual = self.residual(x)
        if self.training and self.drop_path:
            keep = torch.rand(len(x), 1, 1, device=x.device) >= self.drop_path
            residual = residual * keep / (1 - self.drop_path)
        return torch.relu(residual + self.shortcut(x))


def conv_bn(channels: int, out: int, kernel_size: int, *, stride: int = 1) -> nn.Sequential:
    """Convolution that keeps the length (over the stride), and batch normalisation."""
    conv = nn.Conv1d(channels, out, kernel_size, stride=stride, padding=kernel_size // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight)
    return nn.Sequential(conv, nn.BatchNorm1d(out))


def conv_bn_relu(channels: int, out: int, kernel_size: int, *, stride: int = 1) -> nn.Sequential:
    """`conv_bn` followed by a rectifier."""
    return nn.Sequential(*conv_bn(channels, out, kernel_size, stride=stride), nn.ReLU(inplace=True))


#: The first six leads look at the heart in the frontal plane, the last six in the horizontal plane.
GROUP_SIZES = (len(LIMB), len(CHEST))


class DualStream(nn.Module):
    """Encoder with one stream for the limb leads and one for the chest leads.

    Our form of the encoder over lead groups of Dade et al. 2026 (10.1016/j.hroo.2026.01.016), whose code is not public:
    each stream is an `XResNet1d`, of depth `backbone`. They share no weights and never see each other's leads, so one
    may be the contrastive view of the other. Together the default ones are as large as one xresnet1d18 of width 64.
    """

    def __init__(self, *, backbone: str = "xresnet1d18", widths: Sequence[int] = (45, 45, 45, 45),
                 kernel_size: int = 5, drop_path: float = 0.0) -> None:
        super().__init__()
        self.config = {"name": "dual_stream", "backbone": backbone, "widths": list(widths),
                       "kernel_size": kernel_size, "drop_path": drop_path}
        nets = [XResNet1d(backbone, n_leads=size, widths=widths, kernel_size=kernel_size, drop_path=drop_path)
                for size in GROUP_SIZES]
        self.nets = nn.ModuleList(nets)
        self.n_groups = len(nets)
        self.n_features = sum(net.n_features for net in nets)

    def streams(self, x: Tensor) -> Tensor:
        """Embed each group of leads: `(batch, 12, sig_len)` to `(batch, 2, n_features / 2)`, limb leads first."""
        groups = x.split(GROUP_SIZES, dim=1)
        return torch.stack([net(group) for net, group in zip(self.nets, groups, strict=True)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Embed signals: `(batch, 12, sig_len)` to `(batch, n_features)`, the streams side by side."""
        return self.streams(x).flatten(1)


#: Each builds a module with `n_features` and with `config`, from which `build_encoder(**config)` builds it again.
ENCODERS: dict[str, Callable[..., nn.Module]] = {
    **{name: partial(XResNet1d, name) for name in DEPTHS},
    "dual_stream": DualStream,
    "cpc": CPCEncoder,
    "s4d": S4DEncoder,
}


def build_encoder(name: str, **options: Any) -> nn.Module:
    """Build an encoder with fresh weights; `EcgkitError` where there is none of that name, or it has no such option."""
    if name not in ENCODERS:
        raise EcgkitError(f"unknown encoder {name!r}; choose from {', '.join(ENCODERS)}")
    try:
        return ENCODERS[name](**options)
    except TypeError as error:
        raise EcgkitError(f"encoder {name}: {error}") from error
