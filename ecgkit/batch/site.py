"""Build the book's pages with Jupyter Book; an earlier site stays in place until the new one is whole."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from ecgkit.batch.plan import RECORD, code_cells, shown
from ecgkit.errors import EcgkitError

#: What every notebook writes into its output folder: JSON with at least `data` (what the ECGs are), `n_ecgs` and
#: `fingerprint`.
SUMMARY = "summary.json"
#: Cells that are folded away, and what stands in their place.
_FOLDED = {"parameters": "Parameters and their defaults", "injected-parameters": "Parameters of this run"}


def stage(root: Path, profile: str, executed: Mapping[str, Path], target: Path) -> Path:
    """Lay out the sources of a book in the folder `target`, emptied before, from each run's name and folder.

    An EcgkitError says where a notebook's code is no longer the code that was executed, or its summary is missing.
    """
    shutil.rmtree(target, ignore_errors=True)
    for room in ("notebooks", "results", "figures"):
        (target / room).mkdir(parents=True)
    _link(root / "book", target / "book")
    for notebook, name in shown(executed).items():
        page = merge(root / "notebooks" / f"{notebook}.ipynb", executed[name] / f"{name}.ipynb")
        save_figures(page, target / "figures")
        nbformat.write(for_page(page, name, executed[name] / "results"), target / "notebooks" / f"{notebook}.ipynb")
    for name, folder in executed.items():
        _link(folder / "results", target / "results" / name)
    pd.DataFrame([_run(name, folder) for name, folder in executed.items()]).to_csv(target / "results" / "runs.csv",
                                                                                   index=False)
    (target / "mark.json").write_text(json.dumps({"mark": mark(profile, executed)}), encoding="utf-8")
    return target


def _run(name: str, folder: Path) -> dict[str, Any]:
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    summary = read_summary(name, folder)
    return {"Notebook": name, "Data": summary["data"], "ECGs": f"{summary['n_ecgs']:,}",
            "Fingerprint": summary["fingerprint"], "Finished": record["finished"][:10],
            "Minutes": f"{record['minutes']:.1f}", "Cores": record["machine"]["cores"]}


def mark(profile: str, executed: Mapping[str, Path]) -> str:
    """Return the line that every page bears: ``"Profile quick: simulated ECGs, n = 2,000"``."""
    name, folder = next(iter(executed.items()))
    summary = read_summary(name, folder)
    return f"Profile {profile}: {summary['data']}, n = {summary['n_ecgs']:,}"


def read_summary(name: str, folder: Path) -> dict[str, Any]:
    """Read what a notebook says of itself; an EcgkitError names what is missing in it."""
    path = folder / "results" / SUMMARY
    try:
        summary = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        raise EcgkitError(f"{name} wrote no {SUMMARY}: let it write one with data, n_ecgs, fingerprint "
                          "to output_dir") from None
    missing = [key for key in ("data", "n_ecgs", "fingerprint") if key not in summary]
    if missing:
        raise EcgkitError(f"{name}: {SUMMARY} lacks {missing[0]!r}")
    return summary


def merge(source: Path, executed: Path) -> nbformat.NotebookNode:
    """Return an executed notebook with the prose, tags and captions that its source, of the same code, has now."""
    if code_cells(source) != code_cells(executed):
        raise EcgkitError(f"{source.name}: its code has changed since it was executed; run it again (make book)")
    now, then = nbformat.read(source, as_version=4), nbformat.read(executed, as_version=4)
    results = iter([cell for cell in then.cells if cell.cell_type == "code" and not _injected(cell)])
    injected = [cell for cell in then.cells if _injected(cell)]
    cells = []
    for cell in now.cells:
        if cell.cell_type == "code":
            result = next(results)
            cell.outputs, cell.execution_count = result.outputs, result.execution_count
        cells.append(cell)
        if "parameters" in cell.metadata.get("tags", []):
            cells.extend(injected)
    now.cells = cells
    return now


def save_figures(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Save each captioned figure of an executed notebook as a PNG of its name, for pages of prose to show."""
    for cell in notebook.cells:
        name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        for output in cell.get("outputs", []) if name else ():
            if picture := output.get("data", {}).get("image/png"):
                (folder / f"{name}.png").write_bytes(base64.b64decode(picture))


def for_page(notebook: nbformat.NotebookNode, name: str, results: Path) -> nbformat.NotebookNode:
    """Make the executed notebook of the run `name` a page: parameters folded away, tables numbered.

    A code cell with the metadata ``"table": {"file", "name", "caption"}`` shows the file that it wrote as a numbered
    table in the place of its own output; one that holds more words than numbers adds ``"class": "words"``. A file of
    `results` without a row is a table that says so.
    """
    cells = []
    for place, cell in enumerate(notebook.cells):
        tags = cell.metadata.setdefault("tags", [])
        for tag, prompt in _FOLDED.items():
            if tag in tags:
                tags.append("hide-input")
                cell.metadata["mystnb"] = {"code_prompt_show": prompt, "code_prompt_hide": prompt}
        cells.append(cell)
        if place == 0 and cell.cell_type == "markdown":
            cell.source += f"\n\n{_CONTENTS}"
        table = cell.metadata.get("table")
        if table:
            tags.append("remove-output")
            cells.append(nbformat.v4.new_markdown_cell(_table(table, name, results), id=f"table-{table['name']}"))
    notebook.cells = cells
    return notebook


#: What is on a page, under its title: the column has the whole width, so nothing stands beside it.
_CONTENTS = "```{contents}\n:local:\n:depth: 1\n:backlinks: none\n```"


def _table(table: Mapping[str, str], name: str, results: Path) -> str:
    path = results / table["file"]
    shown, body = [f":file: /results/{name}/{table['file']}", ":header-rows: 1"], []
    if path.is_file() and len(path.read_text(encoding="utf-8").splitlines()) < 2:
        shown, body = [":header: result"], ["", "nothing in this run"]
    return "\n".join([f"```{{csv-table}} {table['caption']}", f":name: {table['name']}", *shown,
                      f":class: {' '.join(['results', *table.get('class', '').split()])}", *body, "```"])


def _injected(cell: nbformat.NotebookNode) -> bool:
    return "injected-parameters" in cell.metadata.get("tags", [])


def _link(real: Path, link: Path) -> None:
    link.symlink_to(os.path.relpath(real.resolve(), link.parent.resolve()), target_is_directory=True)


_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
#: Leads to the title page. Jupyter Book's own has no icon, so browsers ask the server for one that is not there.
_FIRST = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>ecgkit</title>
<link rel="icon" href="_static/favicon.svg"><meta http-equiv="refresh" content="0; url=book/index.html"></head>
<body><a href="book/index.html">ecgkit</a></body></html>
"""


def build_site(root: Path, profile: str, executed: Mapping[str, Path], site: Path) -> Path:
    """Build the book of executed notebooks (`stage`) in the folder `site`, replacing an earlier one; its first page.

    An EcgkitError says what Jupyter Book warns of.
    """
    work = site.parent / "jupyter-book"
    source = stage(root, profile, executed, site.parent / "src")
    shutil.rmtree(work, ignore_errors=True)
    # Every page is built anew (--all): a build of the changed pages alone does not see all warnings.
    command = [sys.executable, "-c", "import ecgkit.batch; from jupyter_book.cli.main import main; main()",
               "build", str(source), "--config", "_config.yml", "--toc", "book/_toc.yml", "--path-output", str(work),
               "-W", "--keep-going", "--all", "-q"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    log = site.parent / "build.log"
    log.write_text(_COLOURS.sub("", done.stdout + done.stderr), encoding="utf-8")
    pages = work / "_build" / "html"
    if done.returncode or not (pages / "index.html").is_file():
        said = [line for line in log.read_text(encoding="utf-8").splitlines() if "WARNING" in line or "ERROR" in line]
        raise EcgkitError(f"the book was not built: {said[0] if said else 'Jupyter Book failed'}; read {log}")
    (pages / "index.html").write_text(_FIRST, encoding="utf-8")
    _swap(pages, site)
    shutil.rmtree(work)
    return site / "index.html"


def _swap(new: Path, site: Path) -> None:
    old = site.with_name(f"{site.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if site.exists():
        site.rename(old)
    new.rename(site)
    shutil.rmtree(old, ignore_errors=True)
