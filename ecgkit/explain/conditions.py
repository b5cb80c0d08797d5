"""What is asked of an explainer: labels, wanted probabilities, and which other labels are to stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecgkit.errors import EcgkitError

#: Logits are read within this range: beyond it, probabilities differ by less than three thousandths.
MOST_LOGIT = 6.0
#: Wishes for this probability or beyond, on either side, ask for what is typical of ECGs with, or without, the label.
EXTREME = 0.05
#: What is asked for where nothing finer is: the disease away, and the disease there.
AWAY, THERE = EXTREME, 1 - EXTREME
#: Logits are divided by this before a network reads them.
SCALE = 4.0
#: The label that is the absence of the others: it must give way when they change, and they when it does.
NORMAL = "NORM"


def kept_labels(label_names: Sequence[str]) -> NDArray[np.bool_]:
    """Which labels stay as they are while one is changed, `(n_labels, n_labels)`: row the changed, column the kept."""
    kept = ~np.eye(len(label_names), dtype=bool)
    if NORMAL in label_names:
        place = list(label_names).index(NORMAL)
        kept[:, place] = kept[place] = False
    return kept


def wanted_logits(target: Mapping[str, Any], label_names: Sequence[str], n: int) -> dict[int, NDArray[np.float64]]:
    """Wanted logits `(n,)` by place of the label.

    Parameters
    ----------
    target : mapping
        Wanted probability of each label that is to change: one number, or one for each ECG.
    label_names : sequence of str
        Labels of the classifier.
    n : int
        ECGs.

    Raises
    ------
    EcgkitError
        For an unknown label, or a probability that is not between 0 and 1.
    """
    if not target:
        raise EcgkitError("nothing is asked; give target={\"" + label_names[0] + "\": 0.05}, a label and a probability")
    wanted = {}
    for name, value in target.items():
        if name not in label_names:
            raise EcgkitError(f"no label {name!r}; the classifier has {', '.join(label_names)}")
        p = np.asarray(value, dtype=np.float64)
        if p.shape not in ((), (n,)) or not ((p > 0) & (p < 1)).all():
            raise EcgkitError(f"target of {name}: give one probability between 0 and 1, or {n} of them")
        wanted[list(label_names).index(name)] = np.broadcast_to(np.log(p / (1 - p)), (n,))
    return wanted


def typical_logits(logits: Tensor) -> Tensor:
    """The logits of ECGs without and with each label, `(n_labels, 2)`: medians of either side, beyond `EXTREME`."""
    least = float(np.log((1 - EXTREME) / EXTREME))
    ends = torch.empty(logits.shape[1], 2)
    for place, column in enumerate(logits.T):
        for side, sign in enumerate((-1.0, 1.0)):
            beyond = sign * column[sign * column > 0]
            ends[place, side] = sign * max(least, float(beyond.median()) if len(beyond) else least)
    return clipped(ends)


def clipped(logits: Tensor) -> Tensor:
    """Logits within `MOST_LOGIT`."""
    return logits.clamp(-MOST_LOGIT, MOST_LOGIT)


def generator_condition(now: Tensor, wanted: Tensor, asked: Tensor, noise: Tensor) -> Tensor:
    """What the generator is told: all wanted logits, their distance from now, which are asked, and random numbers.

    All of shape `(batch, n_labels)`, noise `(batch, n_noise)`; labels that nobody asked for are wanted as they are.
    """
    aim = torch.where(asked, clipped(wanted), clipped(now)) / SCALE
    return torch.cat([aim, aim - clipped(now) / SCALE, asked.to(now.dtype), noise], dim=1)


def discriminator_condition(label: Tensor, logit: Tensor, n_labels: int) -> Tensor:
    """What the discriminator is told: one label `(batch,)` and its logit `(batch,)`; `(batch, 2 * n_labels)`."""
    which = torch.nn.functional.one_hot(label, n_labels).to(logit.dtype)
    return torch.cat([which, which * (clipped(logit) / SCALE)[:, None]], dim=1)
