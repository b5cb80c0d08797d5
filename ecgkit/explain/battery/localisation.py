"""Whether an attribution, or an edit, lies where the truth is: pointing game, relevance mass and rank, IoU.

The truth is how much a disease changes each sample, in millivolts; what it changes by more than 50 uV is the true mask.
A metric is nan for an ECG without a true mask or without a map. Many samples of a map can be equal, as those of one
segment are in Shapley values of segments: they count as if drawn in random order, by what is expected then.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from ecgkit.errors import EcgkitError
from ecgkit.evaluation.checks import ratio

Array = NDArray[np.float64]
#: Milliseconds of the box that maps are smoothed with: a tenth of a beat, half a QRS.
BOX = 50.0


def same_shape(**arrays: NDArray[Any]) -> None:
    """Refuse arrays that are not all `(n, 12, sig_len)` of one shape; the error names two that differ."""
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
    """Sum maps over cells, `(n, n_cells)`; nan for cells that an ECG does not have."""
    same_shape(maps=maps, cells=cells)
    n, n_cells = len(cells), int(cells.max(initial=-1)) + 1
    inside = cells >= 0
    where = (np.arange(n)[:, None, None] * n_cells + cells)[inside]
    size = np.bincount(where, minlength=n * n_cells).reshape(n, n_cells)
    total = np.bincount(where, np.asarray(maps, dtype=np.float64)[inside], n * n_cells).reshape(n, n_cells)
    return np.where(size > 0, total, np.nan)


def places(values: Array) -> NDArray[np.intp]:
    """Place of each value of a row from the largest (0) down, `(n, n_values)`; equals in their order, nan last."""
    return np.argsort(-values, axis=1, kind="stable").argsort(axis=1)


#: Millivolts: what changes less is not seen on paper.
LEAST_MV = 0.05
Mask = NDArray[np.bool_]


def true_mask(truth_mv: NDArray[Any], threshold_mv: float = LEAST_MV) -> Mask:
    """Samples that the truth changes by more than a threshold, in either direction."""
    return np.abs(truth_mv) > threshold_mv


def pointing_game(maps: NDArray[Any], mask: Mask, tolerance: int = 0, *, signed: bool = False) -> Array:
    """Whether the largest attribution lies inside the true mask: 1 or 0 (Zhang et al. 2018).

    Of several that are equally large, the share inside. The mask is widened by `tolerance` samples on both sides,
    within its lead.
    """
    same_shape(maps=maps, mask=mask)
    values = evidence(maps, signed)
    wide = maximum_filter1d(mask, 2 * tolerance + 1, axis=-1, mode="constant") if tolerance else mask
    top = values == values.max(axis=(1, 2), keepdims=True)
    return ratio((top & wide).sum(axis=(1, 2)), top.sum(axis=(1, 2)), _known(maps, mask))


def relevance_mass(maps: NDArray[Any], mask: Mask, *, signed: bool = False) -> Array:
    """Share of all relevance that lies inside the true mask, 0 to 1 (Arras et al. 2022).

    Relevance is the absolute value, or, where `signed`, the positive values. A map without any has none inside: 0.
    """
    same_shape(maps=maps, mask=mask)
    values = np.maximum(evidence(maps, signed), 0)
    total = values.sum(axis=(1, 2))
    return ratio(values.sum(axis=(1, 2), where=mask), np.where(total > 0, total, 1), _known(maps, mask))


def relevance_rank(maps: NDArray[Any], mask: Mask, *, signed: bool = False) -> Array:
    """Share of the K most relevant samples that lies inside a true mask of K samples, 0 to 1 (Arras et al. 2022).

    Relevance is the absolute value, or, where `signed`, the value. A map that says nothing gets what chance gets.
    """
    same_shape(maps=maps, mask=mask)
    known, size = _known(maps, mask), mask.sum(axis=(1, 2))
    flat = np.where(known[:, None], evidence(maps, signed).reshape(len(maps), mask[0].size), 0)
    ordered = np.sort(flat, axis=1)[:, ::-1]
    last = np.take_along_axis(ordered, np.maximum(size - 1, 0)[:, None], axis=1)
    above, equal, inside = flat > last, flat == last, mask.reshape(flat.shape)
    drawn = (size - above.sum(axis=1)) / equal.sum(axis=1)
    return ratio((above & inside).sum(axis=1) + drawn * (equal & inside).sum(axis=1), size, known)


def iou(maps: NDArray[Any], mask: Mask, *, signed: bool = False) -> Array:
    """Intersection over union of the K most relevant samples and a true mask of K samples.

    It is r / (2 - r) of the `relevance_rank` r: beside `edit_iou` it says what an attribution reaches that is told how
    large the truth is.
    """
    rank = relevance_rank(maps, mask, signed=signed)
    return rank / (2 - rank)


def edit_iou(before: NDArray[Any], after: NDArray[Any], truth_mv: NDArray[Any], threshold_mv: float = LEAST_MV, *,
             signed: bool = False) -> Array:
    """Intersection over union of what an edit and what the truth changes by more than a threshold, 0 to 1.

    `truth_mv` is what the true counterfactual changes. `signed` counts as common only what is changed in the same
    direction; then it is the true counterfactual less the ECG, and not an absolute value.
    """
    same_shape(before=before, after=after, truth_mv=truth_mv)
    edit = np.asarray(after, dtype=np.float64) - before
    edited, true = np.abs(edit) > threshold_mv, true_mask(truth_mv, threshold_mv)
    both = edited & true
    if signed:
        both &= np.sign(edit) == np.sign(truth_mv)
    return ratio(both.sum(axis=(1, 2)), (edited | true).sum(axis=(1, 2)), _known(edit, true))


def _known(maps: NDArray[Any], mask: Mask) -> Mask:
    """ECGs with a map and a mask."""
    return usable(maps) & mask.any(axis=(1, 2))


def distance_to_truth(before: NDArray[Any], after: NDArray[Any], truth: NDArray[Any]) -> pd.DataFrame:
    """Compare edited ECGs with true counterfactuals.

    `truth` is `Cohort.counterfactual` in mV, with the same beats and noise, but for atrial fibrillation, without which
    the rhythm is another: there the distances have no meaning.

    Columns `rms` (mV; of after - truth over leads and time), `relative` (the same, divided by that of before - truth: 1
    for an explainer that does nothing, 0 for the truth) and `correlation` (of the edit with the true difference; 0 for
    an edit that is nothing). The latter two are nan where there is nothing to change.
    """
    if not before.shape == after.shape == truth.shape or before.ndim != 3:
        raise EcgkitError(f"ECGs of shapes {before.shape}, {after.shape} and {truth.shape}; all must be (n, 12, "
                          "sig_len)")
    edit, wanted = after.astype(np.float64) - before, truth.astype(np.float64) - before
    rms, needed = (np.sqrt((x**2).mean(axis=(1, 2))) for x in (edit - wanted, wanted))
    centred = [x - x.mean(axis=(1, 2), keepdims=True) for x in (edit, wanted)]
    product = (centred[0] * centred[1]).sum(axis=(1, 2))
    scale = np.sqrt((centred[0]**2).sum(axis=(1, 2)) * (centred[1]**2).sum(axis=(1, 2)))
    correlation = np.where(needed > 0, np.divide(product, scale, out=np.zeros(len(product)), where=scale > 0), np.nan)
    return pd.DataFrame({"rms": rms, "relative": ratio(rms, needed, needed > 0), "correlation": correlation})
