"""Features that no rule of cardiology asks about, planted in simulated hearts: what a discovery must find again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ecgkit.simulator.catalogue import BASE, SLOTS
from ecgkit.simulator.heart import Variation

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Plant:
    """What a planted feature, `what` in words, changes in a patient's own wavelets at a dose of 1; in proportion else.

    By slot: `delay` in ms, `gain` and `width` as factors, `shift` of the heart vector in mV (X left, Y down, Z back).
    """

    what: str
    delay: Mapping[str, float] = field(default_factory=dict)
    gain: Mapping[str, float] = field(default_factory=dict)
    width: Mapping[str, float] = field(default_factory=dict)
    shift: Mapping[str, Vector] = field(default_factory=dict)


def _turned(slot: str, degrees: float) -> Vector:
    """What turns a slot's normal vector in the frontal plane, clockwise where positive."""
    x, y, _ = BASE[SLOTS.index(slot), 2:]
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return float(c * x - s * y - x), float(s * x + c * y - y), 0.0


#: Sixteen features. Sizes are below what a rule would notice in most patients.
PLANTS: Mapping[str, Plant] = {
    "long P": Plant("P wave 12 ms longer", delay={"P1": -6, "P2": 6}),
    "tall P": Plant("P wave 40 % taller", gain={"P1": 1.4, "P2": 1.4}),
    "P turned": Plant("P axis turned by 20°", shift={slot: _turned(slot, 20) for slot in ("P1", "P2")}),
    "long PR": Plant("PR 15 ms longer", delay={"P1": -15, "P2": -15}),
    "wide QRS": Plant("QRS 8 ms wider", delay={"Q": -3, "S": 5}, width={"R": 1.1}),
    "later R in V2": Plant("R peak in V2 5 ms later", delay={"Q": 5}),
    "slurred start": Plant("a small slur before QRS", shift={"delta": (0.07, 0.05, -0.03)}),
    "late notch": Plant("a notch at the end of QRS", shift={"S3": (0.12, 0.05, -0.05)}),
    "deeper S": Plant("S of the right chest leads deeper", shift={"S": (0.0, 0.0, 0.12)}),
    "septal q": Plant("small q of the left leads deeper", shift={"Q": (-0.08, 0.0, 0.0)}),
    "QRS turned": Plant("QRS axis turned by 12°", shift={"R": _turned("R", 12)}),
    "raised ST": Plant("ST 0.04 mV higher in the right chest leads", shift={"ST AMI": (0.0, 0.0, -0.03)}),
    "T turned": Plant("T axis turned by 15°", shift={"T": _turned("T", 15)}),
    "lower T": Plant("T wave 20 % lower", gain={"T": 0.8, "T2": 0.8}),
    "late T": Plant("T wave 15 ms later", delay={"T": 15, "T2": 15}),
    "broad T": Plant("T wave 15 % broader", width={"T": 1.15, "T2": 1.15}),
}


def planted(variation: Variation, doses: NDArray[np.float64]) -> Variation:
    """The variation of patients who also have features `PLANTS` in doses `(n, n_plants)`; 0 is without."""
    n = len(doses)
    gain, width, delay = variation.gain.copy(), variation.width.copy(), variation.delay.copy()
    shift = np.broadcast_to(variation.shift, (n, len(SLOTS), 3)).copy()
    for dose, plant in zip(doses.T, PLANTS.values(), strict=True):
        for slot, ms in plant.delay.items():
            delay[:, SLOTS.index(slot)] += dose * ms
        for slot, factor in plant.gain.items():
            gain[:, SLOTS.index(slot)] *= 1 + dose[:, None] * (factor - 1)
        for slot, factor in plant.width.items():
            width[:, SLOTS.index(slot)] *= 1 + dose * (factor - 1)
        for slot, vector in plant.shift.items():
            shift[:, SLOTS.index(slot)] += dose[:, None] * np.array(vector)
    return replace(variation, gain=gain, width=width, delay=delay, shift=shift)
