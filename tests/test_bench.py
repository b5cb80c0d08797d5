"""Tests of the benchmark: that it measures what it says, not how fast this machine is."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from ecgkit import bench
from ecgkit.datasets import load


@pytest.mark.parametrize("rows", [lambda: bench.simulator(64), lambda: bench.evaluator(200, 2),
                                  lambda: bench.input_pipeline(8), lambda: bench.contrast(16, 8),
                                  lambda: bench.pretraining(8), lambda: bench.measuring(8),
                                  lambda: bench.counterfactual(2)])
def test_every_row_is_whole(rows) -> None:
    for row in rows():
        assert row.name
        assert row.value > 0
        assert math.isfinite(row.ratio)
        assert isinstance(row.met, bool)


def test_the_reader_is_timed_on_records_that_it_can_read(tmp_path: Path) -> None:
    root = bench.write_records(tmp_path, 30)
    assert len(load("ptbxl", root=root, cache=tmp_path / "cache")) == 30
    first, again = bench.reader(root, 10)
    assert first.unit == "records/s"
    assert again.value < 30 / first.value, "opening again is faster than reading"


def test_the_fastest_of_some_calls_counts() -> None:
    calls = []
    assert bench.best(lambda: calls.append(1), repeats=4) < 1
    assert len(calls) == 5
