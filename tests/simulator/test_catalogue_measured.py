"""The clean ECG of the standard torso, measured by other code, has the values of the catalogue's source.

The source's table gives PR, QRS, QT to 1 ms, the axis to 1 degree, voltages to 0.01 mV. Measured here at 1000 Hz: the
axis from the areas of QRS in I and aVF (aVF scaled by 2/sqrt 3), J 20 ms after the end of QRS.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ecgkit.leads import LEADS
from ecgkit.simulator import CLASSES, Cohort

FS = 1000.0
SEVERITY = np.vstack([np.zeros(12), np.eye(12)])


class Beat:
    """One clean beat of a class, with the R peak of the catalogue at 400 ms."""

    def __init__(self, signal: NDArray[np.float64], qrs: tuple[int, int]) -> None:
        self.signal, (self.on, self.off) = signal, qrs

    def lead(self, name: str) -> NDArray[np.float64]:
        return self.signal[LEADS.index(name)]

    def qrs(self, name: str) -> NDArray[np.float64]:
        return self.lead(name)[self.on:self.off + 1]

    def j(self, name: str) -> float:
        return float(self.lead(name)[self.off + 20])

    def t(self, name: str) -> float:
        wave = self.lead(name)[self.off + 100:900]
        return float(wave[np.abs(wave).argmax()])

    def axis(self) -> float:
        return float(np.degrees(np.arctan2(2 / np.sqrt(3) * self.qrs("aVF").sum(), self.qrs("I").sum())))


@pytest.fixture(scope="module")
def beats() -> dict[str, Beat]:
    cohort = Cohort(fs=FS, seconds=6, variation=0, noise=0)
    ids = np.arange(13)
    signals, found = cohort.clean(ids, severity=SEVERITY), cohort.waves(ids, severity=SEVERITY)
    beats = {}
    for k, name in enumerate(CLASSES):
        beat = int(np.flatnonzero(found.kind[k] == 0)[2])
        on, _, off = found.ms[k, beat, 1]
        # the R peak of the catalogue: QRS onset and offset are times from it
        r = round(on - _onset_from_r(name))
        beats[name] = Beat(signals[k, :, r - 400:r + 600].astype(float), (round(on) - r + 400, round(off) - r + 400))
    return beats


def _onset_from_r(name: str) -> float:
    """Onset of QRS by hand from the source's table: 2.5 widths before the first centre."""
    first = {"LBBB": (-12, 20), "AMI": (-22, 11), "AMI_acute": (-22, 11), "IMI": (-22, 12), "IMI_acute": (-22, 12),
             "WPW": (-42, 15), "LAFB": (-20, 8)}.get(name, (-20, 7))
    return first[0] - 2.5 * first[1]


@pytest.mark.parametrize(("name", "pr", "qrs", "qt"), [
    ("NORM", 168, 81, 408), ("LBBB", None, 154, None), ("RBBB", None, 140, None), ("1AVB", 258, None, None),
    ("LQT", None, None, 552), ("WPW", 116, 123, None)])
def test_intervals(name: str, pr: float | None, qrs: float | None, qt: float | None) -> None:
    found = Cohort(variation=0).intervals([0], severity=SEVERITY[[CLASSES.index(name)]])
    for value, expected in ((found.pr, pr), (found.qrs, qrs), (found.qt, qt)):
        if expected is not None:
            assert value[0] == pytest.approx(expected, abs=1)
    assert found.rr[0] == pytest.approx(1000)


@pytest.mark.parametrize(("name", "axis"), [("NORM", 43), ("LAFB", -56)])
def test_axis(beats: dict[str, Beat], name: str, axis: float) -> None:
    assert beats[name].axis() == pytest.approx(axis, abs=1)


@pytest.mark.parametrize(("name", "lead", "extreme", "value"), [
    ("NORM", "V1", max, 0.22), ("NORM", "V1", min, -0.73), ("NORM", "V5", max, 1.23), ("LBBB", "V1", min, -1.18),
    ("RBBB", "I", min, -0.28), ("RBBB", "V6", min, -0.47), ("IMI", "II", min, -0.48), ("IMI", "III", min, -0.64),
    ("IMI", "aVF", min, -0.56)])
def test_voltages_of_qrs(beats: dict[str, Beat], name: str, lead: str, extreme: type, value: float) -> None:
    assert extreme(beats[name].qrs(lead)) == pytest.approx(value, abs=0.01)


def test_right_bundle_branch_block_has_a_second_r_in_v1(beats: dict[str, Beat]) -> None:
    v1 = beats["RBBB"].lead("V1")
    assert v1[440:500].max() == pytest.approx(0.69, abs=0.01)
    assert v1[380:400].max() > 0.1
    assert v1[400:440].min() < -0.5


@pytest.mark.parametrize("lead", ["I", "V5", "V6"])
def test_left_bundle_branch_block_has_a_notched_r_and_no_q(beats: dict[str, Beat], lead: str) -> None:
    wave = beats["LBBB"].qrs(lead)
    assert ((np.diff(np.sign(np.diff(wave))) < 0) & (wave[1:-1] > 0.3)).sum() == 2
    assert wave.min() > -0.02


def test_left_bundle_branch_block_is_negative_in_v1(beats: dict[str, Beat]) -> None:
    assert beats["LBBB"].qrs("V1").max() < 0.02
    assert beats["LBBB"].t("V1") > 0.2
    assert beats["LBBB"].t("V6") < -0.2


@pytest.mark.parametrize("lead", ["V1", "V2"])
def test_old_anterior_infarction_has_qs_and_inverted_t(beats: dict[str, Beat], lead: str) -> None:
    assert beats["AMI"].qrs(lead).max() < 0.03
    assert beats["NORM"].qrs(lead).max() > 0.2
    assert beats["AMI"].t(lead) < -0.2
    assert beats["AMI"].t("V3") < -0.2


@pytest.mark.parametrize(("name", "lead", "value"), [
    ("AMI_acute", "V1", 0.16), ("AMI_acute", "V2", 0.28), ("AMI_acute", "V3", 0.30), ("AMI_acute", "V4", 0.17),
    ("IMI_acute", "II", 0.16), ("IMI_acute", "III", 0.23), ("IMI_acute", "aVL", -0.15)])
def test_j_of_acute_infarction(beats: dict[str, Beat], name: str, lead: str, value: float) -> None:
    assert beats[name].j(lead) == pytest.approx(value, abs=0.01)
    assert abs(beats["NORM"].j(lead)) < 0.01


def test_left_ventricular_hypertrophy(beats: dict[str, Beat]) -> None:
    beat = beats["LVH"]
    sokolow = -beat.qrs("V1").min() + max(beat.qrs("V5").max(), beat.qrs("V6").max())
    assert sokolow == pytest.approx(3.67, abs=0.015)
    assert beat.t("V5") == pytest.approx(-0.25, abs=0.01)


def test_old_inferior_infarction_inverts_t_in_iii(beats: dict[str, Beat]) -> None:
    assert beats["IMI"].t("III") < -0.1
    assert beats["NORM"].t("III") > 0.1


def test_pre_excitation_begins_with_a_slow_delta_wave(beats: dict[str, Beat]) -> None:
    """The R of V4 takes longer from a tenth to nine tenths of its height, and T is inverted."""
    def rise(name: str) -> int:
        wave = beats[name].lead("V4")[300:420]
        top = wave.argmax()
        above = wave[:top] / wave[top]
        return int((above > 0.1).argmax() * -1 + (above > 0.9).argmax())
    assert rise("WPW") > 2 * rise("NORM")
    assert beats["WPW"].t("V5") < -0.05
    assert beats["WPW"].qrs("V6").min() > -0.02


def test_left_anterior_fascicular_block(beats: dict[str, Beat]) -> None:
    """qR in aVL, rS in III."""
    assert beats["LAFB"].qrs("aVL").max() > 0.7
    assert beats["LAFB"].qrs("aVL").min() < -0.05
    assert beats["LAFB"].qrs("III").min() < -1
    assert beats["LAFB"].off - beats["LAFB"].on < 120


def test_atrial_fibrillation_has_no_p() -> None:
    cohort = Cohort(variation=0, noise=0)
    assert np.isnan(cohort.intervals([0], severity=SEVERITY[[12]]).pr[0])
    marks = cohort.waves([0], severity=SEVERITY[[12]])
    assert np.isnan(marks.ms[:, :, 0]).all()
    assert np.isfinite(marks.ms[0, marks.kind[0] >= 0, 1]).all()
