"""Reading a figure back: its artists by name, and pixels by millimetre."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image


def named(figure: Figure, name: str) -> list[Any]:
    """Artists whose gid is `name` or begins with it and a space, in the order in which they were drawn."""
    return figure.findobj(lambda artist: str(artist.get_gid() or "").split(" ")[0] == name)


def inches(figure: Figure, artist: Any) -> Any:
    """A line's points in inches from the figure's lower left corner, `(n, 2)`."""
    return figure.dpi_scale_trans.inverted().transform(artist.get_transform().transform(artist.get_xydata()))


def png(figure: Figure, **how: Any) -> bytes:
    """The figure as it is saved."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", **how)
    return buffer.getvalue()


def pixels(figure: Figure) -> Any:
    """The figure as RGB, `(height, width, 3)`."""
    return np.asarray(Image.open(io.BytesIO(png(figure))).convert("RGB"))


def smallest_text(figure: Figure) -> float:
    """Size of the smallest text that shows, in points."""
    return min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text() and text.get_visible())
