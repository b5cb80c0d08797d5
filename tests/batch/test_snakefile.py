"""The batch as users call it: what runs, what does not run again, what a failure leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.batch.conftest import ROOT, write_notebook


def build(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "ecgkit.batch", "build", *options], cwd=root, text=True, check=False,
                          capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"})


def test_batch_runs_what_is_out_of_date_by_content(varied: Path) -> None:
    tiny = varied
    done = build(tiny, "--cores", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tiny / "_build/quick/site/index.html")
    assert [line.split()[0] for line in done.stderr.splitlines()][-1] == "02_second", "after all variants"
    assert "02_second done: 4 of 4\n" in done.stderr
    assert "01_first-plain done: " in done.stderr
    page = tiny / "_build/quick/site/notebooks/01_first.html"
    assert "3 0.5 MI True" in page.read_text(), "the page shows the first variant"
    assert len(list(page.parent.glob("*.html"))) == 2

    stamp = page.stat().st_mtime_ns
    for path in (tiny / "ecgkit/heart.py", tiny / "notebooks/01_first.ipynb", tiny / "book/index.md"):
        path.touch()
    again = build(tiny)
    assert "done" not in again.stderr
    assert page.stat().st_mtime_ns == stamp, "touched files make nothing out of date"

    write_notebook(tiny / "notebooks/02_second.ipynb", "1 / 0", parameters='output_dir = ""\nfirst_dir = ""')
    failed = build(tiny)
    assert failed.returncode == 2
    assert "02_second failed: In [3]: ZeroDivisionError: division by zero; read" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert (tiny / "_build/quick/failed/02_second.failed.ipynb").is_file()
    assert page.stat().st_mtime_ns == stamp, "the earlier book stays"
    assert "01_first" not in failed.stderr, "what is up to date does not run again"


def test_slurm_profile_is_understood(tiny: Path) -> None:
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="needs snakemake-executor-plugin-slurm")
    (tiny / "workflow/slurm").mkdir(parents=True)
    (tiny / "workflow/slurm/config.yaml").write_text((ROOT / "workflow/slurm/config.yaml").read_text())
    planned = build(tiny, "--slurm", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "runtime=720" in planned.stdout + planned.stderr
    assert not (tiny / "_build/quick/runs").exists()


def test_mistake_is_one_line_and_code_2(tiny: Path) -> None:
    done = build(tiny, "--profile", "none")
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["error: no profile 'none'; there are quick, real"]


def test_fault_of_the_batch_itself_is_said(tiny: Path) -> None:
    with (tiny / "Snakefile").open("a") as file:
        file.write("\nx = 1 / 0\n")
    done = build(tiny)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the batch of profile quick did not finish (ZeroDivisionError")
    assert "division by zero" in (tiny / "_build/quick/batch.log").read_text()


def test_batch_that_is_killed_says_so_and_lets_another_run(tiny: Path) -> None:
    (tiny / "Snakefile").write_text("import os\nos.kill(os.getpid(), 9)\n")
    for _ in range(2):
        done = build(tiny)
        assert done.stderr.splitlines() == ["error: the batch of profile quick was ended by signal 9; "
                                            "call again to go on"]
