"""CONTRIBUTING.md: each worked example is short, has one test, and its code runs as it stands on the page."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ecgkit.models import ENCODERS
from ecgkit.training import METHODS

PAGE = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
#: Title of each example to its blocks of code.
EXAMPLES = {part.splitlines()[0]: re.findall(r"```python\n(.*?)```", part, re.DOTALL)
            for part in PAGE.split("\n## ")[1:]}


@pytest.fixture(autouse=True)
def registries_stay() -> Iterator[None]:
    """What an example registers is gone after its test."""
    kept = [(registry, dict(registry)) for registry in (ENCODERS, METHODS)]
    yield
    for registry, before in kept:
        registry.clear()
        registry.update(before)


def test_the_four_things_that_are_added_have_an_example() -> None:
    assert set(EXAMPLES) == {"A loss", "An encoder", "A data set", "An explainer"}


@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_is_short_and_its_test_passes(title: str, tmp_path: Path) -> None:
    blocks = EXAMPLES[title]
    assert all(len(block.splitlines()) <= 40 for block in blocks)
    names: dict[str, Any] = {"__name__": "example"}
    for block in blocks:
        exec(compile(block, f"CONTRIBUTING.md, {title}", "exec"), names)
    tests = [thing for name, thing in names.items() if name.startswith("test_")]
    assert len(tests) == 1
    for test in tests:
        test(*[tmp_path] * len(inspect.signature(test).parameters))


def test_a_method_of_the_page_pretrains() -> None:
    import ecgkit
    from ecgkit.training import Schedule
    from ecgkit.training.pretrain import PretrainSettings

    names: dict[str, Any] = {}
    for block in EXAMPLES["A loss"]:
        exec(block, names)
    data = ecgkit.load("synthetic", n_patients=40)
    settings = PretrainSettings(schedule=Schedule(epochs=1, batch_size=16))
    embedder, _ = ecgkit.pretrain(data.train, method="decoupled", settings=settings)
    assert embedder.embed(data.test.signals).shape == (len(data.test), embedder.n_features)
