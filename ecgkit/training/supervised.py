"""Supervised training of a classifier, from random weights or from an encoder that has learnt before."""

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

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc, macro
from ecgkit.models.encoders import build_encoder
from ecgkit.models.windowed import Classifier
from ecgkit.training.checkpoint import Run, seeded
from ecgkit.training.loop import Schedule, fit
from ecgkit.transforms import Perturb, random_crop

#: Labels of fewer ECGs teach nothing beside the wanted ones.
LEAST_BESIDE = 10


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
    perturb : Perturb, optional
        Augmentation of the training windows; none by default, since it did not help on validation folds.
    beside_weight : float
        Of the mean cross-entropy of labels that are learnt beside the wanted ones.
    schedule : Schedule
    """

    encoder: str = "xresnet1d18"
    encoder_options: dict[str, Any] = field(default_factory=dict)
    crop_seconds: float = 2.5
    dropout: float = 0.5
    perturb: Perturb | None = None
    beside_weight: float = 5.0
    schedule: Schedule = field(default_factory=Schedule)


def train_classifier(train: ECGDataset, *, validation: ECGDataset | None = None,
                     settings: SupervisedSettings | None = None, seed: int = 0,
                     start: nn.Module | None = None, beside: ECGDataset | None = None,
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
    start : Module, optional
        An encoder of the same kind, whose weights are copied; random weights without it.
    beside : ECGDataset, optional
        The training ECGs with further, finer labels. They are learnt beside the wanted ones, which shares what their
        names tell (Caruana 1997, "Multitask learning"), and are dropped from the classifier in the end. Labels with
        fewer than ten ECGs are left out.
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
    n_wanted, further = len(train.label_names), _further(train, beside)
    model = new_classifier(train, settings, seed=seed, further=tuple(further), start=start)
    crop_len = model.crop_len
    labels = torch.from_numpy(np.column_stack([train.labels, *further.values()]).astype(np.float32))

    def loss(model: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
        x = torch.from_numpy(train.batch(batch.numpy())).to(device)
        x = random_crop(x, crop_len, generator)
        if settings.perturb:
            x = settings.perturb(x, train.fs, generator)
        logits, y = model(x), labels[batch].to(device)
        wanted = binary_cross_entropy_with_logits(logits[:, :n_wanted], y[:, :n_wanted])
        if not further:
            return wanted
        return wanted + settings.beside_weight * binary_cross_entropy_with_logits(logits[:, n_wanted:], y[:, n_wanted:])

    def validate(model: nn.Module) -> dict[str, float]:
        assert isinstance(model, Classifier)
        assert validation is not None
        probabilities = model.predict(validation.signals)[:, :n_wanted]
        return {"validation_auroc": float(macro(auroc(validation.labels, probabilities)))}

    run = Run(f"training {settings.encoder}", {"task": "supervised", "data": train, "beside": list(further),
                                               "start": model, "settings": settings}, seed, checkpoints, device)
    averaged, history = fit(model, loss, len(train), settings.schedule, run,
                            validate=validate if validation is not None and len(validation) else None)
    assert isinstance(averaged, Classifier)
    return averaged.narrowed(train.label_names), history


def _further(train: ECGDataset, beside: ECGDataset | None) -> dict[str, NDArray[np.uint8]]:
    """Further labels of the training ECGs by name; a name that the wanted labels have too is told apart."""
    if beside is None:
        return {}
    aligned = beside.aligned_to(train)
    return {f"beside {name}": column for name, column in zip(aligned.label_names, aligned.labels.T, strict=True)
            if column.sum() >= LEAST_BESIDE}


def new_classifier(train: ECGDataset, settings: SupervisedSettings, *, seed: int, further: tuple[str, ...] = (),
                   start: nn.Module | None = None) -> Classifier:
    """Build the classifier that `train_classifier` begins with, in training mode.

    Parameters
    ----------
    train : ECGDataset
        Its labels, rate and scale are the classifier's.
    settings : SupervisedSettings
    seed : int
        Of the initial weights.
    further : tuple of str
        Labels beside those of the data.
    start : Module, optional
        An encoder of the same kind, whose weights are copied.
    """
    crop_len = round(settings.crop_seconds * train.fs)
    if crop_len > train.sig_len:
        raise EcgkitError(f"{train.name}: ECGs of {train.sig_len / train.fs:g} s are shorter than the window of "
                          f"{settings.crop_seconds:g} s; lower crop_seconds")
    sample = train.batch(slice(0, 1024))
    with seeded(seed):
        encoder = build_encoder(settings.encoder, **settings.encoder_options)
        if start is not None:
            try:
                encoder.load_state_dict(start.state_dict())
            except RuntimeError:
                raise EcgkitError(f"the encoder to start from is no {settings.encoder} of the same size") from None
        return Classifier(encoder, (*train.label_names, *further), fs=train.fs, crop_len=crop_len,
                          millivolts=float(sample.std()) or 1.0, dropout=settings.dropout)
