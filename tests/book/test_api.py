"""The pages of the API: one a room, each opens with a short example that runs, and every name on it is there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

BOOK = Path(__file__).resolve().parents[2] / "book"
PAGES = sorted((BOOK / "api").glob("*.md"))
pytestmark = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def found(name: str) -> Any:
    """What a dotted name leads to."""
    parts = name.split(".")
    for k in range(len(parts), 0, -1):
        try:
            thing: Any = importlib.import_module(".".join(parts[:k]))
        except ModuleNotFoundError:
            continue
        for part in parts[k:]:
            thing = getattr(thing, part)
        return thing
    raise AssertionError(name)


def test_it_opens_with_a_short_example_that_runs(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    examples, names = re.findall(r"```python\n(.*?)```", text, re.DOTALL), dict[str, Any]()
    assert text.index("```python") < text.index("```{eval-rst}")
    for example in examples:  # a later one may go on from the one before
        assert len([line for line in example.splitlines() if line]) <= 6
        exec(compile(example, page.name, "exec"), names)


def test_every_name_is_documented_and_there(page: Path) -> None:
    for name in re.findall(r"auto(?:function|class|module|data):: (\S+)", page.read_text(encoding="utf-8")):
        assert found(name) is not None


def test_it_is_in_the_table_of_contents(page: Path) -> None:
    assert f"book/api/{page.stem}" in yaml.dump(yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8")))
