"""Every page of the book in a real browser, wide and narrow, light and dark; and its links, without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
from bs4 import BeautifulSoup

VIEWS = [(1280, 800, "light"), (1280, 800, "dark"), (390, 844, "light"), (390, 844, "dark")]
DISCLAIMER = "not a medical device"

#: Nothing is judged before images have come, lazy ones too, and formulas are set.
SETTLED = """async () => {
  const images = [...document.images];
  images.forEach(image => image.loading = 'eager');
  await Promise.allSettled(images.map(image => image.decode()));
  await window.MathJax?.startup?.promise;
}"""
BROKEN_IMAGES = """() => [...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).map(i => i.src)"""
UNNAMED_IMAGES = """() => [...document.querySelectorAll('main img')].filter(i => !i.alt.trim()).map(i => i.src)"""
TOO_WIDE = """() => {
  const page = document.documentElement;
  if (page.scrollWidth <= page.clientWidth) return [];
  return [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > page.clientWidth + 1)
    .map(e => e.tagName + '.' + e.className).concat('page ' + page.scrollWidth).slice(0, 5);
}"""
UNSET_MATHS = """() => document.querySelector('.math') && !document.querySelector('mjx-container')"""


def pages(site: Path) -> list[str]:
    """Paths of the pages, relative to the site; the first page only leads to the title page."""
    found = [path.relative_to(site) for path in sorted(site.rglob("*.html"))]
    return [path.as_posix() for path in found if "_static" not in path.parts and path.as_posix() != "index.html"]


@pytest.mark.browser
@pytest.mark.parametrize(("width", "height", "scheme"), VIEWS)
def test_pages_show_without_a_fault(browser: Any, address: str, site: Path, width: int, height: int,
                                    scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    faults = [fault for page in pages(site) for fault in _faults(context, f"{address}/{page}")]
    context.close()
    assert not faults, "\n".join(faults)


def _faults(context: Any, url: str) -> list[str]:
    """Open a page; say all that is wrong with what the browser shows."""
    page, said = context.new_page(), []

    def note(wrong: bool, text: str) -> None:
        if wrong:
            said.append(text)

    page.on("console", lambda message: note(message.type == "error", f"console: {message.text}"))
    page.on("pageerror", lambda error: note(True, f"script: {error}"))
    page.on("requestfailed", lambda request: note(True, f"failed: {request.url}"))
    page.on("response", lambda answer: note(answer.status >= 400, f"{answer.status}: {answer.url}"))
    page.on("request", lambda request: note(_is_outside(request.url), f"outside: {request.url}"))
    page.goto(url, wait_until="load")
    page.evaluate(SETTLED)
    for name, script in [("broken image", BROKEN_IMAGES), ("image without alt text", UNNAMED_IMAGES),
                         ("too wide", TOO_WIDE)]:
        said += [f"{name}: {found}" for found in page.evaluate(script)]
    if page.evaluate(UNSET_MATHS):
        said.append("formulas are not set")
    page.close()
    return [f"{urlsplit(url).path}: {line}" for line in said]


def _is_outside(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in ("data", "blob", "about") and parts.hostname != "127.0.0.1"


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_follow_the_colour_scheme(browser: Any, address: str, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme)
    page.goto(f"{address}/index.html", wait_until="networkidle")
    assert page.url == f"{address}/book/index.html"
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    page.close()


def test_internal_links_lead_somewhere(site: Path) -> None:
    parsed = {page: BeautifulSoup((site / page).read_text(encoding="utf-8"), "html.parser") for page in pages(site)}
    anchors = {page: {str(tag["id"]) for tag in soup.select("[id]")} for page, soup in parsed.items()}
    broken = [f"{page}: {href}" for page, soup in parsed.items() for href in _links(soup)
              if not _leads(site, page, href, anchors)]
    assert not broken, "\n".join(broken)


def _links(soup: BeautifulSoup) -> list[str]:
    found = [str(tag[key]) for key in ("href", "src") for tag in soup.select(f"[{key}]")]
    return [href for href in found if not urlsplit(href).scheme and not href.startswith("//")]


def _leads(site: Path, page: str, href: str, anchors: dict[str, set[str]]) -> bool:
    target, anchor = urldefrag(urljoin(f"/{page}", href))
    target = unquote(urlsplit(target).path).lstrip("/") or "index.html"
    if not (site / target).is_file():
        return False
    return not anchor or target not in anchors or unquote(anchor) in anchors[target] or anchor == "top"


def test_pages_say_what_they_show(site: Path) -> None:
    for page in pages(site):
        text = BeautifulSoup((site / page).read_text(encoding="utf-8"), "html.parser").get_text(" ")
        assert "Profile " in text or _is_download(page), f"{page} does not say which profile it shows"
        assert DISCLAIMER in text, f"{page} does not say what it is not"


def _is_download(page: str) -> bool:
    """Whether a page was not made by the book, but is among the files that it hands out."""
    return page.startswith("_downloads/")


def test_pages_among_the_downloads_open_and_other_files_are_saved(site: Path) -> None:
    links = {str(tag["href"]): tag.has_attr("download") for page in pages(site) for tag in BeautifulSoup(
        (site / page).read_text(encoding="utf-8"), "html.parser").select("a.download.reference")}
    assert links
    assert links == {href: not href.endswith(".html") for href in links}


def test_no_page_shows_an_error(site: Path) -> None:
    for page in pages(site):
        soup = BeautifulSoup((site / page).read_text(encoding="utf-8"), "html.parser")
        outputs = " ".join(tag.get_text() for tag in soup.select(".cell_output, .system-message, .problematic"))
        assert "Traceback (most recent call last)" not in outputs, page
        assert not soup.select(".system-message, .problematic"), page


def test_pages_hold_headings_captions_and_numbers(site: Path) -> None:
    for page in pages(site):
        soup = BeautifulSoup((site / page).read_text(encoding="utf-8"), "html.parser")
        for caption in soup.select("main figcaption, main table caption"):
            assert caption.select_one(".caption-number"), f"{page}: {caption.get_text()} has no number"
