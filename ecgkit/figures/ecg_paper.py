"""Twelve-lead ECGs on ECG paper: 25 mm/s, 10 mm/mV, in true millimetres.

All drawing is in one axes that fills the figure and whose unit is the millimetre, so at 100 % scale a ruler laid on the
picture measures the ECG.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from ecgkit.errors import EcgkitError
from ecgkit.figures.style import GREY, INK, PALETTE, styled
from ecgkit.leads import LEADS, N_LEADS

MM_PER_S, MM_PER_MV, MM_PER_INCH = 25.0, 10.0, 25.4
LAYOUTS = {"3x4": (3, 4), "6x2": (6, 2), "12x1": (12, 1)}

PAPER, FINE, BOLD = "#fffaf8", "#f8dfda", "#edb5ab"
OVERLAY, HIGHLIGHT = PALETTE[0], PALETTE[4]
#: Around words that may stand on a trace.
HALO = [withStroke(linewidth=2.5, foreground=PAPER)]

#: Millimetres: around the paper, above the first trace, left of the traces (for the pulse), right of them.
_MARGIN, _LEFT, _RIGHT = 3.0, 15.0, 5.0
_TITLE_LINE, _FOOTER = 6.0, 7.0
#: Rows lie at least this far apart, and at most: an artefact of many millivolts may cross its neighbours.
_NEAR, _FAR, _GAP = 20.0, 55.0, 3.0
_NAME_HEIGHT = 4.0


@dataclass(frozen=True)
class _Strip:
    """A piece of one lead: samples `start` to `stop`, drawn in `row` from `x` millimetres rightwards."""

    lead: int
    row: int
    x: float
    start: int
    stop: int


@dataclass(frozen=True)
class _Sheet:
    """One ECG laid out, in millimetres: strips, their traces, where names stand, each row's baseline below the top."""

    strips: list[_Strip]
    traces: list[NDArray[Any]]
    overlays: list[NDArray[Any]]
    masks: list[NDArray[Any]]
    names: list[tuple[float, float]]
    baselines: NDArray[Any]
    step: float
    width: float
    height: float


@styled
def plot_ecg(signal: Any, fs: float, *, title: str | None = None, layout: str = "3x4", seconds: float | None = None,
             rhythm_lead: str | None = "II", highlight: Any = None, overlay: Any = None,
             names: Sequence[str] | None = None) -> Figure:
    """Draw an ECG as a machine prints it.

    Columns follow each other in time. Each piece of a lead stands with its median on its row's baseline; rows are moved
    apart, by whole 5-mm squares, until no trace runs into the next.

    Parameters
    ----------
    layout : {"3x4", "6x2", "12x1"}
        Rows by columns.
    seconds : float, optional
        How much of the ECG to show, from its start; up to 10 s by default.
    rhythm_lead : str or None
        Lead of the strip below, as long as all columns together; none with "12x1".
    highlight : array_like, shape (12, sig_len), optional
        Shaded where not 0: a mask, or weights from 0 to 1.
    overlay : array_like, shape (12, sig_len), optional
        A second ECG, drawn over the first at the same baseline.
    names : sequence of str, optional
        For the legend: of the signal, then of the overlay and of the highlight where there are such.
    """
    sheet = _lay_out(signal, fs, layout=layout, seconds=seconds, rhythm_lead=rhythm_lead, highlight=highlight,
                     overlay=overlay)
    return _draw([sheet], [title], fs, names)


@styled
def gallery(signals: Any, fs: float, titles: Sequence[str], *, layout: str = "3x4", seconds: float | None = None,
            rhythm_lead: str | None = None) -> Figure:
    """Draw several ECGs below each other at the same scale.

    Parameters
    ----------
    signals : array_like, shape (n, 12, sig_len)
    titles : sequence of str
    layout, seconds, rhythm_lead
        As in `plot_ecg`, without a rhythm strip by default.
    """
    signals = np.asarray(signals)
    if signals.ndim != 3 or not len(signals) or len(titles) != len(signals):
        raise EcgkitError(f"signals of shape {signals.shape}, {len(titles)} titles; expected (n, {N_LEADS}, sig_len)")
    sheets = [_lay_out(signal, fs, layout=layout, seconds=seconds, rhythm_lead=rhythm_lead) for signal in signals]
    return _draw(sheets, list(titles), fs, None)


def _lay_out(signal: Any, fs: float, *, layout: str, seconds: float | None, rhythm_lead: str | None,
             highlight: Any = None, overlay: Any = None) -> _Sheet:
    signal = _twelve(signal, "signal")
    n, strips = _strips(signal.shape[1], fs, layout, seconds, rhythm_lead)

    def pieces(values: Any, what: str) -> list[NDArray[Any]]:
        if values is None:
            return []
        array = _twelve(values, what)
        if array.shape != signal.shape:
            raise EcgkitError(f"{what} has shape {array.shape} and the signal {signal.shape}; they must be the same")
        return [array[s.lead, s.start:s.stop] for s in strips]

    traces = pieces(signal, "signal")
    middle = [np.median(trace) for trace in traces]
    traces = [(trace - m) * MM_PER_MV for trace, m in zip(traces, middle, strict=True)]
    overlays = [(other - m) * MM_PER_MV
                for other, m in zip(pieces(overlay, "overlay"), middle, strict=overlay is not None)]
    step = MM_PER_S / fs
    names = [_place_name(LEADS[strip.lead], trace, step) for strip, trace in zip(strips, traces, strict=True)]
    drawn = [[trace, *overlays[k:k + 1]] for k, trace in enumerate(traces)]
    baselines, height = _place_rows(strips, drawn, names, step)
    return _Sheet(strips, traces, overlays, pieces(highlight, "highlight"), names, baselines, step,
                  _up(_LEFT + n * step + _RIGHT), height)


def _twelve(values: Any, what: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or len(array) != N_LEADS or array.shape[1] < 2:
        raise EcgkitError(f"{what} has shape {array.shape}; expected ({N_LEADS}, sig_len)")
    if not np.isfinite(array).all():
        raise EcgkitError(f"{what} has a non-finite sample in lead {LEADS[np.argwhere(~np.isfinite(array))[0][0]]}")
    return array


def _strips(sig_len: int, fs: float, layout: str, seconds: float | None,
            rhythm_lead: str | None) -> tuple[int, list[_Strip]]:
    """Number of samples shown, and the pieces of leads that show them."""
    if layout not in LAYOUTS:
        raise EcgkitError(f"layout {layout!r}: give one of {', '.join(LAYOUTS)}")
    if rhythm_lead is not None and rhythm_lead not in LEADS:
        raise EcgkitError(f"rhythm_lead {rhythm_lead!r}: give one of {', '.join(LEADS)}, or None")
    if not fs > 0:
        raise EcgkitError(f"sampling rate {fs} Hz: it must be positive")
    seconds = min(10.0, sig_len / fs) if seconds is None else seconds
    n = round(seconds * fs)
    rows, columns = LAYOUTS[layout]
    if not 2 * columns <= n <= sig_len:
        raise EcgkitError(f"cannot show {seconds:g} s of an ECG of {sig_len / fs:g} s at {fs:g} Hz")
    cuts = np.linspace(0, n, columns + 1).round().astype(int)
    strips = [_Strip(lead, lead % rows, _LEFT + cuts[lead // rows] / fs * MM_PER_S, *cuts[lead // rows:][:2])
              for lead in range(N_LEADS)]
    if rhythm_lead is not None and columns > 1:
        strips.append(_Strip(LEADS.index(rhythm_lead), rows, _LEFT, 0, n))
    return n, strips


def _name_width(name: str) -> float:
    return sum(1.6 if letter == "I" else 2.9 for letter in name)


def _place_name(name: str, trace: NDArray[Any], step: float) -> tuple[float, float]:
    """Where a lead's name is clear of its trace: millimetres after the strip's start, and above its baseline."""
    at = np.arange(len(trace)) * step

    def lift(offset: float) -> float:
        under = trace[(at > offset - 1) & (at < offset + _name_width(name) + 0.5)]
        return max(4.5, float(under.max(initial=0)) + 1.2)

    # Rather a little later than high up over a tall R wave.
    offset = min(np.arange(0.8, 15, 1), key=lambda x: lift(x) + 0.5 * x)
    return float(offset), min(lift(offset), 15.0)


def _place_rows(strips: list[_Strip], drawn: list[list[NDArray[Any]]], names: list[tuple[float, float]],
                step: float) -> tuple[NDArray[np.float64], float]:
    """Depth of each row's baseline below the paper's top, and the paper's height, in millimetres."""
    rows, n = 1 + max(strip.row for strip in strips), max(strip.stop for strip in strips)
    # A little room above and below, and the names'.
    high, low = np.full((rows, n), 5.0), np.full((rows, n), -2.0)
    for k, strip in enumerate(strips):
        for trace in drawn[k]:
            at = strip.row, slice(strip.start, strip.stop)
            high[at], low[at] = np.maximum(high[at], trace), np.minimum(low[at], trace)
        start = strip.start + round(names[k][0] / step)
        named = strip.row, slice(start, start + round(_name_width(LEADS[strip.lead]) / step))
        high[named] = np.maximum(high[named], names[k][1] + _NAME_HEIGHT)
    reach = max(1, n // 100)  # what stands beside a spike must clear it too
    high, low = maximum_filter1d(high, 2 * reach + 1, axis=1), minimum_filter1d(low, 2 * reach + 1, axis=1)
    apart = [_up(np.clip((high[r + 1] - low[r]).max() + _GAP, _NEAR, _FAR)) for r in range(rows - 1)]
    first = _up(np.clip(high[0].max() + _GAP, 15.0, _FAR))
    last = _up(np.clip(_GAP - low[-1].min(), 10.0, _FAR))
    baselines = first + np.concatenate([[0.0], np.cumsum(apart)])
    return baselines, float(baselines[-1] + last)


def _up(millimetres: float) -> float:
    """Round up to whole 5-mm squares."""
    return float(5 * np.ceil(round(millimetres, 6) / 5))


def _draw(sheets: list[_Sheet], titles: Sequence[str | None], fs: float, names: Sequence[str] | None,
          note: Sequence[str] = ()) -> Figure:
    """Draw sheets below each other; the note, whose lines end between its parts only, stands under every title."""
    width = max(sheet.width for sheet in sheets) + 2 * _MARGIN
    lines = [textwrap.wrap(title, int(width / 2.2)) if title else [] for title in titles]
    noted = textwrap.wrap("    ".join(text.replace(" ", "\u00a0") for text in note), int(width / 2.1))
    bands = [_MARGIN + (len(text) + len(noted)) * _TITLE_LINE for text in lines]
    height = sum(bands) + sum(sheet.height for sheet in sheets) + _FOOTER
    figure, ax = in_millimetres(width, height)
    top = height
    for sheet, text, band in zip(sheets, lines, bands, strict=True):
        ax.text(_MARGIN, top - band + 1.5, "\n".join(noted), fontsize=10, va="bottom", gid="note")
        ax.text(_MARGIN, top - band + 1.5 + len(noted) * _TITLE_LINE, "\n".join(text), fontsize=12,
                fontweight="bold", va="bottom", gid="title")
        _draw_sheet(ax, sheet, top - band)
        top -= band + sheet.height
    write_scale(ax, _MARGIN, top, fs)
    if names:
        _draw_legend(ax, sheets[0], names, (width - _MARGIN, top - 0.5))
    return figure


def _draw_sheet(ax: Axes, sheet: _Sheet, top: float) -> None:
    paper = Rectangle((_MARGIN, top - sheet.height), sheet.width, sheet.height, facecolor=PAPER, edgecolor="none")
    ax.add_patch(paper)
    _draw_grid(ax, sheet, top)
    baselines = top - sheet.baselines
    for strip, mask in zip(sheet.strips, sheet.masks, strict=bool(sheet.masks)):
        _draw_highlight(ax, strip, mask, sheet, baselines[strip.row])
    for y in baselines:
        ax.plot(_MARGIN + np.array([2.5, 5, 5, 10, 10, 12.5]), y + np.array([0, 0, 1, 1, 0, 0]) * MM_PER_MV,
                color=INK, linewidth=0.9, solid_joinstyle="miter", gid="calibration")
    for k, strip in enumerate(sheet.strips):
        x = _time_axis(strip, sheet)
        y = baselines[strip.row]
        if strip.start > 0:
            ax.plot([x[0], x[0]], [y - 2, y + 2], color=INK, linewidth=0.7, gid="change of lead")
        lines = [ax.plot(x, y + other, color=OVERLAY, linewidth=1.7, gid=f"overlay {LEADS[strip.lead]}")[0]
                 for other in sheet.overlays[k:k + 1]]
        lines += ax.plot(x, y + sheet.traces[k], color=INK, linewidth=0.95, gid=f"trace {LEADS[strip.lead]}")
        for line in lines:
            line.set_clip_path(paper)
        offset, lift = sheet.names[k]
        ax.text(x[0] + offset, y + lift, LEADS[strip.lead], fontsize=11, fontweight="bold", va="baseline", gid="lead",
                path_effects=HALO, zorder=5)


def _draw_grid(ax: Axes, sheet: _Sheet, top: float) -> None:
    bottom, right = top - sheet.height, _MARGIN + sheet.width
    for step, colour, linewidth in ((1, FINE, 0.5), (5, BOLD, 0.7)):
        across = [[(_MARGIN + x, bottom), (_MARGIN + x, top)] for x in np.arange(0, sheet.width + 0.5, step)]
        down = [[(_MARGIN, bottom + y), (right, bottom + y)] for y in np.arange(0, sheet.height + 0.5, step)]
        ax.add_collection(LineCollection(across + down, colors=colour, linewidths=linewidth, zorder=1.5,
                                         gid=f"grid {step} mm", snap=True), autolim=False)


def _draw_highlight(ax: Axes, strip: _Strip, mask: NDArray[Any], sheet: _Sheet, y: float) -> None:
    """Shade a strip's row, halfway to its neighbours at most, as strongly as the mask says."""
    colours = np.zeros((1, len(mask), 4))
    colours[..., :3] = to_rgb(HIGHLIGHT)
    colours[..., 3] = 0.5 * np.clip(mask, 0, 1)
    x = _time_axis(strip, sheet)
    half = (x[1] - x[0]) / 2
    ax.imshow(colours, extent=(x[0] - half, x[-1] + half, y - 8, y + 10), aspect="auto", interpolation="nearest",
              zorder=1.8, gid=f"highlight {LEADS[strip.lead]}")


def _time_axis(strip: _Strip, sheet: _Sheet) -> NDArray[Any]:
    """Millimetres from the figure's left edge of each sample of a strip."""
    return _MARGIN + strip.x + np.arange(strip.stop - strip.start) * sheet.step


def _draw_legend(ax: Axes, sheet: _Sheet, names: Sequence[str], corner: tuple[float, float]) -> None:
    handles: list[Any] = [Line2D([], [], color=INK, linewidth=1.2)]
    handles += [Line2D([], [], color=OVERLAY, linewidth=1.9)] if sheet.overlays else []
    handles += [Patch(color=HIGHLIGHT, alpha=0.5)] if sheet.masks else []
    if len(names) != len(handles):
        raise EcgkitError(f"{len(names)} names for {len(handles)} things to name: signal, overlay, highlight")
    legend(ax, corner, handles, names)


def in_millimetres(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure and its one axes, which fills it and whose unit is the millimetre."""
    figure = Figure(figsize=(width / MM_PER_INCH, height / MM_PER_INCH))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    return figure, ax


def write_scale(ax: Axes, x: float, top: float, fs: float, fontsize: float = 10) -> None:
    """Say below the paper how seconds and millivolts are drawn."""
    ax.text(x, top - 1.5, f"{MM_PER_S:g} mm/s    {MM_PER_MV:g} mm/mV    {fs:g} Hz", fontsize=fontsize, color=GREY,
            va="top", gid="scale")


def legend(ax: Axes, corner: tuple[float, float], handles: Sequence[Any], names: Sequence[str] | None = None,
              **options: Any) -> None:
    """Legend in one line below the paper, its upper right corner at `corner`, in millimetres."""
    ax.legend(handles, names or [handle.get_label() for handle in handles], loc="upper right", bbox_to_anchor=corner,
              bbox_transform=ax.transData, ncols=len(handles), borderaxespad=0, borderpad=0.2,
              **{"fontsize": 10, **options})


def named(ax: Axes, name: str) -> list[Any]:
    """What was drawn under a name: `scale`, or `trace` of any lead."""
    return [artist for artist in ax.get_children() if str(artist.get_gid() or "").split(" ")[0] == name]
