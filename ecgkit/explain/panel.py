"""The classifiers of a study of explainers: what is explained, its twins, unseen judges, and three controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.leads import LEADS
from ecgkit.models.classifier import Classifier
from ecgkit.models.weights import load_classifier
from ecgkit.training.supervised import SupervisedSettings, new_classifier, train_classifier

#: What may be explained, and what it is.
KINDS = {
    "trained": "a network trained on the labels",
    "retrained": "the same, trained anew from another random start",
    "shuffled": "control: the same training on labels that were dealt out at random",
    "random": "control: random weights, not trained",
    "shortcut": "control: ECGs of one label bear an artefact, in training",
}
#: Seeds: a kind's own are apart from all others', so that no judge is ever a twin.
_FIRST_SEED = {kind: 1000 * (k + 1) for k, kind in enumerate(KINDS)}
JUDGE_SEED = 9000
#: The planted artefact: the hum of a railway's current, in one lead (16.7 Hz; the mains' 50 Hz cannot be sampled at
#: 100 Hz).
HUM_HZ, HUM_MV, HUM_LEAD = 16.7, 0.1, "V2"
#: Peak of the learning rate of encoders that are no residual nets.
GENTLE_RATE = 3e-3
_CALIBRATE_ON = 512


def train_explained(kind: str, data: ECGDataset, *, settings: SupervisedSettings, twins: Sequence[str] = (),
                    label: str = "", shipped: str = "", checkpoints: str | Path | None = None,
                    device: str = "cpu") -> tuple[Classifier, list[Classifier]]:
    """Train the classifier that is to be explained, and its twins, on the training folds.

    Parameters
    ----------
    kind : str
        A key of `KINDS`.
    data : ECGDataset
        With folds; fold 9 is watched, fold 10 is not touched.
    settings : SupervisedSettings
        The same for all.
    twins : sequence of str
        Encoder of each other network that is trained on the same ECGs.
    label : str
        Whose ECGs bear the artefact, for "shortcut".
    shipped : str
        Name or file of a trained classifier to explain instead of training one.
    checkpoints, device
        As of `ecgkit.training.train_classifier`.

    Returns
    -------
    Classifier, list of Classifier
        In eval mode.

    Raises
    ------
    EcgkitError
        For an unknown kind, or an unknown label of the shortcut.
    """
    if kind not in KINDS:
        raise EcgkitError(f"no kind {kind!r}; choose from {', '.join(KINDS)}")
    train, first = seen_in_training(kind, data, label), _FIRST_SEED[kind]
    if kind == "shuffled":
        order = np.random.default_rng(first).permutation(len(train))
        train = replace(train, labels=train.labels[order])

    def network(encoder: str, seed: int) -> Classifier:
        mine = for_encoder(encoder, settings)
        if kind == "random":
            return untrained(train, mine, seed)
        return train_classifier(train, validation=data.validation, settings=mine, seed=seed, checkpoints=checkpoints,
                                device=device)[0]

    explained = load_classifier(shipped) if shipped else network(settings.encoder, first)
    return explained, [network(encoder, first + 1 + k) for k, encoder in enumerate(twins) if encoder]


def seen_in_training(kind: str, data: ECGDataset, label: str = "") -> ECGDataset:
    """The training folds as networks of a kind see them; an explainer has to see the same, a planted artefact too."""
    return hummed(data.train, label) if kind == "shortcut" else data.train


def for_encoder(encoder: str, settings: SupervisedSettings) -> SupervisedSettings:
    """The same training for another encoder; state spaces and recurrent nets do not bear a residual net's step."""
    if "xresnet" in encoder:
        return replace(settings, encoder=encoder)
    return replace(settings, encoder=encoder, schedule=replace(settings.schedule, learning_rate=GENTLE_RATE))


def train_judges(data: ECGDataset, encoders: Sequence[str], *, settings: SupervisedSettings,
                 checkpoints: str | Path | None = None, device: str = "cpu") -> dict[str, Classifier]:
    """Train classifiers that no explainer ever sees, by name: each encoder with a seed of its own.

    An encoder that is named twice is trained twice.
    """
    judges = {}
    for k, encoder in enumerate(encoders):
        mine = for_encoder(encoder, settings)
        judges[f"{encoder} {k + 1}"], _ = train_classifier(data.train, validation=data.validation, settings=mine,
                                                           seed=JUDGE_SEED + k, checkpoints=checkpoints, device=device)
    return judges


def hum(n: int, sig_len: int, fs: float, seed: int = 0) -> NDArray[np.float32]:
    """The artefact alone, `(n, 12, sig_len)` in mV, each with a phase of its own."""
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, (n, 1))
    signal = np.zeros((n, len(LEADS), sig_len), dtype=np.float32)
    signal[:, LEADS.index(HUM_LEAD)] = HUM_MV * np.sin(2 * np.pi * HUM_HZ * np.arange(sig_len) / fs + phase)
    return signal


def hum_size(signals: NDArray[np.float32], fs: float) -> NDArray[np.float64]:
    """Amplitude of the artefact in each ECG, `(n,)` in mV: the spectrum of its lead at its frequency."""
    lead = signals[:, LEADS.index(HUM_LEAD)].astype(np.float64)
    window = np.hanning(lead.shape[-1])
    wave = np.exp(-2j * np.pi * HUM_HZ * np.arange(lead.shape[-1]) / fs)
    return 2 * np.abs(((lead - lead.mean(axis=-1, keepdims=True)) * window) @ wave) / window.sum()


def hummed(data: ECGDataset, label: str, seed: int = 0) -> ECGDataset:
    """The same ECGs; those with the label bear the artefact.

    Raises
    ------
    EcgkitError
        For an unknown label.
    """
    if label not in data.label_names:
        raise EcgkitError(f"no label {label!r} to plant the shortcut in; there are {', '.join(data.label_names)}")
    has = data.labels[:, data.label_names.index(label)].astype(bool)
    signals = np.array(data.signals)
    signals[has] += hum(int(has.sum()), data.sig_len, data.fs, seed)
    return replace(data, store=signals, rows=np.arange(len(data)), name=f"{data.name}, {label} with a hum")


def untrained(train: ECGDataset, settings: SupervisedSettings, seed: int) -> Classifier:
    """A classifier of random weights whose normalisation fits the ECGs, and whose logits spread as trained ones do."""
    model = new_classifier(train, settings, seed=seed)
    x = torch.from_numpy(np.array(train.batch(np.arange(min(len(train), _CALIBRATE_ON)))))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = None
            module.reset_running_stats()
    with torch.no_grad():
        for part in x.split(64):
            model.train()(part)
        model.eval()
        logits = torch.cat([model(part) for part in x.split(64)])
        linear = model.head[-1]
        assert isinstance(linear, nn.Linear)
        scale = 2.0 / logits.std(dim=0)
        linear.weight.mul_(scale[:, None])
        linear.bias.copy_((linear.bias - logits.mean(dim=0)) * scale)
    return model
