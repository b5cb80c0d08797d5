"""Commands of the batch; the command line of ecgkit mounts them as `ecgkit book`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ecgkit.batch.plan import Plan, make_plan, project, write_json
from ecgkit.batch.run import described, inspect, locked, run_planned
from ecgkit.errors import EcgkitError
from ecgkit.progress import VARIABLE as PROGRESS

#: What our own jobs say (`ecgkit.batch.commands`); all else is Snakemake's.
_OURS = ("error: ", " done: ")


def run_batch(plan: Plan, options: Sequence[str], *, show_all: bool = False) -> None:
    """Run what is out of date in a plan, with options of Snakemake's: cores, configuration.

    Of what Snakemake says, only which notebooks are done and what failed is shown, or all with `show_all`. An
    EcgkitError says that another batch of the profile runs, or that this one did not finish.
    """
    folder = plan.root / "_build" / plan.profile
    # What is out of date shows in the names of outputs (`ecgkit.batch.plan`), so no trigger of Snakemake's is needed,
    # and the lock is ours, since Snakemake's own outlives a batch that was killed.
    command = [sys.executable, "-m", "snakemake", "--rerun-triggers", "input", "--rerun-incomplete", "--nolock",
               "--keep-going", *options]
    progress = "tty" if sys.stderr.isatty() else "off"
    with locked(folder / "lock", f"profile {plan.profile} is being built already") as lock:
        process = subprocess.Popen(command, cwd=plan.root, pass_fds=[lock], stderr=subprocess.PIPE, text=True,
                                   stdout=None if show_all else subprocess.DEVNULL, errors="replace",
                                   env={PROGRESS: progress, **os.environ})
        said = _follow(process, show_all)
        code = process.wait()
    log = folder / "batch.log"
    log.write_text("".join(said), encoding="utf-8")
    if code < 0:
        raise EcgkitError(f"the batch of profile {plan.profile} was ended by signal {-code}; call again to go on")
    if code:
        raise EcgkitError(f"the batch of profile {plan.profile} did not finish{_why(said)}; read {log}")


def _follow(process: subprocess.Popen[str], show_all: bool) -> list[str]:
    said = []
    for line in process.stderr or ():
        said.append(line)
        if show_all or any(mark in line for mark in _OURS):
            print(line, end="", file=sys.stderr, flush=True)
    return said


def _why(said: Sequence[str]) -> str:
    """First error of Snakemake's, where no job of ours has said one."""
    if any(line.startswith(_OURS[0]) for line in said):
        return ""
    return next((f" ({line.strip()})" for line in said if "Error" in line or "Exception" in line), "")


app = typer.Typer(help="Run the notebooks and build the book, in a checkout of the repository.", no_args_is_help=True,
                  pretty_exceptions_enable=False)

Profile = Annotated[str, typer.Option(help="A file of notebooks/profiles: quick, sample, ...")]
Data = Annotated[str, typer.Option(help="Folder of recordings in PTB-XL's layout, for profiles that read one.")]

Planned = Annotated[str, typer.Option(hidden=True, help="Digest that the batch planned.")]


@app.command()
def build(profile: Profile = "quick", data: Data = "",
          cores: Annotated[int, typer.Option(help="Cores to use; 0 for all.")] = 0,
          slurm: Annotated[bool, typer.Option("--slurm", help="Run on Slurm: workflow/slurm/config.yaml.")] = False,
          dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would run.")] = False) -> None:
    """Run what is out of date, build the book, print the path of its first page."""
    root = project()
    plan = make_plan(root, profile, data)
    folder = Path(data).expanduser().resolve() if data else ""
    options = ["--cores", str(cores or os.cpu_count()), "--config", f"profile={profile}", f"data={folder}"]
    options += ["--workflow-profile", "workflow/slurm"] if slurm else []
    options += ["--dry-run"] if dry_run else []
    run_batch(plan, options, show_all=slurm or dry_run)
    if not dry_run:
        typer.echo(plan.site / "index.html")


@app.command()
def notebook(name: str, profile: Profile = "quick", data: Data = "",
             threads: Annotated[int, typer.Option(help="Threads to use; 0 as planned.")] = 0,
             planned: Planned = "") -> None:
    """Run one notebook with a profile's parameters; of a notebook with variants, one by its name or all that lack."""
    plan = make_plan(project(), profile, data)
    chosen = plan.select(name)
    missing = [run for run in chosen if run.name == name or not run.record.is_file()]
    if not missing:
        typer.echo(f"all have run; to run one again, name it: {', '.join(run.name for run in chosen)}", err=True)
    for run in missing:
        _still(planned, run.folder.name)
        run_planned(run, threads=threads or None)
        done = sum(each.record.is_file() for each in plan.runs)
        print(f"{run.name} done: {done} of {len(plan.runs)}", file=sys.stderr, flush=True)


@app.command()
def parameters(name: str) -> None:
    """List the parameters of a notebook."""
    source = make_plan(project()).select(name)[0].source
    for parameter in inspect(source).values():
        typer.echo(described(parameter))


@app.command()
def pages(profile: Profile = "quick", data: Data = "", planned: Planned = "") -> None:
    """Build the pages of a profile whose notebooks have run."""
    from ecgkit.batch.site import build_site

    plan = make_plan(project(), profile, data)
    _still(planned, plan.digest)
    build_site(plan.root, profile, {run.name: run.folder for run in plan.runs}, plan.site)
    write_json(plan.stamp, {"profile": profile, "runs": [run.folder.name for run in plan.runs]})


@app.command()
def site() -> None:
    """Build the published book without running anything."""
    from ecgkit.batch.publish import published_runs, read_manifest
    from ecgkit.batch.site import build_site

    root = project()
    typer.echo(build_site(root, read_manifest(root)["profile"], published_runs(root), root / "_build/published/site"))


@app.command()
def publish(profile: Profile = "sample", data: Data = "") -> None:
    """Copy the executed notebooks of a profile to book/published."""
    from ecgkit.batch.publish import publish as copy

    typer.echo(copy(make_plan(project(), profile, data)))


@app.command()
def check() -> None:
    """Say whether the published notebooks are those of the checkout; exit code 2 where they are not."""
    from ecgkit.batch.publish import check_published

    said = check_published(project())
    if said:
        raise EcgkitError("; ".join(said))


def _still(planned: str, now: str) -> None:
    """Refuse to run what is not what the batch planned, since its result would bear the wrong digest."""
    if planned and planned != now:
        raise EcgkitError("the library, a notebook or the data changed while the batch ran; call make book again")
