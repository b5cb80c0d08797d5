"""Mend what the theme leaves: a mark on every page, a script given twice, the colour mode, buttons to the sources."""

from __future__ import annotations

import html
import json
import os
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

#: Address of the repository, where it is known; buttons to the sources show only then.
REPOSITORY = "ECGKIT_REPOSITORY"
#: A link to a page among the downloads: a page is to be opened.
_PAGE = re.compile(r'(<a class="reference download[^>]*?) download=""( href="[^"]+\.html")')


def mark_pages(app: Sphinx, config: Any) -> None:
    """Show what the book was made of (simulated or real ECGs) above every page."""
    mark = Path(app.srcdir) / "mark.json"
    if mark.is_file():
        config.html_theme_options["announcement"] = html.escape(json.loads(mark.read_text(encoding="utf-8"))["mark"])


def add_buttons(app: Sphinx, config: Any) -> None:
    """Lead from each page to its source, its history and a place to run it, where the repository's address is known."""
    address = os.environ.get(REPOSITORY)
    if address:
        config.html_theme_options |= {"repository_url": address, "repository_branch": "main", "path_to_docs": "",
                                      "use_repository_button": True, "use_edit_page_button": True,
                                      "use_issues_button": True}


def mend_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Follow the reader's colour mode, open pages, give no inline script twice: a second `const` is an error."""
    context["default_mode"] = "auto"
    kept: dict[Any, Any] = {}
    for script in context.get("script_files", []):
        body = getattr(script, "attributes", {}).get("body")
        kept.setdefault(body or id(script), script)
    context["script_files"] = list(kept.values())
    if "body" in context:
        context["body"] = _PAGE.sub(r"\1\2", context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("config-inited", mark_pages)
    app.connect("config-inited", add_buttons)
    app.connect("html-page-context", mend_page, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
