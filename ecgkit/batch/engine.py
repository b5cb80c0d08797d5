"""Call Snakemake on a plan: one at a time, with its chatter in a log and only what a reader needs on the screen."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from ecgkit.batch.plan import Plan
from ecgkit.batch.run import locked
from ecgkit.errors import EcgkitError
from ecgkit.progress import VARIABLE as PROGRESS

#: What our own jobs say (`ecgkit.batch.commands`); all else is Snakemake's.
_OURS = ("error: ", " done: ")


def run_batch(plan: Plan, options: Sequence[str], *, show_all: bool = False) -> None:
    """Run what is out of date in a plan.

    Parameters
    ----------
    plan : Plan
        What there is to run.
    options : sequence of str
        Options of Snakemake: cores, configuration.
    show_all : bool
        Show all that Snakemake says, not only which notebooks are done and what failed.

    Raises
    ------
    EcgkitError
        Where another batch of the profile runs, or this one did not finish.
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
