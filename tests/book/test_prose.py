"""The pages of prose: a short abstract, plain bold, and nothing linked that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROSE = sorted((ROOT / "book").glob("*.md"))


def words(text: str) -> list[str]:
    """Words of a text, a glued value or a link counting as one."""
    return re.sub(r"\{[\w:]+\}`[^`]*`", "value", text).split()


def test_the_abstract_has_150_words_at_most() -> None:
    text = (ROOT / "book" / "index.md").read_text(encoding="utf-8")
    abstract = re.search(r":class: note abstract\n(.*?)\n:::", text, re.DOTALL)
    assert abstract
    assert 80 <= len(words(abstract[1])) <= 150


def test_the_title_page_shows_three_figures_that_lead_to_their_pages() -> None:
    text = (ROOT / "book" / "index.md").read_text(encoding="utf-8")
    notebooks = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "notebooks").glob("*.ipynb"))
    shown = re.findall(r"\{figure\} /figures/([\w-]+)\.png\n(?::\w+: [\w-]+\n)+"
                       r":target: \.\./notebooks/(\w+)\.html", text)
    assert len(shown) == 3
    for figure, page in shown:
        assert f'"name": "{figure}"' in notebooks
        assert (ROOT / "notebooks" / f"{page}.ipynb").is_file()


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.stem)
def test_bold_is_for_a_word_not_for_a_sentence(path: Path) -> None:
    bold = re.findall(r"\*\*([^*\n]+)\*\*", path.read_text(encoding="utf-8"))
    assert not [text for text in bold if len(words(text)) > 12]


def test_every_page_of_prose_is_in_the_contents() -> None:
    contents = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    assert {f"book/{path.stem}" for path in PROSE} <= set(re.findall(r"book/\w+", str(contents)))


def test_glossary_terms_stand_once_and_are_explained() -> None:
    text = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    blocks = re.findall(r":::\{glossary\}\n(.*?)\n:::", text, re.DOTALL)
    terms = [line for block in blocks for line in block.splitlines() if line and not line.startswith(" ")]
    assert len(terms) == len(set(terms)) > 25
    assert set(re.findall(r"\{term\}`(?:[^`<]+<)?([^`>]+)>?`", text)) <= set(terms)
