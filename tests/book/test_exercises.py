"""The solutions of the exercises run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).resolve().parents[2] / "book" / "exercises.md").read_text(encoding="utf-8")
SOLUTIONS = re.findall(r"### (\d)\..*?```python\n(.*?)```", TEXT, re.DOTALL)


def test_there_are_two_for_each_aim() -> None:
    assert [number for number, _ in SOLUTIONS] == ["1", "2", "3", "4"]
    assert len(re.findall(r"^## ", TEXT, re.MULTILINE)) == 2


@pytest.mark.parametrize(("number", "code"), SOLUTIONS, ids=lambda value: value if len(value) == 1 else "")
def test_the_solution_runs(number: str, code: str) -> None:
    exec(compile(code, f"exercise {number}", "exec"), {})
