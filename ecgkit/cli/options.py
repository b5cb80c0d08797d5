"""Arguments and options that several commands share, and what those that are left out mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

DISCLAIMER = "Research software, not a medical device: do not use it for decisions about patients."

Cache = Annotated[Path | None, typer.Option(help="Folder of the store (default: ECGKIT_CACHE, or your user cache).")]
Table = Annotated[Path | None, typer.Option(help="CSV with one row per recording and its labels (source folder).")]
Task = Annotated[str | None, typer.Option(help="Set of labels, where the source has several.")]
Rate = Annotated[float | None, typer.Option(help="Sampling rate in Hz.")]
Root = Annotated[Path | None, typer.Option(help="Folder of the data (none for synthetic).")]
Weights = Annotated[Path, typer.Option("--output", "-o", help="File to write: NAME.safetensors.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output where it exists.")]
Records = Annotated[list[Path], typer.Argument(help="WFDB records (with or without .hea), folders, or RECORDS files.")]


def given(**options: Any) -> dict[str, Any]:
    """Options that the user gave; each source has defaults of its own for the others."""
    return {name: value for name, value in options.items() if value is not None}
