"""The median beat is the beat, sample by sample, and only of beats that belong together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.leads import DOWER
from ecgkit.physiology import median_beat as module
from ecgkit.physiology.median_beat import AFTER, BEFORE, MedianBeats, median_beats
from ecgkit.simulator import EDIT_NAMES, NORMAL, Cohort, Waves

TRUE_ONSET = -20 - 2.5 * 7


def _regular(fs: float) -> tuple[np.ndarray, Waves]:
    cohort = Cohort(fs=fs, variation=0, noise=0)
    return cohort.signals([0], severity=np.zeros((1, 12))), cohort.waves([0], severity=np.zeros((1, 12)))


def _true_beat(ms: np.ndarray) -> np.ndarray:
    """The catalogue's normal beat, milliseconds from its R, with the level of the PR segment at 0."""
    def beat(at: np.ndarray) -> np.ndarray:
        shapes = [np.exp(-((at - centre) / width)**2 / 2) for centre, width, *_ in NORMAL.values()]
        return DOWER @ np.array([wavelet[2:] for wavelet in NORMAL.values()]).T @ np.array(shapes)
    return beat(ms) - beat(TRUE_ONSET + np.arange(-20, -3)).mean(axis=1, keepdims=True)


def _error(beats: MedianBeats, late: float = 0.0) -> float:
    """Largest difference from the true beat if that came `late` ms, from before P to after T."""
    ms = np.arange(-BEFORE, AFTER) - beats.marks[0, 1, 0] + TRUE_ONSET
    within = (ms > -300) & (ms < 500)
    return float(np.abs(beats.signals[0] - _true_beat(ms - late))[:, within].max())


@pytest.mark.parametrize(("fs", "tolerance"), [(1000, 0.001), (500, 0.001), (257, 0.001), (100, 0.02)])
def test_every_sample_is_that_of_the_true_beat(fs: float, tolerance: float) -> None:
    """At 100 Hz the simulator's sharpest wavelets reach beyond half the sampling rate."""
    beats = median_beats(*_regular(fs))
    assert beats.fs == 1000
    assert beats.signals.shape == (1, 12, BEFORE + AFTER)
    assert beats.signals.dtype == np.float32
    assert _error(beats) < tolerance
    assert min(_error(beats, 1), _error(beats, -1)) > max(0.05, 3 * tolerance)


def test_marks_are_those_of_the_beats() -> None:
    beats = median_beats(*_regular(500))
    onset = beats.marks[0, 1, 0]
    expected = np.array([[-205, -95], [-37.5, 43.25], [90, 370]])
    np.testing.assert_allclose(beats.marks[0][:, [0, 2]] - onset, expected - TRUE_ONSET, atol=0.01)
    assert abs(beats.marks[0, 1, 1]) < 0.01
    assert beats.rr[0] == pytest.approx(1000)
    assert beats.n_beats[0] in (9, 10)


def test_levels_and_gains_of_the_recording() -> None:
    signals, waves = _regular(500)
    plain = median_beats(signals, waves).signals
    level = np.linspace(-3, 3, 12, dtype=np.float32)[:, None]
    np.testing.assert_allclose(median_beats(signals + level, waves).signals, plain, atol=2e-5)
    np.testing.assert_allclose(median_beats(2 * signals, waves).signals, 2 * plain, atol=2e-5)


def test_jitter_of_the_marks_does_not_blur_the_beat() -> None:
    cohort = Cohort(seed=3, fs=500)
    signals, waves = cohort.signals(range(24)), cohort.waves(range(24))
    jitter = np.random.default_rng(0).normal(0, 8, waves.ms.shape[:2])
    moved = replace(waves, ms=waves.ms.copy())
    moved.ms[:, :, 1, 1] += np.clip(jitter, -20, 20)
    plain, jittered = median_beats(signals, waves), median_beats(signals, moved)
    shift = np.round(jittered.marks[:, 1, 0] - plain.marks[:, 1, 0]).astype(int)
    assert np.abs(shift).max() > 1
    for k, late in enumerate(shift):
        a, b = plain.signals[k, :, 250:800], jittered.signals[k, :, 250 + late:800 + late]
        assert np.sqrt(np.mean((a - b)**2)) < 0.02 * np.ptp(a)


def test_premature_beats_and_those_after_them_are_left_out() -> None:
    cohort = Cohort(seed=8, fs=500)
    waves = cohort.waves(range(300))
    inside = (waves.ms[:, :, 1, 1] > 700) & (waves.ms[:, :, 1, 1] < 9300)
    rows = np.flatnonzero((inside & (waves.kind == 2)).any(axis=1))
    assert len(rows) > 5
    ectopic = cohort.waves(rows)
    healthy = replace(ectopic, kind=np.minimum(ectopic.kind, 0))
    signals = cohort.signals(rows)
    told, untold = median_beats(signals, ectopic), median_beats(signals, healthy)
    normal = (ectopic.kind == 0) & ~np.pad(ectopic.kind > 0, ((0, 0), (1, 0)))[:, :-1]
    whole = (ectopic.ms[:, :, 1, 1] > 600) & (ectopic.ms[:, :, 1, 1] < 9200)
    most = normal.sum(axis=1)
    assert ((told.n_beats >= (normal & whole).sum(axis=1)) & (told.n_beats <= most)).all()
    # A ventricular beat that nobody named disagrees with the median, but in left bundle branch block.
    assert (untold.n_beats <= (ectopic.kind == 0).sum(axis=1)).mean() > 0.8
    assert np.median(np.abs(told.signals - untold.signals)) < 0.01


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_fewer_than_two_beats_make_no_median_beat(kept: int) -> None:
    signals, waves = _regular(500)
    usable = np.flatnonzero(waves.kind[0] == 0)[2:2 + kept]
    kind = np.full_like(waves.kind, -1)
    kind[0, usable] = 0
    beats = median_beats(signals, replace(waves, kind=kind))
    assert beats.n_beats[0] == (2 if kept == 2 else 0)
    assert np.isfinite(beats.signals).all() == (kept == 2)
    assert np.isfinite(beats.marks).all() == (kept == 2)


def test_beats_that_are_cut_off_are_left_out() -> None:
    signals, waves = _regular(500)
    r = waves.ms[0, waves.kind[0] == 0, 1, 1]
    for first, last in ((r[2] - 190, r[6] + 600), (r[2] - 300, r[6] + 350)):
        part = slice(round(first / 2), round(last / 2))
        beats = median_beats(signals[..., part], replace(waves, ms=waves.ms - part.start * 2))
        assert beats.n_beats[0] == 4


@pytest.mark.parametrize(("before", "after", "used"), [(240, 420, 4), (260, 420, 5), (260, 380, 4), (240, 380, 3)])
def test_beats_without_p_and_t_need_room_for_them(before: float, after: float, used: int) -> None:
    signals, waves = _regular(500)
    r = waves.ms[0, waves.kind[0] == 0, 1, 1]
    part = slice(round((r[2] - before) / 2), round((r[6] + after) / 2))
    ms = waves.ms - part.start * 2
    ms[:, :, [0, 2]] = np.nan
    assert median_beats(signals[..., part], replace(waves, ms=ms)).n_beats[0] == used


@pytest.mark.parametrize("fs", [500.0, 100.0])
def test_the_level_before_qrs_is_zero(fs: float) -> None:
    cohort = Cohort(seed=3, fs=fs)
    beats = median_beats(cohort.signals(range(20)), cohort.waves(range(20)))
    for signal, onset in zip(beats.signals, np.round(beats.marks[:, 1, 0]).astype(int) + BEFORE, strict=True):
        assert np.abs(signal[:, onset - 20:onset - 3].mean(axis=1)).max() < 0.0015


def test_a_wave_that_most_beats_lack_has_no_marks() -> None:
    signals, waves = _regular(500)
    used = np.flatnonzero(waves.kind[0] == 0)[1:-1]
    for lacking, there in ((len(used) // 2 - 1, True), (len(used) // 2 + 2, False)):
        ms = waves.ms.copy()
        ms[0, used[:lacking], 0] = np.nan
        marks = median_beats(signals, replace(waves, ms=ms)).marks[0]
        assert np.isfinite(marks[0]).all() == there
        assert np.isfinite(marks[1:]).all()


def test_missing_samples_spoil_their_lead_alone() -> None:
    signals, waves = _regular(500)
    plain = median_beats(signals, waves)
    broken = signals.copy()
    broken[0, 3, 700] = np.nan
    beats = median_beats(broken, waves)
    assert np.isnan(beats.signals[0, 3]).all()
    rest = np.arange(12) != 3
    np.testing.assert_allclose(beats.signals[0, rest], plain.signals[0, rest], atol=1e-5)


def test_an_ecg_is_the_same_in_any_company(monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = Cohort(seed=3, fs=500)
    together = median_beats(cohort.signals(range(30)), cohort.waves(range(30)))
    monkeypatch.setattr(module, "CHUNK", 4)
    some = np.array([29, 3, 17, 0, 5])
    apart = median_beats(cohort.signals(some), cohort.waves(some))
    np.testing.assert_allclose(apart.signals, together.signals[some], atol=2e-5)
    np.testing.assert_allclose(apart.marks, together.marks[some], atol=1e-4)
    np.testing.assert_array_equal(apart.n_beats, together.n_beats[some])


def test_noise_and_rate_leave_the_beat_where_it_is() -> None:
    ids = np.arange(40)
    sinus = ids[Cohort(seed=3).severity(ids)[:, EDIT_NAMES.index("AF")] == 0]
    def of(fs: float, noise: float) -> MedianBeats:
        cohort = Cohort(seed=3, fs=fs, noise=noise)
        return median_beats(cohort.signals(sinus), cohort.waves(sinus))
    clean = of(500, 0)
    for fs in (500, 100):
        noisy = of(fs, 1)
        difference = (noisy.signals - clean.signals)[:, :, BEFORE - 300:BEFORE + 450]
        assert abs(difference.mean()) < 0.001
        assert np.sqrt(np.mean(difference**2)) < 0.012
        assert np.nanmax(np.abs(noisy.marks - clean.marks)[:, :2]) < 1


def test_ecgs_without_a_beat() -> None:
    none = Waves(np.full((2, 0, 3, 3), np.nan), np.zeros((2, 0), dtype=np.int8), np.zeros((2, 0)), 500.0)
    beats = median_beats(np.zeros((2, 12, 2500), np.float32), none)
    assert beats.n_beats.tolist() == [0, 0]
    assert np.isnan(beats.signals).all()
    assert np.isnan(beats.rr).all()


@pytest.mark.parametrize("shape", [(12, 5000), (2, 12, 5000), (1, 8, 5000)])
def test_shapes_that_do_not_fit(shape: tuple[int, ...]) -> None:
    _, waves = _regular(500)
    with pytest.raises(EcgkitError, match="one recording for each"):
        median_beats(np.zeros(shape, np.float32), waves)
