"""Measurements of simulated hearts are those of the catalogue's source, at any rate; what cannot be is told why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecgkit.datasets.reader import read_record
from ecgkit.errors import EcgkitError
from ecgkit.leads import DOWER, LEADS
from ecgkit.physiology import COLUMNS, Measurements, measure
from ecgkit.simulator import CLASSES, EDIT_NAMES, Cohort, Waves

SEVERITY = np.vstack([np.zeros(12), np.eye(12)])
N = 64


@pytest.fixture(scope="module", params=[1000.0, 500.0, 100.0])
def catalogue(request: pytest.FixtureRequest) -> pd.DataFrame:
    """Measurements of the catalogue's clean hearts, one class a row."""
    cohort, ids = Cohort(fs=request.param, variation=0, noise=0), np.arange(13)
    found = measure(cohort.signals(ids, severity=SEVERITY), request.param, cohort.waves(ids, severity=SEVERITY))
    return found.table.set_axis(pd.Index(CLASSES), axis=0)


@pytest.fixture(scope="module")
def noisy() -> Measurements:
    cohort = Cohort(seed=3, fs=500)
    return measure(cohort.signals(range(N)), 500, cohort.waves(range(N)))


def _healthy() -> tuple[np.ndarray, Waves]:
    cohort = Cohort(fs=500, variation=0, noise=0)
    return cohort.signals([0], severity=SEVERITY[:1]), cohort.waves([0], severity=SEVERITY[:1])


@pytest.mark.parametrize(("name", "column", "value", "tolerance"), [
    ("NORM", "pr", 168, 0.6), ("NORM", "qrs", 81, 0.6), ("NORM", "qt", 408, 0.6), ("NORM", "axis", 43, 0.6),
    ("NORM", "r_V1", 0.22, 0.006), ("NORM", "s_V1", -0.73, 0.006), ("NORM", "r_V5", 1.23, 0.006),
    ("NORM", "heart_rate", 60, 0.01), ("NORM", "qtc_bazett", 407.5, 0.1), ("NORM", "p_duration", 110, 0.1),
    ("NORM", "t_duration", 280, 0.1),
    ("LBBB", "qrs", 154, 0.6), ("LBBB", "q_V1", -1.18, 0.01), ("LBBB", "r_V1", 0, 0), ("LBBB", "notched_I", 1, 0),
    ("LBBB", "notched_V5", 1, 0), ("LBBB", "notched_V6", 1, 0), ("LBBB", "q_V6", 0, 0), ("NORM", "notched_V5", 0, 0),
    ("RBBB", "qrs", 140, 0.6), ("RBBB", "rp_V1", 0.69, 0.006), ("RBBB", "s_I", -0.28, 0.006),
    ("RBBB", "s_V6", -0.47, 0.006), ("1AVB", "pr", 258, 0.6), ("AMI", "r_V1", 0, 0), ("AMI", "r_V2", 0, 0),
    ("AMI_acute", "r_V2", 0, 0), ("AMI_acute", "st20_V1", 0.16, 0.006), ("AMI_acute", "st20_V2", 0.28, 0.006),
    ("AMI_acute", "st20_V3", 0.30, 0.008), ("AMI_acute", "st20_V4", 0.17, 0.006), ("IMI", "q_II", -0.48, 0.01),
    ("IMI", "q_III", -0.64, 0.006), ("IMI", "q_aVF", -0.56, 0.006), ("IMI_acute", "st20_II", 0.16, 0.006),
    ("IMI_acute", "st20_III", 0.23, 0.006), ("IMI_acute", "st20_aVL", -0.15, 0.006), ("LVH", "t_V5", -0.25, 0.006),
    ("LQT", "qt", 552, 0.6), ("WPW", "pr", 116, 0.6), ("WPW", "qrs", 123, 0.6), ("LAFB", "axis", -56, 0.6)])
def test_the_catalogue(catalogue: pd.DataFrame, name: str, column: str, value: float, tolerance: float) -> None:
    assert catalogue.loc[name, column] == pytest.approx(value, abs=tolerance)


def test_voltages_of_hypertrophy(catalogue: pd.DataFrame) -> None:
    row = catalogue.loc["LVH"]
    assert max(row["r_V5"], row["r_V6"]) - row["s_V1"] == pytest.approx(3.67, abs=0.01)


def test_times_within_qrs_by_hand(catalogue: pd.DataFrame) -> None:
    """R peaks where its wavelet does; Q of III lasts while the inferior scar's wavelets add up to less than -0.02."""
    assert catalogue.loc["NORM", "rpeak_V5"] == pytest.approx(37.5, abs=1.5)
    assert catalogue.loc["LBBB", "rpeak_V6"] == pytest.approx(62 + 42, abs=1.5)
    ms = np.arange(-52, 43)
    wavelets = ((-22, 12, 0.05, -0.52, -0.18), (0, 9.5, 1.05, 0.62, 0.30), (22, 8.5, -0.02, -0.12, 0.42))
    iii = sum(DOWER[LEADS.index("III")] @ xyz * np.exp(-((ms - centre) / width)**2 / 2)
              for centre, width, *xyz in wavelets)
    assert catalogue.loc["IMI", "q_ms_III"] == pytest.approx((iii[:60] <= -0.02).sum(), abs=1.5)


@pytest.mark.parametrize("later", [0, 80])
def test_the_j_point_is_where_the_marks_say_that_qrs_ends(later: int) -> None:
    """Read off one beat of the recording; 80 ms later lies on the slope of T."""
    cohort = Cohort(fs=1000, variation=0, noise=0)
    severity = SEVERITY[[CLASSES.index("IMI_acute")]]
    signals, waves = cohort.signals([0], severity=severity), cohort.waves([0], severity=severity)
    waves.ms[:, :, 1, 2] += later
    found = measure(signals, 1000, waves).table
    beat = np.flatnonzero(waves.kind[0] == 0)[3]
    onset, offset = waves.ms[0, beat, 1, [0, 2]]
    def at(ms: float) -> float:
        return float(np.interp(ms, np.arange(signals.shape[2]), signals[0, LEADS.index("III")]))
    level = np.mean([at(onset + k) for k in range(-20, -3)])
    for column, late in (("j_III", 0), ("st20_III", 20), ("st60_III", 60)):
        slope = abs(at(offset + late + 1) - at(offset + late - 1)) / 2
        assert found[column][0] == pytest.approx(at(offset + late) - level, abs=0.6 * slope + 0.0005)


def test_p_axis_and_the_end_of_p() -> None:
    """Left atrial enlargement deepens and lengthens the end of P in V1; axes from the wavelets' areas by hand."""
    cohort = Cohort(fs=500, variation=0, noise=0, finer=True)
    severity = np.zeros((2, 30))
    severity[1, cohort.edit_names.index("LAE")] = 1
    found = measure(cohort.signals([0, 1], severity=severity), 500, cohort.waves([0, 1], severity=severity)).table
    assert found["p_axis"].to_list() == pytest.approx([80.4, 67.2], abs=1)
    assert -0.06 < found["p_terminal_V1"][0] < -0.04
    assert found["p_terminal_V1"][1] == pytest.approx(-0.12, abs=0.01)
    assert found["p_terminal_ms_V1"][1] > found["p_terminal_ms_V1"][0] + 20


def test_a_p_that_ends_upwards_has_no_terminal_part() -> None:
    signals, waves = _healthy()
    signals[0, LEADS.index("V1")] *= -1
    found = measure(signals, 500, waves).table
    assert found["p_V1"][0] > 0.04
    assert found["p_terminal_V1"][0] == found["p_terminal_ms_V1"][0] == 0


def test_corrected_qt(noisy: Measurements) -> None:
    row = noisy.table
    assert np.ptp(row["heart_rate"]) > 30
    np.testing.assert_allclose(row["qtc_bazett"], row["qt"] * (row["heart_rate"] / 60)**(1 / 2))
    np.testing.assert_allclose(row["qtc_fridericia"], row["qt"] * (row["heart_rate"] / 60)**(1 / 3))


def test_intervals_are_the_true_ones_despite_noise(noisy: Measurements) -> None:
    true = Cohort(seed=3).intervals(range(N))
    for column, tolerance in (("pr", 0.01), ("qrs", 0.01), ("qt", 2.0), ("heart_rate", 1e-6)):
        np.testing.assert_allclose(noisy.table[column], getattr(true, column), atol=tolerance)


@pytest.mark.parametrize("fs", [500.0, 100.0])
def test_amplitudes_are_unbiased_by_noise_and_rate(noisy: Measurements, fs: float) -> None:
    clean = Cohort(seed=3, fs=500, noise=0)
    expected = measure(clean.signals(range(N)), 500, clean.waves(range(N))).table
    cohort = Cohort(seed=3, fs=fs)
    found = noisy.table if fs == 500 else measure(cohort.signals(range(N)), fs, cohort.waves(range(N))).table
    for name, worst in {"p": 0.01, "r": 0.016, "t": 0.02, "j": 0.01, "st20": 0.01, "st60": 0.01}.items():
        error = (found - expected)[[f"{name}_{lead}" for lead in LEADS]].to_numpy()
        assert abs(np.nanmedian(error)) < 0.003
        assert np.nanquantile(np.abs(error), 0.9) < worst
    assert np.nanmedian(np.abs(found["axis"] - expected["axis"])) < 0.5
    assert ((found["r_V1"] - found["r_V1"].mean()).corr(expected["r_V1"])) > 0.999


def test_every_hole_has_a_reason(noisy: Measurements) -> None:
    assert list(noisy.table) == list(noisy.reasons) == list(COLUMNS)
    assert (noisy.table.dtypes == np.float64).all()
    assert (noisy.table.isna() == (noisy.reasons != "")).all(axis=None)
    fibrillating = Cohort(seed=3).severity(range(N))[:, EDIT_NAMES.index("AF")] > 0
    assert fibrillating.sum() > 1
    assert ((noisy.reasons["pr"] == "no P wave") == fibrillating).all()
    assert ((noisy.reasons["p_V1"] == "no P wave") == fibrillating).all()
    assert (noisy.table["p_share"][fibrillating] == 0).all()
    assert noisy.table["qt"].notna().all()


def test_signs_and_sizes(noisy: Measurements) -> None:
    for lead in LEADS:
        row = noisy.table
        assert (row[[f"q_{lead}", f"s_{lead}"]] <= 0).all(axis=None)
        assert (row[[f"r_{lead}", f"rp_{lead}"]] >= 0).all(axis=None)
        assert row[f"notched_{lead}"].isin([0, 1]).all()
        for part in ("q", "r", "s", "rp"):
            assert ((row[f"{part}_{lead}"] == 0).to_numpy() == (row[f"{part}_ms_{lead}"] == 0).to_numpy()).all()
        lengths = row[[f"{part}_ms_{lead}" for part in ("q", "r", "s", "rp")]].sum(axis=1)
        assert (lengths <= row["qrs"] + 2).all()
        assert not (row[f"rpeak_{lead}"] > row["qrs"] + 1).any()


def test_flat_and_broken_leads() -> None:
    signals, waves = _healthy()
    signals[0, LEADS.index("V2")] = 0.4
    signals[0, LEADS.index("aVF"), 100] = np.nan
    found = measure(signals, 500, waves)
    assert set(found.reasons.filter(regex="_V2$").iloc[0]) == {"flat"}
    assert set(found.reasons.filter(regex="_aVF$").iloc[0]) == {"not finite"}
    assert found.reasons["axis"][0] == "aVF: not finite"
    assert found.table["r_V5"][0] == pytest.approx(1.23, abs=0.006)
    assert found.table["pr"][0] == pytest.approx(167.5, abs=0.1)
    assert (found.table.isna() == (found.reasons != "")).all(axis=None)


def test_a_recording_with_one_beat() -> None:
    signals, waves = _healthy()
    first = waves.ms[0, np.flatnonzero(waves.kind[0] == 0)[1], 1, 1]
    part = slice(round(first / 2) - 250, round(first / 2) + 350)
    cut = replace(waves, ms=waves.ms - 2 * part.start)
    found = measure(signals[..., part], 500, cut)
    assert found.table["n_beats"][0] == 0
    missing = found.reasons.iloc[0]
    assert missing["pr"] == missing["axis"] == missing["r_V1"] == "fewer than 2 usable beats"
    assert (found.table.isna() == (found.reasons != "")).all(axis=None)


def test_no_t_wave() -> None:
    signals, waves = _healthy()
    ms = waves.ms.copy()
    ms[:, :, 2] = np.nan
    found = measure(signals, 500, replace(waves, ms=ms))
    for column in ("qt", "qtc_bazett", "t_axis", "t_V3"):
        assert found.reasons[column][0] == "no T wave"
    assert found.table["pr"][0] == pytest.approx(167.5, abs=0.1)


def test_a_p_wave_that_begins_too_early_is_no_amplitude() -> None:
    signals, waves = _healthy()
    ms = waves.ms.copy()
    ms[:, :, 0] -= 300
    found = measure(signals, 500, replace(waves, ms=ms))
    assert found.table["pr"][0] == pytest.approx(467.5, abs=0.1)
    assert found.reasons["p_II"][0] == found.reasons["p_axis"][0] == "P reaches beyond the median beat"


@pytest.mark.parametrize(("share", "reason"), [(0.0, "no net area in the frontal plane"), (0.5, "")])
def test_an_axis_needs_a_net_area(share: float, reason: str) -> None:
    """I and aVF with a smaller QRS, or none; their P and T stay, so that neither lead is flat."""
    signals, waves = _healthy()
    ms = np.arange(signals.shape[2]) * 2.0
    onset, offset = waves.ms[0, :, 1, 0, None], waves.ms[0, :, 1, 2, None]
    within = ((ms >= onset) & (ms <= offset)).any(axis=0)
    signals[:, [LEADS.index("I"), LEADS.index("aVF")]] *= np.where(within, share, 1).astype(np.float32)
    found = measure(signals, 500, waves)
    assert found.reasons["axis"][0] == reason
    assert np.isnan(found.table["axis"][0]) == (reason != "")
    assert found.reasons["t_axis"][0] == ""


def test_rates_that_do_not_fit() -> None:
    signals, waves = _healthy()
    with pytest.raises(EcgkitError, match="signals at 250 Hz with waves at 500 Hz"):
        measure(signals, 250, waves)


def printed(signals: np.ndarray, fs: float) -> np.ndarray:
    """The same as on paper: four columns of three leads, and lead II throughout."""
    out = np.full_like(signals, np.nan)
    quarter = round(2.5 * fs)
    for k in range(4):
        out[:, 3 * k:3 * k + 3, k * quarter:(k + 1) * quarter] = signals[:, 3 * k:3 * k + 3,
                                                                         k * quarter:(k + 1) * quarter]
    out[:, 1] = signals[:, 1]
    return out


@pytest.mark.parametrize("fs", [100, 500])
def test_printed_ecgs_are_measured_from_what_is_there(fs: int) -> None:
    signals = Cohort(seed=5, fs=fs, noise=0.3).signals(range(24))
    whole, paper = measure(signals, fs), measure(printed(signals, fs), fs)
    assert not (paper.faults != "").any()
    assert paper.table["n_beats"].tolist() == pytest.approx(whole.table["n_beats"].tolist(), abs=2)
    for name, tolerance in (("heart_rate", 2), ("qrs", 12), ("qt", 25), ("pr", 25), ("axis", 12)):
        assert np.nanmedian(np.abs(paper.table[name] - whole.table[name])) < tolerance, name
    found = paper.table.filter(regex="^(r|s)_").notna()
    assert found.mean().min() > 0.8, "nearly every lead has a whole beat in its 2.5 s"
    difference = (paper.table - whole.table).filter(regex="^(r|s)_").abs()
    assert np.nanmedian(difference) < 0.05


def test_the_awkward_print_is_measured_as_the_ecg_that_it_is_made_of(data_root: Path) -> None:
    whole, paper = (read_record(data_root / "awkward" / name / "r", keep_faulty=True)[0][None]
                    for name in ("C_names", "print3x4"))
    one, other = (measure(x, 100).table.iloc[0] for x in (whole, paper))
    for name, tolerance in (("heart_rate", 1), ("qrs", 10), ("qt", 20), ("axis", 10), ("r_V5", 0.15), ("s_V2", 0.2)):
        assert other[name] == pytest.approx(one[name], abs=tolerance), name
