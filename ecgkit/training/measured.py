"""Measurements and rules as features, in place of what an encoder makes of an ECG, and as what an encoder learns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from ecgkit.errors import EcgkitError
from ecgkit.models.weights import load_delineator
from ecgkit.physiology import COLUMNS, load_rules, measure
from ecgkit.physiology.verdicts import margins
from ecgkit.progress import track
from ecgkit.training.checkpoint import code_digest, run_file, weights_digest, whole
from ecgkit.training.probe import Features, Standard

#: ECGs that are measured and kept together.
CHUNK = 256
#: Standardised measurements are cut off here: one wrong boundary should not outweigh all else.
FURTHEST = 5.0
#: A measurement that fewer ECGs have is left out: what is known of some tells who they are.
LEAST_KNOWN = 0.3
#: Measurements are cut off so many interquartile ranges from the median: one wrong boundary should not outweigh all.
FURTHEST_TARGET = 3.0


@dataclass(frozen=True)
class MeasuredFeatures:
    """The measurements of an ECG (`ecgkit.physiology.measure`), where an encoder would give an embedding.

    With `rules`, also how far beyond its threshold each diagnostic rule is (`ecgkit.physiology.judge`).

    Age and sex are not among them: this is what the signal says to somebody who measures it.

    Parameters
    ----------
    fs, folder : float, path, optional
        Sampling rate in Hz; where measurements are kept, so that nothing is measured twice and a killed run goes on.
        They are found again by the signals themselves, the code that measures and the delineator.
    """

    fs: float
    folder: str | Path | None = None
    rules: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What is measured, and the rules, whose names are no measurement's."""
        return (*COLUMNS, *(load_rules()["rule"].unique() if self.rules else ()))

    @property
    def n_features(self) -> int:
        """How many measurements and rules there are."""
        return len(self.names)

    def embed(self, signals: NDArray[np.float32]) -> NDArray[np.float64]:
        """Measure signals `(n, 12, sig_len)` in mV: `(n, n_features)` in the units of `COLUMNS`, nan where unknown.

        Margins of rules are in steps (`ecgkit.physiology.rules.STEPS`), and age and sex count as unknown.
        """
        parts = [self._chunk(np.ascontiguousarray(signals[start:start + CHUNK], dtype=np.float32))
                 for start in track(range(0, len(signals), CHUNK), "measuring", unit="chunk")]
        found = np.concatenate([np.empty((0, len(COLUMNS))), *parts])
        return np.hstack([found, margins(found)]) if self.rules else found

    def identity(self) -> dict[str, object]:
        """What decides the measurements beside the signals."""
        return {"task": "measurements", "fs": self.fs, "rules": self.rules, "physiology": code_digest("physiology"),
                "delineator": weights_digest(load_delineator())}

    def _chunk(self, signals: NDArray[np.float32]) -> NDArray[np.float64]:
        if self.folder is None:
            return measure(signals, self.fs).table.to_numpy()
        # The rules follow from the measurements, which are kept alike with them and without.
        told = {**replace(self, rules=False).identity(), "shape": signals.shape,
                "signals": hashlib.sha256(signals.tobytes()).hexdigest()}
        file = run_file(self.folder, told).with_suffix(".npy")
        if not file.is_file():
            with whole(file) as partial, partial.open("wb") as stream:
                np.save(stream, measure(signals, self.fs).table.to_numpy())
        try:
            return np.asarray(np.load(file, allow_pickle=False), dtype=np.float64)
        except (ValueError, EOFError, OSError) as error:
            raise EcgkitError(f"{file}: the measurements are damaged; remove the file to measure anew") from error


@dataclass(frozen=True)
class Filled:
    """Measurements made fit for a linear model: none missing, none far out.

    A missing measurement becomes the `median` and is flagged by a 1; what is always missing together shares one flag,
    that of a feature in `flagged`. Measurements are standardised and cut off at `FURTHEST` standard deviations; flags
    stay 0 and 1, since a rare one would be made large. All is learnt without a label, so from all training ECGs.
    """

    median: NDArray[np.float64]
    standard: Standard
    flagged: NDArray[np.intp]

    @classmethod
    def of(cls, features: Features) -> Filled:
        """Learn from measurements `(n, n_features)`; one that is always missing is 0."""
        missing = np.isnan(features)
        known = np.where(missing.all(axis=0), 0.0, features)
        median = np.nanmedian(known, axis=0)
        partly = np.flatnonzero(missing.any(axis=0) & ~missing.all(axis=0))
        _, first = np.unique(missing[:, partly], axis=1, return_index=True)
        return cls(median, Standard.of(np.where(missing, median, features)), partly[np.sort(first)])

    def __call__(self, features: Features) -> NDArray[np.float64]:
        """Fill in measurements `(n, n_features)`: `(n, n_features + n_flags)`, all finite."""
        missing = np.isnan(features)
        values = self.standard(np.where(missing, self.median, features))
        return np.hstack([values.clip(-FURTHEST, FURTHEST), missing[:, self.flagged]])


def targets_of(measured: NDArray[np.floating]) -> NDArray[np.float32]:
    """Make measurements `(n, n_measurements)` fit to be learnt: around the median 0, cut off, of spread 1.

    The unit is the interquartile range, where there is one. What is unknown stays nan; so does all of a measurement
    that is known of fewer than `LEAST_KNOWN` of the ECGs, or of which all ECGs have the same.
    """
    x = np.asarray(measured, dtype=np.float64)
    few = np.isfinite(x).mean(axis=0) < LEAST_KNOWN
    known = np.where(few, 0.0, x)
    low, median, high = np.nanpercentile(known, [25, 50, 75], axis=0)
    spread = np.nanstd(known, axis=0)
    unit = np.where(high > low, high - low, np.where(spread > 0, spread, 1.0))
    z = ((known - median) / unit).clip(-FURTHEST_TARGET, FURTHEST_TARGET)
    spread = np.nanstd(z, axis=0)
    return np.where(few | (spread == 0), np.nan, z / np.where(spread > 0, spread, 1.0)).astype(np.float32)


def measured_loss(named: Tensor, targets: Tensor) -> Tensor:
    """Smooth L1 distance of measurements `(n, n_targets)` to `targets`, over those that are known (not nan)."""
    known = torch.isfinite(targets)
    total = smooth_l1_loss(named[known], targets[known], reduction="sum")
    return total / known.sum().clamp(min=1)  # 0 where nothing is known
