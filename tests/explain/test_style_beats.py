"""Median beats for a classifier: where they begin and end, and that nothing of the next beat is in them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgkit.errors import EcgkitError
from ecgkit.explain.style.beats import style_beats, tiled
from ecgkit.physiology import MedianBeats

MARKS = [[-200.0, -150.0, -100.0], [-50.0, 0.0, 50.0], [150.0, 250.0, 350.0]]


def ones(rr: float, marks: object = MARKS, n: int = 1) -> MedianBeats:
    """Median beats that are 1 mV everywhere, so that what is left of them is the weight."""
    return MedianBeats(np.ones((n, 12, 1200), dtype=np.float32), np.array([marks] * n, dtype=float),
                       np.full(n, 9), np.full(n, rr))


def test_the_r_peak_lies_350_ms_into_the_beat() -> None:
    beats = ones(1000.0)
    ms = np.arange(-450, 750)
    beats.signals[:] = np.exp(-0.5 * (ms / 15) ** 2)
    found = style_beats(beats, 100.0)
    assert found.signals.shape == (1, 12, 100)
    assert found.signals[0].argmax(axis=1).tolist() == [35] * 12
    np.testing.assert_allclose(found.signals[0, 0, 30:41], np.exp(-0.5 * (np.arange(-50, 51, 10) / 15) ** 2), atol=0.01)


@pytest.mark.parametrize(("rr", "first", "last"), [(1500.0, -350, 640), (800.0, -350, 600), (600.0, -250, 400)])
def test_a_beat_lies_between_the_t_before_and_the_p_after(rr: float, first: int, last: int) -> None:
    weight = style_beats(ones(rr), 100.0).signals[0, 0]
    ms = np.arange(-350, 650, 10)
    assert not weight[(ms <= first) | (ms >= last)].any()
    np.testing.assert_allclose(weight[(ms >= first + 60) & (ms <= last - 60)], 1, atol=1e-3)
    assert weight[ms == first + 30] == pytest.approx(0.5, abs=1e-3)
    assert weight[ms == last - 30] == pytest.approx(0.5, abs=1e-3)


def test_without_p_and_t_the_next_qrs_ends_a_beat() -> None:
    nothing = [np.nan] * 3
    weight = style_beats(ones(500.0, [nothing, MARKS[1], nothing]), 100.0).signals[0, 0]
    ms = np.arange(-350, 650, 10)
    assert not weight[ms >= 500 - 50 - 40].any()
    assert weight[ms == -290] == pytest.approx(1, abs=1e-3)


def test_an_ecg_without_a_beat_is_left_out_and_none_at_all_is_said() -> None:
    beats = ones(1000.0, n=3)
    beats.signals[1] = np.nan
    assert style_beats(beats, 100.0).rows.tolist() == [0, 2]
    beats.signals[:] = np.nan
    with pytest.raises(EcgkitError, match="none of 3 ECGs has a usable median beat"):
        style_beats(beats, 100.0)


def test_tiles_repeat_and_pass_gradients_to_the_one_beat() -> None:
    beat = torch.arange(24.0).reshape(1, 12, 2).requires_grad_()
    strip = tiled(beat, 5)
    assert torch.equal(strip[..., [0, 2, 4]], beat[..., [0, 0, 0]])
    strip.sum().backward()
    assert beat.grad is not None
    assert beat.grad[0, 0].tolist() == [3, 2]
    np.testing.assert_array_equal(tiled(beat.detach().numpy(), 5), strip.detach().numpy())
    with pytest.raises(EcgkitError, match="expected"):
        tiled(np.zeros((12, 5)), 10)
