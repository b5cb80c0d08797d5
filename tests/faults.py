"""Measures what faults the project survives: damaged files, runs that are killed, damaged weights.

``python -m tests.faults --n 10000 --seed 0 --kills 50 -o faults.csv`` does all three; ``--only files`` one of them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.io
import torch
import wfdb
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

import ecgkit
from ecgkit.datasets.reader import read_record
from ecgkit.errors import EcgkitError
from ecgkit.explain.counterfactual.gan import CounterfactualGAN
from ecgkit.leads import LEADS
from ecgkit.models import build_encoder, weights
from ecgkit.training import FewLabelClassifier
from ecgkit.training.checkpoint import weights_digest
from tests.datasets.helpers import write_record
from tests.killed import Rows, killed_runs

FS, SECONDS_TO_HANG, MEMORY = 100, 10, 4 << 30
NUMBERS = (b"nan", b"inf", b"-1", b"0", b"1e308", b"-1e308", b"999999999999999999999", b"2147483648", b"", b"0.0001")
NAMES = (b"../x", b"../outside/r.dat", b"../outside/r.csv", b"/etc/passwd", b"/dev/zero", b"/proc/self/mem", b"..",
         b"~", b"~/x", b"file:///etc/passwd", b"http://localhost/x", b"r\0", b"s3://x/r.npy", b"", b"\xff\xfe")
EXTREMES = tuple(np.array([value], kind).tobytes() for value, kind in (
    (np.nan, "<f4"), (np.inf, "<f4"), (3e38, "<f4"), (-(1 << 15), "<i2"), (2**31 - 1, "<i4"), (-1, "<i8")))
#: What a reader is asked for: from a folder to a signal.
Read = Callable[[Path], NDArray[np.float32]]


class Hung(BaseException):
    """It took too long; no Exception, so that no reader catches it."""


class Watch:
    """Notes files outside the allowed places, and connections, that are opened while it is on."""

    def __init__(self) -> None:
        self.allowed: tuple[str, ...] = ()
        self.foreign: list[str] = []
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.allowed:
            return
        if event == "socket.connect":
            self.foreign.append(str(arguments[1:]))
        if event == "open" and isinstance(arguments[0], str | bytes):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            scratch = any(path.startswith(f"{place}/ecgkit-") for place in ("/dev/shm", tempfile.gettempdir()))
            # python itself opens code when something is imported late
            if not (scratch or path.startswith(self.allowed) or path.endswith((".py", ".pyc", ".so"))):
                self.foreign.append(path)

    @contextmanager
    def on(self, *places: Path) -> Iterator[None]:
        """Watch for what is opened outside of some places."""
        self.foreign, self.allowed = [], tuple(os.path.realpath(place) + "/" for place in places)
        try:
            yield
        finally:
            self.allowed = ()


@contextmanager
def limits() -> Iterator[None]:
    """Raise Hung after ten seconds, and MemoryError beyond four more GiB."""
    def stop(*_: object) -> None:
        raise Hung
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, before[1]))
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS_TO_HANG)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, before)


def outcome(attempt: Callable[[], bool]) -> str:
    """What comes of an attempt, which says whether it gave what the undamaged file gives."""
    warnings.simplefilter("ignore")
    try:
        with limits():
            return "read the same" if attempt() else "read otherwise"
    except Hung:
        return "hung"
    except EcgkitError as error:
        return "refused in one line" if "\n" not in str(error) else "crashed"
    except Exception as error:
        print(f"crashed: {type(error).__name__}: {error}"[:300], file=sys.stderr)
        return "crashed"


def mutate(data: bytes, rng: np.random.Generator, text_until: int | None) -> bytes:
    """Damage a file once; numbers, names and lines are looked for in the text, up to that byte (None: all is text)."""
    text, rest = (data, b"") if text_until is None else (data[:text_until], data[text_until:])
    at, n = int(rng.integers(len(data) + 1)), int(rng.choice([1, 2, 7, 100]))
    kind = rng.choice(["flip", "cut", "insert", *(["number", "name", "line"] if text else []),
                       *(["extreme"] if rest else [])])
    if kind == "flip":
        changed = bytearray(data)
        for place in rng.integers(len(data), size=n) if data else ():
            changed[place] ^= int(rng.integers(1, 256))
        return bytes(changed)
    if kind in ("cut", "insert", "extreme"):
        value = {"cut": b"", "insert": rng.bytes(n), "extreme": EXTREMES[rng.integers(len(EXTREMES))]}[kind]
        skipped = {"cut": n if rng.random() < 0.5 else len(data), "insert": 0, "extreme": len(value)}[kind]
        return data[:at] + value + data[at + skipped:]
    pattern, values = {"number": (rb"-?\d+(\.\d+)?", NUMBERS), "name": (rb"[A-Za-z][\w.]*", NAMES),
                       "line": (rb"[^\n]*\n", (b"", b"%s%s"))}[kind]
    found = list(re.finditer(pattern, text))
    if found:
        hit, value = found[rng.integers(len(found))], values[rng.integers(len(values))]
        text = text[:hit.start()] + value.replace(b"%s", hit.group()) + text[hit.end():]
    return text + rest


def write_originals(folder: Path, seed: int) -> None:
    """Write an ECG from the simulator in every way: WFDB of 16 and 12 bits, MAT, two segments, NumPy, CSV."""
    mv = np.asarray(ecgkit.load("synthetic", n_patients=1, seed=seed, fs=FS, seconds=4).signals[0], np.float64)
    write_record(folder, "r", mv, comments=["# Age: 60", "# Dx: 426783006"])
    write_record(folder, "mat", mv, suffix=".mat")
    header = folder / "mat.hea"
    header.write_text(header.read_text().replace("mat.mat 16 ", "mat.mat 16+24 "))
    scipy.io.savemat(folder / "mat.mat", {"val": np.round(mv * 1000).astype("<i2")}, format="4")
    wfdb.wrsamp("packed", FS, ["mV"] * 12, list(LEADS), mv.T, fmt=["212"] * 12, adc_gain=[200.0] * 12,
                baseline=[0] * 12, write_dir=str(folder))
    for name in ("s1", "s2"):
        write_record(folder, name, mv)
    (folder / "whole.hea").write_text(f"whole/2 12 {FS} {2 * mv.shape[1]}\ns1 {mv.shape[1]}\ns2 {mv.shape[1]}\n")
    np.save(folder / "r.npy", mv.astype(np.float32))
    pd.DataFrame(mv.T.round(3), columns=list(LEADS)).to_csv(folder / "r.csv", index=False)
    for name in ("r", "r.npy", "r.csv"):
        (folder / f"table-{name}.csv").write_text(f"record,patient_id,age,label:A\n{name},7,61,1\n")


def by_record(name: str) -> Read:
    return lambda folder: read_record(folder / name)[0]


def by_folder(name: str, cache: Path) -> Read:
    return lambda folder: np.array(ecgkit.load("folder", root=folder, table=folder / f"table-{name}.csv", file_fs=FS,
                                               labels=["A"], on_error="raise", cache=cache).signals)


def damaged_files(n: int, seed: int, watch: Watch) -> Rows:
    """Damage one file at a time, in one to three ways, or put a link to one outside in its place, and read it."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        base, case, cache = Path(place), Path(place, "case"), Path(place, "cache")
        write_originals(base / "outside", seed)
        kinds: dict[str, list[tuple[str, int | None, Read]]] = {
            "header": [(f"{name}.hea", None, by_record(name)) for name in ("r", "mat", "packed", "whole")],
            "signal": [(f"{file}.dat", 0, by_record(name)) for file, name in (
                ("r", "r"), ("packed", "packed"), ("s2", "whole"))],
            "MAT": [("mat.mat", 0, by_record("mat"))],
            "NumPy": [("r.npy", 128, by_folder("r.npy", cache))],
            "CSV": [("r.csv", None, by_folder("r.csv", cache))],
            "table": [(f"table-{name}.csv", None, by_folder(name, cache)) for name in ("r", "r.npy", "r.csv")]}
        truth = {file: read(base / "outside") for choices in kinds.values() for file, _, read in choices}
        counts = {kind: Counter[str]() for kind in kinds}
        for k in range(n):
            kind = list(kinds)[k % len(kinds)]
            file, text_until, read = kinds[kind][rng.integers(len(kinds[kind]))]
            shutil.copytree(base / "outside", case)
            if kind != "table" and rng.random() < 0.02:
                (case / file).unlink()
                (case / file).symlink_to(base / "outside" / file)
            else:
                data = (case / file).read_bytes()
                for _ in range(rng.integers(1, 4)):
                    data = mutate(data, rng, text_until)
                (case / file).write_bytes(data)

            def attempt(read: Read = read, file: str = file) -> bool:
                with watch.on(case, cache):
                    return np.array_equal(read(case), truth[file])

            found, foreign = outcome(attempt), watch.foreign
            counts[kind].update([found, *(["opened foreign files"] if foreign else [])])
            if foreign or found in ("crashed", "hung"):
                print(f"file {k} ({file}): {found}; opened {foreign}", file=sys.stderr)
            for folder in (case, cache):
                shutil.rmtree(folder, ignore_errors=True)
    return [("files", kind, counts[kind]) for kind in kinds]


def restored(path: Path, classifier: str) -> nn.Module:
    """All networks of an explainer that is read from a file."""
    explainer = CounterfactualGAN.restored(path, weights.load_classifier(classifier))
    return nn.ModuleList([explainer._generator, explainer._discriminator, *explainer.twins])


def few_label(path: Path) -> nn.Module:
    """Everything that a few-label classifier learnt and is, as it is read from a file."""
    model = FewLabelClassifier.load(path)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        model.save(Path(folder, "again.safetensors"), {})
        arrays = load_file(Path(folder, "again.safetensors"))
    told = json.dumps([model.fs, model.seed, model.n_trees, model.label_names]).encode()
    learnt = [torch.tensor(list(told)), *(value for _, value in sorted(arrays.items()))]
    return nn.ParameterList([nn.Parameter(value, requires_grad=False) for value in learnt])


def write_few_label(path: Path, seed: int) -> Path:
    """Fit a small few-label classifier on simulated ECGs and write it."""
    data = ecgkit.load("synthetic", n_patients=20, seed=seed, fs=FS, seconds=3)
    torch.manual_seed(seed)
    encoder = ecgkit.Embedder(build_encoder("xresnet1d18", widths=(8, 8, 8, 8)), fs=FS, crop_len=250).eval()
    model = FewLabelClassifier(FS, seed, encoder, n_trees=5)
    model.fit(data.signals, data.labels, label_names=data.label_names).save(path, {"data": data.name})
    return path


def damaged_weights(n: int, seed: int) -> Rows:
    """Damage copies of weights of each kind in four places, `n` times each, and load them."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        return _damaged_weights(n, seed, write_few_label(Path(folder, "few.safetensors"), seed))


def _damaged_weights(n: int, seed: int, few: Path) -> Rows:
    rng = np.random.default_rng(seed)
    loaders: list[tuple[Path, Callable[[Path], Any]]] = [
        *((path, few_label) for path in (few, *weights.shipped_few_labels().values())),
        *((path, weights.load_classifier) for path in weights.shipped().values()),
        *((path, weights.load_encoder) for path in weights.shipped_encoders().values()),
        *((path, lambda path, name=name: restored(path, name)) for name, path in weights.shipped_explainers().items()),
        (weights._DELINEATOR.shipped()["unet"], weights.load_delineator)]
    counts = {kind: Counter[str]() for kind in ("cut", "header", "metadata", "data")}
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        damaged = Path(folder, "damaged.safetensors")
        for k in range(n):
            path, load = loaders[k % len(loaders)]
            data = path.read_bytes()
            end = 8 + int.from_bytes(data[:8], "little")
            begin = data.index(b'"__metadata__"')
            finish = begin + re.search(rb'[^\\]"}', data[begin:]).end()  # quotes within metadata have a backslash
            places = {"header": (0, end), "metadata": (begin, finish), "data": (end, len(data))}
            for kind, count in counts.items():
                changed = bytearray(data)
                if kind == "cut":
                    del changed[rng.integers(len(data)):]
                else:
                    changed[rng.integers(*places[kind])] ^= 1 << rng.integers(8)
                damaged.write_bytes(changed)
                count[outcome(lambda load=load, path=path: (
                    weights_digest(load(damaged)) == weights_digest(load(path))))] += 1
    return [("weights", kind, count) for kind, count in counts.items()]


def main(arguments: list[str] | None = None) -> Rows:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, default=10_000, help="files; a fiftieth of it weights of each kind of damage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=50, help="of each kind of work")
    parser.add_argument("--only", choices=("files", "kills", "weights"))
    parser.add_argument("-o", "--output", type=Path, help="CSV of the counts")
    given = parser.parse_args(arguments)
    parts: dict[str, Callable[[], Rows]] = {
        "files": lambda: damaged_files(given.n, given.seed, Watch()),
        "kills": lambda: killed_runs(given.kills, given.seed),
        "weights": lambda: damaged_weights(max(1, given.n // 50), given.seed)}
    rows: Rows = []
    for name in [given.only] if given.only else parts:
        found = parts[name]()
        table = pd.DataFrame([count for *_, count in found], index=[kind for _, kind, _ in found])
        print(table.fillna(0).astype(int).to_string(), flush=True)
        rows += found
    if given.output:
        long = [(part, kind, what, n) for part, kind, count in rows for what, n in sorted(count.items())]
        pd.DataFrame(long, columns=["part", "kind", "outcome", "n"]).to_csv(given.output, index=False)
    return rows


if __name__ == "__main__":
    main()
