"""Players: every sample belongs where the delineation says, sums lose nothing, beats lie on their R peaks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.errors import EcgkitError
from ecgkit.explain.attribution.players import (
    AFTER,
    BEFORE,
    N_PLAYERS,
    REST,
    SEGMENTS,
    beat_aligned,
    player_mask,
    player_sums,
    segments,
)
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
