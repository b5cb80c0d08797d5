"""Curves: training, ROC with intervals, reliability, scores with intervals side by side, and AUROC by labels."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc, bootstrap, ece, reliability, roc_band, roc_curve
from ecgkit.figures.style import FAINT, GREY, INK, PALETTE, WIDTH, panels, styled

#: Of many classifiers; the marker tells apart those of one colour.
_COLOURS = (*PALETTE, GREY)


@styled
def training_curve(history: pd.DataFrame) -> Figure:
    """`loss` over `epoch`, and `validation_auroc` (nan in epochs without one) where there was validation."""
    _need(history, "epoch", "loss")
    scored = history.get("validation_auroc", pd.Series(dtype=float)).dropna()
    n = 2 if len(scored) else 1
    figure = Figure(figsize=(WIDTH * (0.4 + 0.3 * n), 2.7), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, n))
    axes[0].plot(history["epoch"], history["loss"], color=PALETTE[0])
    axes[0].set(xlabel="epoch", ylabel="training loss", ylim=(0, 1.08 * history["loss"].max()))
    if len(scored):
        epoch = history.loc[scored.index, "epoch"]
        axes[1].plot(epoch, scored, color=PALETTE[1], marker="o", markersize=3)
        axes[1].set(xlabel="epoch", ylabel="validation macro AUROC")
        axes[1].annotate(f"{scored.iloc[-1]:.3f}", (epoch.iloc[-1], scored.iloc[-1]), xytext=(5, 0), va="center",
                         textcoords="offset points", annotation_clip=False)
        axes[1].margins(y=0.15)
    for ax in axes:
        ax.set_xlim(0, history["epoch"].max() * 1.02)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(axis="y", color=FAINT, linewidth=0.6)
    return figure


#: What pretraining is watched by, and what each panel calls it.
WATCHED = {"loss": "loss", "alignment": "alignment", "uniformity": "uniformity", "effective_rank": "effective rank",
           "knn": "kNN accuracy"}


@styled
def pretraining_curves(history: pd.DataFrame) -> Figure:
    """Those of `WATCHED` that there are over `epoch`, nan between looks; without a row, that nothing was trained."""
    if not len(history):
        figure = Figure(figsize=(WIDTH, 0.8))
        figure.text(0.5, 0.5, "This encoder was not trained.", ha="center", va="center", color=GREY)
        return figure
    names = [name for name in WATCHED if name in history and history[name].notna().any()]
    figure = Figure(figsize=(WIDTH, 2 * -(-len(names) // 3)), layout="constrained")
    axes = figure.subplots(-(-len(names) // 3), 3, squeeze=False).ravel()
    for ax, name in zip(axes, names, strict=False):
        seen = history[["epoch", name]].dropna()
        ax.plot(seen["epoch"], seen[name], color=PALETTE[0], marker="o" if len(seen) < 12 else None, markersize=3)
        ax.set(xlabel="epoch", title=WATCHED[name])
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        ax.grid(axis="y", color=FAINT, linewidth=0.6)
    for ax in axes[len(names):]:
        ax.set_axis_off()
    return figure


@styled
def roc_curves(y_true: Any, y_score: Any, label_names: Sequence[str], patient_id: Any, *, n_boot: int = 200,
               seed: int = 0) -> Figure:
    """ROC curve of each label in its own panel, with its pointwise 95 % band over patients.

    Parameters
    ----------
    patient_id : array_like, shape (n,)
        Whose ECG each row is.
    n_boot, seed : int
        Resamples of the bands; the intervals of the AUROC, which are written into the panels, take 1,000.
    """
    grid = np.linspace(0, 1, 201)
    low, high = roc_band(y_true, y_score, patient_id, grid, n_boot=n_boot, seed=seed)
    scores = bootstrap(auroc, y_true, y_score, patient_id, seed=seed)
    figure, axes = _panels(len(label_names))
    for k, ((fpr, tpr), ax, ends) in enumerate(zip(roc_curve(y_true, y_score), axes,
                                                   np.transpose(scores.interval()), strict=True)):
        ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        ax.fill_between(grid, low[k], high[k], color=PALETTE[0], alpha=0.22, linewidth=0)
        ax.plot(fpr, tpr, color=PALETTE[0], linewidth=1.5)
        said = f"{scores.estimate[k]:.3f}\n{ends[0]:.3f}–{ends[1]:.3f}"
        ax.text(0.98, 0.04, said if np.isfinite(scores.estimate[k]) else "one class only", ha="right", va="bottom",
                fontsize=8.5)
        ax.set_title(label_names[k])
    figure.supxlabel("false positive rate")
    figure.supylabel("true positive rate")
    return figure


@styled
def reliability_diagram(y_true: Any, y_score: Any, label_names: Sequence[str], *, n_bins: int = 10) -> Figure:
    """Share of positives against predicted probability, label by label, over a histogram of the probabilities.

    A calibrated classifier lies on the diagonal. The histogram's tallest bar is a quarter of the panel; a dot's area
    grows with its share of the ECGs. The `n_bins` are of equal width.
    """
    points = reliability(y_true, y_score, n_bins, label_names=label_names)
    errors = ece(y_true, y_score, n_bins=n_bins)
    figure, axes = _panels(len(label_names))
    for ax, name, error in zip(axes, label_names, errors, strict=True):
        mine = points[points["label"] == name]
        share = mine["n"] / mine["n"].sum()
        ax.bar((mine["bin"] + 0.5) / n_bins, share / share.max() / 4, width=0.9 / n_bins, color=FAINT, zorder=1)
        ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        ax.plot(mine["mean_score"], mine["positive_rate"], color=PALETTE[1], linewidth=1.1)
        ax.scatter(mine["mean_score"], mine["positive_rate"], s=8 + 60 * share, color=PALETTE[1], zorder=3, lw=0)
        ax.set_title(f"{name}\nECE {error:.3f}")
    figure.supxlabel("predicted probability")
    figure.supylabel("share of positives")
    return figure


@styled
def interval_plot(tables: pd.DataFrame | Mapping[str, pd.DataFrame], *, value: str = "auroc",
                  axis_label: str = "AUROC, with 95 % interval over patients") -> Figure:
    """Forest plot: scores with 95 % intervals, one line per label, one colour per classifier.

    Parameters
    ----------
    tables : DataFrame, or mapping of a classifier's name to its DataFrame
        Indexed by label, with the columns `value`, `value_low` and `value_high`: see `ecgkit.evaluation.score_table`.
    value : str
        Column to draw.
    axis_label : str
        What it is.
    """
    given = {"": tables} if isinstance(tables, pd.DataFrame) else dict(tables)
    if not given:
        raise EcgkitError("no table to draw")
    columns = [value, f"{value}_low", f"{value}_high"]
    for table in given.values():
        _need(table, *columns)
    labels = next(iter(given.values())).index
    step = 0.8 / len(given)
    figure = Figure(figsize=(WIDTH, 0.9 + (0.2 + 0.17 * len(given)) * len(labels)), layout="constrained")
    ax = figure.subplots()
    for k, (name, table) in enumerate(given.items()):
        rows = table.reindex(labels)
        y = np.arange(len(labels)) + step * (k - (len(given) - 1) / 2)
        colour, marker = _COLOURS[k % len(_COLOURS)], "os^"[k // len(_COLOURS) % 3]
        ax.hlines(y, rows[columns[1]], rows[columns[2]], color=colour, linewidth=1.8)
        ax.plot(rows[value], y, marker, color=colour, markersize=5, label=name or None)
        for height, (score, low, high) in zip(y, rows[columns].to_numpy(), strict=True):
            ax.text(1.02, height, f"{score:.3f} ({low:.3f}–{high:.3f})" if np.isfinite(score) else "one class only",
                    transform=ax.get_yaxis_transform(), va="center", fontsize=8.5)
    if any((table[columns[1]] < 0).any() for table in given.values()):
        ax.axvline(0, color=GREY, linewidth=1)  # differences: on which side of none
    if "macro" in labels:
        ax.axhline(list(labels).index("macro") - 0.5, color=GREY, linewidth=0.6)
    ax.set(yticks=range(len(labels)), yticklabels=labels, ylim=(len(labels) - 0.5, -0.5), xlabel=axis_label)
    ax.grid(axis="x", color=FAINT, linewidth=0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    if len(given) > 1:
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper left", ncols=len(given))
    return figure


#: One per method, so that lines are told apart in grey too; the dot is the reference's.
_MARKERS = ("s", "^", "D", "v", "<", ">", "P", "X", "p", "*")
#: Larger type on a narrower figure: it is read on a telephone.
_TEXT = 11


@styled
def asked_measured(changes: Mapping[str, tuple[Any, Any]], unit: str = "ms") -> Figure:
    """Measured against asked changes `(n,)` of some quantities, a panel each: every answer, the means, the diagonal."""
    figure, axes = panels(len(changes), 3, lambda columns, rows: (WIDTH * columns / 3, 2.7 * rows), sharex=True,
                          sharey=True)
    for ax, (name, pair) in zip(axes, changes.items(), strict=True):
        asked, measured = (np.asarray(values, dtype=np.float64) for values in pair)
        sizes = np.unique(asked)
        ax.axline((0, 0), slope=1, color=GREY, linewidth=0.8, linestyle="--")
        aside = np.random.default_rng(0).uniform(-3, 3, len(asked))
        ax.plot(asked + aside, measured, ".", color=PALETTE[5], markersize=2.5, alpha=0.5)
        ax.plot(sizes, [measured[asked == size].mean() for size in sizes], "o", color=PALETTE[0], markersize=5)
        ax.set(title=name, xlabel=f"asked, {unit}", xticks=sizes)
        ax.grid(axis="y", color=FAINT, linewidth=0.6)
    axes[0].set_ylabel(f"measured, {unit}")
    return figure


@styled
def label_efficiency(curves: Mapping[str, Any], *, reference: str | None = None, title: str | None = None) -> Figure:
    """Macro AUROC against the number of labelled ECGs, mean over seeds, with bands from the lowest seed to the highest.

    Parameters
    ----------
    curves : mapping of a method's name to its `ecgkit.study.efficiency.Curve`
        In the order of the legend. Ticks stand at the labels of the first, or of the reference.
    reference : str, optional
        The method that others are compared with (supervised from scratch), drawn dark and broken.
    """
    if not curves or (reference is not None and reference not in curves):
        raise EcgkitError(f"no curve named {reference!r} to draw; there are {', '.join(curves) or 'none'}")
    n_rows = -(-len(curves) // 2)
    figure = Figure(figsize=(WIDTH * 0.8, 4.1 + 0.24 * n_rows), layout="constrained")
    ax = figure.subplots()
    others = itertools.count()
    for name, curve in curves.items():
        if name == reference:
            _draw_curve(ax, name, curve, "o", INK, (0, (4, 2)))
        else:
            k = next(others)
            # Where colours come round again, lines are dotted.
            _draw_curve(ax, name, curve, _MARKERS[k % len(_MARKERS)], PALETTE[k % len(PALETTE)],
                  "-" if k < len(PALETTE) else (0, (1, 1)))
    _label_axes(ax, curves[reference] if reference is not None else next(iter(curves.values())))
    if title:
        ax.set_title(title, fontsize=_TEXT)
    figure.legend(loc="outside lower center", ncols=2, fontsize=_TEXT, handlelength=2.6, columnspacing=1.5)
    return figure


def _draw_curve(ax: Axes, name: str, curve: Any, marker: str, colour: str, line: Any) -> None:
    low, high = ([extreme(values) for values in curve.seeds] for extreme in (np.min, np.max))
    ax.fill_between(curve.n_labels, low, high, color=colour, alpha=0.14, linewidth=0, gid=f"band {name}")
    ax.plot(curve.n_labels, curve.mean, color=colour, marker=marker, markersize=7.5, markeredgecolor="white",
            markeredgewidth=0.8, linewidth=1.8, linestyle=line, label=name, gid=f"mean {name}",
            zorder=4 if colour == INK else 3)


def _label_axes(ax: Axes, curve: Any) -> None:
    """Ticks where there are results: the number of ECGs, and below it the share of the labels."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(curve.n_labels.tolist()))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticklabels([f"{n:,.0f}\n{100 * f:g} %" for n, f in zip(curve.n_labels, curve.fractions, strict=True)])
    ax.tick_params(labelsize=_TEXT - 1)
    ax.set_xlabel("labelled ECGs (log scale), and share of all labels", fontsize=_TEXT)
    ax.set_ylabel("macro AUROC", fontsize=_TEXT)
    ax.grid(color=FAINT, linewidth=0.6)
    ax.set_axisbelow(True)


def _panels(n: int) -> tuple[Figure, list[Axes]]:
    """Square panels from 0 to 1, five to a line."""
    side = (WIDTH - 0.6) / max(min(5, n), 3)
    figure, axes = panels(n, 5, lambda columns, rows: (0.6 + side * columns, 0.45 + (side + 0.3) * rows),
                          sharex=True, sharey=True)
    for ax in axes:
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1],
               xticklabels=["0", "0.5", "1"], yticklabels=["0", "0.5", "1"], aspect="equal")
    return figure, axes


def _need(table: pd.DataFrame, *columns: str) -> None:
    for column in columns:
        if column not in table or not len(table):
            raise EcgkitError(f"a table with the column {column!r} and at least one row is needed; "
                              f"it has {len(table)} rows of {', '.join(map(str, table.columns)) or 'nothing'}")
