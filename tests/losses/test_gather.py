"""Two processes give the loss and the gradient of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, multiprocessing

from ecgkit.losses import barlow_twins, byol, cmsc, gather_ranks, moco_v3, nt_xent, pclr, supcon, vicreg
from tests.losses.slow import random

X = random(6, 2, 5)
PATIENTS = torch.tensor([4, 2, 4, 4, 2, 9])
LABELS = (random(6, 3, seed=3) > 0).float()

LOSSES: dict[str, Any] = {
    "nt_xent": lambda z, g: nt_xent(g(z)),
    "cmsc": lambda z, g: cmsc(g(z), g(rows(z, PATIENTS))),
    "pclr": lambda z, g: pclr(g(z), g(rows(z, PATIENTS))),
    "supcon": lambda z, g: supcon(g(z), g(rows(z, LABELS))),
    "moco_v3": lambda z, g: moco_v3(g(z[:, 0]), g(z[:, 1]), g(z[:, 0] + 1), g(z[:, 1] - 1)),
    "byol": lambda z, g: byol(g(z[:, 0]), g(z[:, 1]), g(z[:, 0] + 1), g(z[:, 1] - 1)),
    "barlow_twins": lambda z, g: barlow_twins(g(z[:, 0]), g(z[:, 1])),
    "vicreg": lambda z, g: vicreg(g(z[:, 0]), g(z[:, 1])),
}


def rows(z: Tensor, table: Tensor) -> Tensor:
    """The rows of a table that belong to this process's part of the batch."""
    if len(z) == len(table):
        return table
    start = distributed.get_rank() * len(z)
    return table[start:start + len(z)]


def loss_and_gradient(name: str, x: Tensor) -> tuple[float, Tensor]:
    weight = random(5, 4, seed=1).requires_grad_()
    loss = LOSSES[name](x @ weight, gather_ranks)
    loss.backward()
    assert weight.grad is not None
    return loss.item(), weight.grad


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = {}
    for name in LOSSES:
        loss, gradient = loss_and_gradient(name, X[3 * rank:3 * rank + 3])
        distributed.all_reduce(gradient)
        found[name] = loss, (gradient / 2).tolist()  # the mean over ranks, as DistributedDataParallel takes it
    Path(folder, f"{rank}.json").write_text(json.dumps(found))
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(work, (str(folder),), nprocs=2)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("name", LOSSES)
def test_two_processes_equal_one(name: str, two: list[dict[str, Any]]) -> None:
    loss, gradient = loss_and_gradient(name, X)
    for rank in two:
        assert rank[name][0] == pytest.approx(loss, rel=1e-12)
        assert torch.allclose(torch.tensor(rank[name][1], dtype=torch.float64), gradient, rtol=1e-9, atol=1e-12)


def test_one_process_gathers_nothing() -> None:
    assert gather_ranks(X) is X
