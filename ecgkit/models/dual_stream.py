"""Dual-stream encoder: limb leads and chest leads each have their own network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ecgkit.leads import CHEST, LIMB
from ecgkit.models.xresnet import XResNet1d

#: The first six leads look at the heart in the frontal plane, the last six in the horizontal plane.
GROUP_SIZES = (len(LIMB), len(CHEST))


class DualStream(nn.Module):
    """Encoder with one stream for the limb leads and one for the chest leads.

    Our form of the dual-stream encoder over lead groups of Dade et al. 2026 (10.1016/j.hroo.2026.01.016): the code of
    their network, which extends TemporalNet, is not public, so each stream is an `XResNet1d` here. The streams share no
    weights and never see each other's leads, so one may be the contrastive view of the other. Together the default
    ones are as large as one xresnet1d18 of width 64.

    Parameters
    ----------
    backbone : str
        A depth of `XResNet1d`.
    widths, kernel_size, drop_path
        Of each stream, as in `XResNet1d`.
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
