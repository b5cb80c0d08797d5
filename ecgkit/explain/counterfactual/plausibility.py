"""How real an ECG looks to a generator's discriminator, and what is too little."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecgkit.datasets.base import ECGDataset
from ecgkit.explain.conditions import discriminator_condition
from ecgkit.explain.results import BATCH
from ecgkit.models.generator import Discriminator

#: Of real ECGs, this share looks less real than the limit of what is held for plausible.
IMPLAUSIBLE_SHARE = 0.01
#: Real ECGs that the limit is found on, at most.
_ASKED_FOR_LIMIT = 1000


def plausibility(discriminator: Discriminator, signals: NDArray[np.float32], ends: Tensor, length: int) -> \
        NDArray[np.float64]:
    """How real ECGs look, of whatever kind suits them best.

    Held against the one kind that was wished for, half of all answers would be refused: a heart with the voltages of
    hypertrophy and nothing else of it is not typical of hypertrophy, but it is an ECG.

    Parameters
    ----------
    discriminator : Discriminator
    signals : ndarray, shape (n, 12, sig_len)
        mV.
    ends : Tensor, shape (n_labels, 2)
        Logits that are typical without, and with, each label: the kinds.
    length : int
        Samples of the windows that the discriminator was trained on; an ECG's score is the mean over its windows.

    Returns
    -------
    ndarray, shape (n,)
        Scores; higher is more real.
    """
    device, n_labels = next(discriminator.parameters()).device, len(ends)
    kinds = discriminator_condition(torch.arange(n_labels).repeat_interleave(2), ends.flatten(), n_labels).to(device)
    length = min(length, signals.shape[-1])
    places = np.unique(np.linspace(0, signals.shape[-1] - length, -(-signals.shape[-1] // length)).astype(int))
    scores = np.empty(len(signals))
    with torch.no_grad():
        for start in range(0, len(signals), BATCH):
            x = torch.from_numpy(signals[start:start + BATCH]).to(device)
            by_window = [discriminator.against_all(x[..., at:at + length], kinds) for at in places]
            scores[start:start + BATCH] = torch.stack(by_window).mean(dim=0).amax(dim=1).cpu()
    return scores


def least_plausible(discriminator: Discriminator, real: ECGDataset, ends: Tensor, length: int) -> float:
    """The score that `IMPLAUSIBLE_SHARE` of real ECGs falls short of."""
    some = np.unique(np.linspace(0, len(real) - 1, min(len(real), _ASKED_FOR_LIMIT)).astype(np.intp))
    return float(np.quantile(plausibility(discriminator, real.batch(some), ends, length), IMPLAUSIBLE_SHARE))
