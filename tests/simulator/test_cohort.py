"""The cohort: the same ECG by whichever way, exact limb leads, true masks and true counterfactuals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.leads import LEADS, limb_residual
from ecgkit.simulator import CLASSES, EDIT_NAMES, Cohort
from ecgkit.simulator import cohort as module

COHORT = Cohort(seed=5, visits=2)


def _sick(*names: str, n: int = 1, severity: float = 1.0) -> np.ndarray:
    diseases = np.zeros((n, 12))
    diseases[:, [EDIT_NAMES.index(name) for name in names]] = severity
    return diseases


def test_signals_keep_the_contract() -> None:
    x = COHORT.signals(range(40))
    assert x.shape == (40, 12, 1000)
    assert x.dtype == np.float32
    assert np.isfinite(x).all()
    assert 0.3 < np.ptp(x, axis=2).mean() < 4


@pytest.mark.parametrize("fs", [100.0, 500.0])
def test_limb_leads_are_exact(fs: float) -> None:
    cohort = Cohort(seed=1, fs=fs, noise=3)
    severity = np.random.default_rng(0).random((16, 12))
    i, ii, iii, avr, avl, avf = np.moveaxis(cohort.signals(range(16), severity=severity)[:, :6], 1, 0)
    for got, expected in ((iii, ii - i), (avr, -(i + ii) / 2), (avl, i - ii / 2), (avf, ii - i / 2)):
        np.testing.assert_array_equal(got, expected)
    assert np.abs(limb_residual(cohort.clean(range(4)))).max() == 0


@pytest.mark.parametrize("chunk", [1, 7, 64])
@pytest.mark.parametrize("fs", [100.0, 500.0])
def test_an_ecg_is_the_same_in_any_chunk_order_and_company(chunk: int, fs: float,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = Cohort(seed=2, fs=fs, visits=3)
    together = cohort.signals(range(150))
    monkeypatch.setattr(module, "CHUNK", chunk * cohort.sig_len)
    some = np.array([149, 3, 77, 0, 148, 31, 32])
    np.testing.assert_array_equal(cohort.signals(some, threads=1), together[some])
    np.testing.assert_array_equal(cohort.signals(some, threads=3), together[some])


def test_truth_is_the_same_in_any_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.arange(60)
    mask, marks, table = COHORT.truth_mask(ids), COHORT.waves(ids), COHORT.records(ids)
    monkeypatch.setattr(module, "CHUNK", COHORT.sig_len)
    np.testing.assert_array_equal(COHORT.truth_mask(ids[40:42]), mask[40:42])
    np.testing.assert_array_equal(COHORT.waves(ids[40:42]).ms, marks.ms[40:42])
    assert COHORT.records(ids[40:42]).equals(table.iloc[40:42].reset_index(drop=True))


def test_far_numbers_and_other_seeds_are_other_ecgs() -> None:
    far = COHORT.signals([10**12, 10**12 + 1])
    assert np.isfinite(far).all()
    assert (far != COHORT.signals([0, 1])).mean() > 0.99
    assert (COHORT.signals([0]) != Cohort(seed=6, visits=2).signals([0])).mean() > 0.99


def test_a_patient_is_the_same_at_every_rate() -> None:
    slow, fast = Cohort(seed=3, fs=100), Cohort(seed=3, fs=500)
    np.testing.assert_allclose(fast.clean(range(10))[..., ::5], slow.clean(range(10)), atol=0.004)
    np.testing.assert_allclose(fast.waves([4]).ms, slow.waves([4]).ms)


def test_a_longer_ecg_begins_with_the_shorter_one() -> None:
    """Up to the respiration's and the muscle's random numbers; the heart is the same."""
    long, short = Cohort(seed=3, seconds=30), Cohort(seed=3, seconds=10)
    sinus = np.flatnonzero(short.severity(np.arange(20))[:, EDIT_NAMES.index("AF")] == 0)
    assert np.abs(long.clean(sinus)[..., :1000] - short.clean(sinus)).max() < 0.05


@pytest.mark.parametrize(("name", "part", "leads"), [
    ("LBBB", "QRS", {"V1", "V2", "V3"}), ("RBBB", "QRS", {"V1", "V2"}), ("1AVB", "P", {"II", "III", "aVF"}),
    ("AMI", "QRS", {"V2", "V3"}), ("AMI_acute", "QRS", {"V2", "V3"}), ("IMI", "QRS", {"III", "aVF"}),
    ("IMI_acute", "QRS", {"III", "aVF"}), ("LVH", "QRS", {"V1", "V2", "V4", "V5"}),
    ("LQT", "ST-T", {"V2", "V3", "V4"}), ("LAFB", "QRS", {"III", "aVF"})])
def test_the_mask_is_largest_where_cardiology_says(name: str, part: str, leads: set[str]) -> None:
    """Which part of the beat (mean change in the part's best lead), and which lead within it, on a standard torso."""
    cohort = Cohort(seed=5, variation=0, fs=500)
    mask = cohort.truth_mask([0], severity=_sick(name))[0]
    marks = cohort.waves([0], severity=_sick(name)).samples[0]
    beat = int(np.flatnonzero(np.isfinite(marks[:, 1, 0]))[2])
    on, off, end = (int(marks[beat, 1, 0]), int(marks[beat, 1, 2]), int(marks[beat, 2, 2]))
    parts = {"P": slice(on - 130, on), "QRS": slice(on, off), "ST-T": slice(off, end)}
    size = {key: mask[:, span].mean(axis=1) for key, span in parts.items()}
    assert max(size, key=lambda key: size[key].max()) == part
    assert LEADS[int(size[part].argmax())] in leads


def test_the_mask_of_pre_excitation_begins_before_the_normal_qrs() -> None:
    """The delta wave: between the end of P and where QRS would begin."""
    cohort = Cohort(variation=0, fs=500)
    mask = cohort.truth_mask([0], severity=_sick("WPW"))[0]
    normal, marks = (cohort.waves([0], severity=s).samples[0] for s in (np.zeros((1, 12)), _sick("WPW")))
    beat = int(np.flatnonzero(np.isfinite(marks[:, 1, 0]))[2])
    delta = slice(int(marks[beat, 1, 0]), int(normal[beat, 1, 0]))
    assert delta.stop - delta.start >= 20
    assert (mask[:, delta].max(axis=1)[[1, 9, 10]] > 0.15).all()


def test_the_mask_of_fibrillation_covers_the_whole_baseline() -> None:
    """The missing P and the f-waves, and nothing of QRS or T."""
    cohort = Cohort(variation=0, noise=0)
    mask = cohort.truth_mask([0], severity=_sick("AF"))[0]
    assert (mask.reshape(12, 20, 50).max(axis=2) > 0.01).mean() > 0.95
    assert mask.max() < 0.35


def test_the_mask_of_the_healthy_is_zero_and_of_one_disease_is_its_own() -> None:
    assert not COHORT.truth_mask([0, 1], severity=np.zeros((2, 12))).any()
    both = _sick("LVH", "1AVB", severity=0.8)
    first = COHORT.truth_mask([3], "LVH", severity=both)
    second = COHORT.truth_mask([3], ["1AVB"], severity=both)
    np.testing.assert_allclose(COHORT.truth_mask([3], severity=both), np.abs(_signed("LVH") + _signed("1AVB")),
                               atol=1e-5)
    np.testing.assert_allclose(first, np.abs(_signed("LVH")), atol=1e-5)
    np.testing.assert_allclose(second, np.abs(_signed("1AVB")), atol=1e-5)


def _signed(name: str) -> np.ndarray:
    """What one disease adds to the clean ECG number 3; without premature beats and fibrillation the beats stay."""
    return COHORT.clean([3], severity=_sick(name, severity=0.8)) - COHORT.clean([3], severity=np.zeros((1, 12)))


def test_the_counterfactual_differs_by_the_disease_alone() -> None:
    """Same patient, rhythm and noise: the difference of the noisy ECGs is that of the clean ones."""
    ids = np.arange(8)
    sick = _sick("IMI", n=8)
    difference = COHORT.signals(ids, severity=sick) - COHORT.counterfactual(ids, severity=sick)
    np.testing.assert_allclose(np.abs(difference), COHORT.truth_mask(ids, severity=sick), atol=1e-5)
    np.testing.assert_array_equal(COHORT.counterfactual(ids, severity=sick),
                                  COHORT.signals(ids, severity=np.zeros((8, 12))))


def test_one_of_two_diseases_is_removed() -> None:
    both = _sick("RBBB", "LAFB")
    np.testing.assert_array_equal(COHORT.counterfactual([2], "RBBB", severity=both),
                                  COHORT.signals([2], severity=_sick("LAFB")))


def test_own_diseases_are_removed() -> None:
    ids = np.flatnonzero((COHORT.severity(np.arange(60)) > 0).any(axis=1))
    np.testing.assert_array_equal(COHORT.counterfactual(ids), COHORT.signals(ids, severity=np.zeros((len(ids), 12))))
    assert (COHORT.truth_mask(ids).max(axis=(1, 2)) > 0.01).all()


def test_without_fibrillation_the_rhythm_is_sinus_rhythm() -> None:
    ids = np.arange(30)
    sick = _sick("AF", n=30)
    before = COHORT.waves(ids, severity=sick)
    after = COHORT.waves(ids, severity=COHORT.without(ids, "AF", severity=sick))

    def spread(found: np.ndarray) -> float:
        return float(np.nanmedian(np.nanstd(found, axis=1) / np.nanmean(found, axis=1)))
    assert spread(before.rr) > 0.15
    assert spread(after.rr) < 0.06
    assert np.isfinite(after.ms[after.kind == 0, 0]).all()
    assert np.isnan(before.ms[:, :, 0]).all()


def test_graded_severity_grades_the_measurement() -> None:
    graded = np.zeros((5, 12))
    graded[:, EDIT_NAMES.index("1AVB")] = np.linspace(0, 1, 5)
    np.testing.assert_allclose(Cohort(variation=0).intervals([0] * 5, severity=graded).pr,
                               167.5 + 90 * np.linspace(0, 1, 5), atol=1e-6)


def test_a_patients_visits_are_alike() -> None:
    """The clean mean ECG of two visits is nearer than that of two patients."""
    healthy = np.zeros((80, 12))
    amplitude = np.ptp(COHORT.clean(range(80), severity=healthy), axis=2).reshape(40, 2, 12)
    own = np.abs(amplitude[:, 0] - amplitude[:, 1]).mean()
    other = np.abs(amplitude[:-1, 0] - amplitude[1:, 1]).mean()
    assert own < 0.5 * other


def test_records_tell_who_and_what() -> None:
    table = COHORT.records(range(6))
    assert table["patient_id"].tolist() == [0, 0, 1, 1, 2, 2]
    assert table["visit"].tolist() == [0, 1] * 3
    assert table.columns[-12:].tolist() == [f"severity_{name}" for name in CLASSES[1:]]
    assert table["heart_rate"].between(35, 160).all()


@pytest.mark.parametrize(("arguments", "word"), [
    ({"fs": 10}, "10"), ({"seconds": 0}, "seconds"), ({"visits": 0}, "visits"), ({"variation": 2}, "variation"),
    ({"noise": -1}, "noise")])
def test_a_senseless_cohort_is_refused(arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(EcgkitError, match=word):
        Cohort(**arguments)


def test_senseless_questions_are_refused() -> None:
    with pytest.raises(EcgkitError, match="integers from 0"):
        COHORT.signals([-1])
    with pytest.raises(EcgkitError, match="integers from 0"):
        COHORT.signals([0.5])
    with pytest.raises(EcgkitError, match="no disease 'flu'"):
        COHORT.counterfactual([0], "flu")
    with pytest.raises(EcgkitError, match=r"give \(2, 12\)"):
        COHORT.signals([0, 1], severity=np.zeros((1, 12)))
    with pytest.raises(EcgkitError, match="between 0 and 1"):
        COHORT.signals([0], severity=np.full((1, 12), 2.0))


def test_no_ecgs_are_no_ecgs() -> None:
    assert COHORT.signals(np.array([], dtype=int)).shape == (0, 12, 1000)
