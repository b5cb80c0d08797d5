"""Pretraining on the simulator: an encoder learns diseases and intervals from endless simulated ECGs.

No recording and no label of a hospital is needed, so what this saves in labels is saved for everybody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ecgkit.datasets.ptbxl import SUPERCLASSES
from ecgkit.datasets.synthetic import severe_superclasses
from ecgkit.leads import INDEPENDENT, LEADS
from ecgkit.models.encoders import build_encoder
from ecgkit.models.windowed import Classifier
from ecgkit.simulator import EDIT_NAMES, Cohort
from ecgkit.training.checkpoint import Run, seeded
from ecgkit.training.loop import Schedule, fit
from ecgkit.training.views import NUMBERS
from ecgkit.transforms import mask_leads, scale_gain

#: Seconds of the beat before and after its R peak.
BEFORE, AFTER = 0.24, 0.46
#: Millivolts up to which the drawing is linear; beyond it is logarithmic, so that P and T count beside QRS.
LINEAR_UP_TO = 0.1
_ROWS = [LEADS.index(lead) for lead in INDEPENDENT]


def beat_len(fs: float) -> int:
    """Samples of a beat at `fs` Hz."""
    return round((BEFORE + AFTER) * fs)


def clean_beats(cohort: Cohort, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """The normal beat nearest the middle of each ECG, without noise, baseline removed, in the eight independent leads.

    `(n, 8, beat_len)` as ``arcsinh(mV / LINEAR_UP_TO)`` for ECG numbers `(n,)`; nan beyond the ECG's ends, and for an
    ECG without a normal beat.
    """
    clean = cohort.clean(indices)[:, _ROWS]
    clean -= np.median(clean, axis=2, keepdims=True)
    found = cohort.waves(indices)
    r_peak = np.where(found.kind == 0, found.ms[:, :, 1, 1], np.nan) * cohort.fs / 1000
    away = np.where(np.isnan(r_peak), np.inf, np.abs(r_peak - cohort.sig_len / 2))
    middle = np.take_along_axis(r_peak, away.argmin(axis=1)[:, None], axis=1)
    at = np.nan_to_num(middle, nan=-cohort.sig_len) - round(BEFORE * cohort.fs) + np.arange(beat_len(cohort.fs))
    at = np.round(at).astype(np.intp)
    inside = (at >= 0) & (at < cohort.sig_len)
    drawn = np.take_along_axis(clean, np.where(inside, at, 0)[:, None], axis=2)
    return np.where(inside[:, None], np.arcsinh(drawn / LINEAR_UP_TO), np.float32(np.nan)).astype(np.float32)


#: Mean and spread in milliseconds by which the true intervals are standardised.
INTERVALS = {"pr": (160.0, 40.0), "qrs": (95.0, 25.0), "qt": (400.0, 45.0), "rr": (850.0, 200.0)}


@dataclass(frozen=True)
class SimulatedSettings:
    """What pretraining on the simulator needs.

    Parameters
    ----------
    encoder, encoder_options, fs, crop_seconds, finer
        As in `SupervisedSettings`, and of the simulated ECGs (`ecgkit.simulator.Cohort`).
    superclass_weight, interval_weight, beat_weight : float
        Beside the cross-entropy of the severities: of that of PTB-XL's five superclasses, which follow from them, of
        the squared error of the standardised intervals, and of that of the clean beat drawn from the noisy ECG (a
        network that only names diseases forgets the waves that real diseases change in other ways).
    gain, mask : float
        Of `ecgkit.transforms.scale_gain` and `mask_leads`.
    ecgs_per_epoch, schedule : int, Schedule
        Simulated ECGs that make an "epoch"; none is ever seen twice.
    """

    encoder: str = "xresnet1d18"
    encoder_options: dict[str, Any] = field(default_factory=dict)
    fs: float = 100.0
    crop_seconds: float = 2.5
    finer: bool = False
    superclass_weight: float = 0.0
    interval_weight: float = 0.03
    beat_weight: float = 0.0
    gain: float = 0.1
    mask: float = 0.0
    ecgs_per_epoch: int = 12_800
    schedule: Schedule = field(default_factory=lambda: Schedule(epochs=10, learning_rate=5e-3))


def pretrain_on_simulator(settings: SimulatedSettings | None = None, *, seed: int = 0,
                          checkpoints: str | Path | None = None,
                          device: str = "cpu") -> tuple[Classifier, pd.DataFrame]:
    """Train a network to tell the severity of diseases, PR, QRS, QT and RR, and what a clean beat looks like.

    Parameters
    ----------
    settings, seed, checkpoints, device
        `SimulatedSettings`, and see `ecgkit.training.Run`; the seed is also of the patients.

    Returns
    -------
    Classifier
        In eval mode. Its `encoder` is what other tasks start from. Its outputs are the diseases, the superclasses
        where they were learnt, and the standardised intervals (which are no logits).
    DataFrame
        One row per epoch: `epoch`, `loss`, `learning_rate`.
    """
    settings = settings or SimulatedSettings()
    cohort = Cohort(seed=seed, fs=settings.fs, seconds=settings.crop_seconds, finer=settings.finer)
    superclasses = SUPERCLASSES if settings.superclass_weight else ()
    n_edits, n_named = len(cohort.edit_names), len(cohort.edit_names) + len(superclasses)
    with seeded(seed):
        encoder = build_encoder(settings.encoder, **settings.encoder_options)
        model = Classifier(encoder, (*cohort.edit_names, *superclasses, *INTERVALS), fs=settings.fs,
                           crop_len=cohort.sig_len, dropout=0.2, millivolts=float(cohort.signals(range(256)).std()))
        learner = _Learner(model, len(INDEPENDENT) * beat_len(settings.fs) if settings.beat_weight else 0)

    def loss(learner: _Learner, batch: Tensor, generator: torch.Generator) -> Tensor:
        visits = torch.randint(NUMBERS, (len(batch),), generator=generator).numpy()
        x = scale_gain(torch.from_numpy(cohort.signals(visits)).to(device), settings.gain, generator)
        logits, drawn = learner(mask_leads(x, settings.mask, generator) if settings.mask else x)
        severity = cohort.severity(visits)
        # A disease counts the same however many there are beside it.
        value = n_edits / len(EDIT_NAMES) * _cross_entropy(logits[:, :n_edits], severity)
        if superclasses:
            value = value + settings.superclass_weight * _cross_entropy(
                logits[:, n_edits:n_named], severe_superclasses(severity, cohort.edit_names))
        value = value + settings.interval_weight * _squared_error(logits[:, n_named:], _intervals(cohort, visits))
        if settings.beat_weight:
            value = value + settings.beat_weight * _squared_error(drawn, clean_beats(cohort, visits))
        return value

    run = Run("pretraining on the simulator", {"task": "simulated", "settings": settings}, seed, checkpoints, device)
    averaged, history = fit(learner, loss, settings.ecgs_per_epoch, settings.schedule, run)
    return averaged.classifier, history


class _Learner(nn.Module):
    """A classifier of one window, and a head on the same features that draws the beat."""

    def __init__(self, classifier: Classifier, n_drawn: int) -> None:
        super().__init__()
        self.classifier = classifier
        width = classifier.n_features
        self.pen = nn.Sequential(nn.BatchNorm1d(width), nn.Dropout(0.2), nn.Linear(width, n_drawn)) if n_drawn else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map one window `(batch, 12, crop_len)` in mV to logits, and to the beat as one row, if it draws."""
        features = self.classifier.encoder(x / self.classifier.millivolts)
        return self.classifier.head(features), self.pen(features) if self.pen else None


def _cross_entropy(logits: Tensor, target: np.ndarray) -> Tensor:
    return binary_cross_entropy_with_logits(logits, torch.from_numpy(target.astype(np.float32)).to(logits.device))


def _squared_error(predicted: Tensor, target: np.ndarray) -> Tensor:
    """Mean squared error where the target is known."""
    truth = torch.from_numpy(target.reshape(len(target), -1)).to(predicted.device)
    known = torch.isfinite(truth)
    return (predicted - truth)[known].square().mean()


def _intervals(cohort: Cohort, visits: np.ndarray) -> np.ndarray:
    """Standardised intervals `(n, 4)`; nan where an ECG has none, such as PR in atrial fibrillation."""
    truth = cohort.intervals(visits)
    standard = [(getattr(truth, name) - mean) / spread for name, (mean, spread) in INTERVALS.items()]
    return np.stack(standard, axis=1).astype(np.float32)
