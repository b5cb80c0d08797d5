"""An embedder: an encoder with the rate, the window and the scale that it was pretrained for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ecgkit.models.windowed import WindowedModel


class Embedder(WindowedModel):
    """One embedding per ECG in millivolts, of any length from one window on.

    A longer ECG is cut into evenly spaced, half-overlapping windows, whose embeddings are averaged.

    Parameters
    ----------
    encoder : Module
        From `(batch, 12, crop_len)` to `(batch, encoder.n_features)`.
    fs : float
        Sampling rate in Hz that the encoder expects.
    crop_len : int
        Samples of a window.
    millivolts : float
        One number for all leads by which signals are divided; the standard deviation of the training signals.

    Attributes
    ----------
    n_features : int
        Length of an embedding.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Embed signals: `(n, 12, sig_len)` in mV at `self.fs` to `(n, n_features)`."""
        windows = self.windows(x)
        return self.encoder(windows.flatten(0, 1)).unflatten(0, windows.shape[:2]).mean(dim=1)

    def embed(self, signals: NDArray[np.float32], batch_size: int = 64) -> NDArray[np.float32]:
        """Embed an array, without gradients and in eval mode.

        Parameters
        ----------
        signals : ndarray, shape (n, 12, sig_len)
            Millivolts at `self.fs`.
        batch_size : int
            ECGs at a time.

        Returns
        -------
        ndarray of float32, shape (n, n_features)
        """
        return self.in_batches(signals, batch_size, n_outputs=self.n_features, doing="embedding").float().numpy()
