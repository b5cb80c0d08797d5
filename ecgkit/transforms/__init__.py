"""Batched torch transforms of ECGs `(batch, 12, sig_len)`: crops and augmentations."""

from ecgkit.transforms.augment import (
    Perturb,
    add_electrode_noise,
    add_emg,
    add_noise,
    add_wander,
    blank_group,
    blank_partially,
    blank_parts,
    every_crop,
    filtered,
    gaussian,
    keep_leads,
    mask_leads,
    random_crop,
    scale_gain,
    time_out,
)
from ecgkit.transforms.vcg import transform_vcg

__all__ = ["Perturb", "add_electrode_noise", "add_emg", "add_noise", "add_wander", "blank_group", "blank_partially",
           "blank_parts", "every_crop", "filtered", "gaussian", "keep_leads", "mask_leads", "random_crop", "scale_gain",
           "time_out", "transform_vcg"]
