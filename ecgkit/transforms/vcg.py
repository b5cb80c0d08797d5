"""Rotate and scale the heart vector: the augmentation of 3KG, as its projection and with the residual kept."""

from __future__ import annotations

import torch
from torch import Tensor

from ecgkit.errors import EcgkitError
from ecgkit.leads import DOWER, INVERSE_DOWER, N_LEADS

#: Infinitesimal rotations about X, Y and Z.
_ABOUT = torch.tensor([[[0, 0, 0], [0, 0, -1], [0, 1, 0]],
                       [[0, 0, 1], [0, 0, 0], [-1, 0, 0]],
                       [[0, -1, 0], [1, 0, 0], [0, 0, 0]]], dtype=torch.float64)


def transform_vcg(x: Tensor, angle: float = 45.0, scale: float = 1.5, keep_residual: bool = False,
                  generator: torch.Generator | None = None) -> Tensor:
    """Turn and stretch each ECG's heart vector at random (3KG, Gopal et al. 2021).

    Parameters
    ----------
    x : Tensor, shape (batch, 12, sig_len)
        Scaled by one number for all leads, if at all: a scale for each lead would break its geometry.
    angle : float
        Rotation about each axis is uniform from -angle to angle, in degrees.
    scale : float
        Stretch along each axis is uniform from 1 to `scale`, and inverted with probability 1/2.
    keep_residual : bool
        Keep what a dipole cannot carry (see `vcg_matrix`).
    generator : torch.Generator, optional
        Source of randomness, on the CPU.

    Returns
    -------
    Tensor, shape (batch, 12, sig_len)
        Limb leads obey Einthoven's and Goldberger's relations; with `keep_residual`, where those of `x` did.

    Raises
    ------
    EcgkitError
        Where there are not twelve leads, or `scale` is below 1.
    """
    if x.ndim != 3 or x.shape[1] != N_LEADS:
        raise EcgkitError(f"signal of shape {tuple(x.shape)}; the heart vector needs (batch, {N_LEADS}, sig_len)")
    if not scale >= 1:
        raise EcgkitError(f"scale is {scale}; give 1 (no stretch) or more")
    draw = torch.rand(3, len(x), 3, generator=generator, dtype=torch.float64)
    angles = torch.deg2rad(angle * (2 * draw[0] - 1))
    stretch = 1 + (scale - 1) * draw[1]
    stretch = torch.where(draw[2] < 0.5, 1 / stretch, stretch)
    return vcg_matrix(angles, stretch, keep_residual).to(x) @ x


def vcg_matrix(angles: Tensor, stretch: Tensor, keep_residual: bool = False) -> Tensor:
    """Change of the twelve leads, `(batch, 12, 12)`, that a rotation and then a stretch of the heart vector make.

    `angles`, `(batch, 3)`, are radians about X, then Y, then Z; `stretch`, `(batch, 3)`, factors along X, Y and Z. With
    D for Dower's matrix and D+ for its inverse (Edenbrandt & Pahlm 1988), it is D S R D+, what the rotated dipole alone
    gives (3KG); or, to `keep_residual`, I + D (S R - I) D+, which changes the dipole's part in the same way and leaves
    the rest of the signal as it was.
    """
    angles, stretch = angles.double(), stretch.double()
    spin = (torch.eye(3, dtype=torch.float64) + angles.sin()[..., None, None] * _ABOUT
            + (1 - angles.cos())[..., None, None] * (_ABOUT @ _ABOUT))
    change = stretch[..., None] * (spin[:, 2] @ spin[:, 1] @ spin[:, 0])
    to_leads, to_vcg = torch.from_numpy(DOWER), torch.from_numpy(INVERSE_DOWER)
    if keep_residual:
        return torch.eye(N_LEADS, dtype=torch.float64) + to_leads @ (change - torch.eye(3)) @ to_vcg
    return to_leads @ change @ to_vcg
