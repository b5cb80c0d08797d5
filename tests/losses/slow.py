"""Slow references: the formulas of the papers, written out with loops over single pairs."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def info_nce(anchor: Tensor, positive: Tensor, rest: list[Tensor], temperature: float) -> float:
    """-log( exp(s+/T) / (exp(s+/T) + sum over the rest) ) for a single pair."""
    top = math.exp(cosine(anchor, positive) / temperature)
    return -math.log(top / (top + sum(math.exp(cosine(anchor, other) / temperature) for other in rest)))


def nt_xent(z: Tensor, temperature: float) -> float:
    records, views, _ = z.shape
    names = [(i, v) for i in range(records) for v in range(views)]
    losses = []
    for i, v in names:
        pairs = [info_nce(z[i, v], z[i, w], [z[j, u] for j, u in names if (j, u) not in ((i, v), (i, w))], temperature)
                 for w in range(views) if w != v]
        losses.append(sum(pairs) / len(pairs))
    return sum(losses) / len(losses)


def between_views(z: Tensor, patients: list[int], pairs: list[tuple[int, int]], temperature: float) -> float:
    """CMSC, CMLC, CMSMLC and 3KG: each record of one view against all records of another view."""
    losses = []
    for a, b in [*pairs, *((b, a) for a, b in pairs)]:
        for i, patient in enumerate(patients):
            alike = [j for j, other in enumerate(patients) if other == patient]
            terms = [info_nce(z[i, a], z[j, b], [z[k, b] for k in range(len(z)) if k != j], temperature) for j in alike]
            losses.append(sum(terms) / len(terms))
    return sum(losses) / len(losses)


def pclr(z: Tensor, patients: list[int], temperature: float) -> float:
    names = [(i, s) for i in range(z.shape[0]) for s in range(z.shape[1])]
    losses = []
    for i, s in names:
        has_other = patients.count(patients[i]) > 1
        alike = [(j, u) for j, u in names
                 if patients[j] == patients[i] and ((j != i) if has_other else (j == i and u != s))]
        others = [(j, u) for j, u in names if patients[j] != patients[i]]
        terms = [info_nce(z[i, s], z[p], [z[k] for k in [*alike, *others] if k != p], temperature) for p in alike]
        if terms:
            losses.append(sum(terms) / len(terms))
    return sum(losses) / len(losses)


def supcon(z: Tensor, sets: list[set[int]], temperature: float) -> float:
    names = [(i, v) for i in range(z.shape[0]) for v in range(z.shape[1])]
    losses = []
    for i, v in names:
        loss, total = 0.0, 0.0
        for j, u in names:
            either = len(sets[i] | sets[j])
            overlap = 1.0 if i == j else len(sets[i] & sets[j]) / either if either else 0.0
            if (i, v) == (j, u) or not overlap:
                continue
            rest = [z[k] for k in names if k not in ((i, v), (j, u))]
            loss += overlap * info_nce(z[i, v], z[j, u], rest, temperature)
            total += overlap
        if total:
            losses.append(loss / total)
    return sum(losses) / len(losses)


def guided(z: Tensor, measured: list[list[float]], temperature: float, sharpness: float) -> float:
    names = [(i, v) for i in range(z.shape[0]) for v in range(z.shape[1])]

    def likeness(i: int, j: int) -> float:
        a, b = ([0.0 if math.isnan(x) else x for x in measured[k]] for k in (i, j))
        both, lengths = sum(x * y for x, y in zip(a, b, strict=True)), math.hypot(*a) * math.hypot(*b)
        return 1.0 if i == j else math.exp(((both / lengths if lengths else 0.0) - 1) / sharpness)

    losses = []
    for i, v in names:
        others = [k for k in names if k != (i, v)]
        terms = {k: info_nce(z[i, v], z[k], [z[m] for m in others if m != k], temperature) for k in others}
        total = sum(likeness(i, j) for j, _ in others)
        losses.append(sum(likeness(i, j) * terms[j, u] for j, u in others) / total)
    return sum(losses) / len(losses)


def cpc(predictions: Tensor, targets: Tensor) -> float:
    """Every other step of the sequence is a negative; inner products, temperature 1."""
    batch, steps, horizon, _ = predictions.shape
    losses = []
    for n in range(batch):
        for t in range(steps):
            for k in range(horizon):
                if t + 1 + k < steps:
                    scores = [float(predictions[n, t, k] @ targets[n, s]) for s in range(steps)]
                    top = math.exp(scores[t + 1 + k])
                    losses.append(-math.log(top / sum(math.exp(score) for score in scores)))
    return sum(losses) / len(losses)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
