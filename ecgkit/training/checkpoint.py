"""A run of training: its seed, its device, what tells it from others, and the checkpoint from which it goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError


@dataclass(frozen=True)
class Run:
    """What every training is told beside its data and settings.

    A function that trains makes one of its own arguments, and hands it to `ecgkit.training.loop.fit` or, where it has a
    loop of its own, to a `Resumable`.

    Parameters
    ----------
    description, identity : str, mapping
        Shown beside the progress bar; what tells this run from others beside the seed. Networks count by their weights,
        datasets by their fingerprint, settings by their fields; nothing is looked at where no checkpoint is kept.
    seed : int
        Of the weights, the batches and all other draws.
    checkpoints : path, optional
        Folder in which an interrupted run is found again, to end in the same weights; without it nothing is kept.
    device : str
        `cpu` or `cuda`.
    """

    description: str = "training"
    identity: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    checkpoints: str | Path | None = None
    device: str = "cpu"

    def also(self, **identity: Any) -> Run:
        """The run, with more that tells it from others."""
        return replace(self, identity={**self.identity, **identity})

    def file(self) -> Path | None:
        """Where the run keeps its checkpoint, if it does."""
        return run_file(self.checkpoints, {**self.identity, "seed": self.seed}) if self.checkpoints else None


class Resumable:
    """A training in progress, taken up where its checkpoint stands.

    A subclass hands over its networks and optimizers by name, counts `step`, adds rows to `history`, and calls `save`
    now and then. A checkpoint holds no random state, so draws must depend on the run's seed and on `step` alone.
    """

    def __init__(self, run: Run, models: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer],
                 cycle: torch.optim.lr_scheduler.LRScheduler | None = None) -> None:
        self.run, self.models, self.optimizers, self._cycle = run, dict(models), dict(optimizers), cycle
        self.step = 0
        self.history: list[dict[str, float]] = []
        self._file = run.file()
        if self._file and self._file.is_file():
            self._restore(*load_checkpoint(self._file))

    def save(self) -> None:
        """Keep everything that a resumed run needs, where the run has a folder."""
        if not self._file:
            return
        states = {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}
        tensors = {f"{name}/{key}": value
                   for name, model in self.models.items() for key, value in model.state_dict().items()}
        tensors |= {f"{name}-optimizer/{index}/{key}": value for name, state in states.items()
                    for index, values in state["state"].items() for key, value in values.items()}
        told = {"step": self.step, "history": self.history, "cycle": self._cycle.state_dict() if self._cycle else None,
                "groups": {name: state["param_groups"] for name, state in states.items()}}
        # A clone each: safetensors refuses tensors that share memory, as tied or averaged weights may.
        tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
        with whole(self._file) as partial:
            save_file(tensors, partial, metadata={"state": json.dumps(told)})

    def _restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        for name, model in self.models.items():
            model.load_state_dict(_part(tensors, name))
        for name, optimizer in self.optimizers.items():
            by_index: dict[int, dict[str, Tensor]] = {}
            for key, value in _part(tensors, f"{name}-optimizer").items():
                index, entry = key.split("/")
                by_index.setdefault(int(index), {})[entry] = value
            optimizer.load_state_dict({"state": by_index, "param_groups": state["groups"][name]})
        if self._cycle:
            self._cycle.load_state_dict(state["cycle"])
        self.step, self.history = state["step"], state["history"]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from torch's global generator from a seed on, and give it back as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def run_file(folder: str | Path, run: Mapping[str, Any]) -> Path:
    """Where a run keeps its checkpoint: named by what the run is (see `Run`), so that another run never meets it."""
    # After a change of the code that a training run passes through, no old checkpoint is taken up.
    code = code_digest("transforms", "models", "losses", "training")
    told = json.dumps({**run, "code": code, "torch": torch.__version__}, sort_keys=True, default=_told)
    digest = hashlib.sha256(told.encode()).hexdigest()[:16]
    return Path(folder) / f"{digest}.safetensors"


def _told(value: Any) -> Any:
    """What stands for something that JSON does not know."""
    if isinstance(value, nn.Module):
        return weights_digest(value)
    if isinstance(value, ECGDataset):
        return value.fingerprint()
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


@cache
def code_digest(*rooms: str) -> str:
    """SHA-256 of the code of some rooms of the package, folders or modules."""
    package = Path(str(files("ecgkit")))
    digest = hashlib.sha256()
    for room in rooms:
        for path in sorted((package / room).glob("*.py")) or [package / f"{room}.py"]:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def weights_digest(model: nn.Module) -> str:
    """SHA-256 of all weights of a model: tells apart runs that start from different ones."""
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file to write, which takes the place of `path` when it is whole, and is gone where that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and state of a checkpoint; a damaged file raises EcgkitError."""
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {})["state"])
        return load_file(path), state
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise EcgkitError(f"{path}: the checkpoint is damaged; remove it to start the run anew") from error


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix/`, without it."""
    return {name.removeprefix(f"{prefix}/"): value for name, value in tensors.items() if name.startswith(f"{prefix}/")}
