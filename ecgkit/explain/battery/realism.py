"""Realism: how far made ECGs lie from real ones, whether a fresh network tells them apart, how much of them is new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import rankdata
from sklearn.covariance import ledoit_wolf
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc, bootstrap
from ecgkit.evaluation.checks import Array, ratio
from ecgkit.leads import N_LEADS, limb_residual
from ecgkit.transforms import crop_at

Signals = NDArray[np.float32]
#: A sample has changed if it moved by more than this, mV.
CHANGED = 0.02


def frechet(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Fréchet distance of two sets of embeddings `(n, n_features)`, taken for normal (Heusel et al. 2017).

    |m₁ - m₂|² + tr(S₁ + S₂ - 2 (S₁ S₂)^½). A few hundred ECGs do not determine 512 × 512 covariances: these are shrunk
    towards a multiple of the identity (Ledoit & Wolf 2004). What is left of the bias depends on the number of ECGs:
    compare distances of sets of equal size.
    """
    means, covariances = zip(*((x.mean(axis=0), ledoit_wolf(x)[0])
                               for x in (np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64))),
                             strict=True)
    values, vectors = np.linalg.eigh(covariances[0])
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    between = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariances[1] @ root), 0)).sum()
    gap = means[0] - means[1]
    return float(gap @ gap + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * between)


def neighbour_distance(points: NDArray[Any], among: NDArray[Any], k: int = 5) -> Array:
    """Mean Euclidean distance of embeddings to the `k` nearest of others `(m, n_features)`, `(n,)`."""
    if len(among) < k:
        raise EcgkitError(f"{len(among)} embeddings to be near to; {k} are needed")
    return np.partition(cdist(points, among), k - 1, axis=1)[:, :k].mean(axis=1)


def embedding_distances(real: NDArray[Any], fake: NDArray[Any], patients: Any, *, seed: int = 0) -> pd.DataFrame:
    """Distances of made ECGs from real ones, beside those of other real ones.

    `real` and `fake` are embeddings `(n, n_features)`, for example by ``ecgkit.pretrained().embed``, of ECGs as
    `fresh_discriminator` asks for them. The real ones are cut into two halves by their `patients`.

    Rows "made" and "real" say how many, `n`, were compared with the first half of the real ones (made ECGs, or the
    second half, as many of each), their `frechet` distance from it, and their mean `neighbours` distance to the 5
    nearest in it.
    """
    generator = np.random.default_rng(seed)
    names, whose = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    in_first = generator.permutation(len(names))[whose] < len(names) / 2
    first, second = real[in_first], real[~in_first]
    n = min(len(second), len(fake))
    rows = {}
    for name, points in (("made", fake), ("real", second)):
        some = points[generator.permutation(len(points))[:n]]
        rows[name] = {"n": float(n), "frechet": frechet(some, first),
                      "neighbours": neighbour_distance(some, first).mean()}
    return pd.DataFrame(rows).T


def nearest_alike(logits: NDArray[Any], among: NDArray[Any], patients: Any, *, k: int = 2) -> NDArray[np.intp]:
    """Rows of the ECGs whose logits `(m, n_labels)` are nearest to each of some others `(n, n_labels)`, `(k, n)`.

    The nearest, then the next; each patient of `patients` `(m,)` is taken once, so fewer than ``k * n`` of them raise
    `EcgkitError`.
    """
    _, whose = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    if len(np.unique(whose)) < k * len(logits):
        raise EcgkitError(f"{len(np.unique(whose))} patients to match {len(logits)} ECGs with {k} each; give more")
    far, found = cdist(logits, among), np.empty((k, len(logits)), dtype=np.intp)
    for rank, row in np.ndindex(found.shape):
        found[rank, row] = far[row].argmin()
        far[:, whose == whose[found[rank, row]]] = np.inf
    return found


def einthoven_residual(signals: Signals) -> Array:
    """Largest deviation from limb-lead algebra of each ECG, mV, `(n,)`."""
    return np.abs(limb_residual(np.asarray(signals, dtype=np.float64))).max(axis=(1, 2))


def changed_share(before: Signals, after: Signals) -> Array:
    """Share of the samples of all leads that moved by more than `CHANGED`, `(n,)`."""
    return (np.abs(after - before) > CHANGED).mean(axis=(1, 2))


def cosine(before: NDArray[Any], after: NDArray[Any]) -> Array:
    """Cosine of embeddings `(n, n_features)` before and after, `(n,)`; nan where one is 0."""
    a, b = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    size = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return ratio((a * b).sum(axis=1), size, size > 0)


def _unit(vectors: NDArray[Any]) -> NDArray[np.float64]:
    size = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(size > 0, size, 1)


#: Hz.
ABOVE = (25.0, 40.0)


def share_above(edit: NDArray[Any], fs: float, above: Sequence[float] = ABOVE) -> Array:
    """Share of an edit's energy above some frequencies in Hz, `(n, len(above))`; nan where the edit is nothing.

    The edit `(n, n_leads, sig_len)` is a difference of ECGs, or any signal that begins and ends on the same level: no
    taper is used, so that the shares are of the whole energy (Parseval), and a jump from the end to the start would
    count as high frequencies.
    """
    power = np.abs(np.fft.rfft(np.asarray(edit, dtype=np.float64), axis=-1)) ** 2
    n = edit.shape[-1]
    # All but the first and, where the length is even, the last stand for two frequencies, one of them negative.
    power[..., 1:(n + 1) // 2] *= 2
    power = power.sum(axis=1)
    frequency = np.fft.rfftfreq(n, 1 / fs)
    total = power.sum(axis=-1)
    return np.stack([ratio(power[:, frequency > limit].sum(axis=-1), total, total > 0) for limit in above], axis=1)


FOLDS = 3
#: Of each network.
STEPS = 160
_BATCH = 64
_SECONDS = 2.5
_WIDTHS = (24, 32, 48, 64, 64)


@dataclass(frozen=True)
class Discriminated:
    """What a fresh discriminator says: with an `auc` of 0.5 it cannot tell real ECGs and others apart.

    `fake` `(n_real + n_fake,)` is 0 for the real ECGs, which come first, and `score` how fake each looks: its rank
    (0 to 1) among the ECGs that the same network was asked about.
    """

    auc: float
    fake: NDArray[np.int64]
    score: Array


def fresh_discriminator(real: Signals, fake: Signals, real_patients: Any, fake_patients: Any, *, fs: float,
                        steps: int = STEPS, seed: int = 0) -> Discriminated:
    """Train three new networks on two thirds of the patients to tell real ECGs from made ones; ask about the others.

    Parameters
    ----------
    real, fake : ndarray, shape (n, 12, sig_len)
        Millivolts. To be fair, the real ones are of other patients than the made ones, of the classes that were asked
        for, and as many. Answers of both directions together, beside real ECGs with and without the disease, are fairer
        still: then age and rate tell nothing either.
    real_patients, fake_patients : array_like, shape (n_real,), (n_fake,)
        None is in both, and at least `FOLDS` are in each, or an `EcgkitError` is raised.
    steps : int
        Of each network.
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


def told_apart(name: str, real: Signals, fakes: Signals, theirs: Any, mine: Any, *, fs: float,
               n_boot: int = 1000) -> dict[str, float]:
    """AUROC of fresh discriminators under a name, with the ends of its interval over patients."""
    told = fresh_discriminator(real, fakes, theirs, mine, fs=fs, seed=0)
    whose = np.concatenate([theirs, mine]).astype(str)
    low, high = bootstrap(auroc, told.fake[:, None], told.score[:, None], whose, n_boot=n_boot).interval()
    return {name: told.auc, f"{name}_low": float(low[0]), f"{name}_high": float(high[0])}


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
        windows = crop_at(torch.from_numpy(x[which]), torch.from_numpy(start), length)
        loss = binary_cross_entropy_with_logits(net(windows), truth.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    net.eval()
    places = np.unique(np.linspace(0, x.shape[-1] - length, 2 * (x.shape[-1] // length) - 1).astype(int))
    with torch.no_grad():
        return np.mean([net(torch.from_numpy(asked[..., at:at + length])).double().numpy() for at in places], axis=0)
