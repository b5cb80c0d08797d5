"""Tests of the collapse monitors: they see a collapse, a good embedding, and bar a patient's own ECGs."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch import Tensor, nn

from ecgkit.datasets.base import ECGDataset, from_arrays
from ecgkit.models.windowed import Embedder
from ecgkit.training.pretrain import monitors, warn_if_collapsed


class FirstSample(nn.Module):
    """Embeds a window as the first sample of each lead."""

    n_features = 12

    def forward(self, x: Tensor) -> Tensor:
        return x[..., 0]


class Tiny(FirstSample):
    """The same, shrunk and moved away from zero."""

    def __init__(self, spread: float, offset: float) -> None:
        super().__init__()
        self.spread, self.offset = spread, offset

    def forward(self, x: Tensor) -> Tensor:
        return self.spread * x[..., 0] + self.offset


class Line(FirstSample):
    """All features are the same."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1, 0].expand(-1, 12)


def data(labels: Any = None, owners: Any = None, n: int = 40) -> ECGDataset:
    """ECGs that do not change in time; the class, if there is one, is the sign of lead I."""
    x = np.random.default_rng(0).normal(size=(n, 12, 1)) * np.ones(100)
    labels = np.zeros((n, 0)) if labels is None else np.asarray(labels)
    x[:, 0] += 10 * (2 * labels[:, :1] - 1) if labels.size else 0
    owners = np.arange(n) if owners is None else owners
    records = pd.DataFrame({"record": np.arange(n).astype(str), "patient_id": owners})
    return from_arrays(x, labels, tuple("ab"[:labels.shape[1]]), 100, records=records)


def test_a_good_embedding() -> None:
    labels = (np.arange(40) % 2)[:, None]
    found = monitors(Embedder(FirstSample(), fs=100, crop_len=50), data(labels))
    assert found["alignment"] == pytest.approx(0, abs=1e-6)
    assert found["uniformity"] < -1
    assert found["effective_rank"] > 3
    assert found["knn"] == 1.0
    assert not warn_if_collapsed(pd.DataFrame([found]), "x")


@pytest.mark.parametrize("spread", [0.0, 1e-6])
def test_embeddings_that_are_all_alike_are_said_once_to_have_collapsed(spread: float) -> None:
    found = monitors(Embedder(Tiny(spread, offset=1.0), fs=100, crop_len=50), data())
    assert found == {"alignment": 0, "uniformity": 0, "effective_rank": 0}
    with pytest.warns(RuntimeWarning, match=r"byol: the embedding has collapsed \(effective rank 0.00") as said:
        assert warn_if_collapsed(pd.DataFrame([found]), "byol")
    assert len(said) == 1


def test_embeddings_on_a_line_have_collapsed() -> None:
    found = monitors(Embedder(Line(), fs=100, crop_len=50), data())
    assert found["effective_rank"] == pytest.approx(1, abs=1e-2)
    with pytest.warns(RuntimeWarning):
        assert warn_if_collapsed(pd.DataFrame([found]), "x")


def test_a_common_offset_is_no_collapse() -> None:
    plain, moved = (monitors(Embedder(Tiny(1.0, offset), fs=100, crop_len=50), data()) for offset in (0.0, 30.0))
    assert moved["effective_rank"] == pytest.approx(plain["effective_rank"], rel=1e-3)
    assert moved["uniformity"] == pytest.approx(plain["uniformity"], rel=1e-3)


def test_without_labels_there_are_no_neighbours_to_ask() -> None:
    embedder = Embedder(FirstSample(), fs=100, crop_len=50)
    assert "knn" not in monitors(embedder, data())
    assert "knn" not in monitors(embedder, data(np.ones((40, 1))))


def test_a_patients_own_ecgs_have_no_vote() -> None:
    # Each patient's two ECGs are the same, and labels are drawn by patient: only the patient's own ECG tells them.
    rng, embedder = np.random.default_rng(1), Embedder(FirstSample(), fs=100, crop_len=50)
    labels = rng.integers(0, 2, (60, 1)).repeat(2, axis=0)
    x = rng.normal(size=(60, 12, 1)).repeat(2, axis=0) * np.ones(100)
    records = pd.DataFrame({"record": np.arange(120).astype(str), "patient_id": np.arange(120) // 2})
    own = monitors(embedder, from_arrays(x, labels, ("a",), 100, records=records))["knn"]
    anyone = monitors(embedder, from_arrays(x, labels, ("a",), 100))["knn"]
    assert abs(own - 0.5) < 0.2
    assert anyone > own + 0.05


def test_few_ecgs_are_enough() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = monitors(Embedder(FirstSample(), fs=100, crop_len=50), data((np.arange(4) % 2)[:, None], n=4))
    assert 0 <= found["knn"] <= 1
