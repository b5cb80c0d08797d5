"""Pictures of style coordinates: what is drawn is what was found."""

import numpy as np
import pandas as pd
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.figures import style_coordinates, style_effects
from ecgkit.leads import LEADS
from tests.figures.helpers import png, smallest_text


def effects():
    index = pd.MultiIndex.from_product([[7, 3], ["qrs", "r_V5"]], names=["coordinate", "measurement"])
    return pd.DataFrame({"effect": [18.0, 0.4, -6.0, 0.0], "effect_low": [15.0, 0.3, -9.0, -0.1],
                         "effect_high": [21.0, 0.5, -3.0, 0.1], "spread": [10.0, 0.5, 10.0, 0.5],
                         "telling": [True, True, True, False],
                         "says": ["QRS", "R V5"] * 2, "unit": ["ms", "mV"] * 2}, index=index)


def test_style_coordinates_show_the_beats():
    beats = np.random.default_rng(0).normal(size=(2, 3, 12, 100))
    figure = style_coordinates(beats, ["QRS +18 ms", "R V5 +0.40 mV"], 100.0, leads=("V1", "V5"))
    rows = figure.subfigs
    assert [row._suptitle.get_text() for row in rows] == ["QRS +18 ms", "R V5 +0.40 mV"]
    for row, drawn in zip(rows, beats, strict=True):
        for ax, lead in zip(row.axes, ("V1", "V5"), strict=True):
            for line, beat in zip(ax.lines[:3], drawn[:, LEADS.index(lead)], strict=True):
                np.testing.assert_allclose(line.get_ydata(), beat)
                assert line.get_xdata()[-1] == 990
    assert smallest_text(figure) >= 8
    assert 2_000 < len(png(figure)) < 400_000
    with pytest.raises(EcgkitError, match="2 names|1 names"):
        style_coordinates(beats, ["one"], 100.0)


def test_style_effects_are_in_spreads_with_units_beside():
    figure = style_effects(effects())
    ax = figure.axes[0]
    np.testing.assert_allclose(ax.collections[1].get_offsets()[:, 0], [1.8, 0.8, -0.6])
    assert [text.get_text() for text in ax.texts] == \
        ["+18 ms (+15 to +21)", "+0.40 mV (+0.30 to +0.50)", "−6 ms (−9 to −3)"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1  QRS", "R V5", "2  QRS"]
    assert smallest_text(figure) >= 8
    assert 2_000 < len(png(figure)) < 250_000
    with pytest.raises(EcgkitError, match="nothing to draw"):
        style_effects(effects().assign(telling=False))
