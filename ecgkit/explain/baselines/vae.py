"""Latent ascent: counterfactuals by gradients in the code of a variational autoencoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.explain.baselines.search import Aim, Search, descend
from ecgkit.explain.results import Counterfactuals, held
from ecgkit.models.autoencoder import Autoencoder, elbo_loss
from ecgkit.training.checkpoint import Run, seeded
from ecgkit.training.loop import Schedule, fit
from ecgkit.transforms import random_crop

#: Seconds of the windows that the autoencoder learns from.
SECONDS = 2.5
#: Weight of the divergence, and mV that the autoencoder need not draw.
BETA, NOISE_MV = 1.0, 0.05
#: Windows of each ECG in an epoch.
_EACH = 2


class LatentAscent(Search):
    """Gradients in the code of a VAE until the classifier is persuaded (Obermeyer et al. 2026 rise so, without target).

    The search starts from the ECG's own code and stops as soon as the target is reached. The counterfactual is
    ``x + (decoded(new code) - decoded(own code))``: what the autoencoder cannot draw of this ECG stays in it. The edit
    obeys the limb leads' algebra.

    Parameters
    ----------
    classifier, label_names
        As in `Search`.
    fs : float
        Sampling rate in Hz.
    plain : bool
        Whether the counterfactual is ``decoded(new code)`` instead, as published; it is smoother than an ECG.
    steps : int
        At most.
    learning_rate : float
        Adam's, in units of the code.
    schedule : Schedule
        Of the autoencoder's training.
    autoencoder : Autoencoder, optional
        A trained one: it knows nothing of the classifier, and serves several.
    """

    doing = "searching codes"

    def __init__(self, classifier: nn.Module, *, label_names: Sequence[str], fs: float, plain: bool = False,
                 steps: int = 60, learning_rate: float = 0.1, schedule: Schedule | None = None,
                 autoencoder: Autoencoder | None = None) -> None:
        super().__init__(classifier, label_names)
        self.fs, self.plain, self.steps, self.learning_rate = fs, plain, steps, learning_rate
        self.schedule, self.autoencoder = schedule, autoencoder
        self.history = pd.DataFrame()

    def fit(self, data: ECGDataset, *, seed: int = 0, checkpoints: str | Path | None = None) -> LatentAscent:
        """Train the autoencoder on ECGs at `fs`; `history` has one row for each epoch.

        Raises
        ------
        EcgkitError
            For another sampling rate, and for what `train_autoencoder` refuses.
        """
        if data.fs != self.fs:
            raise EcgkitError(f"{data.name} is at {data.fs:g} Hz; this explainer is for {self.fs:g} Hz")
        self.autoencoder, self.history = train_autoencoder(data, schedule=self.schedule, seed=seed,
                                                           checkpoints=checkpoints)
        return self

    def __call__(self, x: NDArray[np.float32], target: Mapping[str, Any]) -> Counterfactuals:
        """Counterfactuals of ECGs `(n, 12, sig_len)` in mV.

        Raises
        ------
        EcgkitError
            Before `fit`, where no autoencoder was given.
        """
        if self.autoencoder is None:
            raise EcgkitError("latent ascent has no autoencoder yet; call fit(data) first, or give a trained one")
        with held(self.autoencoder):
            return super().__call__(x, target)

    def _one(self, x: Tensor, aim: Aim, rows: NDArray[np.intp]) -> Tensor:
        vae = self.autoencoder
        assert vae is not None
        with torch.no_grad():
            code = vae.to(x.device).encode(x)[0]
            left_out = torch.zeros_like(x) if self.plain else x - vae.decode(code, x.shape[-1])
        return descend(self.classifier, aim, x, code, lambda new, at: left_out[at] + vae.decode(new, x.shape[-1]),
                       steps=self.steps, learning_rate=self.learning_rate)


def train_autoencoder(data: ECGDataset, *, schedule: Schedule | None = None, seed: int = 0,
                      checkpoints: str | Path | None = None, **options: Any) -> tuple[Autoencoder, pd.DataFrame]:
    """Train a VAE with such options of `Autoencoder` on random windows of ECGs.

    Returns
    -------
    Autoencoder
        In eval mode.
    DataFrame
        One row per epoch: `epoch`, `loss`, `learning_rate`.

    Raises
    ------
    EcgkitError
        For ECGs that are shorter than a window, and where the training diverges.
    """
    schedule = schedule or Schedule(epochs=20, batch_size=32, learning_rate=3e-3, weight_decay=1e-4)
    length = round(SECONDS * data.fs)
    if data.sig_len < length:
        raise EcgkitError(f"{data.name}: {data.sig_len} samples; the autoencoder's windows have {length}")
    with seeded(seed):
        model = Autoencoder(**options)

    def loss(model: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
        assert isinstance(model, Autoencoder)
        x = random_crop(torch.from_numpy(data.batch(batch.numpy() % len(data))), length, generator)
        return elbo_loss(model, x, BETA, NOISE_MV, generator)

    identity = {"task": "autoencoder", "data": data, "beta": BETA, "noise": NOISE_MV, **model.config}
    run = Run("training the autoencoder", identity, seed, checkpoints)
    averaged, history = fit(model, loss, _EACH * len(data), schedule, run)
    assert isinstance(averaged, Autoencoder)
    return averaged, history
