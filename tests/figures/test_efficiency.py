"""The label-efficiency figure: its lines are the curves' means, its bands their seeds, its ticks their labels."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from ecgkit.errors import EcgkitError
from ecgkit.figures import PALETTE, label_efficiency
from ecgkit.figures.style import INK
from ecgkit.study.efficiency import Curve
from tests.figures.helpers import named, png, smallest_text

FRACTIONS = np.array([0.01, 0.1, 1.0])


def curve(lift=0.0):
    seeds = tuple(np.array([low, low + 0.02, low + 0.06]) + lift for low in (0.7, 0.8, 0.85))
    return Curve(FRACTIONS, 2596 * FRACTIONS, seeds, np.zeros((1, 3)))


def test_lines_are_means_and_bands_are_seeds():
    curves = {"new": curve(0.03), "scratch": curve()}
    figure = label_efficiency(curves, reference="scratch", title="superclass")
    (ax,) = figure.axes
    for name, given in curves.items():
        (line,) = [one for one in ax.lines if one.get_label() == name]
        np.testing.assert_allclose(line.get_xydata(), np.column_stack([given.n_labels, given.mean]))
        (band,) = [one for one in named(figure, "band") if one.get_gid() == f"band {name}"]
        corners = band.get_paths()[0].vertices
        for n, values in zip(given.n_labels, given.seeds, strict=True):
            there = corners[np.isclose(corners[:, 0], n), 1]
            assert (there.min(), there.max()) == pytest.approx((values.min(), values.max()))
    assert ax.get_xscale() == "log"
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["26\n1 %", "260\n10 %", "2,596\n100 %"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(curves)
    assert ax.get_title("left") == "superclass"
    assert smallest_text(figure) >= 10
    assert figure.get_figwidth() <= 6.5
    assert len(png(figure)) < 250_000


def test_every_line_is_told_apart_by_marker_and_the_reference_is_dark():
    names = ["scratch", *(f"method {k}" for k in range(8))]
    (ax,) = label_efficiency({name: curve(0.01 * k) for k, name in enumerate(names)}, reference="scratch").axes
    assert len({line.get_marker() for line in ax.lines}) == len(names)
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == len(names)
    assert to_hex(ax.lines[0].get_color()) == INK
    assert [line.get_color() for line in ax.lines[1:7]] == list(PALETTE)
    assert [line.get_linestyle() for line in ax.lines[1:7]] == ["-"] * 6


def test_the_legend_is_outside_the_data():
    figure = label_efficiency({"one": curve(), "other": curve(0.02)})
    figure.draw_without_rendering()
    assert figure.legends[0].get_window_extent().y1 <= figure.axes[0].get_window_extent().y0


@pytest.mark.parametrize(("curves", "reference"), [({}, None), ({"new": curve()}, "scratch")])
def test_nothing_to_draw_is_refused(curves, reference):
    with pytest.raises(EcgkitError, match="no curve named"):
        label_efficiency(curves, reference=reference)
