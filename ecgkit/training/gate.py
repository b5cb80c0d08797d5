"""Fits what the gate in front of every answer knows of ECGs: how their leads run together, and what is unusual."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from sklearn.covariance import ledoit_wolf
from torch import nn
from torch.nn.functional import cross_entropy

from ecgkit.datasets.base import ECGDataset
from ecgkit.models import Classifier, load_classifier
from ecgkit.models.novelty import Novelty
from ecgkit.physiology import measure
from ecgkit.physiology.electrodes import course, inputs

NETWORKS, HIDDEN, STEPS, BATCH = 5, 32, 1500, 256
LEARNING_RATE, WEIGHT_DECAY = 5e-3, 0.1
#: Standard deviation of what is added to the network's inputs, which are of the order of 1.
JITTER = 0.2
#: Quantiles of the distances that are kept: percentiles to a tenth.
QUANTILES = 1001


def fit_electrodes(courses: NDArray[np.float64], *, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights of the network of `ecgkit.physiology.electrodes`: the mean of `NETWORKS`, side by side as one.

    `courses` `(n, 8, 10)` are those of ECGs whose electrodes are taken to be right; the seed is of the weights and the
    batches of the first, and each of the others has the next.
    """
    x = torch.from_numpy(inputs(courses)).float()
    nets = [_fit(x, seed + k) for k in range(NETWORKS)]
    joined = {name: torch.cat([net[name] for net in nets], dim=int(name == "output.weight")) for name in nets[0]}
    return {**joined, "output.weight": joined["output.weight"] / NETWORKS}


def _fit(x: torch.Tensor, seed: int) -> dict[str, torch.Tensor]:
    """Weights of one network of `HIDDEN` units; `x` is of shape `(n, ways, n_inputs)`, the first way the right one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential()
        net.add_module("hidden", nn.Linear(x.shape[2], HIDDEN))
        net.add_module("tanh", nn.Tanh())
        net.add_module("output", nn.Linear(HIDDEN, 1, bias=False))
    optimiser = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=STEPS)
    right = torch.zeros(BATCH, dtype=torch.long)
    for _ in range(STEPS):
        batch = x[torch.randint(len(x), (BATCH,), generator=generator)]
        batch = batch + JITTER * torch.randn(BATCH, 1, x.shape[2], generator=generator)
        optimiser.zero_grad()
        cross_entropy(net(batch)[..., 0], right).backward()
        optimiser.step()
        schedule.step()
    return {name: value.detach().contiguous() for name, value in net.state_dict().items()}


def save_electrodes(data: ECGDataset, path: str | Path, *, seed: int = 0) -> None:
    """Measure ECGs, fit the network on them and write it, with how it was made in the metadata."""
    courses = course(measure(data.signals, data.fs).beats)
    save_file(fit_electrodes(courses, seed=seed), path,
              metadata={"made_by": "ecgkit.training.gate.save_electrodes", "data": data.name,
                        "n_ecgs": str(len(data)), "fingerprint": data.fingerprint(), "seed": str(seed)})


def fit_novelty(classifier: Classifier, data: ECGDataset, *, folds: int = 8) -> Novelty:
    """Fit how unlike training ECGs an ECG is.

    Mean and covariance (shrunk: Ledoit & Wolf 2004) are those of all of `data`; the distances with which an ECG is
    compared are those of each ECG of `data` to the others, in folds of patients.
    """
    embeddings = classifier.embedder().embed(data.signals).astype(np.float64)
    group = np.unique(data.records["patient_id"], return_inverse=True)[1] % folds
    distances = np.empty(len(embeddings))
    for fold in range(folds):
        distances[group == fold] = _gaussian(embeddings[group != fold]).distance(embeddings[group == fold])
    return replace(_gaussian(embeddings), distances=np.quantile(distances, np.linspace(0, 1, QUANTILES)))


def save_novelty(name: str, data: ECGDataset, path: str | Path) -> None:
    """Fit the novelty of a shipped classifier on its training ECGs and write it, with how it was made."""
    fit_novelty(load_classifier(name), data).save(path, {
        "made_by": "ecgkit.training.gate.save_novelty", "classifier": name, "data": data.name,
        "n_ecgs": str(len(data)), "fingerprint": data.fingerprint()})


def _gaussian(embeddings: NDArray[np.float64]) -> Novelty:
    mean = embeddings.mean(axis=0)
    variance, axes = np.linalg.eigh(ledoit_wolf(embeddings - mean, assume_centered=True)[0])
    return Novelty(mean, axes / np.sqrt(variance), np.zeros(1))
