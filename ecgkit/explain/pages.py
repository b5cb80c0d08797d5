"""Templates of the pages: what goes into them is escaped unless it is said to be HTML."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def render(template: str, **values: Any) -> str:
    """Fill in a template of `ecgkit/explain/templates`."""
    return _environment().get_template(template).render(**values)


def asset(name: str) -> Markup:
    """A style sheet or script of the same folder, to stand within a page."""
    return Markup((files("ecgkit.explain") / "templates" / name).read_text(encoding="utf-8"))


@cache
def _environment() -> Environment:
    return Environment(loader=PackageLoader("ecgkit.explain"), autoescape=True, undefined=StrictUndefined,
                       trim_blocks=True, lstrip_blocks=True)
