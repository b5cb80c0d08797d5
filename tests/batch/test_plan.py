"""What makes a run out of date, and what does not."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest

from ecgkit.batch.plan import data_digest, make_plan, project
from ecgkit.errors import EcgkitError
from tests.batch.conftest import write_notebook


def folders(root: Path, profile: str = "quick", data: Path | None = None) -> list[str]:
    return [run.folder.name for run in make_plan(root, profile, data).runs]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    (folder / "records100").mkdir(parents=True)
    (folder / "ptbxl_database.csv").write_text("ecg_id\n1\n")
    (folder / "records100" / "1.dat").write_bytes(bytes(100))
    return folder


def test_same_content_same_runs(tiny: Path) -> None:
    before = folders(tiny)
    for path in tiny.rglob("*"):
        os.utime(path, (1, 1))
    assert folders(tiny) == before


def test_library_profile_and_environment_count(tiny: Path) -> None:
    seen = [folders(tiny)]
    for name, old, new in [("ecgkit/heart.py", "60", "61"), ("constraints.txt", "2", "3"),
                           ("notebooks/profiles/quick.yaml", "3", "4")]:
        edit(tiny / name, old, new)
        seen.append(folders(tiny))
    assert len({first for first, _ in seen}) == 4
    assert len({second for _, second in seen}) == 4


def test_code_of_one_notebook_reaches_those_that_need_it(tiny: Path) -> None:
    first, second = folders(tiny)
    edit(tiny / "notebooks/02_second.ipynb", "print(seed", "print(1, seed")
    assert folders(tiny)[0] == first
    assert folders(tiny)[1] != second
    second = folders(tiny)[1]
    edit(tiny / "notebooks/01_first.ipynb", "print(seed", "print(1, seed")
    assert folders(tiny)[0] != first
    assert folders(tiny)[1] != second


def test_prose_and_command_line_do_not_count_for_runs_but_for_the_book(tiny: Path) -> None:
    before, book = folders(tiny), make_plan(tiny).digest
    for name, old, new in [("notebooks/01_first.ipynb", "# A page", "# The page"), ("book/index.md", "Title", "title")]:
        edit(tiny / name, old, new)
        assert folders(tiny) == before
        assert make_plan(tiny).digest != book
        book = make_plan(tiny).digest
    (tiny / "ecgkit/cli/__init__.py").write_text("VERB = 'book'\n")
    assert folders(tiny) == before


def test_published_notebooks_do_not_count_for_the_book(tiny: Path) -> None:
    book = make_plan(tiny).digest
    write_notebook(tiny / "book/published/01_first/01_first.ipynb")
    assert make_plan(tiny).digest == book


def test_recordings_count_by_content(tiny: Path, recordings: Path) -> None:
    before = folders(tiny, "real", recordings)
    os.utime(recordings / "records100" / "1.dat", (1, 1))
    assert folders(tiny, "real", recordings) == before
    (recordings / "records100" / "1.dat").write_bytes(bytes(99) + b"1")
    assert folders(tiny, "real", recordings) != before


def test_unchanged_recordings_are_not_read_again(recordings: Path, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    first = data_digest(recordings, tmp_path)
    monkeypatch.setattr("ecgkit.batch.plan.content_digest", lambda folder: pytest.fail("read again"))
    assert data_digest(recordings, tmp_path) == first


@pytest.mark.parametrize(("profile", "data", "said"), [
    ("none", "", "no profile 'none'; there are quick, real"),
    ("real", "", "DATA="),
    ("real", ".", "no ptbxl_database.csv"),
    ("quick", ".", "reads no recordings"),
])
def test_profile_mistakes_are_one_line(tiny: Path, profile: str, data: str, said: str) -> None:
    with pytest.raises(EcgkitError, match="^[^\n]*$") as caught:
        make_plan(tiny, profile, data and tiny)
    assert said in str(caught.value)


@pytest.mark.parametrize(("name", "text", "said"), [
    ("notebooks/batch.yaml", "01_first: {needs: [02_second]}\n02_second: {}\n", "not listed before it"),
    ("notebooks/batch.yaml", "01_first: {cores: 2}\n", "unknown setting 'cores'"),
    ("notebooks/batch.yaml", "01_first: {}\n03_third: {}\n", "03_third.ipynb is missing"),
    ("notebooks/batch.yaml", "- 01_first\n", "expected a mapping"),
    ("notebooks/batch.yaml", "01-first: {}\n", "has a '-' in its name"),
    ("notebooks/batch.yaml", "{", "not YAML"),
    ("notebooks/profiles/quick.yaml", "parameters: {05_fifth: {}}\n", "'05_fifth'"),
    ("notebooks/profiles/quick.yaml", "parameter: {}\n", "unknown setting 'parameter'"),
    ("notebooks/01_first.ipynb", "{}", "not a notebook"),
])
def test_mistakes_in_the_project_are_one_line(tiny: Path, name: str, text: str, said: str) -> None:
    (tiny / name).write_text(text)
    with pytest.raises(EcgkitError, match="^[^\n]*$") as caught:
        make_plan(tiny)
    assert said in str(caught.value)


def test_project_is_found_from_below_and_missed_elsewhere(tiny: Path, tmp_path: Path) -> None:
    assert project(tiny / "notebooks") == tiny
    with pytest.raises(EcgkitError, match="not in a checkout"):
        project(tmp_path)


def test_outputs_do_not_count(tiny: Path) -> None:
    before, path = folders(tiny), tiny / "notebooks/01_first.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="said")]
    nbformat.write(notebook, path)
    assert folders(tiny) == before
