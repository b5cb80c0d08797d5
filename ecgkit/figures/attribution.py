"""Attributions drawn: lead by segment over a cohort, on one ECG on paper, and a cohort's measurements as dots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.figures.ecg_paper import _MARGIN, _draw, _lay_out, legend, named
from ecgkit.figures.style import FAINT, GREY, INK, PALETTE, WIDTH, panels, styled
from ecgkit.leads import LEADS, N_LEADS

SEGMENTS = ("P", "QRS", "ST", "T", "rest")
#: What lowers and what raises a logit.
LOWERS, RAISES = PALETTE[0], PALETTE[1]
DIVERGING = LinearSegmentedColormap.from_list("attribution", ["#003a5d", LOWERS, "#f7f7f7", RAISES, "#7a3500"])
#: The strongest share of an ECG's samples are all drawn alike, so that one spike does not fade the rest.
_STRONGEST = 0.01
#: Hatches of cells whose interval covers 0, and of those without a value.
_UNSURE, _MISSING = "/////", "xxxx"


@styled
def attribution_map(values: Any, low: Any, high: Any, *, names: Sequence[str] | None = None,
                    unit: str = "mean contribution to the logit") -> Figure:
    """Heat map of leads by segments, a panel per class with its name, all on one scale around 0.

    Values and the ends of their intervals are `(12, n_segments)` or `(n_classes, 12, n_segments)`, of the five of
    `SEGMENTS` or of four, without the rest. A cell is pale and hatched if its interval covers 0, and crossed out in
    grey if its value is nan; `unit` says what the colour means.
    """
    maps, lows, highs = (np.asarray(array, dtype=float) for array in (values, low, high))
    shape = maps.shape
    fits = len(shape) in (2, 3) and shape[-2:] in ((N_LEADS, 4), (N_LEADS, 5))
    if not fits or lows.shape != shape or highs.shape != shape:
        raise EcgkitError(f"values, low and high of shapes {shape}, {lows.shape}, {highs.shape}; expected the same "
                          f"(n_classes, {N_LEADS}, 4 or 5)")
    maps, lows, highs = (array.reshape(-1, *shape[-2:]) for array in (maps, lows, highs))
    if not np.isfinite(maps).any():
        raise EcgkitError("no value to draw is finite")
    titles = [""] * len(maps) if names is None else list(names)
    if len(titles) != len(maps):
        raise EcgkitError(f"{len(titles)} names for {len(maps)} classes")
    figure, axes = panels(len(maps), 3, lambda columns, rows: (1.2 + columns * (WIDTH - 1.2) / 3, 0.9 + 3.1 * rows),
                          sharey=True)
    scale = float(np.nanmax(np.abs(maps))) or 1.0
    for k, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        image = _draw_panel(ax, maps[k], lows[k], highs[k], scale)
        ax.set_title(title, fontsize=10.5)
    rows = -(-len(maps) // 3)
    bar = figure.colorbar(image, ax=axes, shrink=0.8 / rows ** 0.5, pad=0.02, label=unit)
    bar.outline.set_visible(False)
    said = {_UNSURE: "interval covers 0"} | ({_MISSING: "no value"} if np.isnan(maps).any() else {})
    handles = [Patch(facecolor="white", edgecolor=GREY, hatch=hatch, linewidth=0.6, label=label)
               for hatch, label in said.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9.5)
    return figure


def _draw_panel(ax: Axes, values: NDArray[Any], low: NDArray[Any], high: NDArray[Any], scale: float) -> Any:
    n_segments = values.shape[1]
    image = ax.imshow(values, cmap=DIVERGING, vmin=-scale, vmax=scale, aspect="auto", gid="values")
    for lead, segment in np.ndindex(*values.shape):
        missing = not np.isfinite(values[lead, segment])
        if not missing and not low[lead, segment] <= 0 <= high[lead, segment]:
            continue
        ax.add_patch(Rectangle((segment - 0.5, lead - 0.5), 1, 1, facecolor=(1, 1, 1, 0 if missing else 0.55),
                               edgecolor=GREY, hatch=_MISSING if missing else _UNSURE, linewidth=0,
                               gid="missing" if missing else "unsure"))
    ax.set_xticks(range(n_segments), SEGMENTS[:n_segments], fontsize=9.5)
    ax.set_yticks(range(N_LEADS), LEADS, fontsize=9.5)
    ax.hlines(np.arange(0.5, N_LEADS - 1), -0.5, n_segments - 0.5, color="white", linewidth=1)
    ax.vlines(np.arange(0.5, n_segments - 1), -0.5, N_LEADS - 0.5, color="white", linewidth=1)
    # The chest leads are another plane than the limb leads.
    ax.axhline(5.5, color=INK, linewidth=0.8)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return image


@styled
def attribution_on_ecg(signal: Any, attribution: Any, fs: float, *, title: str | None = None,
                       label: str = "the logit", rhythm_lead: str | None = "II") -> Figure:
    """Draw an ECG on paper with its attribution, `(12, sig_len)`, as the colour behind the trace.

    It is signed, of any unit: the stronger, the more opaque; the strongest per cent are all opaque. The legend says
    that it raises or lowers the `label`; for `rhythm_lead` see `ecgkit.figures.plot_ecg`.
    """
    sheet = _lay_out(signal, fs, layout="3x4", seconds=None, rhythm_lead=rhythm_lead, highlight=attribution)
    figure = _draw([replace(sheet, masks=[])], [title], fs, None)
    ax = figure.axes[0]
    size = np.abs(np.concatenate(sheet.masks))
    strength = np.quantile(size[size > 0], 1 - _STRONGEST) if size.any() else 1.0
    for line, values in zip(named(ax, "trace"), sheet.masks, strict=True):
        _draw_band(ax, line, values / strength)
    handles = [Line2D([], [], color=colour, linewidth=7, solid_capstyle="butt", label=f"{verb} {label}")
               for colour, verb in ((RAISES, "raises"), (LOWERS, "lowers"))]
    legend(ax, (_MARGIN + sheet.width, named(ax, "scale")[0].get_position()[1] + 1), handles)
    return figure


def _draw_band(ax: Axes, line: Line2D, values: NDArray[Any]) -> None:
    """Lay a broad line under a trace: around each sample in the colour of its sign, as opaque as it is strong."""
    points = np.asarray(line.get_xydata())
    middle = (points[:-1] + points[1:]) / 2
    pieces = np.stack([np.concatenate([points[:1], middle]), points, np.concatenate([middle, points[-1:]])], axis=1)
    colours = np.where(values[:, None] > 0, to_rgba(RAISES), to_rgba(LOWERS))
    colours[:, 3] = 0.85 * np.clip(np.abs(values), 0, 1)
    band = LineCollection(list(pieces), colors=colours, linewidths=6, zorder=1.9, capstyle="butt", joinstyle="round",
                          gid=str(line.get_gid()).replace("trace", "attribution"))
    ax.add_collection(band, autolim=False)
    band.set_clip_path(line.get_clip_path())


@styled
def quac_curves(curves: Mapping[str, tuple[Any, Any]], *, plain: tuple[str, ...] = ()) -> Figure:
    """One line for each explanation: the mean over the ECGs; those in `plain`, which ask no model, grey and dashed.

    `curves` holds by name the share of the signal that is replaced and how far the logit has turned (0 at first, 1 in
    the end), both `(n, n_steps + 1)`; nan where an ECG is left out.
    """
    if not curves:
        raise EcgkitError("no curve to draw")
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    ax = figure.subplots()
    style: dict[str, Any]
    colours, dashes = iter(PALETTE * 3), iter([(0, (1, 1)), (0, (3, 1)), (0, (5, 2)), (0, (3, 1, 1, 1))] * 3)
    for name, (share, progress) in curves.items():
        style = {"color": GREY, "linestyle": next(dashes)} if name in plain else {"color": next(colours)}
        ax.plot(100 * np.nanmean(share, axis=0), np.nanmean(progress, axis=0), label=name, linewidth=1.6, **style)
    ax.axhline(1, color=GREY, linewidth=0.6)
    ax.set(xlabel="share of the signal replaced, %", ylabel="how far the logit has turned", xlim=(0, 100))
    ax.grid(color=FAINT, linewidth=0.6)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


@styled
def beeswarm(values: Any, features: Any, names: Sequence[str], label_names: Sequence[str], *, top: int = 10) -> Figure:
    """A panel per label: of the `top` features that move it most, the most at the top, each ECG a dot.

    Values `(n, n_labels, n_features)` are in probability (`ecgkit.explain.attribution.forest_shap`); the colour is the
    rank of the ECG's own among the features `(n, n_features)`, grey where missing.
    """
    shap, own = np.asarray(values, dtype=float), np.asarray(features, dtype=float)
    if not shap.size or shap.shape != (len(own), len(label_names), len(names)) or own.shape != shap[:, 0].shape:
        raise EcgkitError(f"values of shape {shap.shape} and features of {own.shape} for {len(label_names)} labels and "
                          f"{len(names)} names; expected (n, n_labels, n_features) and (n, n_features)")
    rank, colours = pd.DataFrame(own).rank(pct=True), matplotlib.colormaps["viridis"].with_extremes(bad=GREY)
    figure, axes = panels(len(label_names), 2, lambda columns, rows: (WIDTH, 0.6 + (0.7 + 0.2 * top) * rows))
    for k, (ax, label) in enumerate(zip(axes, label_names, strict=True)):
        order = np.argsort(-np.abs(shap[:, k]).mean(axis=0), kind="stable")[:top]
        ax.axvline(0, color=GREY, linewidth=0.6, zorder=0)
        for row, j in enumerate(order):
            dots = ax.scatter(shap[:, k, j], row + _aside(shap[:, k, j]), c=rank[j], cmap=colours, vmin=0, vmax=1, s=6,
                              linewidths=0, plotnonfinite=True, rasterized=True, gid=f"swarm {label}")
        ax.set_yticks(range(len(order)), [names[j] for j in order])
        ax.set(title=label, xlabel="adds to the probability", ylim=(len(order) - 0.5, -0.5))
    bar = figure.colorbar(dots, ax=axes, ticks=[0, 1], location="bottom", shrink=0.3, aspect=30, pad=0.02)
    bar.ax.set_xticklabels(["low", "high in these ECGs (grey: missing)"])
    return figure


@styled
def waterfall(values: Any, base: Any, features: Sequence[str], label_names: Sequence[str], *, top: int = 5) -> Figure:
    """A panel per label: from `base` `(n_labels,)` over the `top` features that add most, and all others, to their sum.

    Values `(n_labels, n_features)` are in probability, of one ECG, whose `features` are in words.
    """
    shap, start = (np.asarray(part, dtype=float) for part in (values, base))
    if not shap.size or shap.shape != (len(label_names), len(features)) or start.shape != shap[:, 0].shape:
        raise EcgkitError(f"values of shape {shap.shape} and a base of {start.shape} for {len(label_names)} labels and "
                          f"{len(features)} features; expected (n_labels, n_features) and (n_labels,)")
    figure, axes = panels(len(label_names), 1, lambda _, rows: (WIDTH, rows * (0.5 + 0.19 * (top + 1))), sharex=True)
    for ax, label, row, first in zip(axes, label_names, shap, start, strict=True):
        order = np.argsort(-np.abs(row), kind="stable")[:top]
        steps = np.append(row[order], row.sum() - row[order].sum())
        ends = first + np.cumsum(steps)
        bars = ax.barh(range(len(steps)), steps, left=ends - steps, color=np.where(steps < 0, LOWERS, RAISES))
        ax.bar_label(bars, [f"{step:+.2f}".replace("-", "−") for step in steps], padding=3)
        for at, line in ((first, "--"), (ends[-1], "-")):
            ax.axvline(at, color=GREY, linewidth=0.8, linestyle=line, zorder=0)
        ax.set_yticks(range(len(steps)), [*(features[j] for j in order), f"{len(row) - len(order)} others"])
        ax.set(title=f"{label}: {first:.2f} → {ends[-1]:.2f}", ylim=(len(steps) - 0.5, -0.5), xlim=(-0.15, 1.12))
    axes[-1].set_xlabel("probability: base (dashed), and of this ECG (line)")
    return figure


def _aside(x: NDArray[Any]) -> NDArray[np.float64]:
    """How far dots step aside, to either side in turn, where others of like value are: within 0.4."""
    alike = pd.Series(np.digitize(x, np.histogram_bin_edges(x, 40)))
    place = alike.groupby(alike).cumcount().to_numpy()
    step = (place + 1) // 2 * np.where(place % 2, 1, -1)
    return 0.4 * step / max(int(np.abs(step).max()), 8)
