"""`Cohort`: an endless row of simulated ECGs, each a pure function of the seed and its number."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecgkit.errors import EcgkitError
from ecgkit.leads import N_LEADS, from_independent
from ecgkit.simulator import rhythm
from ecgkit.simulator.catalogue import ALL_NAMES, EDIT_NAMES
from ecgkit.simulator.heart import heart_vector, to_leads, wavelets
from ecgkit.simulator.keyed import Keyed
from ecgkit.simulator.noise import electrode_noise, noise_leads
from ecgkit.simulator.planted import PLANTS, planted
from ecgkit.simulator.population import Examination, examine
from ecgkit.simulator.waves import Intervals, Waves, intervals, waves

#: Samples of a lead computed at a time by each thread: enough ECGs to make a call of NumPy worth while.
CHUNK = 256_000
#: Bytes allocated and freed first: glibc then keeps freed blocks of up to this size for the next chunk, and does not
#: return them to the system, since fetching fresh memory costs as much as the arithmetic.
KEPT = 31 << 20


@dataclass(frozen=True)
class Cohort:
    """Simulated patients and their ECGs.

    ECG number `i` is visit `i % visits` of patient `i // visits`. It depends on `seed` and `i` alone: not on which
    other ECGs are asked for, in what order or how many at a time. Patients and rhythm are the same at every `fs`.

    Every method takes `indices`, ECG numbers, and most take `severity`, `(n, n_edits)` in the order of `edit_names`,
    which replaces the patients' own diseases and leaves all else as it is. There are 12 diseases, and 30 with `finer`.
    `doses`, `(n, n_plants)` in the order of `ecgkit.simulator.PLANTS`, are of planted features; none by default.
    `remove` names the diseases in question, all by default. The number of `threads`, by default one for each processor
    that may be used, does not change a result. What makes no sense raises `EcgkitError`.

    Parameters
    ----------
    seed, fs, seconds : int, float, float
        Seed of everything; sampling rate in Hz; length of an ECG.
    visits : int
        ECGs of each patient: same person, torso and diseases (an acute infarction is an old one from the second
        visit), another day.
    variation, noise : float
        How much patients differ: 1 as in life, 0 the standard torso with a regular 60/min. Factor of the noise at the
        electrodes.
    finer : bool
        Whether patients may also have the eighteen finer diseases (`ecgkit.simulator.FINER_EDITS`), and differ more
        in waves, axes and sinus rates, for pretraining; all else stays the same. No cardiologist has reviewed what they
        change in an ECG, and how common diseases are is not measured.

    Examples
    --------
    >>> cohort = Cohort(seed=0, fs=100)
    >>> x = cohort.signals(range(64))                       # (64, 12, 1000) in mV
    >>> sick = cohort.severity([5])                         # (1, 12)
    >>> healthy = cohort.counterfactual([5])                # the same ECG without any disease
    >>> where = cohort.truth_mask([5])                      # what the diseases change, lead by time
    """

    seed: int = 0
    fs: float = 100.0
    seconds: float = 10.0
    visits: int = 1
    variation: float = 1.0
    noise: float = 1.0
    finer: bool = False

    def __post_init__(self) -> None:
        if not 50 <= self.fs <= 2000:
            raise EcgkitError(f"simulated ECGs at {self.fs} Hz: give fs between 50 and 2000")
        if not 1 <= self.seconds <= 600:
            raise EcgkitError(f"simulated ECGs of {self.seconds} s: give seconds between 1 and 600")
        if self.visits < 1:
            raise EcgkitError(f"{self.visits} visits of each patient: give at least 1")
        if not (0 <= self.variation <= 1 and self.noise >= 0):
            raise EcgkitError(f"variation {self.variation}, noise {self.noise}: give a variation between 0 and 1 and a "
                              "noise of at least 0")

    @property
    def sig_len(self) -> int:
        """Samples of an ECG."""
        return round(self.seconds * self.fs)

    @property
    def edit_names(self) -> tuple[str, ...]:
        """Diseases that patients may have: the columns of every severity."""
        return ALL_NAMES if self.finer else EDIT_NAMES

    def severity(self, indices: ArrayLike) -> NDArray[np.float64]:
        """Severity of each disease of some ECGs, `(n, n_edits)`: 0 absent, 1 as in the catalogue."""
        return self._examine(_numbers(indices)).severity

    def without(self, indices: ArrayLike, remove: str | Iterable[str] | None = None, *,
                severity: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """Severities, `(n, n_edits)`, without some diseases; `EcgkitError` where there is no such disease."""
        reduced = self._examine(_numbers(indices), severity).severity.copy()
        names = self.edit_names if remove is None else (remove,) if isinstance(remove, str) else tuple(remove)
        unknown = [name for name in names if name not in self.edit_names]
        if unknown:
            raise EcgkitError(f"no disease {unknown[0]!r} to remove; there are {', '.join(self.edit_names)}")
        reduced[:, [self.edit_names.index(name) for name in names]] = 0
        return reduced

    def signals(self, indices: ArrayLike, *, severity: NDArray[Any] | None = None,
                doses: NDArray[Any] | None = None, threads: int | None = None) -> NDArray[np.float32]:
        """ECGs in millivolts, `(n, 12, sig_len)`.

        Limb-lead algebra holds exactly: noise is added at the electrodes, and III, aVR, aVL, aVF are derived from I
        and II.
        """
        def make(who: Examination) -> NDArray[np.float32]:
            leads = self._clean(who)
            if self.noise > 0:
                potential = electrode_noise(self._keyed, who.ids, who.respiration, self.fs, self.sig_len)
                leads += np.float32(self.noise) * noise_leads(potential)
            return leads

        return self._in_chunks(make, indices, severity, threads, doses)

    def clean(self, indices: ArrayLike, *, severity: NDArray[Any] | None = None, doses: NDArray[Any] | None = None,
              threads: int | None = None) -> NDArray[np.float32]:
        """ECGs without noise, `(n, 12, sig_len)`; see `signals`."""
        return self._in_chunks(self._clean, indices, severity, threads, doses)

    def counterfactual(self, indices: ArrayLike, remove: str | Iterable[str] | None = None, *,
                       severity: NDArray[Any] | None = None, threads: int | None = None) -> NDArray[np.float32]:
        """ECGs `(n, 12, sig_len)` of the same patients on the same day, with the same noise, but without some diseases.

        Without atrial fibrillation the rhythm is sinus rhythm.
        """
        return self.signals(indices, severity=self.without(indices, remove, severity=severity), threads=threads)

    def truth_mask(self, indices: ArrayLike, remove: str | Iterable[str] | None = None, *,
                   severity: NDArray[Any] | None = None, threads: int | None = None) -> NDArray[np.float32]:
        """How much some diseases change each sample of each lead, in millivolts, `(n, 12, sig_len)`.

        The absolute difference that their wavelets make in the clean ECG, lead field times change of the wavelets. The
        beats stay where they are, so for atrial fibrillation the mask holds the missing P waves and the f-waves.
        """
        def make(who: Examination) -> NDArray[np.float32]:
            return self._clean(who) - self._clean(who, who.severity * kept)

        kept = self.without([0], remove, severity=np.ones((1, len(self.edit_names))))
        return np.abs(self._in_chunks(make, indices, severity, threads))

    def waves(self, indices: ArrayLike, *, severity: NDArray[Any] | None = None) -> Waves:
        """True boundaries of P, QRS and T of every beat; the rule is in `ecgkit.simulator.waves`."""
        who = self._examine(_numbers(indices), severity)
        return waves(wavelets(who.severity, who.variation), self._beats(who), self.fs, self.seconds)

    def intervals(self, indices: ArrayLike, *, severity: NDArray[Any] | None = None) -> Intervals:
        """True PR, QRS, QT and RR of each ECG in milliseconds; PR is nan in atrial fibrillation."""
        return intervals(self.waves(indices, severity=severity))

    def records(self, indices: ArrayLike) -> pd.DataFrame:
        """Table of some ECGs: `ecg_index`, `patient_id`, `visit`, `age`, `sex`, intervals and severities."""
        ids = _numbers(indices)
        who, found, visit = self._examine(ids), self.intervals(ids), ids % self.visits
        return pd.DataFrame({
            "ecg_index": ids, "patient_id": ids // self.visits, "visit": visit, "age": np.round(who.age) + visit,
            "sex": who.sex, "heart_rate": found.heart_rate, "pr_ms": found.pr, "qrs_ms": found.qrs, "qt_ms": found.qt,
            **{f"severity_{name}": who.severity[:, k] for k, name in enumerate(self.edit_names)},
        })

    @property
    def _keyed(self) -> Keyed:
        return Keyed(self.seed)

    def _examine(self, ids: NDArray[np.int64], severity: NDArray[Any] | None = None,
                 doses: NDArray[Any] | None = None) -> Examination:
        """Patients and days of some ECGs, with other diseases, and planted features, where those are given."""
        who = examine(self._keyed, ids, self.visits, self.variation, finer=self.finer)
        if severity is not None:
            who = replace(who, severity=_checked(severity, len(ids), self.edit_names))
        return who if doses is None else replace(who, variation=planted(who.variation, doses))

    def _beats(self, who: Examination) -> rhythm.Beats:
        return rhythm.beats(self._keyed, who.ids, heart_rate=who.heart_rate, respiration=who.respiration,
                            variability=who.variability, ectopy=who.ectopy,
                            fibrillation=who.severity[:, EDIT_NAMES.index("AF")], seconds=self.seconds)

    def _clean(self, who: Examination, severity: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
        """Eight independent leads without noise; the wavelets of `severity`, the beats of `who`."""
        severity = who.severity if severity is None else severity
        vector = heart_vector(wavelets(severity, who.variation), self._beats(who), self.fs, self.sig_len)
        rhythm.add_f_waves(vector, self._keyed, who.ids, severity[:, EDIT_NAMES.index("AF")], self.fs)
        rhythm.breathe(vector, self._keyed, who.ids, who.respiration, who.breath_depth, self.fs)
        return to_leads(who.field, vector)

    def _in_chunks(self, make: Callable[[Examination], NDArray[np.float32]], indices: ArrayLike,
                   severity: NDArray[Any] | None, threads: int | None,
                   doses: NDArray[Any] | None = None) -> NDArray[np.float32]:
        """Twelve leads of what `make` gives eight leads of, a chunk of ECGs at a time."""
        ids = _numbers(indices)
        given = None if severity is None else _checked(severity, len(ids), self.edit_names)
        if doses is not None and np.shape(doses) != (len(ids), len(PLANTS)):
            raise EcgkitError(f"doses of shape {np.shape(doses)} for {len(ids)} ECGs: give ({len(ids)}, {len(PLANTS)}) "
                              f"numbers, in the order {', '.join(PLANTS)}")
        step = max(1, CHUNK // self.sig_len)
        np.empty(KEPT, dtype=np.uint8)
        out = np.empty((len(ids), N_LEADS, self.sig_len), dtype=np.float32)

        def fill(start: int) -> None:
            part = slice(start, start + step)
            mine, dose = (None if all_ is None else all_[part] for all_ in (given, doses))
            out[part] = from_independent(make(self._examine(ids[part], mine, dose)))

        with ThreadPoolExecutor(threads or _processors()) as pool:
            list(pool.map(fill, range(0, len(ids), step)))
        return out


def _checked(severity: NDArray[Any], n: int, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Severities that a caller gave for `n` ECGs."""
    given = np.asarray(severity, dtype=np.float64)
    if given.shape != (n, len(names)) or not ((given >= 0) & (given <= 1)).all():
        raise EcgkitError(f"severity of shape {given.shape} for {n} ECGs: give ({n}, {len(names)}) numbers "
                          f"between 0 and 1, in the order {', '.join(names)}")
    return given


def _processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _numbers(indices: ArrayLike) -> NDArray[np.int64]:
    """ECG numbers, checked."""
    ids = np.asarray(indices)
    if ids.ndim != 1 or (ids.size and (ids.dtype.kind not in "iu" or ids.min() < 0)):
        raise EcgkitError("ECG numbers: give a list of integers from 0 on")
    return ids.astype(np.int64)
