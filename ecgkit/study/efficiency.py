"""How far labels go: macro AUROC against the number of labelled ECGs, and the factor by which labels may be cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import Bootstrap, auroc, bootstrap, macro, paired_p, with_ends
from ecgkit.evaluation.checks import Array, check


@dataclass(frozen=True)
class Curve:
    """Macro AUROC of one method at each fraction of the labels, both increasing.

    `n_labels`, `(n_fractions,)`, are the labelled ECGs behind each of `fractions`, mean over seeds; `seeds` the macro
    AUROC of each seed on all test ECGs, of as many as a fraction has; `samples`, `(n_boot, n_fractions)`, the mean over
    seeds on each resample of the test patients, nan where a resample determines no label.
    """

    fractions: Array
    n_labels: Array
    seeds: tuple[Array, ...]
    samples: Array

    @cached_property
    def mean(self) -> Array:
        """Mean over seeds at each fraction, `(n_fractions,)`."""
        return np.array([values.mean() for values in self.seeds])

    @cached_property
    def rising(self) -> Array:
        """The mean, then each resample, made to never fall (Barlow et al. 1972): `(1 + n_boot, n_fractions)`."""
        rows = np.vstack([self.mean, self.samples])
        return np.stack([row if np.isnan(row).any() else isotonic_regression(row).x for row in rows])

    def has(self, fraction: float) -> bool:
        """Whether the curve was measured at a fraction."""
        return bool(np.isclose(self.fractions, fraction).any())

    def at(self, fraction: float) -> int:
        """Position of a fraction; EcgkitError where the curve was not measured there."""
        if not self.has(fraction):
            raise EcgkitError(f"no result at {fraction:g} of the labels; the curve has "
                              f"{', '.join(f'{f:g}' for f in self.fractions)}")
        return int(np.argmax(np.isclose(self.fractions, fraction)))


@dataclass(frozen=True)
class Reading:
    """A number read off a curve, with the ends of its 95 % interval, each of which may lie beyond what was measured.

    `beyond` is for each of the three 1 where the truth is at least the value, -1 where it is at most the value, which
    is then the last one that the curve supports, and 0 where the value is measured.
    """

    estimate: float
    low: float
    high: float
    beyond: tuple[int, ...] = (0, 0, 0)

    def __str__(self) -> str:
        """Return it for print, such as ``4.1 (2.2 to ≥ 10)``, or ``≥ 10`` where the whole interval lies beyond."""
        def text(value: float, sign: int) -> str:
            digits = 2 if value < 1 else 1 if value < 9.95 else 0
            return f"{('', '≥ ', '≤ ')[sign]}{value:,.{digits}f}"

        estimate, low, high = map(text, (self.estimate, self.low, self.high), self.beyond)
        return estimate if self.beyond in ((1, 1, 1), (-1, -1, -1)) else f"{estimate} ({low} to {high})"


def label_curve(y_true: Any, predictions: Mapping[Any, Sequence[Any]], n_labels: Mapping[Any, float],
                patient_id: Any, *, n_boot: int = 1000, seed: int = 0, resample_seeds: bool = False) -> Curve:
    """Score one method at every fraction of the labels and every seed, on the same test ECGs.

    `predictions` has for each fraction one array of probabilities `(n_test, n_labels)` per seed, and `n_labels` the
    ECGs whose labels were spent, those of validation included. Curves with the same `patient_id`, `n_boot` and `seed`
    hold the same resamples, so that their differences are paired. `resample_seeds` draws the training seeds with
    replacement too: intervals then hold the chance of training beside that of the test patients, and fractions and
    methods with equally many seeds draw the same ones, paired where a seed stands for a draw of the labels. EcgkitError
    is raised where a fraction lacks a prediction or its number of labels, numbers do not grow, or arrays do not fit
    together.
    """
    fractions = sorted(predictions)
    for fraction in fractions:
        if not len(predictions[fraction]) or fraction not in n_labels:
            raise EcgkitError(f"fraction {fraction:g} needs at least one prediction and its number of labels")
    counts = np.array([n_labels[fraction] for fraction in fractions], dtype=np.float64)
    if not len(counts) or not (counts[0] > 0 and (np.diff(counts) > 0).all()):
        raise EcgkitError(f"numbers of labels must be positive and grow with the fraction: {counts.tolist()}")
    scores = []
    for fraction in fractions:
        for k, run in enumerate(predictions[fraction]):
            try:
                truth, score = check(y_true, run)
            except EcgkitError as error:
                raise EcgkitError(f"run {k} at fraction {fraction:g}: {error}") from error
            scores.append(score)
    # All runs side by side as if they were labels: the resamples are drawn once.
    scored = bootstrap(auroc, np.tile(truth, len(scores)), np.hstack(scores), patient_id, n_boot=n_boot, seed=seed)
    estimate = macro(scored.estimate.reshape(len(scores), -1))
    samples = macro(scored.samples.reshape(n_boot, len(scores), -1))
    ends = np.cumsum([len(predictions[fraction]) for fraction in fractions])[:-1]
    return Curve(np.array(fractions), counts, tuple(np.split(estimate, ends)), np.column_stack([
        _mean_of_seeds(runs, seed if resample_seeds else None) for runs in np.split(samples, ends, axis=1)]))


def _mean_of_seeds(samples: Array, seed: int | None) -> Array:
    """Mean over a fraction's runs on each resample, `(n_boot, n_seeds)` to `(n_boot,)`; over drawn ones with a seed."""
    n_boot, n = samples.shape
    if seed is None:
        return samples.mean(axis=1)
    drawn = np.random.default_rng([seed, n]).integers(n, size=(n_boot, n))
    return np.take_along_axis(samples, drawn, axis=1).mean(axis=1)


def efficiency_table(curves: Mapping[str, Curve], reference: str) -> pd.DataFrame:
    """Score every method at every fraction, and compare it with the reference, on the same resamples.

    By (method, fraction): `n_labels`, `seeds` (how many), `auroc` (macro, mean over seeds), `lowest` and `highest` over
    seeds, `difference` (method - reference, paired), `_low` and `_high` of both, the ends of 95 % intervals over
    patients, and the difference's `p` (`paired_p`). Differences are nan for the reference, and at fractions that it
    lacks.
    """
    base = _reference(curves, reference)
    rows = {(name, fraction): _row(curve, k, None if name == reference else base) for name, curve in curves.items()
            for k, fraction in enumerate(curve.fractions.tolist())}
    return pd.DataFrame(rows.values(), index=pd.MultiIndex.from_tuples(rows, names=["method", "fraction"]))


def _row(curve: Curve, k: int, base: Curve | None) -> dict[str, float]:
    seeds, fraction = curve.seeds[k], curve.fractions[k]
    mean, samples = np.nan, np.full(len(curve.samples), np.nan)
    if base is not None and base.has(fraction):
        mean, samples = base.mean[base.at(fraction)], base.samples[:, base.at(fraction)]
    both = Bootstrap(np.array([curve.mean[k], curve.mean[k] - mean]),
                     np.column_stack([curve.samples[:, k], curve.samples[:, k] - samples]))
    low, high = both.interval()
    return {"n_labels": curve.n_labels[k], "seeds": len(seeds), "auroc": both.estimate[0], "lowest": seeds.min(),
            "highest": seeds.max(), "auroc_low": low[0], "auroc_high": high[0], "difference": both.estimate[1],
            "difference_low": low[1], "difference_high": high[1], "p": paired_p(both.samples[:, 1])}


def printed_efficiency(table: pd.DataFrame) -> pd.DataFrame:
    """Round an `efficiency_table` for print."""
    compared = with_ends(table, "difference", digits=3, sign="+", to=" to ")
    return pd.DataFrame({
        "labelled ECGs": table["n_labels"].map("{:,.0f}".format), "seeds": table["seeds"].map(str),
        "macro AUROC": with_ends(table, "auroc", digits=3),
        "over seeds": [f"{low:.3f}–{high:.3f}" for low, high in zip(table["lowest"], table["highest"], strict=True)],
        "difference": compared.where(table["p"].notna(), "")})


def labels_needed(curve: Curve, target: float) -> Reading:
    """How many labelled ECGs a method needs for a macro AUROC.

    The fewest at which its rising curve (`Curve.rising`), linear in log(labels) between its points, reaches `target`,
    with the interval of that over the resamples. Nothing is extrapolated: beyond the curve's ends the reading is a
    bound.
    """
    labels = _inverse(curve, np.full(1 + len(curve.samples), target))
    return _reading(labels, curve.n_labels[0], curve.n_labels[-1])


def labels_saved(curve: Curve, reference: Curve, at: float) -> Reading:
    """The factor by which a method cuts the labels that the reference needs, at equal macro AUROC.

    With `a` the method's macro AUROC from `n` labels, its fraction `at` of them, and `N(a)` the reference's
    `labels_needed` for `a`, the factor is ``N(a) / n``: 1 is no gain, 10 the same accuracy from a tenth of the labels.
    It answers the question of Al-Masud, Alcaraz & Strodthoff (2026, arXiv 2509.25095), here read off the measured
    points: no law is fitted. It is "at least" where the method beats the reference at all of its labels, "at most"
    where it is below the reference's lowest point.
    """
    _check_paired(curve, reference)
    k = curve.at(at)
    reached = np.append(curve.mean[k], curve.samples[:, k])
    n = curve.n_labels[k]
    return _reading(_inverse(reference, reached) / n, reference.n_labels[0] / n, reference.n_labels[-1] / n)


def labels_saved_table(curves: Mapping[str, Curve], reference: str) -> pd.DataFrame:
    """`labels_saved` of every method at every fraction, for print: ``4.1 (2.2 to ≥ 10)``; empty where it was not run.

    The column "10 %" is the one to quote: there the question is whether a tenth of the labels will do. A mean over
    columns is not defined where one of them is a bound, and the largest of several noisy factors flatters.
    """
    base = _reference(curves, reference)
    rows = {name: {f"{100 * at:g} %": str(labels_saved(curve, base, at)) if curve.has(at) else ""
                   for at in (0.01, 0.05, 0.1, 0.25)} for name, curve in curves.items() if name != reference}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def _inverse(curve: Curve, targets: Array) -> Array:
    """Labels at which each row of `curve.rising` first reaches its target; 0 below the row, inf above, nan unknown."""
    logs = np.log(curve.n_labels)
    found = np.full(len(targets), np.nan)
    for row, (target, rising) in enumerate(zip(targets, curve.rising, strict=True)):
        if np.isnan(target) or np.isnan(rising).any():
            continue
        k = int(np.searchsorted(rising, target))  # rising[k - 1] < target <= rising[k]
        if k == 0:
            found[row] = curve.n_labels[0] if target == rising[0] else 0
        elif k == len(rising):
            found[row] = np.inf
        else:
            share = (target - rising[k - 1]) / (rising[k] - rising[k - 1])
            found[row] = np.exp(logs[k - 1] + share * (logs[k] - logs[k - 1]))
    return found


def _reading(values: Array, least: float, most: float) -> Reading:
    """Sum up an estimate and its resamples; 0 and inf stand for values beyond `least` and `most`."""
    known = values[1:][~np.isnan(values[1:])]
    # An end is one of the values, so that none is ever halfway to infinity.
    ends = np.quantile(known, [0.025, 0.975], method="inverted_cdf") if len(known) else np.full(2, np.nan)
    read = np.array([values[0], *ends])
    beyond = np.where(read == np.inf, 1, np.where(read == 0, -1, 0)).tolist()
    estimate, low, high = np.clip(read, least, most).tolist()
    return Reading(estimate, low, high, tuple(beyond))


def _reference(curves: Mapping[str, Curve], reference: str) -> Curve:
    if reference not in curves:
        raise EcgkitError(f"no curve named {reference!r} to compare with; there are {', '.join(curves) or 'none'}")
    for curve in curves.values():
        _check_paired(curve, curves[reference])
    return curves[reference]


def _check_paired(curve: Curve, reference: Curve) -> None:
    if len(curve.samples) != len(reference.samples):
        raise EcgkitError(f"curves of {len(curve.samples)} and {len(reference.samples)} resamples cannot be paired; "
                          "give all methods the same patients, n_boot and seed")
