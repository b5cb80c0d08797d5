"""The heart as readable data: the wavelets of a normal beat, and what each disease changes in them.

A wavelet is `(centre, width, X, Y, Z)`: milliseconds from the R peak, standard deviation in milliseconds, and the
heart vector in millivolts at its peak (X to the left, Y down, Z back). An ST plateau is `(on, off, X, Y, Z)`: it
rises logistically at `on` (8 ms) and falls at `off` (25 ms). All values are for a heart rate of 60/min.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Wavelet = tuple[float, float, float, float, float]

#: One normal beat.
NORMAL: Mapping[str, Wavelet] = {
    "P1": (-165, 16, 0.035, 0.085, -0.035),
    "P2": (-140, 18, 0.055, 0.045, 0.035),
    "Q": (-20, 7, -0.13, -0.04, -0.24),
    "R": (0, 9.5, 1.05, 0.62, 0.30),
    "S": (22, 8.5, -0.02, -0.12, 0.42),
    "T": (265, 42, 0.30, 0.17, -0.20),
    "T2": (215, 50, 0.05, 0.03, -0.03),
}


@dataclass(frozen=True)
class Edit:
    """What a disease, its `name` in words, changes in a normal beat at full severity.

    Wavelets of a normal beat get other values (`replace`), vanish (`drop`) or come later by so many milliseconds
    (`delay`; earlier where negative); others, and ST plateaus, are new (`add`).
    """

    name: str
    replace: Mapping[str, Wavelet] = field(default_factory=dict)
    add: Mapping[str, Wavelet] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    delay: Mapping[str, float] = field(default_factory=dict)


_ANTERIOR_SCAR = {"Q": (-22, 11, 0.02, -0.02, 0.42), "R": (4, 9.5, 0.75, 0.55, 0.45)}
_INFERIOR_SCAR = {"Q": (-22, 12, 0.05, -0.52, -0.18)}

#: The twelve edits; each is moved along by its severity, 0 (normal) to 1 (as written here).
EDITS: Mapping[str, Edit] = {
    "LBBB": Edit("left bundle branch block",
                 replace={"R": (-12, 20, 0.62, 0.30, 0.60), "T": (300, 45, -0.26, -0.08, -0.30),
                          "T2": (240, 50, -0.05, -0.02, -0.05)},
                 add={"R2": (42, 20, 0.80, 0.22, 0.85), "ST LBBB": (95, 230, -0.05, -0.02, -0.09)},
                 drop=("Q", "S"), delay={"P1": -25, "P2": -25}),
    "RBBB": Edit("right bundle branch block",
                 replace={"T": (280, 42, 0.30, 0.17, 0.05)}, add={"S2": (60, 17, -0.42, -0.05, -0.52)}),
    "1AVB": Edit("first-degree atrioventricular block", delay={"P1": -90, "P2": -90}),
    "AMI": Edit("old anterior infarction", replace={**_ANTERIOR_SCAR, "T": (265, 42, 0.10, 0.12, 0.30)}),
    "AMI_acute": Edit("acute anterior infarction", replace={**_ANTERIOR_SCAR, "T": (255, 48, 0.30, 0.10, -0.35)},
                      add={"ST AMI": (45, 220, 0.05, -0.02, -0.22)}),
    "IMI": Edit("old inferior infarction", replace={**_INFERIOR_SCAR, "T": (265, 42, 0.30, -0.12, -0.15)}),
    "IMI_acute": Edit("acute inferior infarction", replace={**_INFERIOR_SCAR, "T": (255, 48, 0.15, 0.28, -0.05)},
                      add={"ST IMI": (45, 220, -0.06, 0.18, 0.04)}),
    "LVH": Edit("left ventricular hypertrophy with strain",
                replace={"R": (2, 11.5, 1.75, 0.45, 0.95), "S": (24, 9, -0.02, -0.10, 0.75),
                         "T": (265, 42, -0.20, -0.02, -0.12), "T2": (215, 50, -0.03, 0, -0.02)},
                add={"ST LVH": (55, 210, -0.08, 0, -0.07)}),
    "LQT": Edit("long QT", replace={"T": (385, 52, 0.28, 0.16, -0.18), "T2": (320, 55, 0.05, 0.03, -0.03)}),
    "WPW": Edit("pre-excitation",
                replace={"R": (0, 11.5, 1.0, 0.6, 0.2), "T": (270, 42, -0.08, -0.03, -0.08),
                         "T2": (215, 50, -0.02, 0, -0.02)},
                add={"delta": (-42, 15, 0.22, 0.14, -0.10)}, drop=("Q",), delay={"P1": 10, "P2": 10}),
    "LAFB": Edit("left anterior fascicular block",
                 replace={"Q": (-20, 8, -0.05, 0.12, -0.20), "R": (4, 11, 1.0, -0.75, 0.30)}),
    "AF": Edit("atrial fibrillation", drop=("P1", "P2")),
}
#: Eighteen finer diseases, which only a `Cohort(finer=True)` has: territories of ischaemia and of infarction, partial
#: blocks, changes of T and of voltages alone. Names are those of PTB-XL's SCP statements where there is one (not for
#: IMI_mild and PRWP). The vectors were written from textbook descriptions; no cardiologist has reviewed them.
FINER_EDITS: Mapping[str, Edit] = {
    "ISCLA": Edit("lateral ischaemia",
                  replace={"T": (265, 42, -0.16, 0.02, -0.10), "T2": (215, 50, -0.03, 0, -0.02)},
                  add={"ST ISCLA": (50, 210, -0.09, -0.02, 0.03)}),
    "ISCAN": Edit("anterior ischaemia: inverted T", replace={"T": (275, 45, 0.05, 0.08, 0.32)}),
    "ISCIN": Edit("inferior ischaemia", replace={"T": (265, 42, 0.25, -0.16, -0.15)},
                  add={"ST ISCIN": (50, 210, 0.02, -0.08, -0.01)}),
    "NDT": Edit("flat T, not diagnostic",
                replace={"T": (265, 45, 0.02, 0.02, -0.04), "T2": (215, 50, 0.01, 0, 0)}),
    "STD": Edit("ST depression, not specific", replace={"T": (275, 40, 0.20, 0.12, -0.10)},
                add={"ST STD": (48, 200, -0.10, -0.07, 0.06)}),
    "DIG": Edit("digitalis effect: sagging ST, early low T", replace={"T": (235, 36, 0.10, 0.06, -0.08)},
                add={"ST DIG": (60, 190, -0.10, -0.05, 0)}),
    "IRBBB": Edit("incomplete right bundle branch block", add={"S3": (46, 11, -0.16, -0.04, -0.32)}),
    "IVCD": Edit("intraventricular conduction disturbance, not specific",
                 replace={"R": (4, 15, 0.95, 0.45, 0.40), "S": (38, 14, -0.10, -0.15, 0.45)}),
    "LPFB": Edit("left posterior fascicular block",
                 replace={"Q": (-20, 8, 0.20, -0.22, -0.18), "R": (4, 10.5, -0.20, 1.05, 0.30)}),
    "ASMI": Edit("old anteroseptal infarction",
                 replace={"Q": (-20, 9, -0.08, -0.02, 0.16), "R": (3, 9.5, 0.90, 0.55, 0.50),
                          "T": (265, 42, 0.22, 0.15, 0.02)}),
    "LMI": Edit("old lateral infarction",
                replace={"Q": (-22, 11, -0.45, 0.02, -0.16), "R": (3, 9.5, 0.65, 0.55, 0.30),
                         "T": (265, 42, -0.05, 0.15, -0.18)}),
    "PMI": Edit("old posterior infarction",
                replace={"R": (2, 11, 0.90, 0.55, -0.12), "T": (265, 44, 0.28, 0.14, -0.38)}),
    "IMI_mild": Edit("small inferior Q waves, T upright", replace={"Q": (-22, 10, -0.08, -0.30, -0.20)}),
    "VCLVH": Edit("left ventricular hypertrophy by voltage alone",
                  replace={"R": (1, 10.5, 1.70, 0.60, 0.70), "S": (23, 9, -0.02, -0.12, 0.75)}),
    "RVH": Edit("right ventricular hypertrophy",
                replace={"R": (4, 10, 0.35, 0.70, -0.35), "S": (26, 10, -0.45, 0, 0.15),
                         "T": (265, 42, 0.25, 0.05, 0.12)}),
    "LAE": Edit("left atrial enlargement", replace={"P2": (-112, 22, 0.07, 0.03, 0.10)}),
    "LVOLT": Edit("low voltage",
                  replace={"R": (0, 9.5, 0.45, 0.28, 0.14), "S": (22, 8.5, -0.01, -0.05, 0.19),
                           "T": (265, 42, 0.12, 0.07, -0.08)}),
    "PRWP": Edit("poor R wave progression", replace={"R": (2, 9.5, 0.85, 0.60, 0.62)}),
}
EDIT_NAMES = tuple(EDITS)
FINER_NAMES = tuple(FINER_EDITS)
#: All thirty, the twelve first: the order of the columns of severities and of the rows of the arrays below.
ALL_NAMES = (*EDIT_NAMES, *FINER_NAMES)
#: The thirteen classes.
CLASSES = ("NORM", *EDIT_NAMES)

#: A ventricular premature beat; its focus is the same in all patients, so its vector points to the left in all.
VENTRICULAR: Mapping[str, Wavelet] = {
    "VR": (-5, 26, 1.10, 0.20, 0.30),
    "VR2": (42, 24, 0.50, 0.35, 0.60),
    "VT": (300, 52, -0.32, -0.12, -0.20),
}

_ALL_EDITS: Mapping[str, Edit] = {**EDITS, **FINER_EDITS}
#: All wavelets that any beat may have, in a fixed order: the slots of the arrays below. Those of the finer diseases
#: come last, so that the random numbers of the others do not depend on them.
SLOTS = (*NORMAL, *(slot for edit in EDITS.values() for slot in edit.add), *VENTRICULAR,
         *(slot for edit in FINER_EDITS.values() for slot in edit.add))
ATRIAL = ("P1", "P2")
IS_ATRIAL = np.array([slot in ATRIAL for slot in SLOTS])
IS_PLATEAU = np.array([slot.startswith("ST ") for slot in SLOTS])
IS_REPOLARISATION = np.array([slot.startswith(("T", "ST ")) or slot == "VT" for slot in SLOTS])
IS_DEPOLARISATION = ~(IS_ATRIAL | IS_REPOLARISATION)


def _normal() -> NDArray[np.float64]:
    """Values of all slots in a normal beat, `(n_slots, 5)`; what it lacks lies in its place with no amplitude."""
    table = np.zeros((len(SLOTS), 5))
    for edit in _ALL_EDITS.values():
        for slot, wavelet in edit.add.items():
            table[SLOTS.index(slot), :2] = wavelet[:2]
    for slot, wavelet in (*NORMAL.items(), *VENTRICULAR.items()):
        table[SLOTS.index(slot)] = wavelet
    return table


def _moves() -> NDArray[np.float64]:
    """What each edit adds to each slot at full severity, `(n_edits, n_slots, 5)`."""
    table = np.zeros((len(_ALL_EDITS), len(SLOTS), 5))
    for row, edit in enumerate(_ALL_EDITS.values()):
        for slot, wavelet in (*edit.replace.items(), *edit.add.items()):
            table[row, SLOTS.index(slot)] = np.array(wavelet) - BASE[SLOTS.index(slot)]
        for slot, milliseconds in edit.delay.items():
            table[row, SLOTS.index(slot), 0] += milliseconds
    return table


#: `(n_slots, 5)`: a normal beat.
BASE = _normal()
#: `(n_edits, n_slots, 5)`: the edits as displacements, so a mixture of diseases is a sum.
MOVES = _moves()
#: `(n_edits, n_slots)`: 1 where an edit lets a wavelet vanish.
DROPS = np.array([[float(slot in edit.drop) for slot in SLOTS] for edit in _ALL_EDITS.values()])
