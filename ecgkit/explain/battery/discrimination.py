"""A fresh discriminator: can a network that never saw the explainer tell its ECGs from real ones."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc
from ecgkit.evaluation.checks import Array
from ecgkit.leads import N_LEADS

Signals = NDArray[np.float32]
FOLDS = 3
#: Of each network.
STEPS = 160
_BATCH = 64
_SECONDS = 2.5
_WIDTHS = (24, 32, 48, 64, 64)


@dataclass(frozen=True)
class Discriminated:
    """What a fresh discriminator says.

    Parameters
    ----------
    auc : float
        0.5: it cannot tell them apart.
    fake : ndarray of int, shape (n_real + n_fake,)
        0 for the real ECGs, which come first, 1 for the others.
    score : ndarray, shape (n_real + n_fake,)
        How fake each ECG looks, as its rank (0 to 1) among the ECGs that the same network was asked about.
    """

    auc: float
    fake: NDArray[np.int64]
    score: Array


def fresh_discriminator(real: Signals, fake: Signals, real_patients: Any, fake_patients: Any, *, fs: float,
                        steps: int = STEPS, seed: int = 0) -> Discriminated:
    """Train new networks to tell real ECGs from made ones, each asked about patients that it was not trained on.

    Parameters
    ----------
    real, fake : ndarray, shape (n, 12, sig_len)
        Millivolts. To be fair, the real ones are of other patients than the made ones, of the classes that were asked
        for, and as many. Answers of both directions together, beside real ECGs with and without the disease, are
        fairer still: then age and rate tell nothing either.
    real_patients, fake_patients : array_like, shape (n_real,), (n_fake,)
    fs : float
        Sampling rate in Hz.
    steps : int
        Of each network.
    seed : int

    Returns
    -------
    Discriminated
        Networks are trained on two thirds of the patients and asked about the other third, three times.

    Raises
    ------
    EcgkitError
        Where a patient is in both, or there are fewer than `FOLDS` patients in one.
    """
    patients = [np.asarray(ids).astype(str) for ids in (real_patients, fake_patients)]
    both = np.intersect1d(patients[0], patients[1])
    if len(both):
        raise EcgkitError(f"patient {both[0]} has real and made ECGs; compare with real ECGs of other patients")
    if min(len(np.unique(ids)) for ids in patients) < FOLDS:
        raise EcgkitError(f"a fresh discriminator needs {FOLDS} patients of either kind")
    x, label = np.concatenate([real, fake]), np.repeat([0, 1], [len(real), len(fake)])
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    score = np.empty(len(x))
    for k, (train, held_out) in enumerate(folds.split(x, label, np.concatenate(patients))):
        scores = _trained_scores(x[train], label[train], x[held_out], round(_SECONDS * fs), steps, seed + k)
        score[held_out] = (rankdata(scores) - 0.5) / len(held_out)
    return Discriminated(float(auroc(label[:, None], score[:, None])[0]), label, score)


class _Net(nn.Module):
    """Strided convolutions over the leads and their slopes, their mean and maximum over time, one score."""

    def __init__(self, millivolts: float, slope: float) -> None:
        super().__init__()
        self.millivolts, self.slope = millivolts, slope
        layers: list[nn.Module] = []
        for before, after in pairwise((2 * N_LEADS, *_WIDTHS)):
            layers += [nn.Conv1d(before, after, 7, stride=2 if layers else 1, padding=3, bias=False),
                       nn.BatchNorm1d(after), nn.ReLU()]
        self.body, self.out = nn.Sequential(*layers), nn.Linear(2 * _WIDTHS[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        # Most of a slope is of high frequency, where an ECG has little else.
        slope = nn.functional.pad(x.diff(dim=-1), (1, 0))
        x = self.body(torch.cat([x / self.millivolts, slope / self.slope], dim=1))
        return self.out(torch.cat([x.mean(dim=-1), x.amax(dim=-1)], dim=1))[:, 0]


def _trained_scores(x: Signals, label: NDArray[np.int64], asked: Signals, length: int, steps: int,
                    seed: int) -> Array:
    """Train on random windows; mean score of the evenly spaced windows of each ECG asked about, `(n,)`."""
    length = min(length, x.shape[-1])
    generator = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = _Net(float(x.std()) or 1.0, float(np.median(np.abs(np.diff(x)))) or 1.0)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    of_each = [np.flatnonzero(label == k) for k in (0, 1)]
    truth = torch.arange(_BATCH) * 2 // _BATCH
    for _ in range(steps):
        which = np.concatenate([generator.choice(rows, _BATCH // 2) for rows in of_each])
        start = generator.integers(0, x.shape[-1] - length + 1, _BATCH)
        loss = binary_cross_entropy_with_logits(net(_cut(x[which], start, length)), truth.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    net.eval()
    places = np.unique(np.linspace(0, x.shape[-1] - length, 2 * (x.shape[-1] // length) - 1).astype(int))
    with torch.no_grad():
        return np.mean([net(_cut(asked, np.full(len(asked), start), length)).double().numpy()
                        for start in places], axis=0)


def _cut(x: Signals, start: NDArray[Any], length: int) -> Tensor:
    at = start[:, None, None] + np.arange(length)
    return torch.from_numpy(np.take_along_axis(x, np.broadcast_to(at, (len(x), x.shape[1], length)), axis=2))
