"""What becomes of an answer when pieces of an ECG are replaced, and of a map when ECG or network changes a little.

Deletion, insertion, exchange and infidelity; consistency over retrained and randomised networks, and sensitivity.
Nothing is replaced by zeros, which no ECG has, but by a `replacement` of the same ECG: `players.interpolated` or
`players.normal_beats` of `ecgkit.explain.attribution`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import nn

from ecgkit.evaluation.checks import ratio
from ecgkit.explain.battery.localisation import Array, cell_sums, evidence, places, same_shape, smoothed, usable
from ecgkit.explain.results import classify
from ecgkit.leads import INDEPENDENT, from_independent

#: Where the whole exchange changes the logit by less, its course is that of noise.
LEAST_CHANGE = 0.1


@dataclass(frozen=True)
class ExchangeCurve:
    """Course of a logit f while one ECG becomes another.

    `share` `(n, n_steps + 1)` is how much was exchanged, 0 to 1, and `logits` of the same shape what f is then.
    """

    share: Array
    logits: Array

    @property
    def progress(self) -> Array:
        """(f - f_first) / (f_last - f_first), `(n, n_steps + 1)`: 0 at first and 1 at last.

        nan for ECGs whose whole exchange changes the logit by less than `LEAST_CHANGE`.
        """
        change = self.logits - self.logits[:, :1]
        whole = np.broadcast_to(change[:, -1:], change.shape)
        return ratio(change, whole, np.abs(whole) >= LEAST_CHANGE)

    @property
    def area(self) -> Array:
        """Integral of the progress over the share, `(n,)`: the higher, the earlier did the classifier turn.

        Of a linear classifier, 1/2 is expected in random order. Where a classifier goes beyond the end meanwhile, it
        may leave 0 to 1.
        """
        middle = (self.progress[:, 1:] + self.progress[:, :-1]) / 2
        return (middle * np.diff(self.share, axis=1)).sum(axis=1)


def _exchanged(classifier: nn.Module, x: NDArray[np.float32], into: NDArray[np.float32], masks: Iterable[NDArray[Any]],
               label: int, known: NDArray[np.bool_]) -> Array:
    """Logits of a label for the hybrids ``into * m + x * (1 - m)`` of each mask m, `(n, n_masks)`; nan if not known."""
    start, end, columns = x[known], into[known], []
    for mask in masks:
        column = np.full(len(x), np.nan)
        if known.any():
            m = mask[known].astype(np.float32)
            column[known] = classify(classifier, end * m + start * (1 - m))[:, label]
        columns.append(column)
    return np.stack(columns, axis=1)


STEPS = 12
Cells = NDArray[np.integer[Any]]


def deletion(classifier: nn.Module, x: NDArray[np.float32], replacement: NDArray[np.float32], maps: NDArray[Any],
             cells: Cells, label: int, *, n_steps: int = STEPS, signed: bool = False) -> ExchangeCurve:
    """Replace the cells of an ECG, the most important first, until none is left (Petsiuk et al. 2018).

    A cell's importance is the sum of its attributions' absolute values; where `signed`, of themselves: evidence for the
    label goes first, that against it last. Each of the `n_steps` is of the same number of cells, as near as may be, and
    one more pass of all ECGs: give all methods the same cells and steps. Samples of no cell stay.

    The curve's share is that of the cells. A high `area` is good: it is 1 less the area under the normalised curve
    (f - f_last) / (f_first - f_last), which other authors print and which is to be low.
    """
    return _in_order(classifier, x, replacement, maps, cells, label, n_steps, signed)


def insertion(classifier: nn.Module, x: NDArray[np.float32], replacement: NDArray[np.float32], maps: NDArray[Any],
              cells: Cells, label: int, *, n_steps: int = STEPS, signed: bool = False) -> ExchangeCurve:
    """Put the cells of an ECG back, the most important first, after all were replaced; otherwise as `deletion`.

    A high `area` is good, as everywhere in the literature.
    """
    same_shape(x=x, replacement=replacement, cells=cells)
    emptied = np.where(cells >= 0, replacement, x)
    return _in_order(classifier, emptied, x, maps, cells, label, n_steps, signed)


def infidelity(classifier: nn.Module, x: NDArray[np.float32], replacement: NDArray[np.float32], maps: NDArray[Any],
               label: int, *, box: tuple[int, int] = (3, 50), n_draws: int = 32, seed: int = 0,
               scaled: bool = True) -> Array:
    """How badly an attribution predicts what replacing a random box changes (Yeh et al. 2019, definition 2.1).

    INFD = E[(sum(I · map) - (f(x) - f(x - I)))²], where I is x less its replacement inside a box and 0 outside.

    Parameters
    ----------
    box : (int, int)
        Leads and samples of a box; it goes on at the other end where it leaves the ECG, so that every sample is as
        likely to be inside.
    n_draws, seed : int
        Boxes for each ECG, of which each costs a pass of all ECGs, and their seed: give all methods the same.
    scaled : bool
        Maps are first multiplied by the number (not below 0) that suits them best, and the result is divided by E[(f(x)
        - f(x - I))²]. Only so can methods of other units be compared: 0 is perfect, 1 is no better than a map of zeros.
        Otherwise the result is in squared logits.
    """
    same_shape(x=x, replacement=replacement, maps=maps)
    rng, known = np.random.default_rng(seed), usable(maps)
    removed = (np.asarray(x, dtype=np.float64) - replacement) * np.where(known[:, None, None], maps, 0)
    told, after = np.empty((2, len(x), n_draws))
    for draw in range(n_draws):
        inside = _boxes(x.shape, box, rng)
        told[:, draw] = removed.sum(axis=(1, 2), where=inside)
        after[:, draw] = classify(classifier, np.where(inside, replacement, x))[:, label]
    drop = classify(classifier, x)[:, label, None] - after
    if not scaled:
        return np.where(known, ((told - drop)**2).mean(axis=1), np.nan)
    size = (told**2).sum(axis=1)
    factor = np.maximum(ratio((told * drop).sum(axis=1), np.where(size > 0, size, 1), known), 0)
    whole = (drop**2).mean(axis=1)
    return ratio(((factor[:, None] * told - drop)**2).mean(axis=1), whole, known & (whole > 0))


def _in_order(classifier: nn.Module, start: NDArray[np.float32], end: NDArray[np.float32], maps: NDArray[Any],
              cells: Cells, label: int, n_steps: int, signed: bool) -> ExchangeCurve:
    same_shape(x=start, replacement=end, maps=maps, cells=cells)
    sums = cell_sums(evidence(maps, signed), cells)
    present = np.isfinite(cell_sums(np.zeros(cells.shape), cells))
    known = usable(maps) & present.any(axis=1)
    # Half a place in: no rounding decides then whether a cell comes before a step or after it.
    turn = np.where(present, ratio(places(sums) + 0.5, present.sum(axis=1, keepdims=True), known[:, None]), np.inf)
    # Samples of no cell, whose number is -1, take the last column.
    with_none = np.pad(turn, ((0, 0), (0, 1)), constant_values=np.inf)
    sample_turn = np.take_along_axis(with_none, cells.reshape(len(cells), -1), axis=1)
    steps = np.arange(n_steps + 1) / n_steps
    masks = ((sample_turn < step).reshape(cells.shape) for step in steps)
    logits = _exchanged(classifier, start, end, masks, label, known)
    done = (turn[:, :, None] < steps).sum(axis=1)
    return ExchangeCurve(ratio(done, present.sum(axis=1, keepdims=True), known[:, None]), logits)


def _boxes(shape: tuple[int, ...], box: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """A random box of leads × samples in each ECG, as a mask of `shape`."""
    n, *sizes = shape
    sides = [(np.arange(size) - rng.integers(size, size=(n, 1))) % size < side
             for size, side in zip(sizes, box, strict=True)]
    return sides[0][:, :, None] & sides[1][:, None, :]


def quac(classifier: nn.Module, x: NDArray[np.float32], counterfactual: NDArray[np.float32], maps: NDArray[Any] | None,
         label: int, fs: float, *, n_steps: int = STEPS, signed: bool = False) -> ExchangeCurve:
    """QuAC curve and score: the most important parts of an ECG become those of its counterfactual first.

    Without `maps`, importance is the counterfactual's own edit. It, and the edges of the mask m, are averaged over 50
    ms, so that no hybrid jumps from sample to sample. Beside the empty mask there are `n_steps`, each one more pass of
    all ECGs; their size grows as the square of the step, because a good explanation is a small part of the signal. The
    curve's `share` is ``|m|``, its `area` is the score.
    """
    importance = np.asarray(counterfactual, dtype=np.float64) - x if maps is None else maps
    same_shape(x=x, counterfactual=counterfactual, maps=importance)
    known = usable(importance) & usable(counterfactual)
    turn = (places(smoothed(evidence(importance, signed), fs).reshape(len(x), -1)) + 0.5) / x[0].size
    shares: list[Array] = []

    def masks() -> Iterator[Array]:
        for step in (np.arange(n_steps + 1) / n_steps)**2:
            mask = smoothed((turn < step).reshape(x.shape), fs)
            shares.append(mask.mean(axis=(1, 2)))
            yield mask

    logits = _exchanged(classifier, x, counterfactual, masks(), label, known)
    return ExchangeCurve(np.where(known[:, None], np.stack(shares, axis=1), np.nan), logits)


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
