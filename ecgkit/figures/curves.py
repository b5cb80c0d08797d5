"""Curves of a classifier: training, ROC with intervals, reliability, and scores with intervals side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc, bootstrap, ece, reliability, roc_band, roc_curve
from ecgkit.figures.style import FAINT, GREY, INK, PALETTE, WIDTH, styled

#: Of many classifiers; the marker tells apart those of one colour.
_COLOURS = (*PALETTE, GREY)


@styled
def training_curve(history: pd.DataFrame) -> Figure:
    """Loss and validation AUROC over epochs.

    Parameters
    ----------
    history : DataFrame
        `epoch` and `loss`, and `validation_auroc` (nan in epochs without one) where there was validation.
    """
    _need(history, "epoch", "loss")
    scored = history.get("validation_auroc", pd.Series(dtype=float)).dropna()
    panels = 2 if len(scored) else 1
    figure = Figure(figsize=(WIDTH * (0.4 + 0.3 * panels), 2.7), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, panels))
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
    """Loss and collapse monitors over epochs, a panel each; an empty figure says that nothing was trained.

    Parameters
    ----------
    history : DataFrame
        `epoch` and the columns of `WATCHED` that there are, nan between looks; without rows for an untrained encoder.
    """
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
    y_true, y_score : array_like, shape (n, n_labels)
        Truth and scores.
    label_names : sequence of str
        One per label.
    patient_id : array_like, shape (n,)
        Whose ECG each row is.
    n_boot, seed : int
        Resamples of the bands; the intervals of the AUROC, which are written into the panels, take 1,000.
    """
    grid = np.linspace(0, 1, 201)
    low, high = roc_band(y_true, y_score, patient_id, grid, n_boot=n_boot, seed=seed)
    scores = bootstrap(auroc, y_true, y_score, patient_id, seed=seed)
    figure, panels = _panels(label_names)
    for k, ((fpr, tpr), ax, ends) in enumerate(zip(roc_curve(y_true, y_score), panels,
                                                   np.transpose(scores.interval()), strict=True)):
        ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        ax.fill_between(grid, low[k], high[k], color=PALETTE[0], alpha=0.22, linewidth=0)
        ax.plot(fpr, tpr, color=PALETTE[0], linewidth=1.5)
        said = f"{scores.estimate[k]:.3f}\n{ends[0]:.3f}–{ends[1]:.3f}"
        ax.text(0.98, 0.04, said if np.isfinite(scores.estimate[k]) else "one class only", ha="right", va="bottom",
                fontsize=8.5)
        ax.set_title(label_names[k])
    _label_outer(figure, "false positive rate", "true positive rate")
    return figure


@styled
def reliability_diagram(y_true: Any, y_score: Any, label_names: Sequence[str], *, n_bins: int = 10) -> Figure:
    """Share of positives against predicted probability, label by label, over a histogram of the probabilities.

    A calibrated classifier lies on the diagonal. The histogram's tallest bar is a quarter of the panel; a dot's area
    grows with its share of the ECGs.

    Parameters
    ----------
    y_true, y_score : array_like, shape (n, n_labels)
        Truth and probabilities.
    label_names : sequence of str
        One per label.
    n_bins : int
        Bins of equal width.
    """
    points = reliability(y_true, y_score, n_bins, label_names=label_names)
    errors = ece(y_true, y_score, n_bins=n_bins)
    figure, panels = _panels(label_names)
    for ax, name, error in zip(panels, label_names, errors, strict=True):
        mine = points[points["label"] == name]
        share = mine["n"] / mine["n"].sum()
        ax.bar((mine["bin"] + 0.5) / n_bins, share / share.max() / 4, width=0.9 / n_bins, color=FAINT, zorder=1)
        ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        ax.plot(mine["mean_score"], mine["positive_rate"], color=PALETTE[1], linewidth=1.1)
        ax.scatter(mine["mean_score"], mine["positive_rate"], s=8 + 60 * share, color=PALETTE[1], zorder=3, lw=0)
        ax.set_title(f"{name}\nECE {error:.3f}")
    _label_outer(figure, "predicted probability", "share of positives")
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


def _panels(label_names: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """Square panels from 0 to 1, five to a line."""
    n = len(label_names)
    columns = min(5, n)
    rows = -(-n // columns)
    side = (WIDTH - 0.6) / max(columns, 3)
    figure = Figure(figsize=(0.6 + side * columns, 0.45 + (side + 0.3) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax in axes[:n]:
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1],
               xticklabels=["0", "0.5", "1"], yticklabels=["0", "0.5", "1"], aspect="equal")
    for ax in axes[n:]:
        ax.remove()
    return figure, list(axes[:n])


def _label_outer(figure: Figure, x: str, y: str) -> None:
    figure.supxlabel(x, fontsize=9, color=INK)
    figure.supylabel(y, fontsize=9, color=INK)


def _need(table: pd.DataFrame, *columns: str) -> None:
    for column in columns:
        if column not in table or not len(table):
            raise EcgkitError(f"a table with the column {column!r} and at least one row is needed; "
                              f"it has {len(table)} rows of {', '.join(map(str, table.columns)) or 'nothing'}")
