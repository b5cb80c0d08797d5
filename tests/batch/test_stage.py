"""Pages are the executed outputs in the prose of today, marked with what they show."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import nbformat
import pytest

from ecgkit.batch.site import for_page, mark, merge, save_figures, stage
from ecgkit.errors import EcgkitError
from tests.batch.conftest import write_notebook

SUMMARY = {"data": "tiny", "n_ecgs": 1234, "fingerprint": "f"}


def executed(folder: Path, *code: str, summary: dict[str, object] | None = None) -> Path:
    """Write what a run of a notebook leaves, with an output for its first code cell."""
    path = write_notebook(folder / "n.ipynb", *code, prose="# Old prose")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="said")]
    injected = nbformat.v4.new_code_cell("seed = 3", metadata={"tags": ["injected-parameters"]})
    notebook.cells.insert(2, injected)
    nbformat.write(notebook, path)
    record = {"finished": "2026-01-02T03:04:05", "minutes": 1.25, "machine": {"cores": 2}, "ecgkit": "0.1.0"}
    (folder / "record.json").write_text(json.dumps(record))
    (folder / "results").mkdir()
    (folder / "results" / "summary.json").write_text(json.dumps(SUMMARY if summary is None else summary))
    return path


def test_merge_takes_prose_from_now_and_outputs_from_then(tmp_path: Path) -> None:
    source = write_notebook(tmp_path / "now.ipynb", "1 + 1", prose="# New prose")
    merged = merge(source, executed(tmp_path / "run", "1 + 1"))
    assert merged.cells[0].source == "# New prose"
    assert [cell.source for cell in merged.cells[2:]] == ["seed = 3", "1 + 1"]
    assert merged.cells[3].outputs[0].text == "said"


def test_merge_refuses_other_code(tmp_path: Path) -> None:
    source = write_notebook(tmp_path / "now.ipynb", "1 + 2")
    with pytest.raises(EcgkitError, match="code has changed"):
        merge(source, executed(tmp_path / "run", "1 + 1"))


def test_parameters_are_folded_and_tables_numbered(tmp_path: Path) -> None:
    notebook = nbformat.read(executed(tmp_path / "run", "1 + 1"), as_version=4)
    notebook.cells[3].metadata["table"] = {"file": "t.csv", "name": "tab-t", "caption": "Counts."}
    page = for_page(notebook, "n", tmp_path)
    assert ["hide-input" in cell.metadata["tags"] for cell in page.cells[1:4]] == [True, True, False]
    assert "remove-output" in page.cells[3].metadata["tags"]
    assert page.cells[4].source.splitlines()[:3] == ["```{csv-table} Counts.", ":name: tab-t",
                                                     ":file: /results/n/t.csv"]
    nbformat.validate(page)


@pytest.mark.parametrize(("given", "shown"), [({}, ":class: results"), ({"class": "words"}, ":class: results words")])
def test_a_table_of_words_says_so(tmp_path: Path, given: dict[str, str], shown: str) -> None:
    notebook = nbformat.read(executed(tmp_path / "run", "1 + 1"), as_version=4)
    notebook.cells[3].metadata["table"] = {"file": "t.csv", "name": "tab-t", "caption": "Counts."} | given
    assert shown in for_page(notebook, "n", tmp_path).cells[4].source.splitlines()


def test_a_table_without_a_row_says_so(tmp_path: Path) -> None:
    notebook = nbformat.read(executed(tmp_path / "run", "1 + 1"), as_version=4)
    notebook.cells[3].metadata["table"] = {"file": "t.csv", "name": "tab-t", "caption": "Counts."}
    (tmp_path / "t.csv").write_text("label,n\n")
    shown = for_page(notebook, "n", tmp_path).cells[4].source
    assert "nothing in this run" in shown
    assert ":file:" not in shown
    (tmp_path / "t.csv").write_text("label,n\nMI,3\n")
    assert "nothing in this run" not in for_page(notebook, "n", tmp_path).cells[4].source


def test_mark_says_profile_data_and_number(tmp_path: Path) -> None:
    executed(tmp_path / "run", "1")
    assert mark("quick", {"n": tmp_path / "run"}) == "Profile quick: tiny, n = 1,234"


@pytest.mark.parametrize(("summary", "said"), [({"data": "tiny"}, "lacks 'n_ecgs'"), (None, "wrote no summary.json")])
def test_missing_summary_is_one_line(tmp_path: Path, summary: dict[str, object] | None, said: str) -> None:
    executed(tmp_path / "run", "1", summary=summary or {})
    if summary is None:
        (tmp_path / "run/results/summary.json").unlink()
    with pytest.raises(EcgkitError, match=said):
        mark("quick", {"n": tmp_path / "run"})


def test_stage_lays_out_links_to_what_is_there(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_notebook(root / "notebooks" / "n.ipynb", "1 + 1")
    (root / "book").mkdir()
    (root / "book" / "index.md").write_text("# Title")
    executed(root / "run", "1 + 1")
    target = stage(root, "quick", {"n": root / "run"}, root / "_build" / "src")
    assert (target / "book" / "index.md").read_text() == "# Title"
    assert (target / "results" / "n").resolve() == root / "run" / "results"
    assert (target / "results" / "runs.csv").read_text().splitlines()[1] == 'n,tiny,"1,234",f,2026-01-02,1.2,2'
    assert json.loads((target / "mark.json").read_text()) == {"mark": "Profile quick: tiny, n = 1,234"}


def test_captioned_figures_are_saved_for_pages_of_prose(tmp_path: Path) -> None:
    picture = nbformat.v4.new_output("display_data", {"image/png": base64.b64encode(b"picture").decode()})
    named, other = (nbformat.v4.new_code_cell("1", outputs=[picture]) for _ in range(2))
    named.metadata["mystnb"] = {"figure": {"name": "fig-one", "caption": "One."}}
    save_figures(nbformat.v4.new_notebook(cells=[named, other, nbformat.v4.new_markdown_cell("text")]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["fig-one.png"]
    assert (tmp_path / "fig-one.png").read_bytes() == b"picture"


def test_a_page_begins_with_what_is_on_it(tmp_path: Path) -> None:
    title, code = nbformat.v4.new_markdown_cell("# A page"), nbformat.v4.new_code_cell("1")
    first, second = for_page(nbformat.v4.new_notebook(cells=[title, code]), "n", tmp_path).cells
    assert first.source.startswith("# A page\n\n```{contents}")
    assert second.source == "1"
