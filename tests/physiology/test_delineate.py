"""Tests of reading beats off probabilities: exact boundaries, missing waves, lonely P waves, edges, rates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ecgkit.errors import EcgkitError
from ecgkit.leads import resample
from ecgkit.physiology.delineate import NOT_CONDUCTED, delineate
from ecgkit.simulator import Cohort
from ecgkit.training.delineation import coverage

FS = 250.0


class Oracle(nn.Module):
    """A net that knows: probabilities are the true coverage of each sample."""

    fs = FS

    def __init__(self, cover: np.ndarray) -> None:
        super().__init__()
        self.cover = torch.from_numpy(cover)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.logit(self.cover, eps=1e-6)


@pytest.mark.parametrize("fs", [100, 250, 500, 1000])
def test_the_truth_comes_back_at_every_rate(fs: int) -> None:
    cohort = Cohort(seed=2, fs=FS, seconds=10, noise=0.0)
    truth = cohort.waves(range(8))
    signals = Cohort(seed=2, fs=fs, seconds=10, noise=0.0).signals(range(8))
    found = delineate(signals, fs, model=Oracle(coverage(truth, 2500, FS)))
    assert found.fs == fs
    n_checked = 0
    for row in range(8):
        for beat in truth.ms[row][(truth.ms[row, :, 1, 0] > 700) & (truth.ms[row, :, 2, 2] < 9900)]:
            near = found.ms[row][np.nanargmin(np.abs(found.ms[row, :, 1, 0] - beat[1, 0]))]
            assert np.isnan(near[0]).all() == np.isnan(beat[0]).all()
            # Where T runs into the next P, one of the two may be cut: only QRS is alone in every beat.
            np.testing.assert_allclose(near[1, [0, 2]], beat[1, [0, 2]], atol=0.5)
            n_checked += 1
    assert n_checked > 30


def _cover(**spans: list[tuple[int, int]]) -> np.ndarray:
    cover = np.zeros((1, 3, 1250), dtype=np.float32)
    for name, stretches in spans.items():
        for first, last in stretches:
            cover[0, ("P", "QRS", "T").index(name), first:last + 1] = 1
    return cover


def _found(**spans: list[tuple[int, int]]):
    noise = np.random.default_rng(0).normal(size=(1, 12, 1250)).astype(np.float32)
    return delineate(noise, FS, model=Oracle(_cover(**spans)))


def test_no_p_is_an_answer() -> None:
    found = _found(QRS=[(100, 125), (400, 425)], T=[(160, 210)])
    assert found.kind.tolist() == [[0, 0]]
    assert np.isnan(found.ms[0, :, 0]).all()
    assert np.isfinite(found.ms[0, 0, 2]).all()
    assert np.isnan(found.ms[0, 1, 2]).all()
    assert found.rr[0, 1] == pytest.approx(np.diff(found.ms[0, :, 1, 1])[0])


def test_a_p_wave_that_no_qrs_follows_stands_alone() -> None:
    found = _found(P=[(60, 85), (300, 325), (500, 525), (900, 925)], QRS=[(100, 125), (540, 565)])
    assert found.kind.tolist() == [[0, NOT_CONDUCTED, 0, NOT_CONDUCTED]]
    assert np.isnan(found.ms[0, [1, 3], 1]).all()
    assert found.rr[0, 2] == pytest.approx(found.ms[0, 2, 1, 1] - found.ms[0, 0, 1, 1])


def test_specks_are_no_waves_and_holes_are_closed() -> None:
    found = _found(QRS=[(100, 111), (114, 125), (600, 603)], T=[(160, 165)])
    assert found.kind.tolist() == [[0]]
    assert found.ms[0, 0, 1, [0, 2]] == pytest.approx([100 * 4 - 2, 125 * 4 + 2])
    assert np.isnan(found.ms[0, 0, 2]).all()


def test_a_wave_at_the_edge_has_an_unknown_end() -> None:
    found = _found(QRS=[(0, 20), (1235, 1249)])
    assert np.isnan(found.ms[0, 0, 1, 0])
    assert np.isfinite(found.ms[0, 0, 1, 2])
    assert np.isnan(found.ms[0, 1, 1, 2])


def test_silence_has_no_beats() -> None:
    assert (_found().kind == -1).all()


@pytest.mark.parametrize(("shape", "fs"), [((1, 8, 2500), 250), ((1, 12, 500), 250), ((1, 12, 2500), 50),
                                           ((12, 2500), 250)])
def test_what_cannot_be_read_is_refused(shape: tuple[int, ...], fs: float) -> None:
    with pytest.raises(EcgkitError):
        delineate(np.zeros(shape, dtype=np.float32), fs, model=Oracle(_cover()))


@pytest.mark.parametrize("fs", [100, 360, 500, 1000])
def test_another_rate_keeps_the_time(fs: int) -> None:
    time, at = np.arange(4 * fs) / fs, np.arange(1000) / FS
    wave = np.sin(2 * np.pi * 3 * time)[None, None].repeat(12, 1).astype(np.float32)
    there = resample(wave, fs, FS)
    assert there.shape[-1] == 1000
    np.testing.assert_allclose(there[0, 0, 50:-50], np.sin(2 * np.pi * 3 * at)[50:-50], atol=5e-3)


@pytest.mark.parametrize(("n_p", "believed"), [(0, 0), (1, 0), (2, 2), (5, 5)])
def test_a_few_p_waves_among_many_beats_are_not_believed(n_p: int, believed: int) -> None:
    starts = range(100, 1100, 200)
    found = _found(P=[(start - 50, start - 25) for start in list(starts)[:n_p]],
                   QRS=[(start, start + 25) for start in starts])
    assert np.isfinite(found.ms[0, :, 0, 1]).sum() == believed


def test_one_p_wave_of_three_beats_is_believed() -> None:
    found = _found(P=[(50, 75)], QRS=[(100, 125), (300, 325), (500, 525)])
    assert np.isfinite(found.ms[0, :, 0, 1]).sum() == 1
