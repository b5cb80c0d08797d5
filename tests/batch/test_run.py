"""One notebook, really run: parameters, failures, a kill, and what is left after each."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecgkit.batch.plan import make_plan, write_json
from ecgkit.batch.run import SPENT, check_parameters, locked, run_notebook, run_planned
from ecgkit.errors import EcgkitError
from tests.batch.conftest import BODY, PARAMETERS, ROOT, code_outputs, the_run, write_notebook

SLOW = """import pathlib, time
out = pathlib.Path(output_dir)
step = len(list(out.glob("checkpoint*")))
pathlib.Path(out, f"checkpoint{step}").touch()
print("resumed at", step)
while step == 0:
    time.sleep(0.1)"""


@pytest.mark.parametrize(("parameters", "said"), [
    ({"sead": 1}, "no parameter 'sead'; its parameters: output_dir"),
    ({"sead": 1}, "seed: int = 0 (seed of everything)"),
    ({"seed": "1"}, "seed = '1' is not of type int (seed of everything)"),
    ({"seed": True}, "not of type int"),
    ({"rate": "fast"}, "not of type float"),
    ({"fast": 1}, "not of type bool"),
    ({"label": 1}, "not of type str"),
])
def test_wrong_parameters_are_refused(tmp_path: Path, parameters: dict[str, Any], said: str) -> None:
    source = write_notebook(tmp_path / "n.ipynb", BODY)
    with pytest.raises(EcgkitError, match="^[^\n]*$") as caught:
        check_parameters(source, parameters)
    assert said in str(caught.value)


def test_right_parameters_are_taken(tmp_path: Path) -> None:
    source = write_notebook(tmp_path / "n.ipynb", BODY)
    check_parameters(source, {"seed": 1, "rate": 1, "label": "CD", "fast": False})


def test_run_is_whole_and_says_nothing_of_the_machine(tiny: Path) -> None:
    first, second = make_plan(tiny).runs
    for run in (first, second):
        run_planned(run)
    assert "3 0.5 MI True" in code_outputs(first.executed)
    assert "MI,3" in code_outputs(second.executed), "the second notebook reads the results of the first"
    record = json.loads(first.record.read_text())
    assert record["parameters"] == {"seed": 3, "rate": 0.5, "label": "MI", "fast": True}
    assert record["machine"]["cores"] == os.cpu_count()
    for run in (first, second):
        assert str(tiny) not in run.executed.read_text()
        assert sorted(path.name for path in run.folder.iterdir()) == [run.executed.name, "record.json", "results"]
    again = first.executed.read_text()
    run_planned(first)
    assert first.executed.read_text() == again, "two runs differ in nothing"


def test_failed_run_is_kept_for_reading_and_spoils_nothing(tmp_path: Path) -> None:
    source = write_notebook(tmp_path / "n.ipynb", "raise ValueError('two\\nlines')")
    output = tmp_path / "out" / "n.ipynb"
    output.parent.mkdir()
    output.write_text("an earlier run")
    with pytest.raises(EcgkitError, match=r"^n failed: In \[2\]: ValueError: two; read .*n\.failed\.ipynb$"):
        run_notebook(source, output, {}, failed=tmp_path / "failed")
    assert output.read_text() == "an earlier run"
    assert "ValueError" in (tmp_path / "failed" / "n.failed.ipynb").read_text()
    assert [path.name for path in output.parent.iterdir()] == ["n.ipynb"]


def test_kernel_that_dies_is_a_failure(tmp_path: Path) -> None:
    source = write_notebook(tmp_path / "n.ipynb", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(EcgkitError, match=r"^n failed: .*DeadKernelError"):
        run_notebook(source, tmp_path / "out" / "n.ipynb", {})
    assert not (tmp_path / "out" / "n.ipynb").exists()


def test_kernels_side_by_side_share_no_socket(tmp_path: Path) -> None:
    """A kernel whose sockets lay where it runs, beside the other notebooks, would take those of another run."""
    source = write_notebook(tmp_path / "n.ipynb", "import os, ipykernel.kernelapp as k\nprint(os.listdir())\n"
                            "print(k.IPKernelApp.instance().transport, k.IPKernelApp.instance().ip)")
    output = run_notebook(source, tmp_path / "out" / "n.ipynb", {})
    files, address = code_outputs(output).splitlines()
    assert set(ast.literal_eval(files)) == {"n.ipynb", "out"}
    assert address.startswith(f"ipc {tempfile.gettempdir()}/ecgkit-")


def test_killed_run_is_not_taken_for_whole_and_resumes(tiny: Path) -> None:
    write_notebook(tiny / "notebooks/01_first.ipynb", SLOW)
    run = the_run(tiny, "01_first")
    partial = run.folder.with_name(f"{run.folder.name}.partial")
    command = [sys.executable, "-m", "ecgkit.batch", "notebook", run.name]
    process = subprocess.Popen(command, cwd=tiny, env=child_environment(), stderr=subprocess.PIPE)
    try:
        wait_for(partial / "results" / "checkpoint0", process)
        with pytest.raises(EcgkitError, match="is running already"):
            run_planned(run)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not run.folder.exists()
    assert not list(tiny.rglob("01_first.ipynb"))[1:], "no half-written notebook bears the name of a whole one"
    run_planned(the_run(tiny, "01_first"))
    assert run.record.is_file()
    assert "resumed at 1" in code_outputs(run.executed)
    assert not partial.exists()


def test_minutes_of_earlier_stretches_count(tiny: Path) -> None:
    run = the_run(tiny, "01_first")
    write_json(run.folder.with_name(f"{run.folder.name}.partial") / SPENT, 7.5)
    run_planned(run)
    assert 7.5 <= json.loads(run.record.read_text())["minutes"] < 9
    assert not (run.folder / SPENT).exists()


def test_new_run_replaces_older_ones_only_when_it_is_whole(tiny: Path) -> None:
    old = the_run(tiny, "01_first")
    run_planned(old)
    write_notebook(tiny / "notebooks/01_first.ipynb", "1 / 0")
    with pytest.raises(EcgkitError, match="ZeroDivisionError"):
        run_planned(the_run(tiny, "01_first"))
    assert old.record.is_file()
    write_notebook(tiny / "notebooks/01_first.ipynb", "1 / 1")
    new = run_planned(the_run(tiny, "01_first"))
    assert new.is_file()
    assert [path.name for path in old.folder.parent.iterdir()] == [new.parent.name]


def test_lock_is_let_go_at_the_end(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", "taken"), pytest.raises(EcgkitError, match="^taken; "), \
            locked(tmp_path / "lock", "taken"):
        pass
    with locked(tmp_path / "lock", "taken"):
        pass


def child_environment() -> dict[str, str]:
    """A child runs in the tiny project, but with the library that is tested."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.05)


def test_recordings_are_told_to_notebooks_that_read_some(tiny: Path, tmp_path: Path) -> None:
    run = replace(the_run(tiny, "01_first"), data=tmp_path)
    assert run_planned(run).is_file(), "it has no parameter for them"
    write_notebook(run.source, BODY + "\nprint(data)", parameters=PARAMETERS + '\ndata: str = ""  # ECGs')
    run = replace(the_run(tiny, "01_first"), data=tmp_path)
    assert tmp_path.name in code_outputs(run_planned(run))
