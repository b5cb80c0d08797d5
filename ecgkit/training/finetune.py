"""Fine-tuning in two stages: the head on the frozen encoder's embeddings first, then everything, gently."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.modules.batchnorm import _BatchNorm

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.models.windowed import Classifier, Embedder
from ecgkit.training.checkpoint import Run
from ecgkit.training.loop import fit
from ecgkit.training.probe import STRENGTHS, STRETCH, LinearProbe, fixed_steps, linear_probe
from ecgkit.training.supervised import watch, windows
from ecgkit.transforms import Perturb

#: The encoder's parameters are cut into so many parts by depth, each with one learning rate.
N_DEPTHS = 5


@dataclass(frozen=True)
class FinetuneSettings:
    """What fine-tuning needs beyond encoder and data.

    Parameters
    ----------
    strengths : sequence of float
        Of the first stage: values of C for `linear_probe` to choose from.
    steps, epochs, batch_size : int
        Of the second: the fewest optimiser steps; windows per labelled ECG, where that makes more; windows of a step.
    learning_rate, input_share : float
        Peak, of the head; share of it that the encoder's first layers have, rising by equal factors with depth
        (layer-wise decay, Howard & Ruder 2018).
    anchor : float
        Half of it times the squared distance of all weights to where the second stage begins, divided by the number of
        labelled ECGs, is added to the loss (L2-SP, Li et al. 2018).
    keep_statistics : bool
        Whether batch normalisation goes on with the means and variances of pretraining, or learns new ones.
    dropout, perturb, weight_decay, averaging
        As in `SupervisedSettings` and `Schedule`.
    """

    strengths: tuple[float, ...] = STRENGTHS
    steps: int = 300
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-3
    input_share: float = 0.1
    anchor: float = 0.0
    keep_statistics: bool = True
    dropout: float = 0.5
    weight_decay: float = 1e-2
    averaging: float = 0.99
    perturb: Perturb | None = None

    def steps_for(self, n_ecgs: int) -> int:
        """Optimiser steps for so many labelled ECGs, in whole stretches of `fixed_steps` where there are more."""
        more = -(-self.epochs * n_ecgs // (self.batch_size * STRETCH)) * STRETCH
        return self.steps if more <= self.steps else more


def finetune(embedder: Embedder, train: ECGDataset, *, validation: ECGDataset | None = None,
             settings: FinetuneSettings | None = None, seed: int = 0, probe: LinearProbe | None = None,
             checkpoints: str | Path | None = None, device: str = "cpu") -> tuple[Classifier, pd.DataFrame]:
    """Make a classifier of a pretrained encoder.

    Stage 1 cannot change the encoder: the head is fitted to embeddings. Stage 2 starts where it ended, with the same
    logits, and trains everything.

    Parameters
    ----------
    embedder : Embedder
        Left as it is.
    train : ECGDataset
        The labelled ECGs; their labels become the outputs.
    validation : ECGDataset, optional
        Watched, never trained on; the model after the last step is given whatever it scores.
    probe : LinearProbe, optional
        Stage 1, where it is done already: such as with the mean and spread of all training ECGs, labelled or not.
    settings, seed, checkpoints, device
        `FinetuneSettings`, and see `ecgkit.training.Run`; the seed is also of the folds of stage 1.

    Returns
    -------
    Classifier
        In eval mode.
    DataFrame
        One row per stretch of steps: `epoch`, `loss`, `learning_rate`, and `validation_auroc` where it was looked at.

    Raises
    ------
    EcgkitError
        Where rates or labels differ, there is no labelled ECG, or the ECGs are shorter than the window.
    """
    settings = settings or FinetuneSettings()
    check_fits(embedder, train)
    validate = watch(validation, train)
    probe = probe or linear_probe(embedder.embed(train.signals), train.labels, groups=train.records["patient_id"],
                                  seed=seed, strengths=settings.strengths)
    model = classifier_of(embedder, probe, train.label_names, dropout=settings.dropout).to(device)
    pull = _pull(model, settings.anchor / len(train))
    labels = torch.from_numpy(train.labels).float().to(device)
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]

    def loss(model: Classifier, batch: Tensor, generator: torch.Generator) -> Tensor:
        if settings.keep_statistics:
            # In eval mode inside a model that the loop has put in training mode.
            for module in norms:
                module.eval()
        drawn = torch.randint(len(train), (len(batch),), generator=generator)
        x = windows(train, drawn, embedder.crop_len, settings.perturb, generator, device)
        return binary_cross_entropy_with_logits(model(x), labels[drawn.to(device)]) + pull(model)

    schedule, n_items = fixed_steps(
        settings.steps_for(len(train)), batch_size=settings.batch_size, averaging=settings.averaging,
        learning_rate=settings.learning_rate, weight_decay=settings.weight_decay)
    run = Run("fine-tuning", {"task": "finetune", "data": train, "start": model, "settings": settings}, seed,
              checkpoints, device)
    return fit(model, loss, n_items, schedule, run, rates=learning_rates(model, settings.input_share),
               validate=validate)


def classifier_of(embedder: Embedder, probe: LinearProbe, label_names: tuple[str, ...], *,
                  dropout: float = 0.5) -> Classifier:
    """Join a copy of an encoder and a probe of its embeddings into a classifier, in eval mode, with the probe's logits.

    The head is linear, so that logits of windows have the mean that the embeddings' mean gives.
    """
    model = Classifier(deepcopy(embedder.encoder), label_names, fs=embedder.fs, crop_len=embedder.crop_len,
                       millivolts=float(embedder.millivolts), dropout=dropout)
    norm, _, linear = model.head
    assert isinstance(norm, nn.BatchNorm1d)
    assert isinstance(linear, nn.Linear)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    spread = torch.from_numpy(probe.standard.spread)
    with torch.no_grad():
        norm.running_mean.copy_(torch.from_numpy(probe.standard.mean))
        norm.running_var.copy_(spread.square())
        # What batch normalisation adds to the variance, taken back.
        norm.weight.copy_((spread.square() + norm.eps).sqrt() / spread)
        linear.weight.copy_(torch.from_numpy(probe.weight))
        linear.bias.copy_(torch.from_numpy(probe.bias))
    return model.eval()


def learning_rates(model: nn.Module, input_share: float) -> Callable[[str], float]:
    """Shares of the learning rate by a parameter's name: from `input_share` at the encoder's input to 1 at the head.

    Depth is the place among the parameters of the innermost encoder around it, so that the streams of a dual-stream
    encoder are alike.
    """
    encoders = [name for name, module in model.named_modules() if name and hasattr(module, "n_features")]
    inside: dict[str, list[str]] = {}
    for name, _ in model.named_parameters():
        around = [encoder for encoder in encoders if name.startswith(f"{encoder}.")]
        if around:
            inside.setdefault(max(around, key=len), []).append(name)
    shares = {name: input_share ** (1 - (N_DEPTHS * place // len(names)) / N_DEPTHS)
              for names in inside.values() for place, name in enumerate(names)}
    return lambda name: shares.get(name, 1.0)


def check_fits(embedder: Embedder, data: ECGDataset) -> None:
    """Raise EcgkitError where data have another rate than an encoder expects, or are shorter than its window."""
    if data.fs != embedder.fs:
        raise EcgkitError(f"{data.name}: {data.fs:g} Hz, and the encoder expects {embedder.fs:g} Hz; load the data "
                          f"at fs={embedder.fs:g}")
    if data.sig_len < embedder.crop_len:
        raise EcgkitError(f"{data.name}: ECGs of {data.sig_len / data.fs:g} s are shorter than the encoder's window "
                          f"of {embedder.crop_len / embedder.fs:g} s")


def _pull(model: nn.Module, strength: float) -> Callable[[nn.Module], Tensor | float]:
    """Half of the squared distance of a model's weights to those of `model` now, times `strength`."""
    if not strength:
        return lambda _: 0.0
    start = [parameter.detach().clone() for parameter in model.parameters()]

    def pull(moved: nn.Module) -> Tensor:
        pairs = zip(moved.parameters(), start, strict=True)
        return 0.5 * strength * torch.stack([(now - then).square().sum() for now, then in pairs]).sum()

    return pull
