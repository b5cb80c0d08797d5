"""The built book, served to a real browser."""

from __future__ import annotations

import functools
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ecgkit.batch.publish import MANIFEST, PUBLISHED, published_runs, read_manifest
from ecgkit.batch.site import build_site

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
#: Chromium as root, in a container, without anything of its own that talks to the network.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages: `ECGKIT_BOOK` where it is given, else the published book, built here."""
    given = os.environ.get("ECGKIT_BOOK")
    if given:
        folder = Path(given)
        assert (folder / "index.html").is_file(), f"ECGKIT_BOOK={given} holds no book: make book first"
        return folder
    if not (ROOT / PUBLISHED / MANIFEST).is_file():
        pytest.skip("nothing is published yet; set ECGKIT_BOOK to a built book (_build/quick/site)")
    profile = read_manifest(ROOT)["profile"]
    return build_site(ROOT, profile, published_runs(ROOT), tmp_path_factory.mktemp("book") / "site").parent


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Where the pages are served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, found on the path."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip("no Chromium on the path; install it: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the browser's own findings are what counts."""
