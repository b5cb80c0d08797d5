"""QuAC curves: how soon a classifier turns while the most important part of an ECG is replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ecgkit.errors import EcgkitError
from ecgkit.figures.style import FAINT, GREY, PALETTE, WIDTH, styled


@styled
def quac_curves(curves: Mapping[str, tuple[Any, Any]], *, plain: tuple[str, ...] = ()) -> Figure:
    """One line for each explanation: the mean over the ECGs.

    Parameters
    ----------
    curves : mapping
        By name, the share of the signal that is replaced and how far the logit has turned (0 at first, 1 in the end),
        both `(n, n_steps + 1)`; nan where an ECG is left out.
    plain : tuple of str
        Names of maps that ask no model: drawn in grey, dashed.
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
