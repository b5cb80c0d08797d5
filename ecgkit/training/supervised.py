"""Supervised training of a classifier from scratch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc, macro
from ecgkit.models.classifier import Classifier
from ecgkit.models.encoders import build_encoder
from ecgkit.training.loop import Schedule, fit
from ecgkit.transforms.crop import random_crop
from ecgkit.transforms.perturb import Perturb


@dataclass(frozen=True)
class SupervisedSettings:
    """What supervised training needs beyond the data.

    Parameters
    ----------
    encoder : str
        A name of `ecgkit.models.ENCODERS`.
    encoder_options : dict
        Passed to the encoder: widths, kernel size.
    crop_seconds : float
        Window that the classifier sees (2.5 s: Strodthoff et al. 2020).
    dropout : float
        Before the linear head.
    perturb : Perturb
        Augmentation of the training windows.
    schedule : Schedule
    """

    encoder: str = "xresnet1d18"
    encoder_options: dict[str, Any] = field(default_factory=dict)
    crop_seconds: float = 2.5
    dropout: float = 0.5
    perturb: Perturb = field(default_factory=Perturb)
    schedule: Schedule = field(default_factory=Schedule)


def train_classifier(train: ECGDataset, *, validation: ECGDataset | None = None,
                     settings: SupervisedSettings | None = None, seed: int = 0,
                     checkpoints: str | Path | None = None, device: str = "cpu") -> tuple[Classifier, pd.DataFrame]:
    """Train a classifier of the labels of a dataset.

    Parameters
    ----------
    train : ECGDataset
        Its labels become the outputs.
    validation : ECGDataset, optional
        Watched, never trained on; the model after the last epoch is given whatever it scores.
    settings : SupervisedSettings, optional
    seed : int
        Of the initial weights, the batches, the windows and the perturbations.
    checkpoints : path, optional
        Folder in which an interrupted run is found again.
    device : str
        `cpu` or `cuda`.

    Returns
    -------
    Classifier
        In eval mode.
    DataFrame
        One row per epoch: `epoch`, `loss`, `learning_rate`, and `validation_auroc` where it was looked at.

    Raises
    ------
    EcgkitError
        Where validation data have other labels or another rate, or the data are shorter than the window.
    """
    settings = settings or SupervisedSettings()
    if validation is not None and (validation.label_names, validation.fs) != (train.label_names, train.fs):
        raise EcgkitError(f"{validation.name}: labels or rate differ from the training data's "
                          f"({', '.join(train.label_names)}; {train.fs:g} Hz)")
    model = _build(train, settings, seed).to(device)
    labels = torch.from_numpy(train.labels.astype(np.float32))

    def loss(model: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
        x = torch.from_numpy(train.batch(batch.numpy())).to(device)
        x = settings.perturb(random_crop(x, model.crop_len, generator), train.fs, generator)  # type: ignore[arg-type]
        return binary_cross_entropy_with_logits(model(x), labels[batch].to(device))

    def validate(model: nn.Module) -> dict[str, float]:
        assert isinstance(model, Classifier)
        assert validation is not None
        return {"validation_auroc": float(macro(auroc(validation.labels, model.predict(validation.signals))))}

    run = {"task": "supervised", "data": train.fingerprint(), **asdict(settings)} if checkpoints else None
    averaged, history = fit(model, loss, len(train), settings.schedule, seed=seed, checkpoints=checkpoints, run=run,
                            validate=validate if validation is not None and len(validation) else None,
                            description=f"training {settings.encoder}")
    assert isinstance(averaged, Classifier)
    return averaged, history


def _build(train: ECGDataset, settings: SupervisedSettings, seed: int) -> Classifier:
    crop_len = round(settings.crop_seconds * train.fs)
    if crop_len > train.sig_len:
        raise EcgkitError(f"{train.name}: ECGs of {train.sig_len / train.fs:g} s are shorter than the window of "
                          f"{settings.crop_seconds:g} s; lower crop_seconds")
    sample = train.batch(slice(0, 1024))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = build_encoder(settings.encoder, **settings.encoder_options)
        return Classifier(encoder, train.label_names, fs=train.fs, crop_len=crop_len,
                          millivolts=float(sample.std()) or 1.0, dropout=settings.dropout)
