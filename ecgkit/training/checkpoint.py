"""Checkpoints: tensors in safetensors, everything else as JSON in its metadata; written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ecgkit.errors import EcgkitError


def run_file(folder: str | Path, run: dict[str, Any]) -> Path:
    """Where a run keeps its checkpoint: named by what the run is, so that another run never meets it."""
    told = json.dumps({**run, "code": code_digest(), "torch": torch.__version__}, sort_keys=True, default=str)
    digest = hashlib.sha256(told.encode()).hexdigest()[:16]
    return Path(folder) / f"{digest}.safetensors"


@cache
def code_digest() -> str:
    """SHA-256 of the code that a training run passes through: after a change to it, no old checkpoint is taken up."""
    package = Path(str(files("ecgkit")))
    digest = hashlib.sha256()
    for room in ("transforms", "models", "losses", "training"):
        for path in sorted((package / room).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def weights_digest(model: nn.Module) -> str:
    """SHA-256 of all weights of a model: tells apart runs that start from different ones."""
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_checkpoint(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write tensors and a JSON-able state, replacing an earlier checkpoint only when the new one is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    # A clone each: safetensors refuses tensors that share memory, as tied or averaged weights may.
    save_file({name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}, partial,
              metadata={"state": json.dumps(state)})
    os.replace(partial, path)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read a checkpoint, or None where there is none.

    Raises
    ------
    EcgkitError
        Where the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {})["state"])
        return load_file(path), state
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise EcgkitError(f"{path}: the checkpoint is damaged; remove it to start the run anew") from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Per-parameter state of an optimizer as flat names: `optimizer/3/exp_avg`."""
    return {f"optimizer/{index}/{name}": value for index, values in optimizer.state_dict()["state"].items()
            for name, value in values.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor],
                      groups: list[dict[str, Any]]) -> None:
    """Put back what `optimizer_tensors` and the parameter groups hold."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer/"):
            _, index, name = key.split("/")
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix/`, without it."""
    return {name.removeprefix(f"{prefix}/"): value for name, value in tensors.items() if name.startswith(f"{prefix}/")}
