"""A two-dimensional picture of an embedding, once per label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ecgkit.errors import EcgkitError
from ecgkit.figures.style import GREY, PALETTE, WIDTH, styled

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
