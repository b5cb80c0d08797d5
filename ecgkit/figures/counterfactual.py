"""Counterfactual ECGs: before and after on paper, the way between, a cohort's mean edit, and what coordinates do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.figures.ecg_paper import _draw, _lay_out, _place_name, _Sheet
from ecgkit.figures.style import FAINT, GREY, INK, PALETTE, WIDTH, styled
from ecgkit.leads import LEADS, N_LEADS

#: Edits beyond this many millivolts are highlighted: a fifth of a small square.
SEEN_MV = 0.02
#: In legends: the two traces, and what is highlighted.
_NAMES, _SHADED = ("this ECG", "counterfactual"), f"edit beyond {1000 * SEEN_MV:.0f} µV"
#: From healthy (blue) to disease (orange); neither end is pale on white.
RAMP = LinearSegmentedColormap.from_list("healthy to disease", ["#0072B2", "#7B5EA7", "#C8507C", "#D55E00"])
_HIGHLIGHT = 0.4
#: Seconds below which the leads stand in two columns, not four, so that each shows a beat.
SHORT = 6.0
_LEAST_WIDTH = 180.0


@styled
def before_after(before: Any, after: Any, fs: float, *, title: str, changes: Sequence[str] | None = None,
                 mask: Any = None) -> Figure:
    """Draw an ECG and its counterfactual over each other on ECG paper.

    Parameters
    ----------
    changes : sequence of str, optional
        Measurements that changed, for the line under the title: `QRS 148 → 96 ms`.
    mask : array_like, shape (12, sig_len), optional
        Highlighted where not 0; by default where the edit exceeds 20 µV.
    """
    sheet = _overlaid(before, after, fs, mask)
    return _draw([sheet], [title], fs, (*_NAMES, _SHADED if mask is None else "mask"), note=changes or ())


@styled
def before_after_gallery(pictures: Sequence[tuple[str, Any, Any]], fs: float) -> Figure:
    """Draw several (title, ECG, counterfactual) below each other, as `before_after` draws one."""
    if not pictures:
        raise EcgkitError("no ECG to draw; give at least one (title, before, after)")
    sheets = [_overlaid(before, after, fs, None) for _, before, after in pictures]
    return _draw(sheets, [title for title, _, _ in pictures], fs, (*_NAMES, _SHADED))


def _overlaid(before: Any, after: Any, fs: float, mask: Any) -> _Sheet:
    """One ECG laid out with its counterfactual over it."""
    before, after = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if before.shape != after.shape:
        raise EcgkitError(f"the ECG has shape {before.shape} and its counterfactual {after.shape}; they must be the "
                          "same")
    found = np.abs(after - before) > SEEN_MV if mask is None else np.asarray(mask) != 0
    layout = "6x2" if before.shape[-1] < SHORT * fs else "3x4"
    sheet = _lay_out(before, fs, layout=layout, seconds=None, rhythm_lead="II", highlight=_HIGHLIGHT * found,
                     overlay=after)
    # Names stand clear of both traces, and the legend has room under a short ECG.
    names_at = [_place_name(LEADS[strip.lead], np.maximum(trace, other), sheet.step)
                for strip, trace, other in zip(sheet.strips, sheet.traces, sheet.overlays, strict=True)]
    return replace(sheet, names=names_at, width=max(sheet.width, _LEAST_WIDTH))


@styled
def sweep(beats: Any, probabilities: Any, fs: float, *, label: str = "the label") -> Figure:
    """Draw the median beat of each lead on the way from healthy to disease, one panel for each lead.

    Beats are `(k, 12, samples)` in mV, aligned alike; the classifier's probability of the label, `(k,)`, colours them.
    """
    beats, p = np.asarray(beats, dtype=float), np.asarray(probabilities, dtype=float)
    if beats.ndim != 3 or beats.shape[1] != N_LEADS or p.shape != beats.shape[:1] or not len(p):
        raise EcgkitError(f"beats of shape {beats.shape} and probabilities of shape {p.shape}; expected "
                          f"(k, {N_LEADS}, samples) and (k,)")
    figure, axes = _panels("seconds", "mV")
    seconds = np.arange(beats.shape[2]) / fs
    for k in np.argsort(p):
        for ax, lead, beat in zip(axes, LEADS, beats[k], strict=True):
            ax.plot(seconds, beat, color=RAMP(p[k]), linewidth=1.1, gid=f"beat {k} {lead}")
    scale = figure.colorbar(ScalarMappable(Normalize(0, 1), RAMP), ax=axes, shrink=0.6, aspect=30, pad=0.02)
    scale.set_label(f"probability of {label}")
    scale.ax.hlines(p, 0, 1, color="white", linewidth=0.8, transform=scale.ax.get_yaxis_transform())
    return figure


@styled
def edit_map(mean: Any, low: Any, high: Any, milliseconds: Any) -> Figure:
    """Draw what an explainer changed on the average of a cohort, lead by lead, with its 95 % band.

    Mean of counterfactual minus ECG over beats aligned at R, and the ends of its interval, are `(12, samples)` in mV;
    `milliseconds` `(samples,)` are from R. Where the band does not hold 0 the edit is in colour: orange where voltage
    was added, blue where it was taken away.
    """
    mean, low, high = (np.asarray(values, dtype=float) for values in (mean, low, high))
    ms = np.asarray(milliseconds, dtype=float)
    if not mean.shape == low.shape == high.shape == (N_LEADS, len(ms)):
        raise EcgkitError(f"mean, low and high of shapes {mean.shape}, {low.shape}, {high.shape} for {len(ms)} times; "
                          f"expected ({N_LEADS}, samples) thrice")
    figure, axes = _panels("ms from R", "edit in µV")
    for ax, lead, middle, below, above in zip(axes, LEADS, 1000 * mean, 1000 * low, 1000 * high, strict=True):
        ax.axhline(0, color=GREY, linewidth=0.7)
        ax.axvline(0, color=FAINT, linewidth=0.9, zorder=0)
        for sure, colour, name in ((below > 0, PALETTE[1], "more"), (above < 0, PALETTE[0], "less")):
            ax.fill_between(ms, 0, middle, where=sure, color=colour, alpha=0.5, linewidth=0, gid=f"{name} {lead}")
        ax.fill_between(ms, below, above, color=GREY, alpha=0.35, linewidth=0, gid=f"band {lead}")
        ax.plot(ms, middle, color=INK, linewidth=0.9, gid=f"mean {lead}")
    return figure


def _panels(x: str, y: str) -> tuple[Figure, NDArray[Any]]:
    """Twelve panels in the order of a printed ECG, with common axes."""
    figure = Figure(figsize=(WIDTH, 5.4), layout="constrained")
    grid = figure.subplots(3, 4, sharex=True, sharey=True)
    axes = grid.T.ravel()
    for ax, lead in zip(axes, LEADS, strict=True):
        ax.text(0.03, 0.97, lead, transform=ax.transAxes, fontweight="bold", va="top", gid="lead")
        ax.grid(color=FAINT, linewidth=0.5)
        ax.set_axisbelow(True)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.margins(x=0)
    figure.supxlabel(x)
    figure.supylabel(y)
    return figure, axes


#: Panels: the axis, and the columns of the history that they show, with their names.
_PANELS = (
    ("logits", {"reach": "asked label: distance to the wish", "keep": "other labels: change"}),
    ("correlation", {"correlation": "wanted and obtained logit"}),
    ("µV", {"edit": "mean edit", "cycle": "mean error of the way back"}),
    ("discriminator's score", {"real": "real ECGs", "fake": "counterfactuals"}),
)


@styled
def gan_history(history: pd.DataFrame) -> Figure:
    """Four panels over the steps of a training by `ecgkit.explain.counterfactual.training.train_generator`."""
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    for ax, (axis, columns) in zip(figure.subplots(2, 2).ravel(), _PANELS, strict=True):
        for colour, (column, name) in zip(PALETTE, columns.items(), strict=False):
            ax.plot(history["step"], history[column] * (1000 if axis == "µV" else 1), color=colour, label=name)
        ax.set(xlabel="step", ylabel=axis, xlim=(0, history["step"].max() * 1.02))
        if axis in ("logits", "µV"):
            ax.set_ylim(bottom=0)
        ax.grid(axis="y", color=FAINT, linewidth=0.6)
        ax.legend(frameon=False)
    return figure


#: A beat as it is, and with one number of its shape changed.
VALUES = {"as it is": GREY, "changed": PALETTE[1]}


@styled
def changed_beats(beats: Any, names: Sequence[str], fs: float, *,
                  leads: Sequence[str] = ("I", "aVF", "V1", "V3", "V5")) -> Figure:
    """Mean beats as they are and with one thing changed: one row for each change, one column per lead.

    Beats are `(n_changes, 2, 12, period)` in mV: as it is, changed. Names, one per change, say what it is.
    """
    beats = np.asarray(beats, dtype=np.float64)
    if beats.ndim != 4 or beats.shape[1:3] != (2, N_LEADS) or len(beats) != len(names) or not len(beats):
        raise EcgkitError(f"beats of shape {beats.shape} with {len(names)} names; expected (n_changes, 2, {N_LEADS}, "
                          "period) and one name each")
    figure = Figure(figsize=(WIDTH, 0.6 + 1.35 * len(beats)), layout="constrained")
    rows = figure.subfigures(len(beats), 1, squeeze=False, height_ratios=[1.0] * (len(beats) - 1) + [1.3])[:, 0]
    ms = np.arange(beats.shape[3]) * 1000 / fs
    for row, name, drawn in zip(rows, names, beats, strict=True):
        row.suptitle(name, x=0.01, ha="left", fontsize=9.5)
        for ax, lead in zip(row.subplots(1, len(leads)), leads, strict=True):
            for (value, colour), beat in zip(VALUES.items(), drawn[:, LEADS.index(lead)], strict=True):
                ax.plot(ms, beat, color=colour, linewidth=1.1, label=value)
            ax.axhline(0, color=FAINT, linewidth=0.6, zorder=0)
            ax.set_title(lead, loc="right", fontsize=8.5, pad=2)
            ax.locator_params(axis="y", nbins=3)
            ax.locator_params(axis="x", nbins=3)
            if row is not rows[-1]:
                ax.set_xticklabels([])
        row.axes[0].set_ylabel("mV")
    rows[-1].supxlabel("ms")
    figure.legend(*rows[0].axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=len(VALUES))
    return figure


@styled
def planted_hits(asked: pd.DataFrame) -> Figure:
    """Which planted features each way of discovery found, by how much the networks use them.

    One row of `asked` for each question and `way`, with `used`, by how much the AUROC falls without the feature, and
    `hit`, 1 where it was found.
    """
    ways = list(asked["way"].unique())
    figure = Figure(figsize=(WIDTH, 0.9 + 0.6 * len(ways)), layout="constrained")
    ax = figure.subplots()
    spread = np.random.default_rng(0)
    for hit, colour, name, marker in ((1, PALETTE[0], "found", "o"), (0, PALETTE[1], "not found", "x")):
        part = asked[asked["hit"] == hit]
        y = part["way"].map(ways.index) + spread.uniform(-0.28, 0.28, len(part))
        ax.scatter(part["used"], y, color=colour, marker=marker, s=22, linewidth=1.2, label=name, alpha=0.8)
    ax.axvline(0.05, color=GREY, linewidth=1)
    ax.set(yticks=range(len(ways)), yticklabels=ways, ylim=(len(ways) - 0.5, -0.5),
           xlabel="by how much the networks' AUROC falls without the planted feature")
    ax.grid(axis="x", color=FAINT, linewidth=0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure
