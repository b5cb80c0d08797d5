"""Embeddings of all processes, with a gradient: a loss over them is the same for one process and for many."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


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
