"""A loss, a transform or an encoder that has no test fails here, and so does one that its package forgets to export."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

from ecgkit.models import ENCODERS

TESTS = Path(__file__).resolve().parents[1]
#: Package, and the folder of its tests.
REGISTERED = {"ecgkit.losses": TESTS / "losses", "ecgkit.transforms": TESTS / "transforms"}


def public(room: str) -> set[str]:
    """Functions and classes that a module or the modules of a package define, and names that it exports."""
    module = importlib.import_module(room)
    below = pkgutil.iter_modules(getattr(module, "__path__", []), prefix=f"{room}.")
    names = set(getattr(module, "__all__", ()))
    for part in (module, *(importlib.import_module(found.name) for found in below)):
        names |= {name for name, thing in vars(part).items() if not name.startswith("_")
                  and (inspect.isfunction(thing) or inspect.isclass(thing)) and thing.__module__ == part.__name__}
    return names


def used_in_tests(folder: Path) -> set[str]:
    """Names that the test functions of a folder use, themselves or through tables and helpers of their file."""
    names: set[str] = set()
    for path in folder.glob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        uses = {getattr(node, "name", None) or f"line {node.lineno}": _names(node) for node in tree.body
                if not isinstance(node, ast.Import | ast.ImportFrom)}
        tables = {target.id: _names(node) for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)
                  for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
                  if isinstance(target, ast.Name)}
        pending = [name for name in uses if name.startswith("test_")]
        seen: set[str] = set()
        while pending:
            name = pending.pop()
            if name not in seen:
                seen.add(name)
                pending += uses.get(name, set()) | tables.get(name, set())
        names |= seen
    return names


def _names(node: ast.AST) -> set[str]:
    # Arguments too: a test reaches a fixture through the name of its argument.
    return ({inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
            | {inner.arg for inner in ast.walk(node) if isinstance(inner, ast.arg)}
            | {inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)})


@pytest.mark.parametrize("package", REGISTERED)
def test_everything_public_has_a_test(package: str) -> None:
    untested = public(package) - used_in_tests(REGISTERED[package])
    assert not untested, f"{package}: no test in {REGISTERED[package].name}/ uses {', '.join(sorted(untested))}"


def test_every_loss_is_exported() -> None:
    assert public("ecgkit.losses") == set(importlib.import_module("ecgkit.losses").__all__)


def test_every_encoder_has_a_test() -> None:
    used = used_in_tests(TESTS / "models")
    untested = sorted(name for name, build in ENCODERS.items() if type(build()).__name__ not in used)
    assert not untested, f"no test in models/ uses the class of the encoder {', '.join(untested)}"


def test_the_scan_sees_tables_and_helpers_but_not_imports(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "from losses import direct, listed, helped, imported, idle\n"
        "TABLE = [listed]\n"
        "def helper(): return helped()\n"
        "def unused(): return idle()\n"
        "def test_one(): assert direct() and TABLE and helper()\n")
    found = used_in_tests(tmp_path)
    assert {"direct", "listed", "helped"} <= found
    assert not {"imported", "idle"} & found
