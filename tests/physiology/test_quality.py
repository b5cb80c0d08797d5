"""Lead faults: each made by hand and named, none in hearts without noise, and the verdicts of people on real ECGs."""

from __future__ import annotations

import numpy as np
import pytest

from ecgkit.datasets import cinc2011
from ecgkit.errors import EcgkitError
from ecgkit.physiology import quality
from ecgkit.physiology.quality import lead_faults
from ecgkit.simulator import Cohort


@pytest.fixture(scope="module", params=[100, 500])
def clean(request):
    return request.param, Cohort(seed=3, fs=request.param, noise=0).signals(range(20)).astype(float)


def spoil(clean, lead, change):
    """Change one lead of all ECGs: their faults in that lead, and whether the others stay without."""
    fs, signals = clean
    time = np.arange(signals.shape[2]) / fs
    spoilt = signals.copy()
    spoilt[:, lead] = change(spoilt[:, lead], time)
    faults = lead_faults(spoilt, fs)
    assert (np.delete(faults, lead, axis=1) == "").all()
    return faults[:, lead]


def test_a_heart_without_noise_has_no_fault(clean):
    fs, signals = clean
    faults = lead_faults(signals, fs)
    assert faults.shape == (20, 12)
    assert (faults == "").all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(clean, value):
    def change(lead, time):
        lead[:, 7] = value
        return lead
    assert (spoil(clean, 4, change) == "not finite").all()


def test_flat_even_where_it_drifts(clean):
    assert (spoil(clean, 0, lambda lead, time: lead * 0 + 1.2) == "flat").all()
    assert (spoil(clean, 0, lambda lead, time: lead * 0 + 0.04 * time) == "flat").all()
    assert (spoil(clean, 11, lambda lead, time: lead * 0.01) == "flat").all()


def test_clipped_at_either_end(clean):
    """A lead of 3 mV cut at 1.2 mV for 100 ms of every beat; the same below; and cut by 3 ms only."""
    def beat(time, limit):
        return np.broadcast_to(np.minimum(3 * np.exp(-((time % 1 - 0.5) / 0.04)**2 / 2), limit), (20, len(time)))
    assert (spoil(clean, 6, lambda lead, time: beat(time, 1.2)) == "clipped").all()
    assert (spoil(clean, 6, lambda lead, time: -beat(time, 1.2)) == "clipped").all()
    assert (spoil(clean, 6, lambda lead, time: beat(time, 2.998)) == "").all()
    assert (spoil(clean, 6, lambda lead, time: beat(time, 1.2) / 2) == "").all()


def test_noise_that_hides_the_qrs_but_not_noise_between_clear_ones(clean):
    rng = np.random.default_rng(0)
    fs, _ = clean
    shape = (20, 10 * fs)
    level = np.sqrt(fs / 100)  # the same power per Hz at both rates
    hidden = spoil(clean, 1, lambda lead, time: 0.1 * lead + 0.15 * level * rng.standard_normal(shape))
    assert (hidden == "noise").all()
    faint = spoil(clean, 1, lambda lead, time: lead + 0.005 * level * rng.standard_normal(shape))
    assert (faint == "").all()


def test_wander_but_not_a_mere_offset(clean):
    swing = spoil(clean, 8, lambda lead, time: lead + 0.9 * np.sin(2 * np.pi * 0.15 * time))
    assert (swing == "wander").all()
    small = spoil(clean, 8, lambda lead, time: lead + 0.2 * np.sin(2 * np.pi * 0.15 * time) + 50)
    assert (small == "").all()


def test_the_first_of_several_faults_is_named(clean):
    def change(lead, time):
        lead = lead + 3 * np.sin(2 * np.pi * 0.15 * time)
        lead[10:, 0] = np.nan
        return lead
    assert spoil(clean, 2, change).tolist() == ["wander"] * 10 + ["not finite"] * 10


def test_more_noise_more_faults():
    shares = [(lead_faults(Cohort(seed=4, fs=100, noise=noise).signals(range(100)), 100) != "").mean()
              for noise in (0, 1, 3, 10)]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert 0 < shares[1] < 0.02
    assert shares[3] > 0.3


def test_each_ecg_is_judged_by_itself_whatever_their_number():
    signals = Cohort(seed=4, fs=100, noise=10, seconds=2.5).signals(range(130))
    faults = lead_faults(signals, 100)
    assert 0.05 < (faults != "").mean() < 0.95
    assert (faults[100:103] == lead_faults(signals[100:103], 100)).all()
    assert lead_faults(signals[:0], 100).shape == (0, 12)
    assert set(np.unique(faults)) <= {"", *quality.FAULTS}


@pytest.mark.parametrize(("shape", "fs", "words"), [
    ((12, 1000), 100, r"signals of shape \(12, 1000\)"), ((1, 8, 1000), 100, r"expected \(n, 12, sig_len\) in mV"),
    ((1, 12, 99), 100, "99 samples at 100 Hz"), ((1, 12, 1000), 50, "at 50 Hz"),
])
def test_mistakes(shape, fs, words):
    with pytest.raises(EcgkitError, match=words):
        lead_faults(np.zeros(shape), fs)


@pytest.mark.real
def test_verdicts_of_people_on_whole_ecgs(data_root):
    found = {}
    for verdict in ("acceptable", "unacceptable"):
        data = cinc2011.load(data_root / "cinc2011-unlabelled", quality=verdict)
        found[verdict] = (lead_faults(data.batch(np.arange(len(data))), 100) != "").sum(axis=1)
    sensitivity, specificity = (found["unacceptable"] > 0).mean(), (found["acceptable"] == 0).mean()
    assert specificity == pytest.approx(0.933, abs=0.005)
    assert sensitivity == pytest.approx(0.633, abs=0.005)
    assert (found["acceptable"] >= 3).mean() < 0.012
    assert (found["unacceptable"] >= 3).mean() > 0.3
