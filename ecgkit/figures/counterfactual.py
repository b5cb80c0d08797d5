"""Counterfactual ECGs: before and after on paper, the way from healthy to disease, and a cohort's mean edit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
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
#: From healthy (blue) to disease (orange); neither end is pale on white.
RAMP = LinearSegmentedColormap.from_list("healthy to disease", ["#0072B2", "#7B5EA7", "#C8507C", "#D55E00"])
_HIGHLIGHT = 0.4
#: Seconds below which the leads stand in two columns, not four, so that each shows a beat.
SHORT = 6.0
_LEAST_WIDTH = 180.0


@styled
def before_after(before: Any, after: Any, fs: float, *, title: str, changes: Sequence[str] | None = None,
                 mask: Any = None, names: tuple[str, str] = ("this ECG", "counterfactual")) -> Figure:
    """Draw an ECG and its counterfactual over each other on ECG paper.

    Parameters
    ----------
    before, after : array_like, shape (12, sig_len)
        Millivolts.
    fs : float
        Sampling rate in Hz.
    title : str
        Printed above the paper.
    changes : sequence of str, optional
        Measurements that changed, for the line under the title: `QRS 148 → 96 ms`.
    mask : array_like, shape (12, sig_len), optional
        Highlighted where not 0; by default where the edit exceeds 20 µV.
    names : tuple of str
        Of the two, for the legend.

    Raises
    ------
    EcgkitError
        Where the shapes or the rate do not fit.
    """
    sheet = _overlaid(before, after, fs, mask)
    note = "    ".join(text.replace(" ", "\u00a0") for text in changes or ())  # a line may end between them only
    shaded = f"edit beyond {1000 * SEEN_MV:.0f} µV" if mask is None else "mask"
    return _draw([sheet], [title], fs, (*names, shaded), note=note)


@styled
def before_after_gallery(pictures: Sequence[tuple[str, Any, Any]], fs: float, *,
                         names: tuple[str, str] = ("this ECG", "counterfactual")) -> Figure:
    """Draw several ECGs and their counterfactuals below each other, as `before_after` draws one.

    Parameters
    ----------
    pictures : sequence of (str, array_like, array_like)
        Title, ECG and counterfactual `(12, sig_len)` in mV.
    fs : float
        Sampling rate in Hz.
    names : tuple of str
        What the black and the blue trace are called.
    """
    if not pictures:
        raise EcgkitError("no ECG to draw; give at least one (title, before, after)")
    sheets = [_overlaid(before, after, fs, None) for _, before, after in pictures]
    return _draw(sheets, [title for title, _, _ in pictures], fs, (*names, f"edit beyond {1000 * SEEN_MV:.0f} µV"))


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

    Parameters
    ----------
    beats : array_like, shape (k, 12, samples)
        Millivolts; all of them aligned alike.
    probabilities : array_like, shape (k,)
        The classifier's probability of the label for each, which colours it.
    fs : float
        Sampling rate in Hz.
    label : str
        Name of the label, for the scale of colours.

    Raises
    ------
    EcgkitError
        Where the shapes do not fit.
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

    Where the band does not hold 0 the edit is in colour: orange where voltage was added, blue where it was taken away.

    Parameters
    ----------
    mean, low, high : array_like, shape (12, samples)
        Mean of counterfactual minus ECG in millivolts over beats aligned at R, and the ends of its interval.
    milliseconds : array_like, shape (samples,)
        Time from R.

    Raises
    ------
    EcgkitError
        Where the shapes do not fit.
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
        _plain(ax, lead)
    figure.supxlabel(x, fontsize=9)
    figure.supylabel(y, fontsize=9)
    return figure, axes


def _plain(ax: Axes, lead: str) -> None:
    ax.text(0.03, 0.97, lead, transform=ax.transAxes, fontweight="bold", va="top", gid="lead")
    ax.grid(color=FAINT, linewidth=0.5)
    ax.set_axisbelow(True)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.margins(x=0)


#: Panels: the axis, and the columns of the history that they show, with their names.
_PANELS = (
    ("logits", {"reach": "asked label: distance to the wish", "keep": "other labels: change"}),
    ("correlation", {"correlation": "wanted and obtained logit"}),
    ("µV", {"edit": "mean edit", "cycle": "mean error of the way back"}),
    ("discriminator's score", {"real": "real ECGs", "fake": "counterfactuals"}),
)


@styled
def gan_history(history: pd.DataFrame) -> Figure:
    """Four panels over the steps of the training.

    Parameters
    ----------
    history : DataFrame
        Of `ecgkit.explain.counterfactual.training.train_generator`.
    """
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
