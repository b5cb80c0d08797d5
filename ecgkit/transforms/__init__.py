"""Batched torch transforms of ECGs `(batch, 12, sig_len)`: crops and augmentations."""

from ecgkit.transforms.crop import every_crop, random_crop
from ecgkit.transforms.disturb import (
           add_electrode_noise,
           add_emg,
           blank_group,
           blank_partially,
           blank_parts,
           keep_leads,
           time_out,
)
from ecgkit.transforms.perturb import Perturb, add_noise, add_wander, mask_leads, scale_gain
from ecgkit.transforms.vcg import transform_vcg

__all__ = ["Perturb", "add_electrode_noise", "add_emg", "add_noise", "add_wander", "blank_group", "blank_partially",
           "blank_parts", "every_crop", "keep_leads", "mask_leads", "random_crop", "scale_gain", "time_out",
           "transform_vcg"]
