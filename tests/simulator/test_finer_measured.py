"""What defines each finer disease, measured by other code on the clean ECG of the standard torso.

At 1000 Hz and full severity; definitions are those of textbooks, so most are thresholds and not values.
"""

from __future__ import annotations

import numpy as np
import pytest

from ecgkit.simulator import ALL_NAMES, FINER_NAMES, Cohort
from tests.simulator.test_catalogue_measured import FS, Beat

COHORT = Cohort(fs=FS, seconds=6, variation=0, noise=0, finer=True)
LIMB, CHEST = ("I", "II", "III", "aVR", "aVL", "aVF"), ("V1", "V2", "V3", "V4", "V5", "V6")


def _full(name: str) -> np.ndarray:
    return np.array([[float(name == other) for other in ALL_NAMES]])


@pytest.fixture(scope="module")
def beats() -> dict[str, Beat]:
    """The same beat with each disease, R of the catalogue at 400 ms: the normal QRS begins 37.5 ms before it."""
    found = {}
    start = COHORT.waves([0], severity=_full("NORM")).ms[0]
    beat = int(np.flatnonzero(np.isfinite(start[:, 1, 0]))[2])
    r = round(start[beat, 1, 0] + 37.5)
    for name in ("NORM", *FINER_NAMES):
        on, _, off = COHORT.waves([0], severity=_full(name)).ms[0, beat, 1]
        signal = COHORT.clean([0], severity=_full(name))[0, :, r - 400:r + 600].astype(float)
        found[name] = Beat(signal, (round(on) - r + 400, round(off) - r + 400))
    return found


def _st(beat: Beat, lead: str) -> float:
    """ST level 80 ms after the end of QRS."""
    return float(beat.lead(lead)[beat.off + 80])


def _q(beat: Beat, lead: str) -> tuple[float, int]:
    """Depth (mV) and length (ms) of the negative part with which QRS begins; 0, 0 if it begins positive."""
    wave = beat.qrs(lead)
    first = np.flatnonzero(np.abs(wave) > 0.03)[0]
    if wave[first] > 0:
        return 0.0, 0
    positive = np.flatnonzero(wave[first:] > 0)
    end = first + positive[0] if len(positive) else len(wave)
    return -float(wave[:end].min()), int(end)


def _r_to_s(beat: Beat, lead: str) -> float:
    return float(beat.qrs(lead).max() / -beat.qrs(lead).min())


def _duration(name: str) -> float:
    return float(COHORT.intervals([0], severity=_full(name)).qrs[0])


def test_the_normal_beat_has_none_of_it(beats: dict[str, Beat]) -> None:
    normal = beats["NORM"]
    assert max(abs(_st(normal, lead)) for lead in LIMB + CHEST) < 0.03
    assert min(normal.t(lead) for lead in ("I", "II", "V3", "V4", "V5", "V6")) > 0.1
    assert _duration("NORM") < 100


@pytest.mark.parametrize(("name", "leads"), [("ISCLA", ("V4", "V5")), ("ISCIN", ("III", "aVF")),
                                             ("STD", ("II", "V4", "V5")), ("DIG", ("V4", "V5"))])
def test_st_is_depressed_in_its_territory(beats: dict[str, Beat], name: str, leads: tuple[str, ...]) -> None:
    for lead in leads:
        assert _st(beats[name], lead) < -0.08


@pytest.mark.parametrize(("name", "inverted", "upright"), [
    ("ISCLA", ("I", "aVL", "V5", "V6"), ("III", "V1", "V2")), ("ISCAN", ("V1", "V2", "V3"), ("I", "II", "V6")),
    ("ISCIN", ("III", "aVF"), ("I", "aVL", "V4", "V5"))])
def test_t_is_inverted_in_its_territory(beats: dict[str, Beat], name: str, inverted: tuple[str, ...],
                                        upright: tuple[str, ...]) -> None:
    assert max(beats[name].t(lead) for lead in inverted) < -0.1
    assert min(beats[name].t(lead) for lead in upright) > 0


def test_t_is_flat(beats: dict[str, Beat]) -> None:
    for lead in ("I", "II", "V4", "V5", "V6"):
        assert abs(beats["NDT"].t(lead)) < 0.1 * beats["NDT"].qrs(lead).max()
        assert beats["NORM"].t(lead) > 0.2 * beats["NORM"].qrs(lead).max()


def test_unspecific_st_depression_leaves_t_upright(beats: dict[str, Beat]) -> None:
    assert min(beats["STD"].t(lead) for lead in ("I", "II", "V3", "V4", "V5")) > 0.09


def test_digitalis_shortens_qt_and_lowers_t(beats: dict[str, Beat]) -> None:
    normal, treated = (COHORT.intervals([0], severity=_full(name)).qt[0] for name in ("NORM", "DIG"))
    assert normal - treated > 20
    assert 0 < beats["DIG"].t("V5") < 0.5 * beats["NORM"].t("V5")


def test_incomplete_right_bundle_branch_block(beats: dict[str, Beat]) -> None:
    """QRS of 100 to 120 ms, r' in V1 after its S, and a terminal S in I and V6."""
    assert 100 <= _duration("IRBBB") < 120
    v1 = beats["IRBBB"].lead("V1")
    s = int(v1[380:430].argmin()) + 380
    assert v1[370:s].max() > 0.1
    assert v1[s:480].max() > 0.2
    assert beats["NORM"].lead("V1")[s:480].max() < 0.05
    for lead in ("I", "V6"):
        assert beats["IRBBB"].lead(lead)[430:470].min() < beats["NORM"].lead(lead)[430:470].min() - 0.03


def test_intraventricular_disturbance_is_wide_without_the_form_of_a_block(beats: dict[str, Beat]) -> None:
    assert 105 < _duration("IVCD") < 120
    v1 = beats["IVCD"].qrs("V1")
    assert v1[v1.argmin():].max() < 0.12
    for lead in ("I", "V6"):
        wave = beats["IVCD"].qrs(lead)
        assert ((np.diff(np.sign(np.diff(wave))) < 0) & (wave[1:-1] > 0.3)).sum() == 1


def test_left_posterior_fascicular_block(beats: dict[str, Beat]) -> None:
    """Axis beyond +90, rS in I and aVL, qR in III and aVF, QRS not wide."""
    block = beats["LPFB"]
    assert 90 < block.axis() < 120
    assert block.qrs("aVL")[:20].max() > 0.1
    assert block.qrs("aVL").min() < -0.5
    assert block.qrs("III").max() > 1
    assert min(_q(block, lead)[0] for lead in ("III", "aVF")) > 0.1
    assert _duration("LPFB") < 100


def test_anteroseptal_infarction_has_qs_in_v1_and_v2_only(beats: dict[str, Beat]) -> None:
    assert max(beats["ASMI"].qrs(lead).max() for lead in ("V1", "V2")) < 0.02
    assert min(beats["ASMI"].qrs(lead).max() for lead in ("V4", "V5", "V6")) > 0.7
    assert beats["ASMI"].t("V1") < -0.05


@pytest.mark.parametrize(("name", "leads"), [("LMI", ("I", "aVL", "V5", "V6")), ("IMI_mild", ("II", "III", "aVF"))])
def test_infarctions_have_q_waves_of_30_ms_in_their_territory(beats: dict[str, Beat], name: str,
                                                              leads: tuple[str, ...]) -> None:
    for lead in leads:
        depth, length = _q(beats[name], lead)
        assert depth > 0.2
        assert length >= 30
        depth, length = _q(beats["NORM"], lead)
        assert depth < 0.11
        assert length < 30


def test_a_lateral_infarction_inverts_t_in_i_and_avl_and_a_mild_inferior_one_does_not_change_t(
        beats: dict[str, Beat]) -> None:
    assert beats["LMI"].t("I") < -0.05
    assert beats["LMI"].t("aVL") < -0.1
    for lead in LIMB:
        assert beats["IMI_mild"].t(lead) == pytest.approx(beats["NORM"].t(lead), abs=0.005)


def test_posterior_infarction_mirrors_q_and_inverted_t_in_front(beats: dict[str, Beat]) -> None:
    """Taller R, smaller S and taller T in V1 and V2."""
    for lead in ("V1", "V2"):
        assert beats["PMI"].qrs(lead).max() > 1.1 * beats["NORM"].qrs(lead).max()
        assert _r_to_s(beats["PMI"], lead) > 1.4 * _r_to_s(beats["NORM"], lead)
        assert beats["PMI"].t(lead) > beats["NORM"].t(lead) + 0.15


def test_hypertrophy_by_voltage_alone(beats: dict[str, Beat]) -> None:
    """Sokolow's sum is 3.4 mV here and passes 3.5 mV with the gains of real torsos; T is the normal one."""
    def sokolow(name: str) -> float:
        return float(max(beats[name].qrs("V5").max(), beats[name].qrs("V6").max()) - beats[name].qrs("V1").min())
    assert sokolow("VCLVH") == pytest.approx(3.38, abs=0.02)
    assert sokolow("NORM") < 2.2
    for lead in CHEST:
        assert beats["VCLVH"].t(lead) == pytest.approx(beats["NORM"].t(lead), abs=0.005)
        assert abs(_st(beats["VCLVH"], lead)) < 0.03


def test_right_ventricular_hypertrophy(beats: dict[str, Beat]) -> None:
    """Axis to the right, dominant R in V1, deep S in V6, T inverted in V1."""
    right = beats["RVH"]
    assert right.axis() > 100
    assert right.qrs("V1").max() > 0.25
    assert right.qrs("V1").min() > -0.03
    assert _r_to_s(right, "V6") < 1
    assert right.t("V1") < -0.1


def test_left_atrial_enlargement(beats: dict[str, Beat]) -> None:
    """The terminal P in V1 is negative, at least 0.1 mV deep and 40 ms long; P in II is longer."""
    def terminal(name: str) -> np.ndarray:
        return beats[name].lead("V1")[400 - 165:400 - 45]
    assert terminal("LAE").min() < -0.1
    assert (terminal("LAE") < -0.05).sum() >= 40
    assert terminal("NORM").min() > -0.06
    ends = [COHORT.waves([0], severity=_full(name)).ms[0, 2, 0] for name in ("NORM", "LAE")]
    assert ends[1][2] - ends[1][0] > 120 > ends[0][2] - ends[0][0]


def test_low_voltage(beats: dict[str, Beat]) -> None:
    """QRS from peak to peak below 0.5 mV in all limb leads and below 1 mV in all chest leads."""
    assert max(np.ptp(beats["LVOLT"].qrs(lead)) for lead in LIMB) < 0.5
    assert max(np.ptp(beats["LVOLT"].qrs(lead)) for lead in CHEST) < 1
    assert max(np.ptp(beats["NORM"].qrs(lead)) for lead in LIMB) > 0.9


def test_poor_r_wave_progression(beats: dict[str, Beat]) -> None:
    """R in V3 below 0.3 mV, with an r in V1 and V2, so no Q."""
    assert beats["PRWP"].qrs("V3").max() < 0.3 < beats["NORM"].qrs("V3").max()
    assert min(beats["PRWP"].qrs(lead).max() for lead in ("V1", "V2")) > 0.1
    assert beats["PRWP"].qrs("V5").max() > 0.7
