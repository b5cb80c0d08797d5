"""Arguments and options that several commands share, and what those that are left out mean."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecgkit.errors import EcgkitError

if TYPE_CHECKING:
    import pandas as pd

DISCLAIMER = "Research software, not a medical device: do not use it for decisions about patients."

Cache = Annotated[Path | None, typer.Option(help="Folder of the store (default: ECGKIT_CACHE, or your user cache).")]
Table = Annotated[Path | None, typer.Option(help="CSV with one row per recording and its labels (source folder).")]
Task = Annotated[str | None, typer.Option(help="Set of labels, where the source has several.")]
Rate = Annotated[float | None, typer.Option(help="Sampling rate in Hz.")]
Root = Annotated[Path | None, typer.Option(help="Folder of the data (none for synthetic).")]
Weights = Annotated[Path, typer.Option("--output", "-o", help="File to write: NAME.safetensors.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Fraction = Annotated[float, typer.Option(help="Share of the training patients whose labels are used.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output where it exists.")]
Anyway = Annotated[bool, typer.Option("--anyway", help="Answer also where a recording is no usable ECG.")]
Records = Annotated[list[Path], typer.Argument(help="WFDB records (with or without .hea), folders, or RECORDS files.")]


def given(**options: Any) -> dict[str, Any]:
    """Options that the user gave; each source has defaults of its own for the others."""
    return {name: value for name, value in options.items() if value is not None}


def check_output(path: Path, suffixes: tuple[str, ...], option: str, force: bool = False) -> None:
    """Refuse, before any work, an output that could not or should not be written."""
    if path.suffix not in suffixes:
        raise EcgkitError(f"{path}: give {option} a name that ends in {' or '.join(suffixes)}")
    if path.exists() and not (force and path.is_file()):
        remedy = ", or replace it with --force" if option == "--output" else ""
        raise EcgkitError(f"{path} exists; choose another {option}{remedy}")
    if not path.parent.is_dir():
        raise EcgkitError(f"{path.parent}: no such folder to write {path.name} to")


def check_new(path: Path) -> None:
    """Refuse weights that would replace others: no option asks for that."""
    if path.exists():
        raise EcgkitError(f"{path} exists; remove it or choose another --output")


def pages_of(paths: list[Path], output: Path, suffix: str, option: str, force: bool = False) -> dict[Path, Path]:
    """The file of each record's page: `output` of one record, else its name with the record's; none is overwritten."""
    files = {path: output if len(paths) == 1 else output.with_stem(f"{output.stem}-{path.name}") for path in paths}
    if len(set(files.values())) < len(paths):
        raise EcgkitError(f"two records have the same name, so their files would too; give one at a time to {option}")
    for file in files.values():
        check_output(file, (suffix,), option, force)
    return files


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as its name says, whole or not at all; a parquet file keeps `table.attrs`."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        getattr(table, f"to_{path.suffix[1:]}")(partial, index=False)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
