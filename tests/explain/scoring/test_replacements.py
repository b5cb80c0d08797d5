"""Replacements leave everything but the waves, and put there what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.explain.attribution.replacements import ENDS, interpolated, normal_beats, normal_template
from ecgkit.physiology.median_beat import MedianBeats, median_beats
from ecgkit.simulator import Cohort, Waves

FS = 500.0
COHORT = Cohort(fs=FS, seconds=5, variation=0, noise=0)
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
        np.repeat(values, 3, axis=0) for values in (_ecg()[1].ms, _ecg()[1].kind, _ecg()[1].rr)), FS))
    one = normal_template(beats)
    np.testing.assert_allclose(one.signals[0], beats.signals[1], atol=1e-6)
    assert one.marks.shape == (1, 3, 3)
    with pytest.raises(EcgkitError, match="a template of 3 beats"):
        normal_beats(*_ecg(), beats)


def test_waves_of_other_ecgs() -> None:
    x, waves = _ecg()
    with pytest.raises(EcgkitError, match="with the waves of 1 ECGs"):
        interpolated(np.repeat(x, 2, axis=0), waves)
