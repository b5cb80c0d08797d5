"""What the metrics of attributions do with maps: check them, smooth them, sum them over cells, order their samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from ecgkit.errors import EcgkitError

Array = NDArray[np.float64]
#: Milliseconds of the box that maps are smoothed with: a tenth of a beat, half a QRS.
BOX = 50.0


def same_shape(**arrays: NDArray[Any]) -> None:
    """Refuse arrays that are not all `(n, 12, sig_len)` of one shape.

    Raises
    ------
    EcgkitError
        Names two that differ.
    """
    (first, array), *others = arrays.items()
    if array.ndim != 3:
        raise EcgkitError(f"{first} has shape {array.shape}; expected (n, 12, sig_len)")
    for name, other in others:
        if other.shape != array.shape:
            raise EcgkitError(f"{first} has shape {array.shape} and {name} {other.shape}; both must be (n, 12, "
                              "sig_len) of the same ECGs")


def evidence(maps: NDArray[Any], signed: bool) -> Array:
    """What is to be looked for in maps: high values where `signed`, else large ones of either sign."""
    values = np.asarray(maps, dtype=np.float64)
    return values if signed else np.abs(values)


def usable(maps: NDArray[Any]) -> NDArray[np.bool_]:
    """Which ECGs have a finite map, `(n,)`."""
    return np.isfinite(maps).all(axis=(1, 2))


def smoothed(maps: NDArray[Any], fs: float, ms: float = BOX) -> Array:
    """Maps `(n, 12, sig_len)` at `fs` Hz, averaged over a box of `ms` milliseconds; ends are repeated."""
    samples = max(1, round(ms * fs / 1000))
    return uniform_filter1d(np.asarray(maps, dtype=np.float64), samples, axis=-1, mode="nearest")


def cell_sums(maps: NDArray[Any], cells: NDArray[np.integer[Any]]) -> Array:
    """Sum maps over cells.

    Parameters
    ----------
    maps : ndarray, shape (n, 12, sig_len)
    cells : ndarray of int, shape (n, 12, sig_len)
        Number of the cell that each sample belongs to, such as lead × segment; -1 for none.

    Returns
    -------
    ndarray, shape (n, n_cells)
        nan for cells that an ECG does not have.
    """
    same_shape(maps=maps, cells=cells)
    n, n_cells = len(cells), int(cells.max(initial=-1)) + 1
    inside = cells >= 0
    where = (np.arange(n)[:, None, None] * n_cells + cells)[inside]
    size = np.bincount(where, minlength=n * n_cells).reshape(n, n_cells)
    total = np.bincount(where, np.asarray(maps, dtype=np.float64)[inside], n * n_cells).reshape(n, n_cells)
    return np.where(size > 0, total, np.nan)


def places(values: Array) -> NDArray[np.intp]:
    """Place of each value of a row from the largest (0) down, `(n, n_values)`; equals in their order, nan last."""
    order = np.argsort(-values, axis=1, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.broadcast_to(np.arange(values.shape[1]), order.shape), axis=1)
    return place
