"""How every picture of the book looks: colours, type, paper."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import matplotlib
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

#: Okabe & Ito's palette (2008), told apart by colour-blind readers; in the order of use.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, GREY, FAINT = "#1a1a1a", "#6b6b6b", "#d9d9d9"
#: Width of the book's text column in inches.
WIDTH = 7.6

#: Every face is white, so that a page in dark mode shows the picture as a sheet of paper.
STYLE: Any = {
    "figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white", "figure.dpi": 127,
    "figure.constrained_layout.w_pad": 0.07, "figure.constrained_layout.h_pad": 0.05,
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 9.5, "axes.labelsize": 9, "figure.labelsize": 9,
    "xtick.labelsize": 8.5, "ytick.labelsize": 8.5, "legend.fontsize": 8.5, "legend.frameon": False,
    "text.color": INK, "axes.labelcolor": INK, "xtick.color": GREY, "ytick.color": GREY,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.edgecolor": GREY, "axes.linewidth": 0.8,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left",
    "lines.linewidth": 1.6, "axes.prop_cycle": cycler(color=PALETTE), "svg.fonttype": "none",
}

Draw = TypeVar("Draw", bound=Callable[..., Any])


def styled(draw: Draw) -> Draw:
    """Run a drawing function in the book's style, and leave matplotlib's settings as they were."""
    @functools.wraps(draw)
    def in_style(*args: Any, **kwargs: Any) -> Any:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return in_style  # type: ignore[return-value]


def panels(n: int, most: int, size: Callable[[int, int], tuple[float, float]],
           **shared: Any) -> tuple[Figure, list[Axes]]:
    """Figure with `n` panels, at most so many in a row; `size` is that of the figure for its columns and rows."""
    columns = min(most, n)
    rows = -(-n // columns)
    figure = Figure(figsize=size(columns, rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **shared).ravel()
    for ax in axes[n:]:
        ax.remove()
    return figure, list(axes[:n])
