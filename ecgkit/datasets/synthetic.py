"""The embedded default data, "simulated ECGs": a cohort of patients from the simulator, labelled as PTB-XL is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.ptbxl import SUPERCLASSES
from ecgkit.datasets.splits import assign_folds
from ecgkit.errors import EcgkitError
from ecgkit.simulator import CLASSES, EDIT_NAMES, Cohort
from ecgkit.simulator.keyed import Keyed

NAME = "simulated ECGs"
#: Superclasses of each disease. Atrial fibrillation is a rhythm, so by itself it has none, and is not NORM either.
#: Long QT and the ST elevation of an acute infarction are changes of ST and T; those that follow from a bundle branch
#: block, pre-excitation or an old infarction are counted with their cause.
SUPERCLASSES_OF: Mapping[str, tuple[str, ...]] = {
    "LBBB": ("CD",), "RBBB": ("CD",), "1AVB": ("CD",), "AMI": ("MI",), "AMI_acute": ("MI", "STTC"), "IMI": ("MI",),
    "IMI_acute": ("MI", "STTC"), "LVH": ("HYP",), "LQT": ("STTC",), "WPW": ("CD",), "LAFB": ("CD",), "AF": (),
}
#: The same of the finer diseases, by the superclass that PTB-XL gives their statements.
FINER_SUPERCLASSES_OF: Mapping[str, tuple[str, ...]] = {
    "ISCLA": ("STTC",), "ISCAN": ("STTC",), "ISCIN": ("STTC",), "NDT": ("STTC",), "STD": ("STTC",), "DIG": ("STTC",),
    "IRBBB": ("CD",), "IVCD": ("CD",), "LPFB": ("CD",), "ASMI": ("MI",), "LMI": ("MI",), "PMI": ("MI",),
    "IMI_mild": ("MI",), "VCLVH": ("HYP",), "RVH": ("HYP",), "LAE": ("HYP",), "LVOLT": (), "PRWP": (),
}
#: Diseases milder than this are not named by their superclass where severity decides, and ECGs with none that is
#: stronger than `NEARLY_NONE` are NORM: a reader would call them so.
NAMED_FROM, NEARLY_NONE = 0.25, 0.2
#: From this severity on, the strain of left ventricular hypertrophy turns T flat or negative in V5 and V6: STTC too.
STRAIN_FROM = 0.6
#: No patient has more ECGs than this; most have one.
MOST_VISITS = 3


def load(n_patients: int = 2000, *, seed: int = 0, fs: float = 100.0, seconds: float = 10.0,
         task: str = "superclass") -> ECGDataset:
    """Simulate a cohort of patients with one to three ECGs each (1.1 on average).

    Patients are the same however many are asked for: the first thousand of two thousand are the thousand. Only the
    folds, which are stratified over all, differ.

    Parameters
    ----------
    n_patients, seed : int
        Number of patients, at least 1; seed of everything.
    fs, seconds : float
        Sampling rate in Hz, and length of each ECG.
    task : {"superclass", "class"}
        Labels: PTB-XL's five superclasses (see `SUPERCLASSES_OF`), or the simulator's thirteen classes. Several may
        hold at once; NORM holds where no disease does.

    Returns
    -------
    ECGDataset
        `records` has `record`, `patient_id`, `visit`, `strat_fold` (1 to 10), `age` in years, `sex` (0 male,
        1 female), the true `heart_rate`, `pr_ms`, `qrs_ms`, `qt_ms`, `severity_<disease>` (0 to 1), and `seed` and
        `ecg_index`, by which `cohort_of` finds the truth.
    """
    if task not in ("superclass", "class"):
        raise EcgkitError(f"{NAME} have no task {task!r}; choose superclass or class")
    if n_patients < 1:
        raise EcgkitError(f"{n_patients} patients: give at least 1")
    cohort = Cohort(seed=seed, fs=fs, seconds=seconds, visits=MOST_VISITS)
    indices = _visits(seed, n_patients)
    records = cohort.records(indices)
    severity = records[[f"severity_{name}" for name in EDIT_NAMES]].to_numpy()
    names, labels = (SUPERCLASSES, superclass_labels(severity)) if task == "superclass" else \
        (CLASSES, class_labels(severity))
    records.insert(0, "record", [f"{k:06d}" for k in indices])
    records.insert(3, "strat_fold", assign_folds(records["patient_id"].to_numpy(), class_labels(severity), seed=seed))
    records["seed"] = seed
    return ECGDataset(cohort.signals(indices), records, labels, names, fs, NAME)


def cohort_of(data: ECGDataset) -> Cohort:
    """The cohort that a simulated dataset, or a part of one, was drawn from.

    Ask it for the truth about `data.records["ecg_index"]`: masks, counterfactuals, wave boundaries. Data that were not
    simulated raise `EcgkitError`.
    """
    if not {"seed", "ecg_index"} <= set(data.records.columns) or len(data) == 0:
        raise EcgkitError(f"{data.name} has no known truth; only data of ecgkit.datasets.synthetic.load has")
    return Cohort(seed=int(data.records["seed"].iloc[0]), fs=data.fs, seconds=data.sig_len / data.fs,
                  visits=MOST_VISITS)


def class_labels(severity: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Labels of the thirteen classes, `(n, 13)`, of severities `(n, 12)`."""
    present = severity > 0
    return np.concatenate([~present.any(axis=1, keepdims=True), present], axis=1).astype(np.uint8)


def superclass_labels(severity: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Labels of the five superclasses, `(n, 5)`, of severities `(n, 12)`."""
    labels = _strongest(severity, EDIT_NAMES) > 0
    labels[:, SUPERCLASSES.index("NORM")] = ~(severity > 0).any(axis=1)
    return labels.astype(np.uint8)


def severe_superclasses(severity: NDArray[np.float64], names: Sequence[str]) -> NDArray[np.uint8]:
    """Superclasses that a reader would name, `(n, 5)`, of severities `(n, len(names))` of some diseases."""
    labels = _strongest(severity, names) > NAMED_FROM
    labels[:, SUPERCLASSES.index("NORM")] = severity.max(axis=1) < NEARLY_NONE
    return labels.astype(np.uint8)


def _strongest(severity: NDArray[np.float64], names: Sequence[str]) -> NDArray[np.float64]:
    """Severity of the strongest disease of each superclass, `(n, 5)`; strain counts as one of STTC."""
    of = {**SUPERCLASSES_OF, **FINER_SUPERCLASSES_OF}
    strongest = np.zeros((len(severity), len(SUPERCLASSES)))
    for column, name in zip(severity.T, names, strict=True):
        for superclass in of[name]:
            place = SUPERCLASSES.index(superclass)
            strongest[:, place] = np.maximum(strongest[:, place], column)
    strain = severity[:, names.index("LVH")]
    place = SUPERCLASSES.index("STTC")
    strongest[:, place] = np.maximum(strongest[:, place], np.where(strain >= STRAIN_FROM, strain, 0))
    return strongest


def _visits(seed: int, n_patients: int) -> NDArray[np.int64]:
    """Numbers of the ECGs: each patient's first visit, a second in 8 %, a third in 2 %."""
    patient = np.arange(n_patients)
    chance = Keyed(seed).uniform("visits", patient, 1)[:, 0]
    count = 1 + (chance < 0.08).astype(int) + (chance < 0.02)
    return np.concatenate([k * MOST_VISITS + np.arange(n) for k, n in zip(patient, count, strict=True)])
