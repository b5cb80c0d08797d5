"""Whether an explanation is the network's and stays: retrained networks, randomised ones, and a little noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from ecgkit.evaluation.checks import ratio
from ecgkit.explain.battery.localisation import Array, cell_sums, evidence, same_shape, smoothed, usable
from ecgkit.leads import INDEPENDENT, from_independent


def correlation(a: NDArray[Any], b: NDArray[Any], *, ranked: bool = False) -> Array:
    """Correlation of two arrays `(n, ...)` ECG by ECG, -1 to 1; nan where one of them does not vary.

    Values that are not finite in either are left out. `ranked` is Spearman's instead of Pearson's; equals share their
    mean rank.
    """
    pair = [np.asarray(values, dtype=np.float64).reshape(len(values), -1) for values in (a, b)]
    known = np.isfinite(pair[0]) & np.isfinite(pair[1])
    if ranked:
        pair = [rankdata(np.where(known, values, np.inf), axis=1) for values in pair]
    first, second = (_centred(values, known) for values in pair)
    size = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    return ratio((first * second).sum(axis=1), size, size > 0)


def consistency(maps_a: NDArray[Any], maps_b: NDArray[Any], cells: NDArray[np.integer[Any]], fs: float) -> pd.DataFrame:
    """How alike are maps of the same ECGs that explain two retrained networks, one row per ECG.

    Columns (grain, form, correlation): `time`, samples after a box of 50 ms, or `segment`, sums over cells; `signed` or
    `absolute`, of absolute values; `pearson` or `spearman`.
    """
    same_shape(maps_a=maps_a, maps_b=maps_b, cells=cells)
    columns: dict[tuple[str, str, str], Array] = {}
    for form in ("signed", "absolute"):
        pair = [evidence(maps, form == "signed") for maps in (maps_a, maps_b)]
        for grain, reduced in (("time", [smoothed(maps, fs) for maps in pair]),
                               ("segment", [cell_sums(maps, cells) for maps in pair])):
            for name in ("pearson", "spearman"):
                columns[grain, form, name] = correlation(*reduced, ranked=name == "spearman")
    return pd.DataFrame(columns).rename_axis(columns=["grain", "form", "correlation"])


def randomisation(maps: NDArray[Any], maps_of_randomised: NDArray[Any]) -> Array:
    """Likeness of maps to those of a randomised network: Spearman of absolute values, `(n,)` (Adebayo et al. 2018).

    What explains the network differs: near 0. What shows edges of the signal, whatever the network, stays: near 1.
    """
    same_shape(maps=maps, maps_of_randomised=maps_of_randomised)
    return correlation(np.abs(maps), np.abs(maps_of_randomised), ranked=True)


def max_sensitivity(explain: Callable[[NDArray[np.float32]], NDArray[Any]], x: NDArray[np.float32], radius_mv: float,
                    *, n_draws: int = 10, seed: int = 0) -> Array:
    """How far a little noise can move a map: max ‖map(x + e) - map(x)‖ / ‖map(x)‖ (Yeh et al. 2019, definition 3.1).

    `explain` gives maps of ECGs `x`. The noise e is uniform within ± `radius_mv` in the eight independent leads, from
    which the other limb leads follow, as in every ECG; the maximum is over `n_draws`, each one more explanation. 0
    where nothing moves; nan for a map of zeros, or where one is not finite.
    """
    rng = np.random.default_rng(seed)
    maps = np.asarray(explain(x), dtype=np.float64)
    worst = np.zeros(len(x))
    for _ in range(n_draws):
        noise = from_independent(rng.uniform(-radius_mv, radius_mv, (len(x), len(INDEPENDENT), x.shape[2])))
        moved = np.asarray(explain((x + noise).astype(np.float32)), dtype=np.float64)
        worst = np.maximum(worst, np.sqrt(((moved - maps)**2).sum(axis=(1, 2))))
    size = np.sqrt((maps**2).sum(axis=(1, 2)))
    return ratio(worst, size, np.isfinite(worst) & usable(maps) & (size > 0))


def _centred(values: Array, known: NDArray[np.bool_]) -> Array:
    """Rows less their mean and within -1 and 1; 0 where not known, and all 0 in rows that do not vary."""
    highest = np.where(known, values, -np.inf).max(axis=1, initial=-np.inf)
    varies = highest > np.where(known, values, np.inf).min(axis=1, initial=np.inf)
    inside = known & varies[:, None]
    values = np.where(inside, values, 0)
    values = np.where(inside, values - values.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1), 1)[:, None], 0)
    size = np.abs(values).max(axis=1, initial=0)
    return values / np.where(size > 0, size, 1)[:, None]
