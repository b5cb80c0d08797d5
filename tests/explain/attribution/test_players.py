"""Players: every sample belongs where the delineation says, sums lose nothing, and normal beats take their places."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.errors import EcgkitError
from ecgkit.explain.attribution.players import (
    AFTER,
    BEFORE,
    ENDS,
    N_PLAYERS,
    REST,
    SEGMENTS,
    beat_aligned,
    interpolated,
    normal_beats,
    normal_template,
    player_mask,
    player_sums,
    segments,
)
from ecgkit.physiology.median_beat import MedianBeats, median_beats
from ecgkit.simulator import Cohort, Waves

FS = 100
#: P, QRS, T of a beat, ms from the onset of P.
BEAT = np.array([[0, 50, 100], [160, 200, 250], [350, 420, 500]], dtype=float)


def waves(*ecgs, kinds=None, fs=FS):
    """Waves of ECGs that are given as lists of beats `(3, 3)` in ms."""
    most = max(map(len, ecgs))
    ms = np.full((len(ecgs), most, 3, 3), np.nan)
    kind = np.full((len(ecgs), most), -1, dtype=np.int8)
    for row, beats in enumerate(ecgs):
        for slot, beat in enumerate(beats):
            ms[row, slot], kind[row, slot] = beat, 0 if kinds is None else kinds[row][slot]
    return Waves(ms, kind, np.full(kind.shape, np.nan), fs)


def spelled(parts):
    """Segments of one ECG as letters: P Q S T and a dot."""
    return "".join("PQST."[part] for part in parts)


def test_a_beat_is_cut_at_its_boundaries():
    found = spelled(segments(waves([BEAT + 100]), 80)[0])
    #                         100 ms        ...200   260         350        450              600
    assert found == "." * 10 + "P" * 11 + "." * 5 + "Q" * 10 + "S" * 9 + "T" * 16 + "." * 19


def test_boundaries_between_samples_are_not_rounded_outwards():
    beat = np.array([[np.nan] * 3, [101, 120, 139], [np.nan] * 3])
    assert spelled(segments(waves([beat]), 20)[0]) == "." * 11 + "Q" * 3 + "." * 6


def test_without_t_there_is_no_st_and_without_p_no_p():
    fibrillating, flat = BEAT.copy(), BEAT.copy()
    fibrillating[0] = flat[2] = np.nan
    parts = segments(waves([fibrillating], [flat]), 60)
    assert set(spelled(parts[0])) == set("QST.")
    assert set(spelled(parts[1])) == set("PQ.")


def test_a_wave_beyond_the_edge_goes_to_the_edge_and_overlaps_have_an_order():
    first, last = BEAT - 60, BEAT + 500  # P begins before the recording, T ends after it
    first[0, 0] = last[2, 2] = np.nan
    parts = spelled(segments(waves([first, last]), 95)[0])
    assert parts.startswith("P" * 5 + ".")
    assert parts.endswith("S" + "T" * 10)
    # A P on the T before it is a P; a T that begins before the end of QRS leaves QRS whole and has no ST.
    early = BEAT + 400
    parts = spelled(segments(waves([BEAT, early]), 100)[0])
    assert parts[40:51] == "P" * 11
    hasty = BEAT.copy()
    hasty[2, 0] = 230
    assert spelled(segments(waves([hasty]), 60)[0])[16:30] == "Q" * 10 + "T" * 4


def test_simulated_ecgs_agree_with_a_slow_reading():
    cohort = Cohort(seed=3, fs=FS)
    true = cohort.waves(range(6))
    parts = segments(true, cohort.sig_len)
    for row in range(6):
        for k in range(cohort.sig_len):
            ms = k * 1000 / FS
            inside = [(true.ms[row, :, wave, 0] <= ms) & (ms <= true.ms[row, :, wave, 2]) for wave in range(3)]
            p, qrs, t = (hit.any() for hit in inside)
            st = ((true.ms[row, :, 1, 2] <= ms) & (ms <= true.ms[row, :, 2, 0])).any()
            expected = "QRS" if qrs else "P" if p else "T" if t else "ST" if st else "rest"
            assert SEGMENTS[parts[row, k]] == expected, (row, k)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_sums_lose_nothing(n, sig_len, seed):
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(n, 12, sig_len)).astype(np.float32)
    parts = rng.integers(0, 5, size=(n, sig_len))
    sums = player_sums(maps, parts)
    np.testing.assert_allclose(sums.sum(axis=(1, 2)), maps.sum(axis=(1, 2), dtype=np.float64), atol=1e-4)
    np.testing.assert_allclose(player_sums(maps, parts, absolute=True).sum(axis=2), np.abs(maps).sum(axis=2), rtol=1e-4)
    for k in range(5):
        expected = maps[0][:, parts[0] == k].sum(axis=1)
        np.testing.assert_allclose(sums[0, :, k], expected, atol=1e-4)
    mask = player_mask(parts)
    assert mask.shape == maps.shape
    inside = mask < N_PLAYERS
    np.testing.assert_array_equal(inside, np.broadcast_to(parts[:, None] != REST, maps.shape))
    np.testing.assert_array_equal(mask[inside] // 4, np.broadcast_to(np.arange(12)[:, None], maps.shape)[inside])
    np.testing.assert_array_equal((mask % 4)[inside], np.broadcast_to(parts[:, None], maps.shape)[inside])


def test_sums_of_other_shapes_are_refused():
    with pytest.raises(EcgkitError, match=r"maps of shape \(2, 12, 50\) with segments of shape \(2, 40\)"):
        player_sums(np.zeros((2, 12, 50)), np.zeros((2, 40), dtype=int))


def test_beats_are_laid_on_their_r_peaks():
    # A map with 1, 2 and 3 at three R peaks; the third beat is premature, the second one near the end.
    peaks = (500, 1500, 1000)
    maps = np.zeros((1, 12, 160), dtype=np.float32)
    for value, peak in zip((1, 2, 3), peaks, strict=True):
        maps[0, 4, peak // 10] = value
    found = beat_aligned(maps, waves([BEAT + peak - 200 for peak in peaks], kinds=[[0, 0, 2]]), FS)
    assert found.shape == (1, 12, (BEFORE + AFTER) * FS // 1000 + 1)
    zero = BEFORE * FS // 1000
    assert found[0, 4, zero] == pytest.approx(1.5)
    # 500 ms after the first beat comes the premature one; the second beat ends before that.
    assert found[0, 4, zero + 50] == pytest.approx(3)
    np.testing.assert_array_equal(found[0, 3], 0)


def test_where_no_normal_beat_reaches_is_nan():
    maps = np.ones((2, 12, 100), dtype=np.float32)
    found = beat_aligned(maps, waves([BEAT - 100], [BEAT], kinds=[[0], [1]]), FS)  # an R peak at 100 ms
    assert np.isnan(found[0, :, :20]).all()
    np.testing.assert_array_equal(found[0, :, 20:], 1)
    assert np.isnan(found[1]).all()
    with pytest.raises(EcgkitError, match="waves of 1 ECGs"):
        beat_aligned(maps, waves([BEAT]), FS)


RATE = 500.0
COHORT = Cohort(fs=RATE, seconds=5, variation=0, noise=0)
HEALTHY = np.zeros((1, len(COHORT.edit_names)))
INFARCT = HEALTHY.copy()
INFARCT[0, COHORT.edit_names.index("AMI_acute")] = 1


def _ecg(severity: np.ndarray = HEALTHY, cohort: Cohort = COHORT) -> tuple[np.ndarray, Waves]:
    return cohort.signals([0], severity=severity), cohort.waves([0], severity=severity)


def _template() -> MedianBeats:
    return normal_template(median_beats(*_ecg()))


def _spans(waves: Waves, sig_len: int) -> list[tuple[int, int, int]]:
    """Kind, first and last sample of each whole segment, one by one."""
    marks, spans = waves.samples[0], []
    for beat in marks:
        for kind, ((w, m), (v, k)) in enumerate(ENDS):
            if 0 <= beat[w, m] < beat[v, k] < sig_len:
                spans.append((kind, int(beat[w, m]), int(beat[v, k])))
    return spans


def test_lines_join_the_ends() -> None:
    x, waves = _ecg(cohort=replace(COHORT, noise=1.0))
    flat, expected = interpolated(x, waves), x.copy()
    spans = _spans(waves, x.shape[2])
    assert len(spans) > 12
    for _, start, end in spans:
        for lead in range(12):
            expected[0, lead, start:end] = np.linspace(x[0, lead, start], x[0, lead, end], end - start + 1)[:-1]
    np.testing.assert_allclose(flat, expected, atol=1e-5)
    assert flat.dtype == np.float32
    inside = np.zeros(x.shape[2], dtype=bool)
    for _, start, end in spans:
        inside[start:end] = True
    np.testing.assert_array_equal(flat[0][:, ~inside], x[0][:, ~inside])
    assert np.abs(flat - x)[0][:, inside].max() > 0.5


def test_a_straight_recording_stays() -> None:
    _, waves = _ecg()
    ramp = np.broadcast_to(np.linspace(-1, 1, COHORT.sig_len, dtype=np.float32), (1, 12, COHORT.sig_len)).copy()
    np.testing.assert_allclose(interpolated(ramp, waves), ramp, atol=1e-6)


def test_a_normal_beat_replaced_by_itself_stays() -> None:
    x, waves = _ecg()
    assert np.abs(normal_beats(x, waves, _template()) - x).max() < 0.05
    assert np.abs(interpolated(x, waves) - x).max() > 0.5


def test_the_baseline_is_the_beats_own() -> None:
    x, waves = _ecg()
    offset = np.arange(12, dtype=np.float32)[:, None]
    there, moved = (normal_beats(ecg, waves, _template()) for ecg in (x, x + offset))
    np.testing.assert_allclose(moved, there + offset, atol=1e-5)


def test_an_infarct_is_gone_after_normal_beats_but_not_after_lines() -> None:
    (sick, waves), (healthy, _) = _ecg(INFARCT), _ecg()
    st_segment = [slice(start, end) for kind, start, end in _spans(waves, sick.shape[2]) if kind == 2]
    far = [np.mean([np.abs(x - healthy)[0, 8, at].mean() for at in st_segment])
           for x in (sick, interpolated(sick, waves), normal_beats(sick, waves, _template()))]
    assert far[0] > 0.15
    assert far[1] > 0.7 * far[0]
    assert far[2] < 0.3 * far[0]


def test_segments_that_the_template_lacks_stay() -> None:
    x, waves = _ecg(INFARCT)
    template = _template()
    template.marks[0, 0] = np.nan
    out = normal_beats(x, waves, template)
    for kind, start, end in _spans(waves, x.shape[2]):
        if end - start > 10:
            assert np.array_equal(out[0, :, start:end], x[0, :, start:end]) == (kind == 0)


def test_a_template_is_the_median_of_median_beats() -> None:
    beats = median_beats(np.concatenate([_ecg()[0] * k for k in (1, 2, 5)]), Waves(*(
        np.repeat(values, 3, axis=0) for values in (_ecg()[1].ms, _ecg()[1].kind, _ecg()[1].rr)), RATE))
    one = normal_template(beats)
    np.testing.assert_allclose(one.signals[0], beats.signals[1], atol=1e-6)
    assert one.marks.shape == (1, 3, 3)
    with pytest.raises(EcgkitError, match="a template of 3 beats"):
        normal_beats(*_ecg(), beats)


def test_waves_of_other_ecgs() -> None:
    x, waves = _ecg()
    with pytest.raises(EcgkitError, match="with the waves of 1 ECGs"):
        interpolated(np.repeat(x, 2, axis=0), waves)
