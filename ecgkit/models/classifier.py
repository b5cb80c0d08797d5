"""A multi-label classifier: an encoder, a linear head, and the labels, rate and window that they were trained for."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.models.windowed import WindowedModel


class Classifier(WindowedModel):
    """Logits of labels from ECGs in millivolts, of any length from one window on.

    A longer ECG is cut into evenly spaced, half-overlapping windows, whose logits are averaged.

    Parameters
    ----------
    encoder : Module
        From `(batch, 12, crop_len)` to `(batch, encoder.n_features)`.
    label_names : sequence of str
        One per logit.
    fs : float
        Sampling rate in Hz that the encoder expects.
    crop_len : int
        Samples of a window.
    millivolts : float
        One number for all leads by which signals are divided, so that limb-lead algebra and the heart vector's
        direction stay; the standard deviation of the training signals.
    dropout : float
        Before the linear layer.
    aggregate : {"mean", "max"}
        How the logits of windows become one.
    """

    def __init__(self, encoder: nn.Module, label_names: Sequence[str], *, fs: float, crop_len: int,
                 millivolts: float = 1.0, dropout: float = 0.5, aggregate: str = "mean") -> None:
        super().__init__(encoder, fs=fs, crop_len=crop_len, millivolts=millivolts)
        if aggregate not in ("mean", "max"):
            raise EcgkitError(f"aggregate {aggregate!r}: choose mean or max")
        self.head = nn.Sequential(nn.BatchNorm1d(self.n_features), nn.Dropout(dropout),
                                  nn.Linear(self.n_features, len(label_names)))
        self.label_names = tuple(label_names)
        self.aggregate = aggregate

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, 12, sig_len)` in mV to logits `(batch, n_labels)`."""
        crops = self.windows(x)
        logits = self.head(self.encoder(crops.flatten(0, 1))).unflatten(0, crops.shape[:2])
        return logits.mean(dim=1) if self.aggregate == "mean" else logits.amax(dim=1)

    def narrowed(self, label_names: Sequence[str]) -> Classifier:
        """Return a copy that gives only some of the labels, in the order given."""
        wanted = [self.label_names.index(name) for name in label_names]
        copy = deepcopy(self)
        linear = self.head[-1]
        assert isinstance(linear, nn.Linear)
        copy.head[-1] = nn.Linear(linear.in_features, len(wanted))
        copy.head[-1].load_state_dict({name: value[wanted] for name, value in linear.state_dict().items()})
        copy.label_names = tuple(label_names)
        return copy.train(self.training).to(self.millivolts.device)

    def predict(self, signals: NDArray[np.float32], batch_size: int = 64) -> NDArray[np.float64]:
        """Probabilities of the labels.

        Parameters
        ----------
        signals : ndarray, shape (n, 12, sig_len)
            Millivolts at `self.fs`.
        batch_size : int
            ECGs at a time.

        Returns
        -------
        ndarray, shape (n, n_labels)
        """
        logits = self.in_batches(signals, batch_size, n_outputs=len(self.label_names), doing="classifying")
        return torch.sigmoid(logits.double()).numpy()
