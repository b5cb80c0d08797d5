"""What a training step asks of a generator: windows, one label of each, and the logit that is wanted of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ecgkit.explain.conditions import discriminator_condition, generator_condition
from ecgkit.explain.windows import Windows


@dataclass(frozen=True)
class Wishes:
    """Windows and what is asked of them.

    Parameters
    ----------
    x : Tensor, shape (batch, 12, length)
        mV.
    now : Tensor, shape (batch, n_labels)
        Logits of the classifier that is explained.
    label, aim : Tensor, shape (batch,)
        The asked label and its wanted logit.
    noise : Tensor, shape (2, batch, n_noise)
        Random numbers of two answers.
    """

    x: Tensor
    now: Tensor
    label: Tensor
    aim: Tensor
    noise: Tensor

    @property
    def asked(self) -> Tensor:
        """Which label is asked for, `(batch, n_labels)`."""
        return one_hot(self.label, self.now.shape[1]).bool()

    @property
    def wanted(self) -> Tensor:
        """All logits as they are wanted, `(batch, n_labels)`."""
        return torch.where(self.asked, self.aim[:, None], self.now)

    @property
    def judged(self) -> Tensor:
        """What the discriminator is told."""
        return discriminator_condition(self.label, self.aim, self.now.shape[1])

    def condition(self, draw: int) -> Tensor:
        """What the generator is told for the first or the second answer."""
        return generator_condition(self.now, self.wanted, self.asked, self.noise[draw])


def draw_wishes(windows: Windows, ends: Tensor, n: int, *, n_noise: int, graded: bool, generator: torch.Generator,
                device: str = "cpu") -> Wishes:
    """Draw windows and a wish for each.

    Half of the wishes are about a label that the classifier gives the window, the others about any: of many labels, a
    window has few, and asking for the absence of what is absent teaches nothing. Of six wishes three turn the label to
    its other end, two ask for anything between the ends, and one for what another window has.

    Parameters
    ----------
    windows : Windows
    ends : Tensor, shape (n_labels, 2)
        The logits that are typical without, and with, each label.
    n : int
        Windows.
    n_noise : int
        Random numbers of an answer.
    graded : bool
        Otherwise every wish turns the label.
    generator : Generator
    device : str
    """
    which = torch.randint(len(windows), (n,), generator=generator)
    x, now = windows.batch(which), windows.logits[which]
    given = (now > 0).float()
    given[given.sum(dim=1) == 0] = 1.0
    own = torch.multinomial(given, 1, generator=generator)[:, 0]
    any_one = torch.randint(len(ends), (n,), generator=generator)
    label = torch.where(torch.rand(n, generator=generator) < 0.5, own, any_one)
    low, high = ends[label].T
    aim = torch.where(now.gather(1, label[:, None])[:, 0] > 0, low, high)
    if graded:
        others = torch.randint(len(windows), (n,), generator=generator)
        as_other = torch.minimum(torch.maximum(windows.logits[others, label], low), high)
        between = low + (high - low) * torch.rand(n, generator=generator)
        kind = torch.rand(n, generator=generator)
        aim = torch.where(kind < 1 / 6, as_other, torch.where(kind < 1 / 2, between, aim))
    noise = torch.randn(2, n, n_noise, generator=generator)
    return Wishes(*(each.to(device) for each in (x, now, label, aim, noise)))
