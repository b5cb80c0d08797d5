"""The command line: thin verbs over the library."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ecgkit import __version__
from ecgkit.batch.commands import app as book_app
from ecgkit.cli.learning import finetune, pretrain, train
from ecgkit.cli.options import DISCLAIMER, Cache, Rate, Table, Task, given
from ecgkit.cli.recordings import embed, explain, measure, predict
from ecgkit.errors import EcgkitError

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
                  help="ecgkit: machine learning on 12-lead ECGs that needs fewer labels and shows its reasons.\n\n"
                       + DISCLAIMER)
data_app = typer.Typer(no_args_is_help=True, help="Fetch and look at sets of ECGs.")
app.add_typer(data_app, name="data")
app.add_typer(book_app, name="book")


def main() -> None:
    """Run the command line; a user's mistake ends in one line on standard error and exit code 2."""
    try:
        app()
    except EcgkitError as error:
        print(f"ecgkit: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nobody is left to tell.
        sys.stderr.close()
        raise SystemExit(0) from None


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@data_app.command()
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


@data_app.command()
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


def bench(as_json: Annotated[bool, typer.Option("--json", help="Rows of name, value, unit, against, ratio, target, "
                                                               "met.")] = False,
          data: Annotated[Path | None, typer.Option(help="Folder in PTB-XL's layout, to time the reader on; by "
                                                              "default, simulated records.")] = None,
          ) -> None:
    """Measure the speed of every part that has a target, each beside an alternative."""
    from ecgkit.bench import run_all

    table = run_all(data)
    print(table.to_json(orient="records") if as_json else table.to_string(index=False))


for _verb in (train, pretrain, finetune, predict, embed, measure, explain, bench):
    app.command()(_verb)
