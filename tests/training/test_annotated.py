"""Tests of the recordings to learn boundaries from: the right half of LUDB, at the right rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgkit.datasets import ludb
from ecgkit.training.delineation import tuning_half


@pytest.mark.real
def test_the_tuning_half_of_ludb(data_root: Path) -> None:
    root = data_root / "ludb-sample"
    known = tuning_half(root, 250)
    assert known.signals.shape == (50, 12, 2500)
    tuning, testing = ludb.halves(root)
    assert not set(tuning) & set(testing)
    np.testing.assert_array_equal(known.waves.ms, ludb.truth(root, tuning).waves.ms)
    qrs = np.nanmin(known.waves.ms[:, :, 1, 1], axis=1) / 4
    heights = [np.abs(x[:, round(at) - 15:round(at) + 15]).max() for x, at in zip(known.signals, qrs, strict=True)]
    assert np.median(heights) > 1, "the waves lie where the signals have them, in mV"
