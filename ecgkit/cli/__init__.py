"""The command line: thin verbs over the library."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ecgkit import __version__
from ecgkit.batch.commands import app as book_app
from ecgkit.cli.data import app as data_app
from ecgkit.cli.learning import finetune, pretrain, train
from ecgkit.cli.options import DISCLAIMER
from ecgkit.cli.recordings import embed, explain, measure, predict
from ecgkit.errors import EcgkitError

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
                  help="ecgkit: machine learning on 12-lead ECGs that needs fewer labels and shows its reasons.\n\n"
                       + DISCLAIMER)
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
