"""Kills ingest, pretraining, GAN training and a notebook at random moments, and compares what comes of them."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ecgkit
from ecgkit.batch.run import run_planned
from ecgkit.explain.counterfactual import duel
from ecgkit.explain.counterfactual.training import train_generator
from ecgkit.explain.counterfactual.windows import cut_windows
from ecgkit.training.checkpoint import Run, weights_digest
from ecgkit.training.loop import Schedule
from tests.batch.conftest import make_tiny, the_run, write_notebook
from tests.datasets.helpers import heartbeat, write_record
from tests.explain.gan_helpers import FS, NAMES, TINY, Heights, dataset
from tests.training.test_pretrain import people, settings

ROOT = Path(__file__).resolve().parents[1]
#: Part, kind, and how often what came of it.
Rows = list[tuple[str, str, Counter[str]]]


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def ingest(folder: Path, shared: Path) -> str:
    data = ecgkit.load("folder", root=shared, table=shared / "table.csv", labels=["A"], cache=folder / "cache")
    stored, = (folder / "cache").glob("*/[!.]*/signals.npy")
    return digest(stored.read_bytes(), np.array(data.signals).tobytes(), data.records.to_csv().encode())


def pretraining(folder: Path, shared: Path) -> str:
    schedule = Schedule(epochs=12, batch_size=16, learning_rate=2e-3, validate_every=4)
    model, history = ecgkit.pretrain(people(), method="utah", settings=settings("utah", schedule), checkpoints=folder)
    return digest(weights_digest(model).encode(), history.to_csv().encode())


def gan(folder: Path, shared: Path) -> str:
    duel.ROW = 5
    windows = cut_windows(dataset(32), Heights(), round(TINY.seconds * FS))
    *models, history = train_generator(windows, [Heights()], replace(TINY, steps=60, batch_size=4), NAMES,
                                       Run("the generator", checkpoints=folder))
    return digest(*(weights_digest(model).encode() for model in models),
                  history.drop(columns="minutes").to_csv().encode())


NOTEBOOK = """import json, os, pathlib, time
state = pathlib.Path(output_dir, "state.json")
step, value = json.loads(state.read_text()) if state.exists() else (0, 1)
while step < 20:
    time.sleep(0.05)
    step, value = step + 1, value * 48271 % (2**31 - 1)
    partial = state.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps([step, value]))
    os.replace(partial, state)
print(value)"""


def batch(folder: Path, shared: Path) -> str:
    os.environ |= {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    if not (folder / "made").exists():
        make_tiny(folder)
        write_notebook(folder / "notebooks/01_first.ipynb", NOTEBOOK)
        (folder / "made").touch()
    run = the_run(folder, "01_first")
    executed = run_planned(run)
    return digest(executed.read_bytes(), (run.folder / "results" / "state.json").read_bytes())


WORK = {work.__name__: work for work in (ingest, pretraining, gan, batch)}


def in_child(name: str, folder: Path, shared: Path) -> None:
    """Do the work, and leave the digest of what came of it."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    os.environ["ECGKIT_PROGRESS"] = "0"
    (folder / "started").touch()
    found = WORK[name](folder, shared)
    (folder / "digest").write_text(found)


def killed_runs(n: int, seed: int, names: tuple[str, ...] = tuple(WORK)) -> Rows:
    """Kill work at a random moment, do it again in the same place, and compare with work that nobody stopped."""
    rng = np.random.default_rng(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.killed", "wfdb", "scipy.io"])
    rows: Rows = []
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        shared = Path(place, "shared")
        for k in range(300):
            write_record(shared, f"r{k}", heartbeat(200, seed=k), fs=100)
        lines = [f"r{k},{k % 2}" for k in range(300)]
        (shared / "table.csv").write_text("\n".join(["record,label:A", *lines]) + "\n")

        def start(name: str, folder: Path) -> Any:
            """Start work, and wait until it has imported what it needs."""
            folder.mkdir(exist_ok=True)
            (folder / "started").unlink(missing_ok=True)
            process = context.Process(target=in_child, args=(name, folder, shared))
            process.start()
            while process.is_alive() and not (folder / "started").exists():
                time.sleep(0.002)
            return process

        for name in names:
            for k in range(2):  # the first warms up
                whole = Path(place, f"{name}-whole{k}")
                process, began = start(name, whole), time.monotonic()
                process.join()
            took, wanted, count = time.monotonic() - began, (whole / "digest").read_text(), Counter[str]()
            for k in range(n):
                folder = Path(place, f"{name}{k}")
                process = start(name, folder)
                process.join(rng.uniform(0, took))
                process.kill()
                process.join()
                count["killed midway" if process.exitcode == -signal.SIGKILL else "ended before"] += 1
                (folder / "digest").unlink(missing_ok=True)
                start(name, folder).join()
                found = folder / "digest"
                count["equal" if found.exists() and found.read_text() == wanted else "other or none"] += 1
                shutil.rmtree(folder)
            print(f"{name}: {dict(count)}", file=sys.stderr, flush=True)
            rows.append(("kills", name, count))
    return rows
