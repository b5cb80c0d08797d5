"""How a counterfactual generator learnt: whether answers follow the wishes, what edits cost, and who deceives whom."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ecgkit.figures.style import FAINT, PALETTE, WIDTH, styled

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
        Of `ecgkit.explain.adversarial.train_generator`.
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
