"""Who is examined: age, sex, diseases and their severity, the chest, and how the heart beats that day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecgkit.simulator.catalogue import (
    ALL_NAMES,
    EDIT_NAMES,
    FINER_NAMES,
    IS_ATRIAL,
    IS_DEPOLARISATION,
    IS_PLATEAU,
    IS_REPOLARISATION,
    SLOTS,
)
from ecgkit.simulator.heart import Variation, lead_field
from ecgkit.simulator.keyed import Keyed

#: Share of 60-year-old men who have each disease, the factor by which 20 more years multiply it, and the factor for
#: women. Shares follow the mix of a hospital's ECGs (about half normal); the factors are plausible, not measured.
PREVALENCE: Mapping[str, tuple[float, float, float]] = {
    "LBBB": (0.045, 1.6, 1.0), "RBBB": (0.060, 1.6, 0.6), "1AVB": (0.055, 1.6, 0.7), "AMI": (0.080, 1.6, 0.5),
    "AMI_acute": (0.045, 1.4, 0.6), "IMI": (0.085, 1.6, 0.5), "IMI_acute": (0.045, 1.4, 0.6),
    "LVH": (0.105, 1.5, 0.9), "LQT": (0.050, 1.1, 1.4), "WPW": (0.030, 0.7, 0.8), "LAFB": (0.060, 1.6, 0.7),
    "AF": (0.070, 2.2, 0.8),
}
#: The same of the finer diseases: round numbers, plausible, not measured. With them about a quarter are healthy.
FINER_PREVALENCE: Mapping[str, tuple[float, float, float]] = {
    **{name: (0.050, 1.4, 0.9) for name in FINER_NAMES},
    **{name: (0.030, 1.4, 0.9) for name in ("DIG", "LPFB", "PMI", "RVH", "LVOLT")}, "IRBBB": (0.050, 1.0, 0.7),
}
#: The first rules out those after it: they cannot both be, or the first hides them on an ECG.
RULES_OUT: tuple[tuple[str, ...], ...] = (
    ("LBBB", "RBBB", "LAFB", "WPW", "AMI", "AMI_acute", "IMI", "IMI_acute", "LQT"),
    ("WPW", "RBBB", "1AVB", "AMI", "AMI_acute", "IMI", "IMI_acute", "LAFB", "AF", "LVH"),
    ("AF", "1AVB"),
    ("AMI_acute", "AMI", "IMI_acute", "IMI"),
    ("IMI_acute", "IMI", "AMI"),
    ("LAFB", "IMI", "IMI_acute"),
)
_ST_T = ("ISCLA", "ISCAN", "ISCIN", "NDT", "STD", "DIG")
#: The same of the finer diseases, row after row: they rule out each other and give way to the twelve.
FINER_RULES_OUT: tuple[tuple[str, ...], ...] = (
    ("LBBB", *(name for name in FINER_NAMES if name != "LAE")),
    ("WPW", *FINER_NAMES),
    ("AF", "LAE"),
    ("RBBB", "IRBBB", "IVCD"),
    ("LAFB", "LPFB", "IMI_mild"),
    ("AMI", "ASMI", "PRWP"),
    ("AMI_acute", "ASMI", "PRWP", *_ST_T),
    ("IMI_acute", "IMI_mild", *_ST_T),
    ("IMI", "IMI_mild"),
    ("LVH", "VCLVH", "LVOLT", "RVH"),
    ("VCLVH", "LVOLT", "RVH"),
    ("ASMI", "PRWP"),
    _ST_T,
    ("ISCAN", "ISCIN", "NDT", "DIG"),
    ("ISCIN", "NDT", "DIG"),
    ("NDT", "DIG"),
)
#: Severities of the diseased lie between this and 1; atrial fibrillation is there or not. The mildest cases meet no
#: diagnostic threshold yet, as in life, so that a classifier cannot be perfect.
LEAST_SEVERITY = 0.10
LEAST_FIBRILLATION = 0.85
#: Voltages of recordings of PTB-XL relative to Dower's torso, I, II, V1 to V6: V2 and V3 lie nearest the heart.
USUAL_GAIN = np.array([1.2, 1.0, 1.05, 1.5, 1.4, 1.25, 1.15, 1.1])
#: Degrees by which the heart is turned about each axis, at most; the wider one goes with the finer diseases.
ROTATION, WIDER_ROTATION = 20, 30
#: How much more patients with the finer diseases differ in their waves: a network that sees too little calls all ill.
WIDER_SPREAD = 1.7
#: Standard deviation in millivolts, `(n_slots, 1)`, of what is added to X, Y and Z of the normal wavelets there.
SHIFTS = 1.3 * np.array([[{"P1": 0.012, "P2": 0.012, "Q": 0.08, "R": 0.12, "S": 0.12, "T": 0.05,
                           "T2": 0.02}.get(slot, 0.0)] for slot in SLOTS])
#: Sinus rates of men: mean, spread, bounds, per minute; the wider ones go with the finer diseases.
SINUS_RATE = (70, 11, 45, 115)
WIDER_SINUS_RATE = (71, 14, 42, 140)
#: What an acute infarction is at the next visit.
HEALED = {"AMI_acute": "AMI", "IMI_acute": "IMI"}


@dataclass(frozen=True)
class Examination:
    """All that is drawn for some ECGs but the beats and the noise, a row for each.

    `age` is in years at the first visit, `sex` 0 male and 1 female, `severity` `(n, n_edits)`, `field` the torso's lead
    field `(n, 8, 3)`, `respiration` in breaths per second, `breath_depth` the share by which breathing swells the heart
    vector; for `heart_rate`, `variability` and `ectopy` see `ecgkit.simulator.rhythm.beats`.
    """

    ids: NDArray[np.int64]
    age: NDArray[np.float64]
    sex: NDArray[np.int64]
    severity: NDArray[np.float64]
    field: NDArray[np.float64]
    variation: Variation
    heart_rate: NDArray[np.float64]
    variability: NDArray[np.float64]
    ectopy: NDArray[np.float64]
    respiration: NDArray[np.float64]
    breath_depth: NDArray[np.float64]


def examine(keyed: Keyed, ids: NDArray[np.int64], visits: int, amount: float, *, finer: bool = False) -> Examination:
    """Draw patients and their days: ECG `id` is visit `id % visits` of patient `id // visits`.

    Patients differ by `amount`: 1 as in life, 0 the standard torso, the catalogue's wavelets and a regular 60/min. With
    `finer` they may also have the finer diseases, and differ more: in their waves, axes and sinus rates.
    """
    patient, visit = ids // visits, ids % visits
    age = np.clip(60 + 17 * keyed.normal("age", patient, 1)[:, 0], 18, 95)
    sex = (keyed.uniform("sex", patient, 1)[:, 0] < 0.48).astype(np.int64)
    return Examination(
        ids, age, sex, _severity(keyed, patient, visit, ids, age, sex, finer),
        _field(keyed, patient, age, sex, amount, finer), _variation(keyed, patient, ids, amount, finer),
        _heart_rate(keyed, patient, ids, sex, amount, finer), _variability(keyed, ids, age, amount),
        _ectopy(keyed, ids) * (amount > 0),
        keyed.uniform("respiration", ids, 1, 0.18, 0.32)[:, 0],
        amount * keyed.uniform("breath depth", ids, 1, 0.01, 0.08)[:, 0])


def _severity(keyed: Keyed, patient: NDArray[np.int64], visit: NDArray[np.int64], ids: NDArray[np.int64],
              age: NDArray[np.float64], sex: NDArray[np.int64], finer: bool) -> NDArray[np.float64]:
    """Severity of each disease, `(n, n_edits)`: what was drawn, less what is ruled out; infarctions heal."""
    severity = _drawn(keyed, "", PREVALENCE, patient, ids, age, sex)
    if finer:
        severity = np.hstack([severity, _drawn(keyed, "finer ", FINER_PREVALENCE, patient, ids, age, sex)])
    for first, *others in RULES_OUT + FINER_RULES_OUT * finer:
        there = np.flatnonzero(severity[:, ALL_NAMES.index(first)])
        severity[there[:, None], [ALL_NAMES.index(name) for name in others]] = 0
    later = visit > 0
    for acute, old in HEALED.items():
        a, o = EDIT_NAMES.index(acute), EDIT_NAMES.index(old)
        severity[later, o] = np.maximum(severity[later, o], severity[later, a])
        severity[later, a] = 0
    return severity


def _drawn(keyed: Keyed, stream: str, prevalence: Mapping[str, tuple[float, float, float]], patient: NDArray[np.int64],
           ids: NDArray[np.int64], age: NDArray[np.float64], sex: NDArray[np.int64]) -> NDArray[np.float64]:
    """Severities, each disease by itself, `(n, len(prevalence))`: the patient's, a little different at every visit."""
    n_edits = len(prevalence)
    share, ageing, female = np.array(list(prevalence.values())).T
    chance = share * ageing ** ((age[:, None] - 60) / 20) * np.where(sex[:, None] == 1, female, 1.0)
    has = keyed.uniform(f"{stream}disease", patient, n_edits) < chance
    least = np.where(np.array(list(prevalence)) == "AF", LEAST_FIBRILLATION, LEAST_SEVERITY)
    usual = least + (1 - least) * keyed.uniform(f"{stream}severity", patient, n_edits)
    today = np.clip(usual + 0.05 * keyed.normal(f"{stream}severity today", ids, n_edits), least, 1)
    return np.where(has, today, 0.0)


def _field(keyed: Keyed, patient: NDArray[np.int64], age: NDArray[np.float64], sex: NDArray[np.int64],
           amount: float, finer: bool) -> NDArray[np.float64]:
    """Lead field, `(n, 8, 3)`: the heart turned about each axis, and gains of the leads.

    The axis turns left with age, and women's voltages are a little lower.
    """
    most = WIDER_ROTATION if finer else ROTATION
    degrees = keyed.uniform("rotation", patient, 3, -most, most)
    degrees[:, 0] -= 0.2 * (age - 60)
    gain = np.exp(0.18 * keyed.normal("gain", patient, 1) + 0.12 * keyed.normal("lead gain", patient, 8))
    gain *= np.where(sex == 1, 0.93, 1.03)[:, None] * USUAL_GAIN
    return lead_field(amount * degrees, gain**amount)


def _variation(keyed: Keyed, patient: NDArray[np.int64], ids: NDArray[np.int64], amount: float,
               finer: bool) -> Variation:
    """How patients' wavelets differ from the catalogue's, and a little from visit to visit."""
    n, slots = len(patient), len(SLOTS)
    spread = WIDER_SPREAD if finer else 1.0
    wavelet = spread * 0.14 * keyed.normal("wavelet", patient, slots) + 0.05 * keyed.normal("wavelet today", ids, slots)
    component = spread * 0.08 * keyed.normal("component", patient, 3 * slots).reshape(n, slots, 3)
    repolarisation = spread * 0.15 * keyed.normal("T gain", patient, 1) * IS_REPOLARISATION
    gain = np.exp(amount * (wavelet[..., None] + component + repolarisation[..., None]))
    width = np.exp(spread * amount * 0.06 * np.clip(keyed.normal("width", patient, slots), -2, 2) * ~IS_PLATEAU)
    pr, qrs, qt = np.clip(keyed.normal("tempo", patient, 3), -2, 2).T[..., None]
    delay = amount * -14.0 * pr * IS_ATRIAL
    tempo = 1 + amount * (spread * 0.05 * qrs * IS_DEPOLARISATION + spread * 0.03 * qt * IS_REPOLARISATION)
    shift = amount * SHIFTS * keyed.normal("shift", patient, 3 * slots).reshape(n, slots, 3) if finer else 0.0
    return Variation(gain, width, delay, tempo, shift)


def _heart_rate(keyed: Keyed, patient: NDArray[np.int64], ids: NDArray[np.int64], sex: NDArray[np.int64],
                amount: float, finer: bool) -> NDArray[np.float64]:
    """Beats per minute in sinus rhythm and in atrial fibrillation, `(n, 2)`."""
    draw = keyed.normal("usual rate", patient, 2) + 0.5 * keyed.normal("rate today", ids, 2)
    mean, spread, slowest, fastest = WIDER_SINUS_RATE if finer else SINUS_RATE
    sinus = np.clip(mean + 3 * sex + spread * draw[:, 0], slowest, fastest)
    fibrillating = np.clip(86 + 16 * draw[:, 1], 55, 140)
    return 60 + amount * (np.stack([sinus, fibrillating], axis=1) - 60)


def _variability(keyed: Keyed, ids: NDArray[np.int64], age: NDArray[np.float64], amount: float) -> NDArray[np.float64]:
    """Slow, respiratory and beat-to-beat modulation of RR, `(n, 3)`: less in the old."""
    young = np.exp(-(age - 40) / 30)
    unit = keyed.uniform("variability", ids, 2)
    slow, respiratory = (0.008 + 0.02 * unit[:, 0]) * np.sqrt(young), (0.005 + 0.03 * unit[:, 1]) * young
    return amount * np.stack([slow, respiratory, np.full(len(ids), 0.006)], axis=1)


def _ectopy(keyed: Keyed, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probability that a beat is an atrial, a ventricular premature one, `(n, 2)`: each 0 in 19 ECGs of 20."""
    return np.where(keyed.uniform("ectopic", ids, 2) < 0.05, keyed.uniform("burden", ids, 2, 0.04, 0.2), 0.0)
