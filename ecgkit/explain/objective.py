"""What the generator is paid for: the wanted answer, a small, sparse and smooth edit, and a way back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from ecgkit.explain.conditions import clipped
from ecgkit.leads import independent
from ecgkit.models.generator import Edited


@dataclass(frozen=True)
class Weights:
    """Weights of the generator's losses; signals count in mV, logits as they are, time in samples.

    Parameters
    ----------
    reach : float
        The classifiers' logit of the asked label against the wanted one (Huber).
    keep : float
        The same of labels that are to stay.
    adversarial : float
        Hinge loss against the discriminator.
    size, count, group, smooth : float
        Of the edit: mean absolute value, share of the samples that are changed at all, mean over lead × segment of the
        root mean square, mean absolute slope.
    local : float
        Mean absolute value of what no heart vector explains of the edit.
    warp : float
        Mean absolute displacement of time.
    cycle : float
        Mean absolute difference after the way back.
    variety : float
        How much two draws of the random numbers are to differ (Mao et al. 2019).
    """

    reach: float = 4.0
    keep: float = 1.0
    adversarial: float = 2.0
    size: float = 0.7
    count: float = 3.0
    group: float = 0.7
    smooth: float = 1.0
    local: float = 3.0
    warp: float = 0.2
    cycle: float = 5.0
    variety: float = 0.02


#: An edit of so many mV counts as half a change.
HALF_CHANGED = 0.03
#: Samples of a segment, within which an edit costs little more once it is there.
SEGMENT = 10
#: Two draws that differ more than this share of the edit are different enough.
ENOUGH = 0.3


def reach_loss(logits: Tensor, wanted: Tensor, asked: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """How far asked labels are from what is wanted, and kept ones from what they were; all `(batch, n_labels)`."""
    gap = smooth_l1_loss(clipped(logits) + 0.1 * (logits - clipped(logits)), clipped(wanted), reduction="none")
    return (gap * asked).sum() / asked.sum().clamp_min(1), (gap * kept).sum() / kept.sum().clamp_min(1)


def edit_loss(done: Edited, weights: Weights) -> Tensor:
    """What an edit costs."""
    edit = done.edit
    usable = edit.shape[-1] // SEGMENT * SEGMENT
    power = edit[..., :usable].unflatten(-1, (-1, SEGMENT)).square().mean(dim=-1)
    changed = edit.square() / (edit.square() + HALF_CHANGED**2)
    return weights.size * edit.abs().mean() + weights.count * changed.mean() \
        + weights.group * (power + 1e-6).sqrt().mean() + weights.smooth * edit.diff(dim=-1).abs().mean() \
        + weights.local * done.local.abs().mean()


def warp_loss(done: Edited) -> Tensor:
    """Mean displacement of time, in samples: a shift of everything costs, though no classifier notices it."""
    return done.shift.abs().mean()


def cycle_loss(back: Tensor, x: Tensor) -> Tensor:
    """Mean absolute difference of the independent leads after the way back, in mV."""
    return (independent(back) - independent(x)).abs().mean()


def variety_loss(first: Tensor, second: Tensor, edit: Tensor) -> Tensor:
    """Minus how much two answers differ, in units of the edit's size, up to `ENOUGH`."""
    difference = (independent(first) - independent(second)).abs().mean(dim=(1, 2))
    return -(difference / (edit.detach().abs().mean(dim=(1, 2)) + 1e-3)).clamp(max=ENOUGH).mean()


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator (Lim & Ye 2017)."""
    return torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()


def gradient_penalty(discriminator: nn.Module, x: Tensor, condition: Tensor) -> Tensor:
    """Half the squared slope of the discriminator at real ECGs (R1: Mescheder et al. 2018)."""
    x = x.detach().requires_grad_(True)
    slope, = torch.autograd.grad(discriminator(x, condition).sum(), x, create_graph=True)
    return 0.5 * slope.square().sum(dim=(1, 2)).mean()
