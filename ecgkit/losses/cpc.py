"""Contrastive predictive coding: tell the step that comes from other steps of the same recording."""

from __future__ import annotations

import torch
from torch import Tensor

from ecgkit.errors import EcgkitError
from ecgkit.losses.contrastive import masked_log_softmax_loss


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
    _check(predictions, targets)
    batch, steps, _ = targets.shape
    with torch.autocast(predictions.device.type, enabled=False):
        predictions, targets = (z.to(torch.promote_types(z.dtype, torch.float32)) for z in (predictions, targets))
        drawn = _draw(batch, steps, n_negatives, generator).to(targets.device)
        others = targets.take_along_dim(drawn[..., None], dim=1).mT
        rows, future = [], []
        for ahead, at_every_step in enumerate(predictions.unbind(dim=2)[:steps - 1], start=1):
            expected, came = at_every_step[:, :-ahead], targets[:, ahead:]
            rows.append(torch.cat([(expected * came).sum(dim=-1, keepdim=True), expected @ others], dim=-1))
            future.append(torch.arange(ahead, steps, device=drawn.device))
    similarity = torch.cat(rows, dim=1)
    different = torch.cat(future)[:, None] != drawn[:, None, :]
    negatives = torch.nn.functional.pad(different, (1, 0))
    first = torch.arange(similarity.shape[-1], device=similarity.device) == 0
    return masked_log_softmax_loss(similarity, first, negatives, temperature)


def _draw(batch: int, steps: int, n_negatives: int | None, generator: torch.Generator | None) -> Tensor:
    """Different steps of each sequence, `(batch, n_negatives)`."""
    if n_negatives is None or n_negatives >= steps:
        return torch.arange(steps).expand(batch, steps)
    return torch.rand(batch, steps, generator=generator).argsort(dim=1)[:, :n_negatives]


def _check(predictions: Tensor, targets: Tensor) -> None:
    if predictions.ndim != 4 or targets.shape != (*predictions.shape[:2], predictions.shape[3]):
        raise EcgkitError(f"predictions of shape {tuple(predictions.shape)} for targets {tuple(targets.shape)}; "
                          "expected (batch, steps, horizon, d) for (batch, steps, d)")
    if targets.shape[1] < 2:
        raise EcgkitError("a sequence of one step has no future; give a longer crop or a smaller stride")
