"""Tests of the training loop: it learns, repeats by seed, resumes after a kill, and refuses nonsense."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.training.checkpoint import Run, code_digest, load_checkpoint, run_file
from ecgkit.training.loop import Schedule, _groups, fit, running_mean

X = torch.randn(64, 5, generator=torch.Generator().manual_seed(0))
TRUTH = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0])
SHORT = Schedule(epochs=6, batch_size=16, learning_rate=0.05)


def loss(model: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
    noise = 0.01 * torch.randn(len(batch), generator=generator)
    return (model(X[batch])[:, 0] - X[batch] @ TRUTH - noise).square().mean()


def linear() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.BatchNorm1d(5), nn.Dropout(0.1), nn.Linear(5, 1))


def test_it_learns() -> None:
    _, history = fit(linear(), loss, len(X), Schedule(epochs=60, batch_size=16, learning_rate=0.05), Run(seed=0))
    assert history["loss"].iloc[-1] < 0.5 * history["loss"].iloc[0]
    assert list(history["epoch"]) == list(range(1, 61))


def test_the_same_seed_gives_the_same_bytes_and_spares_the_global_generator() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    model = linear()
    torch.random.set_rng_state(before)
    first, _ = fit(model, loss, len(X), SHORT, Run(seed=3))
    assert torch.equal(torch.random.get_rng_state(), before)
    second, _ = fit(linear(), loss, len(X), SHORT, Run(seed=3))
    other, _ = fit(linear(), loss, len(X), SHORT, Run(seed=4))
    assert same(first, second)
    assert not same(first, other)


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


class Stopped(Exception):
    """Stands for a kill between two epochs."""


@pytest.mark.parametrize("stop_at", [1, 4])
def test_a_run_stopped_and_resumed_equals_an_uninterrupted_one(tmp_path: Path, stop_at: int) -> None:
    whole, whole_history = fit(linear(), loss, len(X), SHORT, Run(seed=0))
    calls = 0

    def stopping(model: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > stop_at * 4 + 2:
            raise Stopped
        return loss(model, batch, generator)

    with pytest.raises(Stopped):
        fit(linear(), stopping, len(X), SHORT, Run(seed=0, checkpoints=tmp_path))
    resumed, history = fit(linear(), loss, len(X), SHORT, Run(seed=0, checkpoints=tmp_path))
    assert same(whole, resumed)
    assert history.equals(whole_history)


def test_a_killed_process_leaves_a_checkpoint_that_resumes(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import time
        from tests.training.test_loop import SHORT, Run, X, fit, linear, loss
        def slow(model, batch, generator):
            time.sleep(0.05)
            return loss(model, batch, generator)
        fit(linear(), slow, len(X), SHORT, Run(seed=0, checkpoints={str(tmp_path)!r}))
    """)
    # Another number of threads sums in another order.
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, cwd=Path(__file__).parents[2])
    file, deadline = None, time.monotonic() + 60
    while file is None and time.monotonic() < deadline:
        file = next(tmp_path.glob("*.safetensors"), None)
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert file is not None
    assert 1 <= load_checkpoint(file)[1]["step"] < SHORT.epochs
    resumed, _ = fit(linear(), loss, len(X), SHORT, Run(seed=0, checkpoints=tmp_path))
    whole, _ = fit(linear(), loss, len(X), SHORT, Run(seed=0))
    assert same(whole, resumed)


def test_another_run_has_another_checkpoint(tmp_path: Path) -> None:
    files = {run_file(tmp_path, {"seed": seed, "epochs": epochs}) for seed in (0, 1) for epochs in (5, 6)}
    assert len(files) == 4


def test_the_code_of_a_room_counts_whether_it_is_a_folder_or_a_module() -> None:
    assert len({code_digest(), code_digest("losses"), code_digest("transforms")}) == 3


def test_a_damaged_checkpoint_is_named_and_kept(tmp_path: Path) -> None:
    fit(linear(), loss, len(X), SHORT, Run(seed=0, checkpoints=tmp_path))
    file = next(tmp_path.iterdir())
    file.write_bytes(b"not a checkpoint")
    with pytest.raises(EcgkitError, match="damaged; remove it"):
        fit(linear(), loss, len(X), SHORT, Run(seed=0, checkpoints=tmp_path))
    assert file.read_bytes() == b"not a checkpoint"


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    with pytest.raises(EcgkitError, match="the loss is nan in epoch 1; lower the learning rate"):
        fit(linear(), lambda m, b, g: loss(m, b, g) * float("nan"), len(X), SHORT, Run(seed=0))


def test_one_item_is_too_few() -> None:
    with pytest.raises(EcgkitError, match="at least two"):
        fit(linear(), loss, 1, SHORT, Run(seed=0))


def test_validation_sees_the_averaged_model_at_the_stated_epochs() -> None:
    _, history = fit(linear(), loss, len(X), Schedule(epochs=5, batch_size=16, validate_every=2), Run(seed=0),
                     validate=lambda model: {"training": float(model.training)})
    assert history["training"].isna().tolist() == [True, False, True, False, False]
    assert history["training"].dropna().eq(0).all()


def test_the_running_mean_forgets_its_start() -> None:
    mean = torch.tensor(100.0)
    for n in range(1, 50):
        mean = running_mean(0.999, mean, torch.tensor(1.0), n)
    assert mean.item() == pytest.approx(1.0, abs=0.01)


def share(name: str) -> float:
    return {"0": 0.5, "2": 1.0}[name[0]]


def test_a_share_of_one_for_all_changes_no_byte() -> None:
    plain, plain_history = fit(linear(), loss, len(X), SHORT, Run(seed=0))
    shared, history = fit(linear(), loss, len(X), SHORT, Run(seed=0), rates=lambda name: 1.0)
    assert same(plain, shared)
    assert history.equals(plain_history)


def test_a_first_step_is_as_long_as_its_share() -> None:
    # The first step of Adam is as long as the learning rate, which begins at a 25th of its peak.
    schedule = Schedule(epochs=10, batch_size=64, learning_rate=0.1, weight_decay=0.0)
    start = {name: p.detach() for name, p in linear().named_parameters()}
    for rates, factor in ((None, {"0": 1.0, "2": 1.0}), (share, {"0": 0.5, "2": 1.0})):
        model = linear()
        calls = iter([True])

        def once(model: nn.Module, batch: Tensor, generator: torch.Generator, calls: Iterator[bool] = calls) -> Tensor:
            if not next(calls, False):
                raise Stopped
            return loss(model, batch, generator)

        with pytest.raises(Stopped):
            fit(model, once, len(X), schedule, Run(seed=0), rates=rates)
        for name, parameter in model.named_parameters():
            move = (parameter.detach() - start[name]).abs().max().item()
            assert move == pytest.approx(factor[name[0]] * 0.1 / 25, rel=1e-3)


def test_weight_decay_spares_biases_and_gains_whatever_the_share() -> None:
    groups = _groups(linear(), Schedule(learning_rate=0.2, weight_decay=0.3), share)
    assert [(len(group["params"]), group["lr"], group["weight_decay"]) for group in groups] == \
        [(1, 0.2, 0.3), (1, 0.2, 0.0), (2, 0.1, 0.0)]


def test_a_run_with_shares_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    whole, whole_history = fit(linear(), loss, len(X), SHORT, Run(seed=0), rates=share)
    calls = 0

    def stopping(model: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > 10:
            raise Stopped
        return loss(model, batch, generator)

    with pytest.raises(Stopped):
        fit(linear(), stopping, len(X), SHORT, Run(seed=0, checkpoints=tmp_path), rates=share)
    resumed, history = fit(linear(), loss, len(X), SHORT, Run(seed=0, checkpoints=tmp_path), rates=share)
    assert same(whole, resumed)
    assert history.equals(whole_history)
