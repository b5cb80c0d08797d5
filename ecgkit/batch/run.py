"""Run one notebook: whole or not at all, its parameters checked, a failed one kept for reading."""

from __future__ import annotations

import ast
import fcntl
import json
import logging
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from traitlets.config import Config

from ecgkit import __version__
from ecgkit.batch.plan import RECORD, Run, code_digest, write_json
from ecgkit.errors import EcgkitError
from ecgkit.progress import VARIABLE as PROGRESS

#: Set to the number of threads of a run, so that runs side by side do not crowd each other out.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: Minutes that earlier stretches of an unfinished run took; one that was killed outright leaves no trace here.
SPENT = "minutes.json"
_TYPES: dict[str, tuple[type, ...]] = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}


def run_planned(run: Run, *, threads: int | None = None) -> Path:
    """Run a notebook of a plan, and put the whole of it into its folder by one rename.

    A run that was killed leaves ``<folder>.partial``, and the next run of the same digest goes on in it, so that a
    notebook which keeps checkpoints in its output folder resumes from them. An EcgkitError tells of a missing run
    whose results it reads, and of what `run_notebook` refuses.
    """
    missing = [read.name for read in run.reads if not read.record.is_file()]
    if missing:
        raise EcgkitError(f"{run.name} reads the results of {', '.join(missing)}, not run yet with the present code "
                          "and parameters: make book runs all in order")
    partial = run.folder.with_name(f"{run.folder.name}.partial")
    (partial / "results").mkdir(parents=True, exist_ok=True)
    with locked(partial / "lock", f"{run.name} is running already"):
        _run_in(partial, run, threads or run.threads)
        _commit(partial, run)
    return run.executed


def _run_in(partial: Path, run: Run, threads: int) -> None:
    parameters = {**run.parameters, **_paths(run, partial)}
    started, spent = time.monotonic(), partial / SPENT
    # A run that failed and goes on from its checkpoints has cost what all its stretches took.
    before = json.loads(spent.read_text(encoding="utf-8")) if spent.is_file() else 0.0
    try:
        with _environment(threads):
            run_notebook(run.source, partial / run.executed.name, parameters, failed=run.folder.parents[1] / "failed",
                         hide=_places(run, partial))
    finally:
        minutes = round(before + (time.monotonic() - started) / 60, 2)
        write_json(spent, minutes)
    spent.unlink()
    write_json(partial / RECORD, {
        "notebook": run.notebook, **_variant(run), "code": code_digest(run.source), "parameters": effective(run),
        "minutes": minutes, "finished": datetime.now(UTC).isoformat(timespec="seconds"), "ecgkit": __version__,
        "machine": machine()})


def _variant(run: Run) -> dict[str, str]:
    """What a record says of a variant: its name, and that of the one it started from."""
    own = {"variant": run.variant} if run.variant else {}
    return own | ({"after": run.start.variant} if run.start else {})


def run_notebook(source: Path, output: Path, parameters: Mapping[str, Any], *, failed: Path | None = None,
                 hide: Mapping[str, str] | None = None) -> Path:
    """Execute a notebook in its own folder, as JupyterLab does; an earlier `output` stays until the new one is whole.

    One that failed is kept in the folder `failed`, by default that of `output`. Texts of `hide`, paths of this machine,
    are replaced in the executed notebook. An EcgkitError tells of an unknown parameter, a wrong type, a failed cell.
    """
    import nbformat
    import papermill
    from papermill.exceptions import PapermillException

    check_parameters(source, parameters)
    logging.getLogger("papermill").setLevel(logging.ERROR)
    partial = output.with_name(f"{output.stem}.partial.ipynb")
    kept = (failed or output.parent) / f"{output.stem}.failed.ipynb"
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(prefix="ecgkit-") as folder:
            papermill.execute_notebook(str(source), str(partial), parameters=dict(parameters), kernel_name="python3",
                                       cwd=str(source.parent), progress_bar=False, config=_sockets(folder))
    except (PapermillException, RuntimeError, TimeoutError) as error:
        kept.parent.mkdir(parents=True, exist_ok=True)
        if partial.is_file():
            partial.replace(kept)
        raise EcgkitError(f"{output.stem} failed: {_reason(error)}; read {kept}") from error
    notebook = nbformat.read(partial, as_version=4)
    nbformat.write(_tidy(notebook, hide or {}), partial)
    partial.replace(output)
    kept.unlink(missing_ok=True)
    return output


def _sockets(folder: str) -> Config:
    """Let the kernel talk over sockets on disk, in a folder of its own with a short path, and not over TCP ports."""
    return Config({"KernelManager": {"transport": "ipc", "ip": f"{folder}/kernel"},
                   # Takes a second off the first import of nbformat.
                   "NotebookClient": {"extra_arguments": ["--IPKernelApp.exec_lines=_ = __import__('ecgkit.batch')"]}})


@contextmanager
def locked(path: Path, held: str) -> Iterator[int]:
    """Hold a lock that the system lets go when its holder dies, however it dies.

    A child that inherits the file descriptor holds the lock too. Where another holds it, an EcgkitError says `held`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EcgkitError(f"{held}; wait for it to end, or end it") from None
        yield file.fileno()


def inspect(source: Path) -> dict[str, dict[str, Any]]:
    """Parameters of a notebook: name to type, default and help, read from its parameters cell."""
    import papermill

    logging.getLogger("papermill").setLevel(logging.ERROR)
    return dict(papermill.inspect_notebook(str(source)))


def check_parameters(source: Path, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that the notebook does not have, or whose value is of another type."""
    known = inspect(source)
    for name, value in parameters.items():
        if name not in known:
            listed = "; ".join(described(parameter) for parameter in known.values()) or "none"
            raise EcgkitError(f"{source.stem} has no parameter {name!r}; its parameters: {listed}")
        wanted = known[name]["inferred_type_name"]
        types = _TYPES.get(wanted)
        if types and (not isinstance(value, types) or (isinstance(value, bool) and wanted != "bool")):
            raise EcgkitError(f"{source.stem}: parameter {name} = {value!r} is not of type {wanted} "
                              f"({known[name]['help'] or 'no help'})")


def effective(run: Run) -> dict[str, Any]:
    """Values of all parameters of a run, without paths; a default that is not a literal stays as it is written."""
    return {name: run.parameters[name] if name in run.parameters else _literal(parameter["default"])
            for name, parameter in inspect(run.source).items() if not name.endswith("_dir") and name != "data"}


def machine() -> dict[str, Any]:
    """What the machine is, without saying which: cores, processor, operating system, Python."""
    return {"cores": os.cpu_count(), "processor": _processor(), "system": platform.system(),
            "python": platform.python_version()}


def _paths(run: Run, partial: Path) -> dict[str, str]:
    """Paths that a notebook is told: where to write, where its data and its forerunners' results are."""
    paths = {"output_dir": str(partial / "results")}
    # One that only puts results of others together reads no recordings.
    if run.data and "data" in inspect(run.source):
        paths["data"] = str(run.data)
    if run.start:
        paths["start_dir"] = str(run.start.results)
    for notebook in dict.fromkeys(need.notebook for need in run.needs):
        room = notebook.partition("_")[2] or notebook
        paths[f"{room}_dir"] = str(_results(partial / "needs" / room,
                                            [need for need in run.needs if need.notebook == notebook]))
    return paths


def _results(folder: Path, runs: Sequence[Run]) -> Path:
    """Results of a notebook; where it has variants, a new folder with a link to those of each."""
    if not runs[0].variant:
        return runs[0].results
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for run in runs:
        # Relative, so that a checkout can be moved.
        (folder / run.variant).symlink_to(os.path.relpath(run.results, folder), target_is_directory=True)
    return folder


def _places(run: Run, partial: Path) -> dict[str, str]:
    """Paths of this machine, and what a published notebook says in their place."""
    data = {str(run.data): run.data.name} if run.data else {}
    return {str(partial): run.name, **{str(read.folder): read.name for read in run.reads}, **data,
            str(run.source.parents[1]): "."}


def _commit(partial: Path, run: Run) -> None:
    """Make a finished run the one of its name, then forget runs of other digests."""
    (partial / "lock").unlink()
    if run.folder.is_dir():
        shutil.rmtree(run.folder)
    partial.rename(run.folder)
    # To the end of the name: another variant's name may begin with this one's.
    mine = re.compile(rf"{re.escape(run.name)}-[0-9a-f]{{12}}(\.partial)?")
    for other in run.folder.parent.iterdir():
        if mine.fullmatch(other.name) and other != run.folder:
            shutil.rmtree(other)


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Environment of the kernel: its threads, and where its progress bars go."""
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(THREADS, str(threads)))
    os.environ.setdefault(PROGRESS, "tty" if sys.stderr.isatty() else "off")
    try:
        # No home folder has to be writable.
        with TemporaryDirectory(prefix="ecgkit-") as folder:
            os.environ["JUPYTER_RUNTIME_DIR"] = folder
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _tidy(notebook: Any, hide: Mapping[str, str]) -> Any:
    """Take out what differs between runs or tells of the machine: times, random cell names, paths."""
    import nbformat

    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"
    text = nbformat.writes(notebook)
    for path, name in hide.items():
        text = text.replace(path, name)
    return nbformat.reads(text, as_version=4)


def _reason(error: Exception) -> str:
    """One line of what went wrong."""
    name, value = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", str(error))
    cell = f"In [{error.exec_count}]: " if hasattr(error, "exec_count") else ""
    lines = value.strip().splitlines()
    return f"{cell}{name}: {lines[0] if lines else 'no message'}"


def described(parameter: Mapping[str, Any]) -> str:
    """Say name, type, default and help of a parameter in one line."""
    wanted = "" if parameter["inferred_type_name"] == "None" else f": {parameter['inferred_type_name']}"
    about = f" ({parameter['help']})" if parameter["help"] else ""
    return f"{parameter['name']}{wanted} = {parameter['default']}{about}"


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())

