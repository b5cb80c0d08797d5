"""Tests of the clean beats that pretraining draws: against the simulator's own boundaries, and at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from ecgkit.leads import INDEPENDENT, LEADS
from ecgkit.simulator import Cohort
from ecgkit.training.simulated import AFTER, BEFORE, LINEAR_UP_TO, beat_len, clean_beats


@pytest.mark.parametrize("fs", [100, 250])
def test_one_lead_of_one_beat_by_hand(fs: int) -> None:
    cohort = Cohort(seed=3, fs=fs, seconds=4)
    beats = clean_beats(cohort, np.arange(20))
    assert beats.shape == (20, 8, beat_len(fs))
    for index in range(20):
        waves, lead = cohort.waves([index]), cohort.clean([index])[0, LEADS.index("V2")]
        peaks = waves.ms[0, waves.kind[0] == 0, 1, 1] / 1000
        peak = min(peaks, key=lambda second: abs(second - 2))
        expected = [np.arcsinh((lead[at] - np.median(lead)) / LINEAR_UP_TO) if 0 <= at < len(lead) else np.nan
                    for at in np.round(peak * fs).astype(int) + np.arange(-round(BEFORE * fs), round(AFTER * fs))]
        np.testing.assert_allclose(beats[index, INDEPENDENT.index("V2")], expected, atol=1e-5)


def test_r_is_where_it_should_be() -> None:
    cohort = Cohort(seed=0, fs=500, seconds=4, variation=0.0)
    beat = clean_beats(cohort, np.arange(40))[:, INDEPENDENT.index("V5")]
    healthy = cohort.severity(range(40)).sum(axis=1) == 0
    assert healthy.any()
    assert np.abs(beat[healthy].argmax(axis=1) - round(BEFORE * 500)).max() <= 3


def test_noise_does_not_show() -> None:
    quiet, loud = (clean_beats(Cohort(seed=1, seconds=2.5, noise=noise), np.arange(8)) for noise in (0.0, 5.0))
    np.testing.assert_array_equal(quiet, loud)


def test_beyond_the_ends_is_unknown() -> None:
    beats = clean_beats(Cohort(seed=0, seconds=1), np.arange(200))
    assert np.isnan(beats).any()
    assert np.isfinite(beats).mean() > 0.5
