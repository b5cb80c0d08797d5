"""Commands that fetch and look at sets of ECGs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ecgkit.cli.options import Cache, Rate, Table, Task, given

app = typer.Typer(no_args_is_help=True, help="Fetch and look at sets of ECGs.")


@app.command()
def download(source: Annotated[str, typer.Argument(help="Which data: ptbxl.")],
             destination: Annotated[Path, typer.Argument(help="Folder to fill.")],
             skip: Annotated[list[str] | None, typer.Option(help="Leave out files whose path begins so: records500/ "
                                                                 "saves most of PTB-XL's size. May be repeated.")]
             = None,
             url: Annotated[str | None, typer.Option(help="Fetch from here instead of the publisher.")] = None,
             jobs: Annotated[int, typer.Option(min=1, help="Files fetched at a time.")] = 8) -> None:
    """Fetch a public set of ECGs; call it again to resume.

    Every file is checked against the publisher's SHA-256 sums.
    """
    from ecgkit.datasets.download import download as fetch

    print(fetch(source, destination, base_url=url, skip=skip or (), workers=jobs))


@app.command()
def show(source: Annotated[str, typer.Argument(help="synthetic, ptbxl, challenge, ludb, folder or cinc2011.")],
         root: Annotated[Path | None, typer.Argument(help="Folder of the data (none for synthetic).")] = None,
         table: Table = None, task: Task = None, fs: Rate = None, cache: Cache = None) -> None:
    """Read a set of ECGs and say what is in it: ECGs, patients, labels, and what was left out and why."""
    from ecgkit.datasets import load

    data = load(source, **given(root=root, table=table, task=task, fs=fs, cache=cache))
    print(data)
    for name, count in zip(data.label_names, data.labels.sum(axis=0), strict=True):
        print(f"  {name:<12} {count:>7,}")
    for error in data.excluded:
        print(f"left out: {error}", file=sys.stderr)
