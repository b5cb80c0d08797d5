"""What a generator and its discriminator are shown in training: windows of ECGs, and what is wished for of each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.explain.results import EXTREME, classify, link_of
from ecgkit.progress import track
from ecgkit.transforms import crop_at

#: Logits are read within this range: beyond it, probabilities differ by less than three thousandths.
MOST_LOGIT = 6.0
#: Logits are divided by this before a network reads them.
SCALE = 4.0
#: Windows begin at so many places of each ECG.
PLACES = 6
#: A regressor's typical ends are these quantiles of the windows' outputs; the standard deviation of wished changes.
LINEAR_ENDS, LINEAR_CHANGE = (0.005, 0.995), 2.5
#: Logits that differ by less are as good as the same.
BLUR = 0.3
_BATCH = 256


def clipped(logits: Tensor) -> Tensor:
    """Logits within `MOST_LOGIT`."""
    return logits.clamp(-MOST_LOGIT, MOST_LOGIT)


def typical_logits(logits: Tensor) -> Tensor:
    """The logits of ECGs without and with each label, `(n_labels, 2)`: medians of either side, beyond `EXTREME`."""
    least = float(np.log((1 - EXTREME) / EXTREME))
    ends = torch.empty(logits.shape[1], 2)
    for place, column in enumerate(logits.T):
        for side, sign in enumerate((-1.0, 1.0)):
            beyond = sign * column[sign * column > 0]
            ends[place, side] = sign * max(least, float(beyond.median()) if len(beyond) else least)
    return clipped(ends)


def generator_condition(now: Tensor, wanted: Tensor, asked: Tensor, noise: Tensor) -> Tensor:
    """What the generator is told: all wanted logits, their distance from now, which are asked, and random numbers.

    All of shape `(batch, n_labels)`, noise `(batch, n_noise)`; labels that nobody asked for are wanted as they are.
    """
    aim = torch.where(asked, clipped(wanted), clipped(now)) / SCALE
    return torch.cat([aim, aim - clipped(now) / SCALE, asked.to(now.dtype), noise], dim=1)


def discriminator_condition(label: Tensor, logit: Tensor, n_labels: int) -> Tensor:
    """What the discriminator is told: one label `(batch,)` and its logit `(batch,)`; `(batch, 2 * n_labels)`."""
    which = one_hot(label, n_labels).to(logit.dtype)
    return torch.cat([which, which * (clipped(logit) / SCALE)[:, None]], dim=1)


@dataclass(frozen=True)
class Windows:
    """Windows of `length` samples of a dataset.

    Each has the row of its ECG and its first sample, `(n,)`, and the logits `(n, n_labels)` of the classifier that is
    explained, or a regressor's outputs where it is `linear`.
    """

    data: ECGDataset
    rows: NDArray[np.intp]
    starts: NDArray[np.intp]
    length: int
    logits: Tensor
    linear: bool = False

    @property
    def ends(self) -> Tensor:
        """What is typical without and with each label (`typical_logits`), or the ends of a regressor's outputs."""
        return clipped(torch.quantile(self.logits, torch.tensor(LINEAR_ENDS), dim=0).T) if self.linear else \
            typical_logits(self.logits)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, which: Tensor) -> Tensor:
        """Signals `(batch, 12, length)` in mV."""
        rows, starts = self.rows[which.numpy()], torch.from_numpy(self.starts[which.numpy()])
        return crop_at(torch.from_numpy(self.data.batch(rows)), starts, self.length)

    def partners(self, label: Tensor, logit: Tensor, generator: torch.Generator, near: int = 32) -> Tensor:
        """Numbers of windows on which the classifier gives a label about that logit, `(batch,)`.

        Each is drawn from the `near` windows that come closest; among windows that lie beyond the range in which
        logits are read, or hardly differ, chance decides.
        """
        chosen = torch.empty(len(label), dtype=torch.long)
        blur = BLUR * torch.rand(len(self), generator=generator)
        for k, value in enumerate(logit):
            distance = (clipped(self.logits[:, label[k]]) - clipped(value)).abs() + blur
            closest = distance.topk(min(near, len(self)), largest=False).indices
            chosen[k] = closest[int(torch.randint(len(closest), (1,), generator=generator))]
        return chosen


def cut_windows(data: ECGDataset, classifier: nn.Module, length: int) -> Windows:
    """Cut windows out of all ECGs (an error where these are shorter) and ask the classifier about each."""
    if data.sig_len < length:
        raise EcgkitError(f"{data.name}: {data.sig_len} samples; the explainer's windows have {length}")
    places = np.unique(np.linspace(0, data.sig_len - length, PLACES).astype(np.intp))
    rows = np.repeat(np.arange(len(data)), len(places))
    starts = np.tile(places, len(data))
    windows = Windows(data, rows, starts, length, torch.empty(0))
    parts = torch.arange(len(rows)).tensor_split(-(-len(rows) // _BATCH))
    found = [classify(classifier, windows.batch(part).numpy(), _BATCH)
             for part in track(parts, "asking the classifier", unit="batch")]
    return replace(windows, logits=torch.from_numpy(np.concatenate(found).astype(np.float32)),
                   linear=bool(link_of(classifier).units))


@dataclass(frozen=True)
class Wishes:
    """Windows `(batch, 12, length)` in mV and what is asked of them.

    `now` `(batch, n_labels)` are the logits of the classifier that is explained, `label` and `aim` `(batch,)` the asked
    label and its wanted logit, `noise` `(2, batch, n_noise)` the random numbers of two answers.
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
    """Draw `n` windows and a wish for each, with `n_noise` random numbers for an answer.

    Half of the wishes are about a label that the classifier gives the window, the others about any: of many labels, a
    window has few, and asking for the absence of what is absent teaches nothing. Of six wishes three turn the label to
    its other end (see `typical_logits`), two ask for anything between the ends, and one for what another window has; if
    not `graded`, all turn the label. A regressor, which has no labels to turn, is asked for any of its quantities: one
    wish of six for what another window has, the others for a change (`LINEAR_CHANGE`).
    """
    which = torch.randint(len(windows), (n,), generator=generator)
    x, now = windows.batch(which), windows.logits[which]
    given = (now > 0).float()
    given[given.sum(dim=1) == 0] = 1.0
    own = torch.multinomial(given, 1, generator=generator)[:, 0]
    any_one = torch.randint(len(ends), (n,), generator=generator)
    label = torch.where(torch.rand(n, generator=generator) < (0.0 if windows.linear else 0.5), own, any_one)
    low, high = ends[label].T
    aim = torch.where(now.gather(1, label[:, None])[:, 0] > 0, low, high)
    if graded:
        others = torch.randint(len(windows), (n,), generator=generator)
        as_other = torch.minimum(torch.maximum(windows.logits[others, label], low), high)
        between = low + (high - low) * torch.rand(n, generator=generator)
        kind = torch.rand(n, generator=generator)
        if windows.linear:
            change = LINEAR_CHANGE * torch.randn(n, generator=generator)
            between = aim = torch.minimum(torch.maximum(now.gather(1, label[:, None])[:, 0] + change, low), high)
        aim = torch.where(kind < 1 / 6, as_other, torch.where(kind < 1 / 2, between, aim))
    noise = torch.randn(2, n, n_noise, generator=generator)
    return Wishes(*(each.to(device) for each in (x, now, label, aim, noise)))
