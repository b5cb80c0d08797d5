"""What every model on an encoder shares: its rate, its scale, its windows, and how arrays pass through it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.leads import N_LEADS
from ecgkit.progress import track
from ecgkit.transforms.crop import every_crop

#: So many batches last longer than a second or two, and get a progress bar.
MANY_BATCHES = 16


class WindowedModel(nn.Module):
    """An encoder that sees ECGs in millivolts, of any length, through evenly spaced windows.

    Parameters
    ----------
    encoder : Module
        From `(batch, 12, crop_len)` to `(batch, encoder.n_features)`.
    fs : float
        Sampling rate in Hz that the encoder expects.
    crop_len : int
        Samples of a window.
    millivolts : float
        One number for all leads by which signals are divided.
    """

    millivolts: Tensor

    def __init__(self, encoder: nn.Module, *, fs: float, crop_len: int, millivolts: float = 1.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.n_features = int(encoder.n_features)  # type: ignore[arg-type]
        self.fs = fs
        self.crop_len = crop_len
        self.register_buffer("millivolts", torch.tensor(float(millivolts)))

    def windows(self, x: Tensor) -> Tensor:
        """Scaled windows `(batch, n_windows, 12, crop_len)` of signals `(batch, 12, sig_len)` in mV.

        Raises
        ------
        EcgkitError
            For another shape, and for signals that are shorter than a window.
        """
        if x.ndim != 3 or x.shape[1] != N_LEADS:
            raise EcgkitError(f"signals of shape {tuple(x.shape)}; expected (batch, {N_LEADS}, sig_len)")
        return every_crop(x / self.millivolts, self.crop_len)

    @torch.no_grad()
    def in_batches(self, signals: NDArray[np.float32], batch_size: int, *, n_outputs: int, doing: str) -> Tensor:
        """Outputs `(n, n_outputs)` on the CPU for `(n, 12, sig_len)` in mV, in eval mode.

        A bar that says what it is `doing` counts the batches where there are many.
        """
        device = self.millivolts.device
        # Each module's own: a frozen encoder stays in eval mode inside a model in training.
        modes = [(module, module.training) for module in self.modules()]
        starts = range(0, len(signals), batch_size)
        parts = [torch.empty(0, n_outputs)]
        self.eval()
        try:
            for start in track(starts, doing, unit="batch") if len(starts) > MANY_BATCHES else starts:
                batch = np.array(signals[start:start + batch_size], dtype=np.float32)
                parts.append(self(torch.from_numpy(batch).to(device)).cpu())
        finally:
            for module, mode in modes:
                module.training = mode
        return torch.cat(parts)
