"""Collapse monitors: whether an embedding is still spread out, of many dimensions, and close where records are."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ecgkit.errors import EcgkitError
from ecgkit.losses.contrastive import _at_least_single


@torch.no_grad()
def alignment(a: Tensor, b: Tensor) -> float:
    """Mean squared distance of positive pairs on the unit sphere (Wang & Isola 2020, equation 1, with exponent 2).

    `a` and `b` are `(n, d)`. 0 is perfect agreement, 2 is no relation, 4 is opposite.
    """
    if a.shape != b.shape:
        raise EcgkitError(f"embeddings of shapes {tuple(a.shape)} and {tuple(b.shape)}; pairs need the same shape")
    a, b = _unit(a), _unit(b)
    return float((a - b).square().sum(dim=1).mean())


@torch.no_grad()
def uniformity(z: Tensor) -> float:
    """Log of the mean of `exp(-2 |u - v|^2)` over pairs on the unit sphere (Wang & Isola 2020, equation 2, with t = 2).

    `z` is `(n, d)`, n at least 2. 0 is a collapse to one point; about -4 is spread over a sphere of many dimensions.
    """
    z = _unit(z, least=2)
    distance = torch.pdist(z).square()
    return float(torch.logsumexp(-2 * distance, dim=0) - math.log(len(distance)))


@torch.no_grad()
def effective_rank(z: Tensor) -> float:
    """Exponential of the entropy of the singular values' shares (Roy & Vetterli 2007; RankMe, Garrido et al. 2023).

    `z` is `(n, d)`, not normalised and not centred. From 1, a line, to min(n, d); 0 where all embeddings are zero.
    """
    values = torch.linalg.svdvals(_checked(z))
    if not values.any():
        return 0.0
    return float(torch.special.entr(values / values.sum()).sum().exp())


@torch.no_grad()
def knn_accuracy(z: Tensor, labels: Tensor, k: int = 10, patients: Tensor | None = None) -> float:
    """How well the nearest neighbours in the embedding tell the labels, each record left out of its own vote.

    Parameters
    ----------
    z : Tensor, shape (n, d)
        Neighbours are those of largest cosine.
    labels : Tensor, shape (n,) or (n, n_labels)
        A class each, or a set of labels as 0 and 1.
    k : int
        Neighbours that vote.
    patients : Tensor of int, shape (n,), optional
        Records of the same patient then have no vote.

    Returns
    -------
    float
        Classes: share of records whose class most neighbours have. Sets: mean over the labels of
        (sensitivity + specificity) / 2, a label being told where more neighbours have it than its prevalence says;
        labels that all or none have are left out. Chance is 0.5.

    Raises
    ------
    EcgkitError
        Where there are not k others to vote, or no label differs between records.
    """
    z = _unit(z, least=2)
    owner = torch.arange(len(z), device=z.device) if patients is None else patients
    barred = owner[:, None] == owner[None, :]
    fewest = int((~barred).sum(dim=1).min())
    if not 1 <= k <= fewest:
        raise EcgkitError(f"k is {k}, but some records have {fewest} others to vote; take k from 1 to {fewest}")
    nearest = (z @ z.T).masked_fill(barred, -math.inf).topk(k, dim=1).indices
    if labels.ndim == 1:
        classes, truth = labels.unique(return_inverse=True)
        votes = functional.one_hot(truth[nearest], len(classes)).sum(dim=1)
        return float((votes.argmax(dim=1) == truth).float().mean())
    sets = (labels > 0).float()
    sets = sets[:, (sets.std(dim=0) > 0)]
    if not sets.shape[1]:
        raise EcgkitError("no label is present in some records and absent in others; nothing can be told")
    told = (sets[nearest].mean(dim=1) > sets.mean(dim=0)).float()
    sensitivity = (told * sets).sum(dim=0) / sets.sum(dim=0)
    specificity = ((1 - told) * (1 - sets)).sum(dim=0) / (1 - sets).sum(dim=0)
    return float(((sensitivity + specificity) / 2).mean())


def _unit(z: Tensor, least: int = 1) -> Tensor:
    return functional.normalize(_checked(z, least), dim=1)


def _checked(z: Tensor, least: int = 1) -> Tensor:
    if z.ndim != 2 or len(z) < least:
        raise EcgkitError(f"embeddings of shape {tuple(z.shape)}; expected (n, d) with n at least {least}")
    return _at_least_single(z)
