"""A tiny project: two notebooks that run in a second, a library of one file, and no prose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from ecgkit.batch.plan import Run, make_plan

ROOT = Path(__file__).resolve().parents[2]

PARAMETERS = """output_dir: str = "."  # where results go
seed: int = 0  # seed of everything
rate: float = 0.5  # learning rate
label: str = "MI"  # which label
fast: bool = True  # skip the slow part"""
BODY = """import json, pathlib
out = pathlib.Path(output_dir)
pathlib.Path(out, "t.csv").write_text(f"label,n\\n{label},{seed}\\n")
pathlib.Path(out, "summary.json").write_text(json.dumps({"data": "tiny", "n_ecgs": 1234, "fingerprint": "f"}))
print(seed, rate, label, fast)"""

VARIANTS = """parameters:
  01_first:
    seed: 3
    variants:
      utah: {}
      utah-late: {label: CD, after: utah}
      plain: {seed: 4, label: HYP}
"""


def write_notebook(path: Path, *code: str, parameters: str = PARAMETERS, prose: str = "# A page") -> Path:
    """Write a notebook of a heading, a parameters cell and code cells."""
    v4 = nbformat.v4
    cells = [v4.new_markdown_cell(prose, id="prose"),
             v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}, id="parameters"),
             *(v4.new_code_cell(text, id=f"code{k}") for k, text in enumerate(code))]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(v4.new_notebook(cells=cells, metadata={"kernelspec": {
        "name": "python3", "display_name": "Python 3", "language": "python"}}), path)
    return path


def code_outputs(path: Path) -> str:
    """All text that the cells of a notebook printed."""
    cells: list[Any] = nbformat.read(path, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


def the_run(root: Path, name: str) -> Run:
    """The run of a name in the profile quick, which must be one."""
    run, = make_plan(root).select(name)
    return run


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A checkout of two notebooks, the second of which needs the first, in a folder with a space in its name."""
    return make_tiny(tmp_path / "a project")


def make_tiny(root: Path) -> Path:
    """Write the tiny project."""
    write_notebook(root / "notebooks" / "01_first.ipynb", BODY)
    write_notebook(root / "notebooks" / "02_second.ipynb",
                   f"import pathlib\nprint(pathlib.Path(first_dir, 't.csv').read_text())\n{BODY}",
                   parameters=f'{PARAMETERS}\nfirst_dir: str = ""  # results of 01_first')
    files = {"notebooks/batch.yaml": "01_first: {threads: 1}\n02_second: {needs: [01_first]}\n",
             "notebooks/profiles/quick.yaml": "parameters:\n  01_first: {seed: 3}\n",
             "notebooks/profiles/real.yaml": "needs_data: true\n",
             "ecgkit/__init__.py": "", "ecgkit/heart.py": "RATE = 60\n", "ecgkit/cli/__init__.py": "",
             "constraints.txt": "numpy==2\n", "book/index.md": "# Title\n",
             "_config.yml": "title: tiny\nexecute: {execute_notebooks: 'off'}\nonly_build_toc_files: true\n",
             "book/_toc.yml": "format: jb-book\nroot: book/index\nchapters:\n- file: notebooks/01_first\n"
                              "- file: notebooks/02_second\n",
             "Snakefile": (ROOT / "Snakefile").read_text(encoding="utf-8")}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def varied(tiny: Path) -> Path:
    """The tiny project with three variants of its first notebook."""
    return make_varied(tiny)


def make_varied(root: Path) -> Path:
    """Give a tiny project variants: one starts from another, and the second notebook reads all."""
    write_notebook(root / "notebooks/01_first.ipynb", BODY, "import os\nprint(os.path.isdir(start_dir), start_dir)",
                   parameters=f'{PARAMETERS}\nstart_dir: str = ""  # results to start from')
    write_notebook(root / "notebooks/02_second.ipynb", BODY, "print(first_dir)\nfor path in sorted("
                   "pathlib.Path(first_dir).iterdir()):\n    print(path.name, (path / 't.csv').read_text().split()[1])",
                   parameters=f'{PARAMETERS}\nfirst_dir: str = ""  # a folder of results for each variant')
    (root / "notebooks/profiles/quick.yaml").write_text(VARIANTS, encoding="utf-8")
    return root
