"""Supervised training of a classifier, from random weights or a pretrained encoder, and its evaluation on a dataset."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ecgkit import __version__
from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc, best_f1_thresholds, macro, score_table
from ecgkit.models.encoders import build_encoder
from ecgkit.models.windowed import Classifier, Regressor
from ecgkit.training.checkpoint import Run, seeded
from ecgkit.training.few_labels import FewLabelClassifier
from ecgkit.training.loop import Schedule, fit
from ecgkit.training.measured import measured_loss
from ecgkit.transforms import Perturb, random_crop

#: Labels of fewer ECGs teach nothing beside the wanted ones.
LEAST_BESIDE = 10


@dataclass(frozen=True)
class SupervisedSettings:
    """What supervised training needs beyond the data.

    Parameters
    ----------
    encoder, encoder_options : str, dict
        A name of `ecgkit.models.ENCODERS`, and what is passed to it: widths, kernel size.
    crop_seconds : float
        Window that the classifier sees (2.5 s: Strodthoff et al. 2020).
    dropout, perturb : float, Perturb, optional
        Before the linear head; augmentation of the training windows, which did not help on validation folds.
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
    start : Module, optional
        An encoder of the same kind, whose weights are copied; random weights without it.
    beside : ECGDataset, optional
        The training ECGs with further, finer labels, learnt beside the wanted ones (Caruana 1997, "Multitask learning")
        and dropped from the classifier in the end. Labels with fewer than ten ECGs are left out.
    settings, seed, checkpoints, device
        `SupervisedSettings`, and see `ecgkit.training.Run`.

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
    validate = watch(validation, train)
    n_wanted, further = len(train.label_names), _further(train, beside)
    model = new_classifier(train, settings, seed=seed, further=tuple(further), start=start)
    crop_len = model.crop_len
    labels = torch.from_numpy(np.column_stack([train.labels, *further.values()]).astype(np.float32))

    def loss(model: Classifier, batch: Tensor, generator: torch.Generator) -> Tensor:
        x = windows(train, batch, crop_len, settings.perturb, generator, device)
        logits, y = model(x), labels[batch].to(device)
        wanted = binary_cross_entropy_with_logits(logits[:, :n_wanted], y[:, :n_wanted])
        if not further:
            return wanted
        return wanted + settings.beside_weight * binary_cross_entropy_with_logits(logits[:, n_wanted:], y[:, n_wanted:])

    run = Run(f"training {settings.encoder}", {"task": "supervised", "data": train, "beside": list(further),
                                               "start": model, "settings": settings}, seed, checkpoints, device)
    averaged, history = fit(model, loss, len(train), settings.schedule, run, validate=validate)
    return averaged.narrowed(train.label_names), history


def new_classifier(train: ECGDataset, settings: SupervisedSettings, *, seed: int, further: tuple[str, ...] = (),
                   start: nn.Module | None = None) -> Classifier:
    """Build the classifier that `train_classifier` begins with, in training mode, with `further` labels if wanted."""
    crop_len = round(settings.crop_seconds * train.fs)
    if crop_len > train.sig_len:
        raise EcgkitError(f"{train.name}: ECGs of {train.sig_len / train.fs:g} s are shorter than the window of "
                          f"{settings.crop_seconds:g} s; lower crop_seconds")
    with seeded(seed):
        return Classifier(encoder_from(start, settings.encoder, settings.encoder_options),
                          (*train.label_names, *further), fs=train.fs, crop_len=crop_len,
                          millivolts=float(train.batch(slice(0, 1024)).std()) or 1.0, dropout=settings.dropout)


def train_regressor(train: ECGDataset, values: Any, units: Mapping[str, str], *,
                    settings: SupervisedSettings | None = None, seed: int = 0, start: nn.Module | None = None,
                    checkpoints: str | Path | None = None, device: str = "cpu") -> tuple[Regressor, pd.DataFrame]:
    """Train a regressor of quantities of a dataset's ECGs (Huber's loss, over what is known).

    `values` `(n, n_quantities)`, nan where not known, stand in place of labels; `units` names the columns with their
    units. Outputs are eighths of the range between the 1st and the 99th percentile of the values, from its middle. The
    rest is as of `train_classifier`. Values of another shape, and a quantity that is unknown of all ECGs or the same in
    all, raise `EcgkitError`.
    """
    settings, known = settings or SupervisedSettings(), np.asarray(values, dtype=np.float64)
    if known.shape != (len(train), len(units)):
        raise EcgkitError(f"values of shape {known.shape} for {len(train)} ECGs and {len(units)} units")
    low, high = np.nanpercentile(np.where(np.isfinite(known).any(axis=0), known, 0), [1, 99], axis=0)
    for name in np.array(list(units))[low == high]:
        raise EcgkitError(f"{name}: unknown of all training ECGs, or the same in all; it cannot be learnt")
    centre, scale = (low + high) / 2, (high - low) / 8
    plain = new_classifier(replace(train, labels=np.zeros(known.shape, np.uint8), label_names=tuple(units)), settings,
                           seed=seed, start=start)
    model = Regressor(plain.encoder, plain.label_names, units=tuple(units.values()), fs=plain.fs, centre=centre,
                      scale=scale, crop_len=plain.crop_len, millivolts=float(plain.millivolts))
    model.head = plain.head
    targets = torch.from_numpy(((known - centre) / scale).astype(np.float32))

    def loss(model: Regressor, batch: Tensor, generator: torch.Generator) -> Tensor:
        x = windows(train, batch, model.crop_len, settings.perturb, generator, device)
        return measured_loss(model(x), targets[batch].to(device))

    identity = {"task": "regression", "data": train, "start": model, "values": zlib.crc32(known.tobytes()),
                "settings": settings}
    return fit(model, loss, len(train), settings.schedule,
               Run(f"training {settings.encoder} to read {', '.join(units)}", identity, seed, checkpoints, device))


def encoder_from(start: nn.Module | None, name: str, options: dict[str, Any]) -> nn.Module:
    """A new encoder, with random weights or a copy of those of `start`."""
    encoder = build_encoder(name, **options)
    if start is not None:
        try:
            encoder.load_state_dict(start.state_dict())
        except RuntimeError:
            raise EcgkitError(f"the encoder to start from is no {name} of the same size") from None
    return encoder


def windows(data: ECGDataset, rows: Tensor, crop_len: int, perturb: Perturb | None, generator: torch.Generator,
            device: str) -> Tensor:
    """A window of some ECGs, each at a random place, perturbed: `(len(rows), 12, crop_len)` in mV."""
    x = random_crop(torch.from_numpy(data.batch(rows.numpy())).to(device), crop_len, generator)
    return perturb(x, data.fs, generator) if perturb else x


def watch(validation: ECGDataset | None, train: ECGDataset) -> Callable[[Classifier], dict[str, float]] | None:
    """What looks at a classifier in training: its macro AUROC on validation data, where there are any."""
    if validation is None:
        return None
    if (validation.label_names, validation.fs) != (train.label_names, train.fs):
        raise EcgkitError(f"{validation.name}: labels or rate differ from the training data's "
                          f"({', '.join(train.label_names)}; {train.fs:g} Hz)")

    def validate(model: Classifier) -> dict[str, float]:
        probabilities = model.predict(validation.signals)[:, :len(train.label_names)]
        return {"validation_auroc": float(macro(auroc(validation.labels, probabilities)))}

    return validate if len(validation) else None


def _further(train: ECGDataset, beside: ECGDataset | None) -> dict[str, NDArray[np.uint8]]:
    """Further labels of the training ECGs by name; a name that the wanted labels have too is told apart."""
    if beside is None:
        return {}
    aligned = beside.aligned_to(train)
    return {f"beside {name}": column for name, column in zip(aligned.label_names, aligned.labels.T, strict=True)
            if column.sum() >= LEAST_BESIDE}


def evaluate(classifier: Classifier | FewLabelClassifier, data: ECGDataset, *, validation: ECGDataset | None = None,
             n_boot: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Score every label, with 95 % intervals over patients.

    Parameters
    ----------
    classifier, data : Classifier or FewLabelClassifier, ECGDataset
        Of the same labels and rate.
    validation : ECGDataset, optional
        Where the thresholds of F1 are chosen; without it F1 is left out.
    n_boot, seed : int
        Bootstrap resamples, and their seed.

    Returns
    -------
    DataFrame
        See `ecgkit.evaluation.score_table`. Labels or a rate that differ raise `EcgkitError`.
    """
    for part in (data, validation):
        if part is not None and (part.label_names, part.fs) != (classifier.label_names, classifier.fs):
            raise EcgkitError(f"{part.name}: the classifier knows {', '.join(classifier.label_names)} at "
                              f"{classifier.fs:g} Hz, the data have {', '.join(part.label_names)} at {part.fs:g} Hz")
    says = classifier.predict_proba
    thresholds = best_f1_thresholds(validation.labels, says(validation.signals)) if validation else None
    return score_table(data.labels, says(data.signals), data.label_names, data.records["patient_id"].to_numpy(),
                       thresholds=thresholds, n_boot=n_boot, seed=seed)


def predictions_table(data: ECGDataset, probabilities: NDArray[np.float64]) -> pd.DataFrame:
    """One row per ECG: its name, its labels (`true_...`) and the probabilities (`p_...`), to be written as CSV."""
    truth = pd.DataFrame(data.labels, columns=[f"true_{name}" for name in data.label_names])
    predicted = pd.DataFrame(probabilities.round(4), columns=[f"p_{name}" for name in data.label_names])
    return pd.concat([data.records["record"], truth, predicted], axis=1)


def model_card(data: ECGDataset, settings: SupervisedSettings | dict[str, Any], *, seed: int,
               scores: pd.DataFrame) -> dict[str, Any]:
    """What a classifier was trained on (a set with folds), how it scored on the test fold, and what it is for.

    The dictionary survives JSON; `ecgkit.models.save_classifier` takes it.
    """
    scored = {str(name): round(float(value), 4) for name, value in scores["auroc"].items()}
    return {"data": data.name, "n_train": len(data.train), "n_test": len(data.test), "fingerprint": data.fingerprint(),
            "settings": settings if isinstance(settings, dict) else asdict(settings), "seed": seed,
            "test_auroc": scored, "ecgkit": __version__, "licence": "MIT",
            "intended_use": "research and teaching; not a medical device, not for decisions about patients",
            "limits": "trained and tested on one source of ECGs; other devices and populations were not tried"}
