"""Batched torch transforms of ECGs `(batch, 12, sig_len)`: crops and augmentations."""

from ecgkit.transforms.crop import every_crop, random_crop
from ecgkit.transforms.perturb import Perturb

__all__ = ["Perturb", "every_crop", "random_crop"]
