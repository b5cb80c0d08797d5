"""Tests of the notebooks as they are kept: clean, parameterised, captioned, thin."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

from ecgkit.batch.plan import variants_of

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROFILES = sorted((ROOT / "notebooks" / "profiles").glob("*.yaml"))

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str = "code") -> list[Any]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def parameters(path: Path) -> str:
    tagged = [cell.source for cell in cells(path) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1, "one cell is tagged parameters"
    return str(tagged[0])


def test_no_outputs_are_kept(path: Path) -> None:
    assert not any(cell.outputs or cell.execution_count for cell in cells(path))


def test_every_parameter_has_a_type_and_help(path: Path) -> None:
    for line in parameters(path).splitlines():
        assert re.fullmatch(r"\w+: (str|int|float|bool) = .+  # \S.+", line), line


def test_profiles_set_only_parameters_that_there_are(path: Path) -> None:
    known = {line.split(":")[0] for line in parameters(path).splitlines()}
    for profile in PROFILES:
        given = (yaml.safe_load(profile.read_text()).get("parameters") or {}).get(path.stem) or {}
        for variant in variants_of(profile.stem, given):
            assert set(variant.parameters) <= known, profile.name


def test_every_figure_has_number_caption_and_alt_text(path: Path) -> None:
    for cell in cells(path):
        draws = re.search(r"^figures\.", cell.source, re.MULTILINE)
        described = cell.metadata.get("mystnb", {})
        assert bool(draws) == bool(described), cell.id
        if described:
            assert described["figure"]["name"].startswith("fig-")
            assert described["figure"]["caption"].endswith(".")
            assert len(described["image"]["alt"]) > 20


def labels(path: Path) -> list[str]:
    """Names of the figures and tables of a notebook, which the whole book shares."""
    metadata = [cell.metadata for cell in cells(path)]
    return [each["table"]["name"] for each in metadata if "table" in each] \
        + [each["mystnb"]["figure"]["name"] for each in metadata if "figure" in each.get("mystnb", {})]


def test_no_figure_or_table_has_the_name_of_another(path: Path) -> None:
    own, elsewhere = labels(path), [name for other in NOTEBOOKS if other != path for name in labels(other)]
    assert len(own) == len(set(own))
    assert not set(own) & set(elsewhere)


def tree(cell: Any) -> ast.Module:
    return ast.parse("\n".join("pass" if line.startswith("%") else line for line in cell.source.splitlines()))


def is_module(name: str) -> bool:
    place = ROOT / name.replace(".", "/")
    return place.is_dir() or place.with_suffix(".py").is_file()


def modules(node: ast.AST) -> set[str]:
    """What an import statement names, as far as it is a module of the package."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        inside = [f"{node.module}.{alias.name}" for alias in node.names]
        names = [name if is_module(name) else str(node.module) for name in inside]
    else:
        return set()
    return {name for name in names if name.split(".")[0] == "ecgkit"}


def test_it_takes_what_it_needs_from_few_modules(path: Path) -> None:
    named = set[str]().union(*(modules(node) for cell in cells(path) for node in ast.walk(tree(cell))))
    assert len(named) <= 4, sorted(named)


def test_cells_are_thin(path: Path) -> None:
    for cell in cells(path):
        tags = cell.metadata.get("tags", [])
        hidden = any(tag.startswith(("hide-", "remove-")) for tag in tags)
        assert "parameters" in tags or len(cell.source.splitlines()) <= (12 if hidden else 20), cell.id
        defined = [node.name for node in ast.walk(tree(cell))
                   if isinstance(node, ast.FunctionDef | ast.ClassDef) and (node.end_lineno or 0) - node.lineno > 4]
        assert not defined, f"{cell.id}: {defined} belong in the library"


def test_it_opens_with_its_purpose_and_ends_with_its_limits(path: Path) -> None:
    prose = [cell.source for cell in cells(path, "markdown")]
    assert prose[0].startswith("# ")
    assert "Reading time" in prose[0]
    assert "what it does not" in prose[-1]


def test_numbers_in_prose_are_glued(path: Path) -> None:
    for cell in cells(path, "markdown"):
        # A score or a per cent typed by hand would stay when the result changes. "95 %" is the name of an interval.
        typed = [number for number in re.findall(r"\b0\.\d{2,}|\b\d+(?:\.\d+)? ?%", cell.source) if number != "95 %"]
        assert not [number for number in typed if number not in ("30 %",)], (cell.id, typed)
