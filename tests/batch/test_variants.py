"""Variants of a notebook: what is planned, what one reads of another, what a page shows, what is published."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from ecgkit.batch import commands
from ecgkit.batch.plan import make_plan, notebook_of, run_name, shown, variants_of, write_json
from ecgkit.batch.publish import PUBLISHED, check_published, publish, published_runs
from ecgkit.batch.run import run_planned
from ecgkit.batch.site import stage
from ecgkit.errors import EcgkitError
from tests.batch.conftest import VARIANTS, code_outputs, make_tiny, make_varied, the_run, write_notebook
from tests.batch.test_run import SLOW, child_environment, wait_for

NAMES = ["01_first-utah", "01_first-utah-late", "01_first-plain", "02_second"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with variants, all of which have run."""
    root = make_varied(make_tiny(tmp_path_factory.mktemp("variants") / "a project"))
    for run in make_plan(root).runs:
        run_planned(run)
    return root


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Path:
    """The same, in a folder that a test may spoil."""
    return Path(shutil.copytree(finished, tmp_path / "project", symlinks=True))


def folders(root: Path) -> dict[str, str]:
    return {run.name: run.folder.name for run in make_plan(root).runs}


def change(root: Path, old: str, new: str, file: str = "notebooks/profiles/quick.yaml") -> None:
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new))


def test_a_notebook_without_variants_has_one_run_of_its_name() -> None:
    only, = variants_of("", {"seed": 1})
    assert (only.name, only.parameters, only.after) == ("", {"seed": 1}, "")
    assert variants_of("", None)[0].parameters == {}
    assert run_name("01_first", "") == "01_first"


def test_names_lead_back_to_notebooks() -> None:
    assert run_name("01_first", "utah-late") == "01_first-utah-late"
    assert [notebook_of(name) for name in NAMES] == ["01_first"] * 3 + ["02_second"]
    assert shown(NAMES) == {"01_first": "01_first-utah", "02_second": "02_second"}


def test_plan_has_a_run_for_each_variant(varied: Path) -> None:
    plan = make_plan(varied)
    utah, late, plain, second = plan.runs
    assert [run.name for run in plan.runs] == NAMES
    assert [run.notebook for run in plan.runs] == ["01_first"] * 3 + ["02_second"]
    assert [run.variant for run in plan.runs] == ["utah", "utah-late", "plain", ""]
    assert utah.parameters == {"seed": 3}
    assert late.parameters == {"seed": 3, "label": "CD"}
    assert plain.parameters == {"seed": 4, "label": "HYP"}, "what a variant sets goes before what is common"
    assert [run.start for run in plan.runs] == [None, utah, None, None]
    assert second.reads == (utah, late, plain)
    assert late.executed.name == "01_first-utah-late.ipynb"


@pytest.mark.parametrize(("old", "new", "changed"), [
    ("seed: 4", "seed: 5", {"01_first-plain", "02_second"}),
    ("utah: {}", "utah: {fast: false}", {"01_first-utah", "01_first-utah-late", "02_second"}),
    ("label: CD", "label: MI", {"01_first-utah-late", "02_second"}),
    (", after: utah", "", {"01_first-utah-late", "02_second"}),
    ("seed: 3", "seed: 2", {"01_first-utah", "01_first-utah-late", "02_second"}),
    ("      plain", "      more: {}\n      plain", {"01_first-more", "02_second"}),
])
def test_what_changes_a_variant_changes_it_and_what_reads_it(varied: Path, old: str, new: str,
                                                             changed: set[str]) -> None:
    before = folders(varied)
    change(varied, old, new)
    assert {name for name, folder in folders(varied).items() if before.get(name) != folder} == changed


def test_order_of_variants_changes_the_book_alone(varied: Path) -> None:
    before, book = folders(varied), make_plan(varied).digest
    plain = VARIANTS.splitlines()[-1] + "\n"
    change(varied, plain, "")
    change(varied, "      utah: ", f"{plain}      utah: ")
    assert folders(varied) == before
    assert next(iter(folders(varied))) == "01_first-plain"
    assert make_plan(varied).digest != book


@pytest.mark.parametrize(("variants", "said"), [
    ("{}", "variants lists none"),
    ("[utah]", "expected a mapping, found list"),
    ("{utah: 3}", "variant utah: expected a mapping, found int"),
    ("{../utah: {}}", "cannot be a folder's name"),
    ("{late: {after: utah}, utah: {}}", "variant late comes after 'utah', which is not listed before it"),
    ("{utah: {after: utah}}", "not listed before it"),
])
def test_mistakes_are_one_line(varied: Path, variants: str, said: str) -> None:
    (varied / "notebooks/profiles/quick.yaml").write_text(f"parameters: {{01_first: {{variants: {variants}}}}}\n")
    with pytest.raises(EcgkitError, match="^profile quick: 01_first[^\n]*$") as caught:
        make_plan(varied)
    assert said in str(caught.value)


@pytest.mark.parametrize(("name", "said"), [
    ("01_first-byol", "profile quick does not run '01_first-byol'; it runs " + ", ".join(NAMES[:3])),
    ("02_second-byol", "profile quick does not run '02_second-byol'; it runs 02_second"),
    ("03_third", "no notebook '03_third' in notebooks/batch.yaml; it lists 01_first, 02_second"),
])
def test_unknown_names_are_said_with_what_there_is(varied: Path, name: str, said: str) -> None:
    with pytest.raises(EcgkitError) as caught:
        make_plan(varied).select(name)
    assert str(caught.value) == said


def test_what_lacks_its_forerunner_does_not_start(varied: Path) -> None:
    with pytest.raises(EcgkitError, match="^01_first-utah-late reads the results of 01_first-utah, not run yet"):
        run_planned(the_run(varied, "01_first-utah-late"))
    assert not (varied / "_build/quick/runs").exists()


def test_runs_read_each_other(finished: Path) -> None:
    utah, late, plain, second = make_plan(finished).runs
    assert "False" in code_outputs(utah.executed)
    assert "True 01_first-utah/results" in code_outputs(late.executed), "start_dir, without the machine's path"
    said = code_outputs(second.executed)
    assert said.splitlines()[-4:] == ["02_second/needs/first", "plain HYP,4", "utah MI,3", "utah-late CD,3"]
    record = json.loads(late.record.read_text())
    assert (record["notebook"], record["variant"], record["after"]) == ("01_first", "utah-late", "utah")
    assert record["parameters"] == {"seed": 3, "rate": 0.5, "label": "CD", "fast": True}
    assert "after" not in json.loads(plain.record.read_text())
    assert not {"variant", "after"} & set(json.loads(second.record.read_text()))


def test_killed_variant_resumes_and_leaves_the_others_alone(varied: Path) -> None:
    write_notebook(varied / "notebooks/01_first.ipynb", SLOW)
    run, late = the_run(varied, "01_first-utah"), the_run(varied, "01_first-utah-late")
    ours = [run.folder.with_name(f"{run.name}-0123456789ab{end}") for end in ("", ".partial")]
    others = [late.folder, late.folder.with_name(f"{late.folder.name}.partial"),
              late.folder.with_name("01_first-utah-0123456789ab-0123456789ab")]
    for folder in (*ours, *others):
        write_json(folder / "results" / "checkpoint0", 1)
    process = subprocess.Popen([sys.executable, "-m", "ecgkit.batch", "notebook", run.name], cwd=varied,
                               env=child_environment(), stderr=subprocess.PIPE)
    try:
        wait_for(run.folder.with_name(f"{run.folder.name}.partial") / "results" / "checkpoint0", process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not run.folder.exists()
    run_planned(run)
    assert "resumed at 1" in code_outputs(run.executed)
    assert set(run.folder.parent.iterdir()) == {run.folder, *others}, "only older runs of the same name are forgotten"
    assert all(os.listdir(folder / "results") == ["checkpoint0"] for folder in others)


def test_by_hand_a_notebook_runs_the_variants_that_lack(done: Path, monkeypatch: pytest.MonkeyPatch,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(done)
    shutil.rmtree(the_run(done, "01_first-plain").folder)
    commands.notebook("01_first")
    assert capsys.readouterr().err == "01_first-plain done: 4 of 4\n"
    commands.notebook("01_first")
    assert capsys.readouterr().err == f"all have run; to run one again, name it: {', '.join(NAMES[:3])}\n"


def test_one_page_shows_the_first_and_all_results_are_there(done: Path) -> None:
    source = done / "notebooks/01_first.ipynb"
    notebook = nbformat.read(source, as_version=4)
    notebook.cells[2].metadata["table"] = {"file": "t.csv", "name": "tab-t", "caption": "Counts."}
    nbformat.write(notebook, source)
    target = stage(done, "quick", {run.name: run.folder for run in make_plan(done).runs}, done / "_build/src")
    assert sorted(path.name for path in (target / "notebooks").iterdir()) == ["01_first.ipynb", "02_second.ipynb"]
    page = (target / "notebooks/01_first.ipynb").read_text()
    assert "/results/01_first-utah/t.csv" in page
    assert "3 0.5 MI True" in page
    assert [(target / "results" / name / "t.csv").read_text().split()[1] for name in NAMES] == \
        ["MI,3", "CD,3", "HYP,4", "MI,0"]
    with (target / "results/runs.csv").open() as file:
        assert [row["Notebook"] for row in csv.DictReader(file)] == NAMES


def test_published_are_the_shown_notebook_and_small_results_of_all(done: Path) -> None:
    (the_run(done, "01_first-plain").results / "large.csv").write_bytes(bytes(1_000_001))
    publish(make_plan(done))
    kept = {name: sorted(path.name for path in (done / PUBLISHED / name).rglob("*") if path.is_file())
            for name in NAMES}
    small = ["record.json", "summary.json", "t.csv"]
    assert kept == {"01_first-utah": ["01_first-utah.ipynb", *small], "01_first-utah-late": small,
                    "01_first-plain": small, "02_second": ["02_second.ipynb", *small]}
    assert list(published_runs(done)) == NAMES, "in the order of the profile: the first is shown"
    assert check_published(done) == []
    shutil.rmtree(done / "_build")
    target = stage(done, "quick", published_runs(done), done / "_build/src")
    assert "3 0.5 MI True" in (target / "notebooks/01_first.ipynb").read_text()


@pytest.mark.parametrize(("spoil", "said"), [
    (lambda root: change(root, "print(seed", "print(1, seed", "notebooks/01_first.ipynb"),
     [f"{name}: its code has changed since it was published" for name in sorted(NAMES[:3])]),
    (lambda root: change(root, '"seed": 4', '"seed": 5', "book/published/01_first-plain/record.json"),
     ["01_first-plain: the published copy is not the one that the manifest tells of"]),
    (lambda root: (root / PUBLISHED / "01_first-utah/01_first-utah.ipynb").unlink(),
     ["01_first-utah: the published copy is not the one that the manifest tells of"]),
    (lambda root: change(root, "      plain:", "      other:"),
     ["01_first-plain is published, but is no longer in notebooks/ and profile quick",
      "01_first-other is in notebooks/ and profile quick, but not published"]),
])
def test_stale_variants_are_said(done: Path, spoil: Callable[[Path], None], said: list[str]) -> None:
    publish(make_plan(done))
    spoil(done)
    assert check_published(done) == said
