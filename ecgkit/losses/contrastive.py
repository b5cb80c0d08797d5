"""Contrastive losses: one masked log-softmax, and the ways in which the field fills its masks.

Every method here asks which pairs of embeddings are alike (positives) and which are not (negatives); pairs that are
neither are left out. Embeddings need not be normalised: the similarity is their cosine, over a `temperature` T above 0.
All give a scalar.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional

from ecgkit.errors import EcgkitError


def masked_log_softmax_loss(similarity: Tensor, positives: Tensor, negatives: Tensor, temperature: float = 0.1,
                            weights: Tensor | None = None) -> Tensor:
    """Softmax over each anchor's positives and negatives; minus its logarithm, averaged over the positives.

    With P(i) the positives and N(i) the negatives of anchor i, s the similarity and w the weights,

        loss = mean_i  sum_{p in P(i)} -w_ip log( exp(s_ip/T) / sum_{k in P(i) or N(i)} exp(s_ik/T) ) / sum_p w_ip

    that is, the sum stands outside the logarithm (Khosla et al. 2020, equation 2).

    Parameters
    ----------
    similarity : Tensor, shape (..., anchors, candidates)
        Anything that grows with likeness. Half precision is raised to float32.
    positives, negatives : Tensor of bool, shape (..., anchors, candidates)
        Either may have fewer leading axes than `similarity`: it then holds for all of them.
    temperature : float
        Above 0.
    weights : Tensor, the shape of `positives`, optional
        What each positive counts, at least 0; by default all count the same.

    Returns
    -------
    Tensor, scalar
        Anchors without a positive are left out of the mean. Where no anchor has one the loss is 0, and where none has
        a negative beside a single positive it is 0 too: a batch of one is finite and gives no gradient.

    Raises
    ------
    EcgkitError
        Where the temperature is not above 0, or a mask does not fit.
    """
    if not temperature > 0:
        raise EcgkitError(f"temperature is {temperature}; it must be above 0")
    if any(similarity.shape[-mask.ndim:] != mask.shape for mask in (positives, negatives)):
        raise EcgkitError(f"masks of shapes {tuple(positives.shape)} and {tuple(negatives.shape)} for similarities "
                          f"{tuple(similarity.shape)}; the last axes must be the same")
    with torch.autocast(similarity.device.type, enabled=False):
        similarity = _at_least_single(similarity)
        # The lowest finite number, not -inf: an anchor with nothing to compare must not give 0 * inf = nan.
        hidden = _as_number(~(positives | negatives), similarity) * torch.finfo(similarity.dtype).min
        log_share = torch.add(hidden, similarity, alpha=1 / temperature).log_softmax(dim=-1)
        weight = _as_number(positives, similarity)
        weight = weight if weights is None else weight * weights.to(similarity.dtype)
        total = weight.sum(dim=-1, keepdim=True)
        counted = total > 0
        weight = weight * (counted / (total.masked_fill(~counted, 1) * counted.sum().clamp(min=1)))
        # As a matrix product, because the masks may hold for many matrices of similarities.
        return -(log_share.reshape(-1, weight.numel()) @ weight.flatten()).mean()


def cosine_similarity(a: Tensor, b: Tensor | None = None) -> Tensor:
    """Cosine of every pair, `(..., n, d)` and `(..., m, d)` to `(..., n, m)`, at least in float32, even in autocast.

    Without `b`, of every pair of rows of `a`.
    """
    with torch.autocast(a.device.type, enabled=False):
        a = functional.normalize(_at_least_single(a), dim=-1)
        b = a if b is None else functional.normalize(_at_least_single(b), dim=-1)
        return a @ b.mT


def nt_xent(z: Tensor, temperature: float = 0.1) -> Tensor:
    """NT-Xent (SimCLR, Chen et al. 2020, equation 1): a record's other views against all views of all others.

    `z` is `(records, views, d)`. With two views, the mean over the 2N anchors of
    -log( exp(s_ip/T) / sum_{k != i} exp(s_ik/T) ).
    """
    _check_views(z)
    alike = torch.zeros(*z.shape[:2], *z.shape[:2], dtype=torch.bool, device=z.device)
    alike.diagonal(dim1=0, dim2=2).fill_(True)
    return _over_all(z, alike.flatten(2, 3).flatten(0, 1), temperature)


def supcon(z: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrast (Khosla et al. 2020, equation 2), weighted by how far two records' labels overlap.

    Parameters
    ----------
    z : Tensor, shape (records, views, d)
        One view is enough where labels repeat in the batch.
    labels : Tensor, shape (records,) or (records, n_labels)
        A class each, or a set of labels as 0 and 1.

    Returns
    -------
    Tensor, scalar
        A pair's weight is ``|A and B| / |A or B|`` of its label sets (Jaccard); pairs of weight 0 are negatives. Views
        of one record have weight 1, even where it has no label.
    """
    _check_shape(z, 3)
    if len(labels) != len(z):
        raise EcgkitError(f"{len(labels)} labels for {len(z)} records; give one row of labels for each record")
    views = z.shape[1]
    overlap = _jaccard(labels) if labels.ndim == 2 else _same(labels).to(z.dtype)
    overlap = overlap.fill_diagonal_(1).repeat_interleave(views, dim=0).repeat_interleave(views, dim=1)
    return _over_all(z, overlap > 0, temperature, overlap)


def guided(z: Tensor, measured: Tensor, temperature: float = 0.1, sharpness: float = 0.1) -> Tensor:
    """Contrast with soft targets: recordings are alike as far as what was measured of them is.

    Targets are soft as in Beat-SSL (2026), and what makes records alike is clinical as in CLEF (arXiv 2512.02180).

    Parameters
    ----------
    z : Tensor, shape (records, views, d)
        Two views or more.
    measured : Tensor, shape (records, n_measurements)
        Around 0 and of one spread, nan where unknown, which counts as 0 (`ecgkit.training.measured.targets_of`).
    sharpness : float
        With c the cosine of two records' measurements, a pair of their views counts ``exp((c - 1) / sharpness)``: 1 for
        views of one record. Every pair is in the denominator.
    """
    _check_views(z)
    if len(measured) != len(z):
        raise EcgkitError(f"{len(measured)} rows of measurements for {len(z)} records; give one for each")
    weights = torch.exp((cosine_similarity(measured.nan_to_num()) - 1) / sharpness).fill_diagonal_(1)
    views = z.shape[1]
    weights = weights.repeat_interleave(views, dim=0).repeat_interleave(views, dim=1)
    return _over_all(z, torch.ones_like(weights, dtype=torch.bool), temperature, weights)


def pclr(z: Tensor, patients: Tensor, temperature: float = 0.1) -> Tensor:
    """PCLR (Diamant et al. 2022): a patient's other ECGs against other patients'; segments where there is one ECG only.

    Parameters
    ----------
    z : Tensor, shape (records, segments, d)
        PCLR proper: two records of each patient in the batch, one segment (the whole ECG). For patients with one
        record in the batch, give two segments; they are the positives then. A patient with one record of one segment
        serves as a negative only.
    patients : Tensor of int, shape (records,)
    """
    _check_shape(z, 3)
    same_patient = _same(_patients(z, patients))
    alone = same_patient.sum(dim=1) == 1
    records = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    segments = z.shape[1]
    alike, other = (mask.repeat_interleave(segments, dim=0).repeat_interleave(segments, dim=1)
                    for mask in (same_patient & (records | alone[:, None]), ~same_patient))
    return masked_log_softmax_loss(cosine_similarity(z.flatten(0, 1)), _not_self(alike), other, temperature)


def view_pair_loss(z: Tensor, patients: Tensor | None = None, temperature: float = 0.1,
                   pairs: Sequence[tuple[int, int]] | None = None) -> Tensor:
    """Contrast of records between two views, both ways, averaged over pairs of views.

    For views a and b, anchor i of view a is compared with all records of view b: those of the same patient are
    positives, those of other patients negatives. CMSC, CMLC, CMSMLC (Kiyasseh et al. 2021) and 3KG are this.

    Parameters
    ----------
    z : Tensor, shape (records, views, d)
    patients : Tensor of int, shape (records,), optional
        Whose record each is; by default each is a patient of its own.
    pairs : sequence of (int, int), optional
        The pairs of views; by default all of them.
    """
    _check_views(z)
    first, second = zip(*(combinations(range(z.shape[1]), 2) if pairs is None else pairs), strict=True)
    by_view = z.transpose(0, 1)
    similarity = cosine_similarity(by_view[list(first)], by_view[list(second)])
    same = _same(_patients(z, patients))
    return masked_log_softmax_loss(torch.stack([similarity, similarity.mT]), same, ~same, temperature)


def cmsc(z: Tensor, patients: Tensor | None = None, temperature: float = 0.1) -> Tensor:
    """CMSC (CLOCS, Kiyasseh et al. 2021): views are adjacent segments, `z` is `(records, segments, d)`."""
    return view_pair_loss(z, patients, temperature)


def cmlc(z: Tensor, patients: Tensor | None = None, temperature: float = 0.1) -> Tensor:
    """CMLC (CLOCS, Kiyasseh et al. 2021): views are leads or groups of leads, `z` is `(records, leads, d)`."""
    return view_pair_loss(z, patients, temperature)


def cmsmlc(z: Tensor, patients: Tensor | None = None, temperature: float = 0.1) -> Tensor:
    """CMSMLC (CLOCS, Kiyasseh et al. 2021): each lead of each segment is a view, `z` (records, leads, segments, d)."""
    _check_shape(z, 4)
    return view_pair_loss(z.flatten(1, 2), patients, temperature)


def three_kg(z: Tensor, patients: Tensor | None = None, temperature: float = 0.1) -> Tensor:
    """3KG (Gopal et al. 2021): every lead of every augmentation is a view, `z` is `(records, augmentations, leads, d)`.

    With two augmentations of twelve leads, the mean is over the 276 pairs of 24 views. 3KG has no patients: leave
    `patients` out for its loss, give them to keep a patient's other records from being negatives.
    """
    _check_shape(z, 4)
    return view_pair_loss(z.flatten(1, 2), patients, temperature)


def lead_segment_loss(z: Tensor, patients: Tensor | None = None, temperature: float = 0.1) -> Tensor:
    """Inter-lead and inter-segment contrast: pairs of views that differ in the lead, or in the segment, not in both.

    `z` is `(records, leads or groups of leads, segments, d)`. With one segment this is CMLC, with one lead CMSC.
    """
    _check_shape(z, 4)
    segments = z.shape[2]
    pairs = [(a, b) for a, b in combinations(range(z.shape[1] * segments), 2)
             if (a // segments == b // segments) != (a % segments == b % segments)]
    return view_pair_loss(z.flatten(1, 2), patients, temperature, pairs)


def cpc(predictions: Tensor, targets: Tensor, n_negatives: int | None = 128, temperature: float = 1.0,
        generator: torch.Generator | None = None) -> Tensor:
    """InfoNCE on future steps (van den Oord et al. 2018, equation 4), with negatives from the same sequence.

    Parameters
    ----------
    predictions : Tensor, shape (batch, steps, horizon, d)
        `predictions[:, t, k]` is what the context up to step t expects of the embedding at step t + 1 + k.
    targets : Tensor, shape (batch, steps, d)
        Embeddings of the steps. Gradients flow into them too.
    n_negatives : int, optional
        Steps drawn from each sequence to serve all of its predictions as negatives; None takes every step. A step is
        never the negative of a prediction that is meant for it.
    temperature : float
        The score is the plain inner product over it.
    generator : torch.Generator, optional
        Source of the draw, on the CPU.

    Returns
    -------
    Tensor, scalar
        Mean over all predictions of a step inside the sequence of -log( exp(p.z+) / (exp(p.z+) + sum exp(p.z-)) ).

    Raises
    ------
    EcgkitError
        Where the shapes do not fit, or a sequence has one step only.
    """
    if predictions.ndim != 4 or targets.shape != (*predictions.shape[:2], predictions.shape[3]):
        raise EcgkitError(f"predictions of shape {tuple(predictions.shape)} for targets {tuple(targets.shape)}; "
                          "expected (batch, steps, horizon, d) for (batch, steps, d)")
    batch, steps, _ = targets.shape
    if steps < 2:
        raise EcgkitError("a sequence of one step has no future; give a longer crop or a smaller stride")
    with torch.autocast(predictions.device.type, enabled=False):
        predictions, targets = (_at_least_single(z) for z in (predictions, targets))
        drawn = _draw(batch, steps, n_negatives, generator).to(targets.device)
        others = targets.take_along_dim(drawn[..., None], dim=1).mT
        rows, future = [], []
        for ahead, at_every_step in enumerate(predictions.unbind(dim=2)[:steps - 1], start=1):
            expected, came = at_every_step[:, :-ahead], targets[:, ahead:]
            rows.append(torch.cat([(expected * came).sum(dim=-1, keepdim=True), expected @ others], dim=-1))
            future.append(torch.arange(ahead, steps, device=drawn.device))
    similarity = torch.cat(rows, dim=1)
    different = torch.cat(future)[:, None] != drawn[:, None, :]
    negatives = functional.pad(different, (1, 0))
    first = torch.arange(similarity.shape[-1], device=similarity.device) == 0
    return masked_log_softmax_loss(similarity, first, negatives, temperature)


def _draw(batch: int, steps: int, n_negatives: int | None, generator: torch.Generator | None) -> Tensor:
    """Different steps of each sequence, `(batch, n_negatives)`."""
    if n_negatives is None or n_negatives >= steps:
        return torch.arange(steps).expand(batch, steps)
    return torch.rand(batch, steps, generator=generator).argsort(dim=1)[:, :n_negatives]


def _over_all(z: Tensor, alike: Tensor, temperature: float, weights: Tensor | None = None) -> Tensor:
    """Every view of every record against every other; what is not alike is a negative."""
    return masked_log_softmax_loss(cosine_similarity(z.flatten(0, 1)), _not_self(alike), ~alike, temperature, weights)


def _same(owner: Tensor) -> Tensor:
    return owner[:, None] == owner[None, :]


def _not_self(mask: Tensor) -> Tensor:
    return mask.clone().fill_diagonal_(False)


def _jaccard(labels: Tensor) -> Tensor:
    sets = (labels > 0).float()
    both = sets @ sets.T
    size = sets.sum(dim=1)
    return both / (size[:, None] + size[None, :] - both).clamp(min=1)


def _patients(z: Tensor, patients: Tensor | None) -> Tensor:
    if patients is None:
        return torch.arange(len(z), device=z.device)
    if patients.shape != (len(z),):
        raise EcgkitError(f"patients of shape {tuple(patients.shape)} for {len(z)} records; give one number for each")
    return patients.to(z.device)


def _as_number(mask: Tensor, like: Tensor) -> Tensor:
    # Through uint8, because a conversion from bool is several times slower on a CPU.
    return mask.view(torch.uint8).to(like.dtype)


def _at_least_single(x: Tensor) -> Tensor:
    """Half precision as float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _check_shape(z: Tensor, ndim: int) -> None:
    if z.ndim != ndim or 0 in z.shape:
        raise EcgkitError(f"embeddings of shape {tuple(z.shape)}; expected {ndim} axes and none of them empty")


def _check_views(z: Tensor) -> None:
    _check_shape(z, 3)
    if z.shape[1] < 2:
        raise EcgkitError("contrast needs at least two views of each record; one was given")


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def gather_ranks(x: Tensor) -> Tensor:
    """Concatenate `x` of all ranks along its first axis; without `torch.distributed`, return `x` itself.

    Parameters
    ----------
    x : Tensor, shape (n, ...)
        The same shape on every rank. Integers (patients, labels) may be gathered too.

    Returns
    -------
    Tensor, shape (ranks * n, ...)
        In the order of the ranks. The gradient of `x` is the sum over the ranks of their losses' gradients: where each
        rank computes the loss of the whole batch and gradients are then averaged over the ranks, as
        `DistributedDataParallel` does, the result is that of one process with the whole batch.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x
    return _Gather.apply(x.contiguous())  # type: ignore[no-untyped-call]
