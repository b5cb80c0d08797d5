"""Style coordinates with names: the beats that they draw, and how strongly they act on measurements."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ecgkit.errors import EcgkitError
from ecgkit.figures.style import FAINT, GREY, PALETTE, WIDTH, styled
from ecgkit.leads import LEADS, N_LEADS

#: Lowest value of the coordinate, as it is, highest.
VALUES = {"lowest": PALETTE[0], "as it is": GREY, "highest": PALETTE[1]}


@styled
def style_coordinates(beats: Any, names: Sequence[str], fs: float, *,
                      leads: Sequence[str] = ("II", "V1", "V2", "V5")) -> Figure:
    """Mean beats at the lowest and the highest value of some coordinates: one row each, one column per lead.

    Parameters
    ----------
    beats : array_like, shape (n_coordinates, 3, 12, period)
        Millivolts: lowest, as it is, highest.
    names : sequence of str
        One per coordinate; say which of its ends the name is about.
    fs : float
        Sampling rate in Hz.
    leads : sequence of str
    """
    beats = np.asarray(beats, dtype=np.float64)
    if beats.ndim != 4 or beats.shape[1:3] != (3, N_LEADS) or len(beats) != len(names) or not len(beats):
        raise EcgkitError(f"beats of shape {beats.shape} with {len(names)} names; expected (n_coordinates, 3, "
                          f"{N_LEADS}, period) and one name each")
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
    rows[-1].supxlabel("ms", fontsize=9)
    figure.legend(*rows[0].axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=len(VALUES))
    return figure


@styled
def style_effects(effects: pd.DataFrame, labels: Sequence[str] | None = None) -> Figure:
    """Forest plot of what each coordinate does to the measurements in its name, with 95 % intervals.

    Parameters
    ----------
    effects : DataFrame, indexed by `coordinate` and `measurement`
        Columns `says`, `unit`, `effect`, `effect_low`, `effect_high`, `spread`, `telling`; see
        `ecgkit.explain.StyleExplainer.names`. Effects are drawn in spreads (standard deviations over beats), so
        that milliseconds and millivolts share an axis; the text is in the measurement's unit.
    labels : sequence of str, optional
        What is written left of each coordinate, in their order; 1, 2, ... by default.
    """
    shown = effects[effects["telling"]]
    if not len(shown):
        raise EcgkitError("no coordinate acts on a measurement; there is nothing to draw")
    coordinates = list(dict.fromkeys(effects.index.get_level_values("coordinate")))
    told = dict(zip(coordinates, labels or [str(k + 1) for k in range(len(coordinates))], strict=True))
    place = shown.index.get_level_values("coordinate")
    y = np.arange(len(shown)) + np.cumsum(np.append(False, place[1:] != place[:-1])) * 0.6
    figure = Figure(figsize=(WIDTH, 0.8 + 0.24 * y[-1]), layout="constrained")
    ax = figure.subplots()
    low, middle, high = (shown[name] / shown["spread"] for name in ("effect_low", "effect", "effect_high"))
    colours = [PALETTE[coordinates.index(coordinate) % len(PALETTE)] for coordinate in place]
    ax.hlines(y, low, high, color=colours, linewidth=1.8)
    ax.scatter(middle, y, color=colours, s=22, zorder=3)
    ax.axvline(0, color=GREY, linewidth=1)
    values = shown[["effect", "effect_low", "effect_high"]].to_numpy()
    for at, unit, (effect, left, right) in zip(y, shown["unit"], values, strict=True):
        digits, sign = (2, " mV") if unit == "mV" else (0, " ms" if unit == "ms" else "°")
        ax.text(1.02, at, f"{effect:+.{digits}f}{sign} ({left:+.{digits}f} to {right:+.{digits}f})".replace("-", "−"),
                transform=ax.get_yaxis_transform(), va="center", fontsize=8.5)
    first = np.append(True, place[1:] != place[:-1])
    ax.set(yticks=y, ylim=(y[-1] + 0.6, -0.6), xlabel="effect in standard deviations over beats, with 95 % interval",
           yticklabels=[f"{textwrap.shorten(told[c], 30)}  {says}" if start else says
                        for c, says, start in zip(place, shown["says"], first, strict=True)])
    ax.grid(axis="x", color=FAINT, linewidth=0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    return figure
