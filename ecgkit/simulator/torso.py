"""From the heart vector to the leads: rotation of the heart, lead field, and the nine electrodes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.leads import DOWER, INDEPENDENT, LEADS

#: Electrodes, in order; the right leg is the reference.
ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")

#: The eight independent leads from the electrodes' potentials, `(8, 9)`: I = LA - RA, II = LL - RA, and the chest
#: electrodes against the mean of the three limbs (Wilson's central terminal).
FROM_ELECTRODES = np.zeros((len(INDEPENDENT), len(ELECTRODES)))
FROM_ELECTRODES[0, :3] = (-1, 1, 0)
FROM_ELECTRODES[1, :3] = (-1, 0, 1)
FROM_ELECTRODES[2:, :3] = -1 / 3
FROM_ELECTRODES[2:, 3:] = np.eye(6)

_DOWER8 = DOWER[[LEADS.index(lead) for lead in INDEPENDENT]]


def rotation(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation matrices of the heart in the chest.

    Parameters
    ----------
    degrees : ndarray, shape (n, 3)
        Angles about Z (the frontal plane; positive turns the axis clockwise, towards the feet), about Y (the
        horizontal plane) and about X (the sagittal plane), applied in this order.

    Returns
    -------
    ndarray, shape (n, 3, 3)
    """
    turned = np.broadcast_to(np.eye(3), (len(degrees), 3, 3))
    for angle, (a, b) in zip(np.deg2rad(degrees).T, ((0, 1), (0, 2), (1, 2)), strict=True):
        turn = np.zeros((len(degrees), 3, 3))
        turn[:] = np.eye(3)
        turn[:, a, a] = turn[:, b, b] = np.cos(angle)
        turn[:, b, a] = np.sin(angle)
        turn[:, a, b] = -np.sin(angle)
        turned = turn @ turned
    return turned


def lead_field(degrees: NDArray[np.float64], gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eight independent leads from the heart vector, `(n, 8, 3)`.

    Parameters
    ----------
    degrees : ndarray, shape (n, 3)
        Rotation of the heart.
    gain : ndarray, shape (n, 8)
        Factor of each lead's row of Dower's matrix.
    """
    return gain[:, :, None] * _DOWER8 @ rotation(degrees)


def to_leads(field: NDArray[Any], vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Eight independent leads, `(n, 8, sig_len)` in mV."""
    return field.astype(np.float32) @ vector
