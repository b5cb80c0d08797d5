"""Neighbouring samples as channels: nets that work at half of the signal's rate read and write signals so."""

from __future__ import annotations

from torch import Tensor

#: Neighbouring samples that a first or a last layer takes as one.
FOLD = 2


def folded(x: Tensor) -> Tensor:
    """Map `(batch, channels, n)` to `(batch, FOLD * channels, n / FOLD)`: first samples' channels, then the next."""
    return x.unflatten(-1, (-1, FOLD)).transpose(2, 3).flatten(1, 2)


def unfolded(x: Tensor) -> Tensor:
    """Map `(batch, channels * FOLD, n / FOLD)` to `(batch, channels, n)`, each channel's samples side by side."""
    return x.unflatten(1, (-1, FOLD)).transpose(2, 3).flatten(2, 3)
