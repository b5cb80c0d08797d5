"""Tests of the signal contract: algebra of the leads, matrices, and what `standardise` takes and refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgkit import leads
from ecgkit.errors import EcgkitError, RecordError

RNG = np.random.default_rng(0)


def twelve(sig_len: int = 400) -> np.ndarray:
    return leads.from_independent(RNG.normal(size=(8, sig_len)))


def test_derived_leads_obey_einthoven_and_goldberger_exactly() -> None:
    x = leads.from_independent(RNG.normal(size=(3, 8, 50)).astype(np.float32))
    lead = {name: x[:, k] for k, name in enumerate(leads.LEADS)}
    assert (lead["III"] == lead["II"] - lead["I"]).all()
    assert (lead["aVR"] == -(lead["I"] + lead["II"]) / 2).all()
    assert (lead["aVL"] == lead["I"] - lead["II"] / 2).all()
    assert (lead["aVF"] == lead["II"] - lead["I"] / 2).all()
    assert (leads.limb_residual(x) == 0).all()
    np.testing.assert_allclose(lead["aVR"] + lead["aVL"] + lead["aVF"], 0, atol=1e-6)


def test_limb_residual_sees_a_broken_lead() -> None:
    x = twelve()
    x[2] += 0.1
    np.testing.assert_allclose(leads.limb_residual(x)[0], 0.1)


def test_dower_rows_obey_the_limb_lead_algebra() -> None:
    np.testing.assert_allclose(leads.DOWER[:6], leads.LIMB_FROM_I_II @ leads.DOWER[:2], atol=1e-12)


def test_inverse_dower_inverts_dower() -> None:
    np.testing.assert_allclose(leads.INVERSE_DOWER @ leads.DOWER, np.eye(3), atol=2e-3)


def test_heart_vector_survives_the_round_trip() -> None:
    vcg = RNG.normal(size=(2, 3, 100))
    np.testing.assert_allclose(leads.to_vcg(leads.from_vcg(vcg)), vcg, atol=0.02)


def test_kors_agrees_with_inverse_dower_on_the_axes() -> None:
    # Two independent regressions of the same heart vector: their diagonals agree to 11 %.
    np.testing.assert_allclose(np.diag(leads.KORS @ leads.DOWER), 1, atol=0.11)


@pytest.mark.parametrize(("spelling", "lead"), [
    ("AVR", "aVR"), ("avr", "aVR"), ("aVR", "aVR"), (" v1 ", "V1"), ("Lead II", "II"), ("MDC_ECG_LEAD_AVL", "aVL"),
    ("ECG_V3", "V3"), ("-aVR", None), ("V7", None), ("", None), ("VI", None),
])
def test_spellings(spelling: str, lead: str | None) -> None:
    assert leads.canonical(spelling) == lead


@given(st.permutations(range(12)), st.sampled_from([("uV", 1e3), ("mV", 1), ("V", 1e-3), ("nV", 1e6), ("µV", 1e3)]))
def test_any_order_and_unit_gives_the_same_signal(order: list[int], unit: tuple[str, float]) -> None:
    x = leads.from_independent(np.random.default_rng(1).normal(size=(8, 30)))
    names = [leads.LEADS[k].upper() for k in order]
    out = leads.standardise(x[list(order)] * unit[1], names, fs=100, units=unit[0])
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, x, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kept", [("I", "II"), ("aVL", "aVF"), ("II", "III"), ("I", "aVR"), ("III", "aVR", "aVL")])
def test_any_two_limb_leads_give_the_others(kept: tuple[str, ...]) -> None:
    x = twelve()
    names = [*kept, *leads.CHEST]
    out = leads.standardise(x[[leads.LEADS.index(name) for name in names]], names, fs=500)
    np.testing.assert_allclose(out, x, atol=1e-5)


def test_recorded_leads_are_kept_as_recorded() -> None:
    x = twelve()
    x[2] += 0.05
    np.testing.assert_allclose(leads.standardise(x, leads.LEADS, fs=100)[2], x[2], atol=1e-6)


@pytest.mark.parametrize(("fs", "target"), [(500, 100), (257, 100), (1000, 500), (100, 500), (128, 100)])
def test_resampling_keeps_time_amplitude_and_offset(fs: int, target: int) -> None:
    wave = lambda rate: 2.0 + np.sin(2 * np.pi * 3 * np.arange(10 * rate) / rate)  # noqa: E731
    out = leads.standardise(np.tile(wave(fs), (12, 1)), leads.LEADS, fs=fs, target_fs=target)
    assert out.shape == (12, 10 * target)
    inner = slice(target // 2, -target // 2)
    assert np.abs(out[0] - wave(target))[inner].max() < 0.01
    assert np.abs(out[0] - wave(target)).max() < 0.25


def test_resampling_removes_what_the_new_rate_cannot_carry() -> None:
    # 90 Hz at 500 Hz would come back as 10 Hz at 100 Hz, were samples merely picked.
    t = np.arange(5000) / 500
    out = leads.resample(np.sin(2 * np.pi * 90 * t), 500, 100)
    assert np.abs(out[50:-50]).max() < 0.01


@pytest.mark.parametrize(("change", "words"), [
    (lambda x, n: (x[:-1], n[:-1]), "lead V6 is missing"),
    (lambda x, n: (x[[0, *range(6, 12)]], [n[0], *n[6:]]), "lead II is missing"),
    (lambda x, n: (x, [*n[:-1], "v5"]), "lead V5 appears twice"),
    (lambda x, n: (np.where(np.arange(12)[:, None] == 3, np.nan, x), n), "lead aVR has 400 non-finite"),
    (lambda x, n: (x[:5], n), "shape"),
])
def test_errors_name_record_and_lead(change, words: str) -> None:
    x, names = change(twelve(), list(leads.LEADS))
    with pytest.raises(RecordError, match=words) as caught:
        leads.standardise(x, names, fs=100, record="patient/7")
    assert str(caught.value).startswith("patient/7: ")
    assert "\n" not in str(caught.value)


def test_unknown_units_and_rates_are_refused() -> None:
    with pytest.raises(RecordError, match="lead I has the unknown unit 'adu'"):
        leads.standardise(twelve(), leads.LEADS, fs=100, units="adu")
    with pytest.raises(RecordError, match="rates must be positive"):
        leads.standardise(twelve(), leads.LEADS, fs=0)


@pytest.mark.parametrize("spelling", ["C{}", "c{}", "V-{}", "V {}", "v_{}", "Lead V{}", "MDC_ECG_LEAD_C{}"])
def test_chest_leads_have_many_spellings(spelling: str) -> None:
    assert [leads.canonical(spelling.format(k)) for k in range(1, 7)] == list(leads.CHEST)
    assert leads.canonical(spelling.format(7)) is None
    assert leads.canonical("-" + spelling.format(1)) is None


@pytest.mark.parametrize("pair", ["RA-LA", "RA-LL", "LA-LL", "V1-V6", "V2-V3", leads.BACKWARDS])
def test_exchanging_electrodes_is_exact_and_its_own_inverse(pair: str) -> None:
    potential = RNG.normal(size=(3, 9, 20))
    order = list(range(9))
    if pair == leads.BACKWARDS:
        order[3:] = order[:2:-1]
    else:
        a, b = (leads.ELECTRODES.index(name) for name in pair.split("-"))
        order[a], order[b] = b, a
    x = leads.FROM_ELECTRODES @ potential
    made = leads.swapped(x, pair)
    np.testing.assert_allclose(made, leads.FROM_ELECTRODES @ potential[:, order], atol=1e-12)
    np.testing.assert_array_equal(leads.swapped(made, pair), x)


def test_unknown_electrodes_are_refused() -> None:
    with pytest.raises(EcgkitError, match="no electrodes 'RA-V1'"):
        leads.swapped(twelve(), "RA-V1")
