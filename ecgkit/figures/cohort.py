"""Who and what is in the data, and what is taken for what: ages, labels together and confused, embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.figures.style import FAINT, GREY, PALETTE, WIDTH, panels, styled

#: Lower ends of the age bands; PTB-XL writes 300 for everyone above 89, and that falls into the last.
AGES = (*range(0, 91, 10), np.inf)


@styled
def age_sex(age: Any, sex: Any) -> Figure:
    """Population pyramid: ECGs by ten-year age band (one from 90 on), men to the left and women to the right.

    Age is in years, sex 0 male and 1 female, both `(n,)`; ECGs without either are counted below the picture.
    """
    age, sex = np.asarray(age, dtype=float), np.asarray(sex, dtype=float)
    if age.ndim != 1 or age.shape != sex.shape:
        raise EcgkitError(f"age has shape {age.shape} and sex {sex.shape}; both must be (n,)")
    known = (age >= 0) & np.isin(sex, (0, 1))
    if not known.any():
        raise EcgkitError("no ECG has both an age and a sex (0 male, 1 female)")
    men, women = (np.histogram(age[known & (sex == s)], bins=AGES)[0] for s in (0, 1))
    bands = [f"{low}–{low + 9}" for low in AGES[:-2]] + ["90 and over"]
    figure = Figure(figsize=(WIDTH * 0.75, 3.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, counts, colour, name in zip(axes, (men, women), PALETTE, ("men", "women"), strict=False):
        ax.barh(bands, counts, color=colour, height=0.85)
        for band, count in enumerate(counts):
            ax.annotate(f"{count:,}", (count, band), xytext=(-3 if name == "men" else 3, 0), va="center",
                        textcoords="offset points", ha="right" if name == "men" else "left", fontsize=8)
        ax.set_xlim(0, 1.2 * max(men.max(), women.max()))
        ax.set_title(f"{name}, {counts.sum():,}", loc="center")
        ax.set_xticks([])
        ax.tick_params(axis="y", length=0)
        ax.spines["bottom"].set_visible(False)
    axes[0].invert_xaxis()
    axes[0].spines["left"].set_visible(False)
    axes[0].spines["right"].set_visible(True)
    axes[0].tick_params(axis="y", labelleft=False)
    axes[1].tick_params(axis="y", labelleft=True, pad=4)
    axes[1].spines["left"].set_visible(True)
    missing = int((~known).sum())
    figure.supxlabel("ECGs by age in years" + (f"; {missing:,} without age or sex" if missing else ""))
    return figure


@styled
def cooccurrence_map(labels: Any, label_names: Sequence[str]) -> Figure:
    """Of the ECGs that have the row's label, the per cent that also have the column's; the number of ECGs beside it."""
    truth = np.asarray(labels, dtype=float)
    if truth.ndim != 2 or truth.shape[1] != len(label_names) or not len(truth):
        raise EcgkitError(f"labels of shape {truth.shape} for {len(label_names)} names; expected (n, n_labels)")
    together, n = truth.T @ truth, truth.sum(axis=0)
    share = np.divide(together, n[:, None], out=np.full(together.shape, np.nan), where=n[:, None] > 0)
    rows = [f"{name}  (n = {count:,.0f})" for name, count in zip(label_names, n, strict=True)]
    return _heat_map(share, rows, label_names, "also has", "ECGs with", hide_diagonal=True)


@styled
def confusion_map(rates: Any, label_names: Sequence[str]) -> Figure:
    """Heat map of `ecgkit.evaluation.confusion_of_labels`, `(n_labels, n_labels)`, in per cent: true label in rows."""
    rates = np.asarray(rates, dtype=float)
    if rates.shape != (len(label_names),) * 2:
        raise EcgkitError(f"rates of shape {rates.shape} for {len(label_names)} names; expected (n_labels, n_labels)")
    return _heat_map(rates, label_names, label_names, "called", "truly", hide_diagonal=False)


def _heat_map(share: NDArray[Any], rows: Sequence[str], columns: Sequence[str], x: str, y: str, *,
              hide_diagonal: bool) -> Figure:
    n = len(columns)
    hidden = np.isnan(share) | (np.eye(n, dtype=bool) if hide_diagonal else False)
    figure = Figure(figsize=(min(WIDTH, 2.2 + 0.75 * n), 0.9 + max(0.3, 0.5 - 0.01 * n) * n), layout="constrained")
    ax = figure.subplots()
    ax.set_facecolor(FAINT)
    sns.heatmap(100 * share, mask=hidden, annot=n <= 12, fmt=".0f", vmin=0, vmax=100, cmap="Blues", square=False,
                linewidths=1, linecolor="white", xticklabels=columns, yticklabels=rows, ax=ax,
                annot_kws={"fontsize": 9}, cbar_kws={"label": "per cent of the row's ECGs", "shrink": 0.9})
    ax.tick_params(length=0)
    ax.tick_params(axis="x", rotation=0 if n <= 8 else 90)
    ax.tick_params(axis="y", rotation=0)
    ax.set(xlabel=x, ylabel=y)
    return figure


#: Light, and yet seen on white.
_OTHERS = "#dadada"


@styled
def embedding_map(xy: Any, labels: Any, label_names: Sequence[str]) -> Figure:
    """Draw every ECG as a point, in a panel per label: those with the label in colour, the others grey.

    Distances are as good as the projection (t-SNE, UMAP): neighbours mean something, axes and far distances do not, so
    neither ticks nor units are drawn.

    Parameters
    ----------
    xy : array_like, shape (n, 2)
        Coordinates of each ECG.
    labels : array_like of 0 and 1, shape (n, n_labels)
        Truth. An ECG with several labels is coloured in several panels.
    """
    points, truth = np.asarray(xy, dtype=float), np.asarray(labels)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        raise EcgkitError(f"xy of shape {points.shape}: expected (n, 2), finite numbers")
    if truth.shape != (len(points), len(label_names)) or not len(label_names):
        raise EcgkitError(f"labels of shape {truth.shape} for {len(points)} ECGs and {len(label_names)} names; "
                          "expected (n, n_labels)")
    side = WIDTH * 0.8 / 3
    figure, axes = panels(len(label_names), 3, lambda columns, rows: (side * columns, (side + 0.22) * rows))
    # A thousand points want smaller dots than a hundred, and no dot vanishes.
    area = float(np.clip(4000 / len(points), 3, 20))
    for k, (ax, name) in enumerate(zip(axes, label_names, strict=True)):
        mine = truth[:, k].astype(bool)
        for chosen, colour, gid in ((~mine, _OTHERS, "others"), (mine, PALETTE[k % len(PALETTE)], "points")):
            ax.scatter(points[chosen, 0], points[chosen, 1], s=area, color=colour, linewidths=0, rasterized=True,
                       gid=f"{gid} {name}")
        ax.set_title(f"{name}  (n = {mine.sum():,})", fontsize=10.5)
        ax.set(xticks=[], yticks=[], box_aspect=1)
        for spine in ax.spines.values():
            spine.set(visible=True, color=GREY, linewidth=0.5)
    return figure
