"""What each augmentation does to an ECG: a few leads on ECG paper, before in grey and after in ink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.figures.ecg_paper import (
    HALO,
    MM_PER_MV,
    MM_PER_S,
    PAPER,
    _draw_grid,
    _Sheet,
    _twelve,
    in_millimetres,
    legend,
    write_scale,
)
from ecgkit.figures.style import INK, styled
from ecgkit.leads import LEADS

BEFORE = "#8f8f8f"
#: Millimetres: around the papers, between a strip and the next, a title's line, the scale's line below.
_MARGIN, _APART, _TITLE, _FOOTER = 3.0, 5.0, 8.0, 7.0
#: Millimetres above and below a row's baseline, at least and at most: an artefact may leave the paper.
_NEAR, _FAR = 10.0, 30.0


@styled
def augmentation_gallery(x: Any, views: Mapping[str, Any], fs: float, *, leads: Sequence[str] = ("II", "V2", "V5"),
                         seconds: float | None = None) -> Figure:
    """Draw an ECG and what augmentations make of it, a row per augmentation, 25 mm/s and 10 mm/mV.

    Parameters
    ----------
    x : array_like, shape (12, sig_len)
        The ECG before, in millivolts, leads in the order of `ecgkit.leads.LEADS`; thin and grey in every row.
    views : mapping of an augmentation's name to array_like, shape (12, sig_len)
        The ECG after it.
    leads : sequence of str
        Which leads to show, from left to right.
    seconds : float, optional
        How much to show, from the start; up to 2 s by default.
    """
    before = _twelve(x, "x")
    after = {name: _twelve(view, f"view {name!r}") for name, view in views.items()}
    unknown = [lead for lead in leads if lead not in LEADS]
    if not after or not leads or unknown:
        raise EcgkitError(f"{len(after)} views of leads {', '.join(leads) or 'none'}: give at least one of each, leads "
                          f"out of {', '.join(LEADS)}")
    for name, view in after.items():
        if view.shape != before.shape:
            raise EcgkitError(f"view {name!r} has shape {view.shape} and x {before.shape}; they must be the same")
    n = round((min(2.0, before.shape[1] / fs) if seconds is None else seconds) * fs)
    if not 2 <= n <= before.shape[1]:
        raise EcgkitError(f"cannot show {n / fs:g} s of an ECG of {before.shape[1] / fs:g} s at {fs:g} Hz")
    rows = [LEADS.index(lead) for lead in leads]
    middle = np.median(before[rows, :n], axis=1, keepdims=True)
    return _draw((before[rows, :n] - middle) * MM_PER_MV,
                 {name: (view[rows, :n] - middle) * MM_PER_MV for name, view in after.items()}, leads, fs)


def _draw(before: NDArray[Any], after: Mapping[str, NDArray[Any]], leads: Sequence[str], fs: float) -> Figure:
    step, n = MM_PER_S / fs, before.shape[1]
    wide = 5 * np.ceil((len(leads) * (n * step + _APART)) / 5)
    reach = {name: _reach(np.stack([before, view])) for name, view in after.items()}
    height = sum(high + low + _TITLE for high, low in reach.values()) + _FOOTER
    figure, ax = in_millimetres(wide + 2 * _MARGIN, height)
    top = height
    for name, view in after.items():
        high, low = reach[name]
        ax.text(_MARGIN, top - _TITLE + 1.5, name, fontsize=11, fontweight="bold", va="bottom", gid="title")
        top -= _TITLE
        paper = Rectangle((_MARGIN, top - high - low), wide, high + low, facecolor=PAPER, edgecolor="none")
        _draw_row(ax, paper, top - high, before, view, leads, step)
        top -= high + low
    write_scale(ax, _MARGIN, top, fs, fontsize=9)
    handles = [Line2D([], [], color=BEFORE, linewidth=1.0), Line2D([], [], color=INK, linewidth=1.2)]
    legend(ax, (wide + _MARGIN, top - 0.5), handles, ["before", "after"], fontsize=9.5)
    return figure


def _reach(traces: NDArray[Any]) -> tuple[float, float]:
    """Millimetres of paper above and below the baseline, in whole 5-mm squares; room for the leads' names above."""
    high, low = (5 * np.ceil(np.clip(value + 2, _NEAR, _FAR) / 5) for value in (traces.max(), -traces.min()))
    return float(high), float(low)


def _draw_row(ax: Axes, paper: Rectangle, baseline: float, before: NDArray[Any], after: NDArray[Any],
              leads: Sequence[str], step: float) -> None:
    ax.add_patch(paper)
    wide, high, top = paper.get_width(), paper.get_height(), paper.get_y() + paper.get_height()
    _draw_grid(ax, _Sheet([], [], [], [], [], np.empty(0), step, wide, high), top)
    for k, lead in enumerate(leads):
        x = _MARGIN + _APART / 2 + k * wide / len(leads) + np.arange(before.shape[1]) * step
        lines = [*ax.plot(x, baseline + before[k], color=BEFORE, linewidth=0.8, gid=f"before {lead}"),
                 *ax.plot(x, baseline + after[k], color=INK, linewidth=1.1, gid=f"after {lead}")]
        for line in lines:
            line.set_clip_path(paper)
        ax.text(x[0], top - 1.2, lead, fontsize=10, fontweight="bold", va="top", gid="lead", zorder=5,
                path_effects=HALO)
