"""Tests of fitting what the gate knows: the network learns which of the ways to plug is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from ecgkit.datasets import load
from ecgkit.physiology import measure
from ecgkit.physiology.electrodes import course, inputs
from ecgkit.training import gate


def test_the_network_learns_which_way_is_right(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gate, "STEPS", 60)
    data = load("synthetic", n_patients=120, seed=3)
    gate.save_electrodes(data, tmp_path / "electrodes.safetensors")
    with safe_open(tmp_path / "electrodes.safetensors", framework="numpy") as file:
        net = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        assert file.metadata()["n_ecgs"] == str(len(data))
    again = gate.fit_electrodes(course(measure(data.signals, data.fs).beats))
    np.testing.assert_array_equal(net["hidden.weight"], again["hidden.weight"].numpy())
    seen = inputs(course(measure(load("synthetic", n_patients=40, seed=4).signals, 100).beats))
    score = (np.tanh(seen @ net["hidden.weight"].T + net["hidden.bias"]) @ net["output.weight"].T)[..., 0]
    assert (score.argmax(axis=1) == 0).mean() > 0.5, "one in twelve by chance"
