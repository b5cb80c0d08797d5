"""A twelve-lead ECG on paper with what was found in it: waves, beats, intervals, and the leads that are unusable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.figures.ecg_paper import _MARGIN, HALO, MM_PER_MV, MM_PER_S, PAPER, _draw, _lay_out, _Sheet, legend, named
from ecgkit.figures.style import GREY, INK, PALETTE, styled
from ecgkit.leads import LEADS, N_LEADS

COLOURS = {"P": PALETTE[0], "QRS": PALETTE[4], "T": PALETTE[2]}
#: Names of the kinds of beats, as `ecgkit.physiology.delineate` numbers them: 1, 2, and 3 for a P wave alone.
PREMATURE, ALONE = {1: "PAC", 2: "PVC"}, 3
#: What the line under the title says: column of the measurements, name, unit.
MAIN = (("heart_rate", "", "/min"), ("pr", "PR", " ms"), ("qrs", "QRS", " ms"), ("qt", "QT", " ms"),
        ("qtc_fridericia", "QTcF", " ms"), ("axis", "axis", "°"))
#: Millimetres: a row's shading above and below its baseline; room for marks above the strip and for brackets below it.
_ABOVE, _BELOW = 10.0, 8.0
_MARKS, _BRACKETS = 5.0, 10.0
_LEAST_WIDTH = 160.0
#: Seconds below which the leads stand in two columns, not four, so that each shows a beat.
_SHORT = 6.0
#: Which intervals are bracketed: column, name, first and last wave and mark, level below the strip.
_INTERVALS = (("pr", "PR", (0, 0), (1, 0), 0), ("qrs", "QRS", (1, 0), (1, 2), 0), ("qt", "QT", (1, 0), (2, 2), 1))


@dataclass(frozen=True)
class _Row:
    """Where one strip stands in the figure: seconds to millimetres from its left edge, and its baseline."""

    start: float
    stop: float
    left: float
    baseline: float

    def x(self, seconds: Any) -> Any:
        return self.left + (np.clip(seconds, self.start, self.stop) - self.start) * MM_PER_S


@styled
def annotated_ecg(signal: Any, fs: float, ms: Any, kind: Any, *, measurements: Mapping[str, float] | None = None,
                  faults: Sequence[str] | None = None, title: str | None = None) -> Figure:
    """Draw an ECG as a machine prints it, with the waves that were found in it.

    P, QRS and T are shaded from onset to offset. The rhythm strip, of II or the first usable lead, also has their edges
    as lines, a mark above each beat (premature ones named), and, on the beat most like the others, its own PR, QRS and
    QT. The trace of an unusable lead is grey, cut to its row, and has the reason beside its name.

    Parameters
    ----------
    signal : array_like, shape (12, sig_len)
        Millivolts; up to 10 s are shown. A lead with a fault may be nan.
    ms : array_like, shape (n_beats, 3, 3)
        Onset, peak and offset of P, QRS and T in milliseconds, nan where there is none: ``waves.ms[0]``.
    kind : array_like of int, shape (n_beats,)
        0 normal, 1 atrial, 2 ventricular premature, 3 a P wave alone, -1 no beat: ``waves.kind[0]``.
    measurements : mapping, optional
        A row of the table of measurements, for the line under the title. An interval that is nan in it has no bracket.
    faults : sequence of str, optional
        For each lead why it is unusable, or "".
    """
    values = np.array(signal, dtype=np.float64)
    seconds, kind = np.asarray(ms, dtype=np.float64) / 1000, np.asarray(kind)
    faults = ("",) * N_LEADS if faults is None else tuple(map(str, faults))
    if len(faults) != N_LEADS or seconds.shape != (*kind.shape, 3, 3) or kind.ndim != 1:
        raise EcgkitError(f"{len(faults)} faults, ms of shape {np.shape(ms)}, kind of shape {kind.shape}; expected "
                          f"{N_LEADS}, (n_beats, 3, 3), (n_beats,)")
    usable = values.copy()
    if values.shape[:1] == (N_LEADS,):
        usable[[fault != "" for fault in faults]] = 0
    layout = "3x4" if values.shape[-1] >= _SHORT * fs else "6x2"
    rhythm_lead = next((lead for lead in ("II", "V1", "V5", *LEADS) if not faults[LEADS.index(lead)]), "II")
    sheet = _with_room(_lay_out(usable, fs, layout=layout, seconds=None, rhythm_lead=rhythm_lead))
    figure = _draw([sheet], [title], fs, None, note=_main(measurements))
    ax = figure.axes[0]
    rows = _rows(ax, sheet, fs)
    for strip, row in zip(sheet.strips, rows, strict=True):
        if not faults[strip.lead]:
            _shade(ax, row, seconds, LEADS[strip.lead])
    _show_faults(ax, sheet, rows, values, faults)
    _edges(ax, rows[-1], seconds)
    alone = _mark_beats(ax, sheet, rows[-1], seconds, kind)
    _brackets(ax, rows[-1], sheet, seconds, kind, measurements)
    handles: list[Any] = [Patch(color=colour, alpha=0.4, label=wave) for wave, colour in COLOURS.items()]
    if alone:
        handles.append(Line2D([], [], label="P, not conducted", **_marker(True)))
    legend(ax, (_MARGIN + sheet.width, named(ax, "scale")[0].get_position()[1] + 1), handles, handlelength=1.2,
              columnspacing=1.4)
    return figure


def _with_room(sheet: _Sheet) -> _Sheet:
    """The sheet with room for marks above its rhythm strip, brackets below it, and words around a short ECG."""
    baselines = sheet.baselines.copy()
    baselines[-1] += _MARKS
    return replace(sheet, baselines=baselines, height=sheet.height + _MARKS + _BRACKETS,
                   width=max(sheet.width, _LEAST_WIDTH))


def _main(measurements: Mapping[str, float] | None) -> list[str]:
    if measurements is None:
        return []
    return [f"{name} {_number(measurements[column], unit)}".strip() for column, name, unit in MAIN]


def _number(value: float, unit: str) -> str:
    return f"{value:.0f}{unit}".replace("-", "−") if np.isfinite(value) else "–"


def _rows(ax: Axes, sheet: _Sheet, fs: float) -> list[_Row]:
    """Where each strip was drawn, read from its trace, which stands with 0 on its baseline."""
    lines = named(ax, "trace")
    return [_Row(strip.start / fs, strip.stop / fs, float(line.get_xdata()[0]), float(line.get_ydata()[0] - trace[0]))
            for strip, line, trace in zip(sheet.strips, lines, sheet.traces, strict=True)]


def _shade(ax: Axes, row: _Row, seconds: NDArray[np.float64], lead: str) -> None:
    for k, (wave, colour) in enumerate(COLOURS.items()):
        begin, end = row.x(seconds[:, k, 0]), row.x(seconds[:, k, 2])
        seen = end > begin  # so not where either is nan
        ax.broken_barh(list(zip(begin[seen], (end - begin)[seen], strict=True)),
                       (row.baseline - _BELOW, _ABOVE + _BELOW), facecolor=colour, alpha=0.28, linewidth=0, zorder=1.8,
                       gid=f"{wave} {lead}")


def _show_faults(ax: Axes, sheet: _Sheet, rows: Sequence[_Row], values: NDArray[np.float64],
                 faults: Sequence[str]) -> None:
    for strip, row, line, name in zip(sheet.strips, rows, named(ax, "trace"), named(ax, "lead"), strict=True):
        if not faults[strip.lead]:
            continue
        piece = values[strip.lead, strip.start:strip.stop]
        middle = np.median(piece[np.isfinite(piece)]) if np.isfinite(piece).any() else 0.0
        line.set(ydata=row.baseline + (piece - middle) * MM_PER_MV, color=GREY, linewidth=0.7, alpha=0.4)
        line.set_clip_path(Rectangle((row.left, row.baseline - _BELOW), row.x(row.stop) - row.left, _ABOVE + _BELOW,
                                     transform=ax.transData))
        name.set(text=f"{LEADS[strip.lead]}: {faults[strip.lead]}", color=GREY, fontweight="normal")


def _edges(ax: Axes, row: _Row, seconds: NDArray[np.float64]) -> None:
    for k, (wave, colour) in enumerate(COLOURS.items()):
        at = seconds[:, k, ::2].ravel()
        at = at[(at >= row.start) & (at <= row.stop)]
        ax.vlines(row.x(at), row.baseline - _BELOW, row.baseline + _ABOVE, color=colour, linewidth=0.8, zorder=1.9,
                  gid=f"edges {wave}")


def _mark_beats(ax: Axes, sheet: _Sheet, row: _Row, seconds: NDArray[np.float64], kind: NDArray[Any]) -> bool:
    """Mark each beat above the strip; whether a P wave alone is among them."""
    trace, alone = sheet.traces[-1], False
    for peaks, which in zip(seconds[:, :, 1], kind, strict=True):
        at = peaks[0] if which == ALONE else peaks[1]
        if which < 0 or not row.start <= at < row.stop:
            continue
        x = row.x(at)
        near = np.abs(np.arange(len(trace)) * sheet.step + row.left - x) < 4
        y = row.baseline + max(_ABOVE, trace[near].max(initial=0)) + 1
        alone |= which == ALONE
        if which in PREMATURE:
            ax.text(x, y, PREMATURE[int(which)], fontsize=9.5, fontweight="bold", ha="center", gid="beat",
                    path_effects=HALO, zorder=5)
        else:
            ax.plot(x, y + 0.8, gid="beat", zorder=5, **_marker(which == ALONE))
    return alone


def _marker(alone: bool) -> dict[str, Any]:
    face = PAPER if alone else GREY
    return {"marker": "v", "markersize": 5, "linestyle": "none", "color": COLOURS["P"] if alone else GREY,
            "markerfacecolor": face, "markeredgewidth": 1.2 if alone else 0}


def _brackets(ax: Axes, row: _Row, sheet: _Sheet, seconds: NDArray[np.float64], kind: NDArray[Any],
              measurements: Mapping[str, float] | None) -> None:
    """Draw the intervals of one beat below the strip."""
    lengths = np.stack([seconds[:, last[0], last[1]] - seconds[:, first[0], first[1]]
                        for _, _, first, last, _ in _INTERVALS], axis=1)
    measured = [measurements is None or np.isfinite(measurements[column]) for column, *_ in _INTERVALS]
    beat = _typical(np.where(measured, lengths, np.nan), seconds, kind, row)
    if beat is None:
        return
    top = row.baseline - sheet.height + sheet.baselines[-1] + _BRACKETS - 1.5
    for (_, name, first, last, level), length, there in zip(_INTERVALS, lengths[beat], measured, strict=True):
        if not there or np.isnan(length):
            continue
        a, b = row.x(seconds[beat][first]), row.x(seconds[beat][last])
        y = top - 4.5 * level
        ax.plot([a, a, b, b], [y + 1, y, y, y + 1], color=INK, linewidth=1, solid_joinstyle="miter",
                gid=f"bracket {name}")
        ax.vlines([a, b], y + 1, row.baseline - _BELOW, color=GREY, linewidth=0.6, linestyle=(0, (2, 2)))
        left = name == "PR"
        ax.text(a - 1 if left else b + 1, y, f"{name} {_number(length * 1000, ' ms')}", fontsize=10, va="center",
                ha="right" if left else "left", gid="interval", path_effects=HALO)
    ax.text(row.x(seconds[beat][1, 0]) - 1, top - 4.5, "this beat", fontsize=10, color=GREY, va="center", ha="right")


def _typical(lengths: NDArray[np.float64], seconds: NDArray[np.float64], kind: NDArray[Any], row: _Row) -> int | None:
    """The normal beat whose intervals, `(n_beats, n)` in seconds, are nearest to the median, away from the edges."""
    qrs = seconds[:, 1]
    normal = (kind == 0) & (qrs[:, 0] > row.start) & (qrs[:, 2] < row.stop)
    if not normal.any():
        return None
    middle = np.array([np.median(some[np.isfinite(some)]) if np.isfinite(some).any() else np.nan
                       for some in lengths[normal].T])
    # A second for each interval that the beat lacks; half a second near an edge, where there is no room for numbers.
    off = np.abs(np.nan_to_num(lengths - middle, nan=1.0)).sum(axis=1)
    off += 0.5 * ((qrs[:, 0] < row.start + 1.2) | (qrs[:, 2] > row.stop - 1.5))
    return int(np.where(normal, off, np.inf).argmin())
