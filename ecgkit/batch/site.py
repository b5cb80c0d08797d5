"""Build the book's pages with Jupyter Book; an earlier site stays in place until the new one is whole."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ecgkit.batch.stage import stage
from ecgkit.errors import EcgkitError

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
#: Leads to the title page. Jupyter Book's own has no icon, so browsers ask the server for one that is not there.
_FIRST = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>ecgkit</title>
<link rel="icon" href="_static/favicon.svg"><meta http-equiv="refresh" content="0; url=book/index.html"></head>
<body><a href="book/index.html">ecgkit</a></body></html>
"""


def build_site(root: Path, profile: str, executed: Mapping[str, Path], site: Path) -> Path:
    """Build the book of some executed notebooks.

    Parameters
    ----------
    root : Path
        The checkout.
    profile : str
        What the pages call the profile.
    executed : mapping of str to Path
        Name of each run to its folder (`ecgkit.batch.stage.stage`).
    site : Path
        Folder of the pages; an earlier one is replaced.

    Returns
    -------
    Path
        The first page.

    Raises
    ------
    EcgkitError
        Where Jupyter Book warns of anything.
    """
    work = site.parent / "jupyter-book"
    source = stage(root, profile, executed, site.parent / "src")
    shutil.rmtree(work, ignore_errors=True)
    # Every page is built anew (--all): a build of the changed pages alone does not see all warnings.
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(source),
               "--config", "_config.yml", "--toc", "book/_toc.yml", "--path-output", str(work),
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
