"""Tests of the house: imports go down the floors, every file says what it is and stays small."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "ecgkit"
#: A room may import from rooms of a lower number, and from itself.
FLOORS = {
    "__init__": -1, "errors": -1, "progress": -1,
    "leads": 0, "losses": 0, "evaluation": 0,
    "transforms": 1, "simulator": 1, "figures": 1,
    "models": 2, "physiology": 3, "datasets": 4, "training": 5, "explain": 6, "study": 7,
    "batch": 8, "bench": 8, "cli": 9,
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Rooms that a file imports, wherever in it; `from ecgkit import x` counts as the package's own front door."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else \
            [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            parts = name.split(".")
            if parts[0] == "ecgkit":
                rooms.add(parts[1] if len(parts) > 1 else "__init__")
    return rooms


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    here = room(path)
    wrong = [there for there in imported_rooms(path) if there != here and FLOORS[there] >= FLOORS[here]]
    assert not wrong, f"{path.name} on floor {FLOORS[here]} imports {wrong}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_says_what_it_is_in_its_first_line_and_stays_small(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith('"""')
    assert lines[0].endswith(('."""', "."))
    assert len(lines) <= 400


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_command_line_imports_the_study(path: Path) -> None:
    """What the pages need is no part of the library: notebooks and tests import it, and a command may."""
    if room(path) not in ("study", "cli"):
        assert "study" not in imported_rooms(path)


def test_the_house_stays_small() -> None:
    assert len(FILES) <= 150
    assert sum(len(path.read_text().splitlines()) for path in FILES) <= 25_150
