"""How far labels go: macro AUROC against the number of labelled ECGs, a line per method."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.figures.style import FAINT, GREY, INK, PALETTE, WIDTH, styled

#: One per method, so that lines are told apart in grey too; the dot is the reference's.
_MARKERS = ("s", "^", "D", "v", "<", ">", "P", "X", "p", "*")
#: Larger type on a narrower figure: it is read on a telephone.
_TEXT = 11


class Curve(Protocol):
    """What is drawn of a label-efficiency curve (`ecgkit.study.efficiency.Curve` is one)."""

    @property
    def fractions(self) -> NDArray[np.float64]: ...  # noqa: D102
    @property
    def n_labels(self) -> NDArray[np.float64]: ...  # noqa: D102
    @property
    def seeds(self) -> tuple[NDArray[np.float64], ...]: ...  # noqa: D102
    @property
    def mean(self) -> NDArray[np.float64]: ...  # noqa: D102


@styled
def label_efficiency(curves: Mapping[str, Curve], *, reference: str | None = None, title: str | None = None) -> Figure:
    """Macro AUROC against the number of labelled ECGs, mean over seeds, with bands from the lowest seed to the highest.

    Parameters
    ----------
    curves : mapping of a method's name to its `ecgkit.study.efficiency.Curve`
        In the order of the legend. Ticks stand at the labels of the first, or of the reference.
    reference : str, optional
        The method that others are compared with (supervised from scratch), drawn dark and broken.
    title : str, optional
        Written above.
    """
    if not curves or (reference is not None and reference not in curves):
        raise EcgkitError(f"no curve named {reference!r} to draw; there are {', '.join(curves) or 'none'}")
    n_rows = -(-len(curves) // 2)
    figure = Figure(figsize=(WIDTH * 0.8, 4.1 + 0.24 * n_rows), layout="constrained")
    ax = figure.subplots()
    others = itertools.count()
    for name, curve in curves.items():
        if name == reference:
            _draw(ax, name, curve, "o", INK, (0, (4, 2)))
        else:
            k = next(others)
            # Where colours come round again, lines are dotted.
            _draw(ax, name, curve, _MARKERS[k % len(_MARKERS)], PALETTE[k % len(PALETTE)],
                  "-" if k < len(PALETTE) else (0, (1, 1)))
    _label_axes(ax, curves[reference] if reference is not None else next(iter(curves.values())))
    if title:
        ax.set_title(title, fontsize=_TEXT)
    figure.legend(loc="outside lower center", ncols=2, fontsize=_TEXT, handlelength=2.6, columnspacing=1.5)
    return figure


def _draw(ax: Axes, name: str, curve: Curve, marker: str, colour: str, line: str | tuple[int, tuple[int, int]]) -> None:
    low, high = ([extreme(values) for values in curve.seeds] for extreme in (np.min, np.max))
    ax.fill_between(curve.n_labels, low, high, color=colour, alpha=0.14, linewidth=0, gid=f"band {name}")
    ax.plot(curve.n_labels, curve.mean, color=colour, marker=marker, markersize=7.5, markeredgecolor="white",
            markeredgewidth=0.8, linewidth=1.8, linestyle=line, label=name, gid=f"mean {name}",
            zorder=4 if colour == INK else 3)


def _label_axes(ax: Axes, curve: Curve) -> None:
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
    label_names : sequence of str
        One per label.
    """
    points, truth = np.asarray(xy, dtype=float), np.asarray(labels)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        raise EcgkitError(f"xy of shape {points.shape}: expected (n, 2), finite numbers")
    if truth.shape != (len(points), len(label_names)) or not len(label_names):
        raise EcgkitError(f"labels of shape {truth.shape} for {len(points)} ECGs and {len(label_names)} names; "
                          "expected (n, n_labels)")
    columns = min(3, len(label_names))
    rows = -(-len(label_names) // columns)
    side = WIDTH * 0.8 / 3
    figure = Figure(figsize=(side * columns, (side + 0.22) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    # A thousand points want smaller dots than a hundred, and no dot vanishes.
    area = float(np.clip(4000 / len(points), 3, 20))
    for k, (ax, name) in enumerate(zip(axes, label_names, strict=False)):
        mine = truth[:, k].astype(bool)
        for chosen, colour, gid in ((~mine, _OTHERS, "others"), (mine, PALETTE[k % len(PALETTE)], "points")):
            ax.scatter(*points[chosen].T, s=area, color=colour, linewidths=0, rasterized=True, gid=f"{gid} {name}")
        ax.set_title(f"{name}  (n = {mine.sum():,})", fontsize=10.5)
        ax.set(xticks=[], yticks=[], box_aspect=1)
        for spine in ax.spines.values():
            spine.set(visible=True, color=GREY, linewidth=0.5)
    for ax in axes[len(label_names):]:
        ax.remove()
    return figure
