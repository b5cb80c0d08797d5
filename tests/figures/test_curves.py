"""Curves of a classifier: what is drawn is what was measured."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import ece, reliability, roc_curve, score_table
from ecgkit.figures import (
    PALETTE,
    asked_measured,
    interval_plot,
    label_efficiency,
    pretraining_curves,
    reliability_diagram,
    roc_curves,
    training_curve,
)
from ecgkit.figures.style import INK
from ecgkit.study.efficiency import Curve
from tests.evaluation.helpers import cohort
from tests.figures.helpers import named, png, smallest_text

NAMES = ("NORM", "MI", "HYP")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def check_picture(figure):
    assert smallest_text(figure) >= 8
    assert figure.get_figwidth() <= 8
    assert 2_000 < len(png(figure)) < 250_000


def test_training_curve():
    history = pd.DataFrame({"epoch": [1, 2, 3, 4], "loss": [0.5, 0.4, 0.3, 0.25],
                            "validation_auroc": [np.nan, 0.8, np.nan, 0.9]})
    figure = training_curve(history)
    loss, score = (ax.lines[0].get_xydata() for ax in figure.axes)
    np.testing.assert_array_equal(loss, history[["epoch", "loss"]])
    np.testing.assert_array_equal(score, [[2, 0.8], [4, 0.9]])
    assert texts(figure.axes[1]) == ["0.900"]
    check_picture(figure)
    assert len(training_curve(history[["epoch", "loss"]]).axes) == 1


def test_pretraining_curves_show_what_was_looked_at():
    history = pd.DataFrame({"epoch": [1, 2, 3, 4], "loss": [5.0, 4.5, 4.2, 4.1],
                            "knn": [np.nan, 0.6, np.nan, 0.7], "uniformity": np.nan})
    figure = pretraining_curves(history)
    shown = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title("left") for ax in shown] == ["loss", "kNN accuracy"]
    np.testing.assert_array_equal(shown[1].lines[0].get_xydata(), [[2, 0.6], [4, 0.7]])
    check_picture(figure)
    assert "not trained" in pretraining_curves(pd.DataFrame()).texts[0].get_text()


def test_roc_curves_show_curve_band_and_score():
    y_true, y_score, patient = cohort()
    y_true[:, 2] = 0
    figure = roc_curves(y_true, y_score, NAMES, patient, n_boot=20)
    assert [ax.get_title("left") for ax in figure.axes] == list(NAMES)
    for ax, (fpr, tpr) in zip(figure.axes, roc_curve(y_true, y_score), strict=True):
        np.testing.assert_array_equal(ax.lines[1].get_xydata(), np.column_stack([fpr, tpr]))
    row = score_table(y_true, y_score, NAMES, patient).loc["NORM"]
    assert texts(figure.axes[0]) == [f"{row.auroc:.3f}\n{row.auroc_low:.3f}–{row.auroc_high:.3f}"]
    assert texts(figure.axes[2]) == ["one class only"]
    check_picture(figure)


def test_more_than_five_labels_take_more_lines():
    y_true, y_score, _ = cohort()
    figure = reliability_diagram(np.tile(y_true, 2), np.tile(y_score, 2), [f"label {k}" for k in range(6)])
    assert len(figure.axes) == 6
    assert len({round(ax.get_position().y0, 3) for ax in figure.axes}) == 2


def test_reliability_diagram_draws_the_points():
    y_true, y_score, _ = cohort()
    figure = reliability_diagram(y_true, y_score, NAMES, n_bins=5)
    points = reliability(y_true, y_score, 5, label_names=NAMES)
    errors = ece(y_true, y_score, n_bins=5)
    titles = [f"{name}\nECE {error:.3f}" for name, error in zip(NAMES, errors, strict=True)]
    assert [ax.get_title("left") for ax in figure.axes] == titles
    for ax, name in zip(figure.axes, NAMES, strict=True):
        expected = points.loc[points["label"] == name, ["mean_score", "positive_rate"]]
        np.testing.assert_array_equal(ax.lines[1].get_xydata(), expected)
        assert len(ax.patches) == len(expected)
        assert max(bar.get_height() for bar in ax.patches) == pytest.approx(0.25)
    check_picture(figure)


def test_interval_plot_of_one_and_of_several():
    y_true, y_score, patient = cohort()
    table = score_table(y_true, y_score, NAMES, patient, n_boot=20)
    worse = score_table(y_true, 1 - y_score, NAMES, patient, n_boot=20).drop(index="MI")
    figure = interval_plot({"net": table, "control": worse})
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == [*NAMES, "macro"]
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), table["auroc"])
    ends = np.array([segment[:, 0] for segment in ax.collections[0].get_segments()])
    np.testing.assert_array_equal(ends, table[["auroc_low", "auroc_high"]])
    assert sum(text == "one class only" for text in texts(ax)) == 1  # the label that the second table lacks
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["net", "control"]
    check_picture(figure)
    assert not interval_plot(table, value="average_precision", axis_label="average precision").legends


def test_no_two_classifiers_of_an_interval_plot_look_alike():
    table = pd.DataFrame({"auroc": [0.7], "auroc_low": [0.6], "auroc_high": [0.8]}, index=["MI"])
    figure = interval_plot({f"net {k}": table for k in range(9)})
    points = [line for line in figure.axes[0].lines if str(line.get_label()).startswith("net")]
    assert len({(line.get_color(), line.get_marker()) for line in points}) == 9


def test_differences_have_a_line_at_none():
    table = pd.DataFrame({"auroc": [0.1, -0.1], "auroc_low": [0.0, -0.2], "auroc_high": [0.2, 0.0]}, index=["a", "b"])
    zero = [line for line in interval_plot(table).axes[0].lines if list(line.get_xdata()) == [0, 0]]
    assert len(zero) == 1
    above = [line for line in interval_plot(table + 1).axes[0].lines if list(line.get_xdata()) == [0, 0]]
    assert not above


def test_tables_without_the_columns_are_refused():
    with pytest.raises(EcgkitError, match="'loss'"):
        training_curve(pd.DataFrame({"epoch": [1]}))
    with pytest.raises(EcgkitError, match="at least one row"):
        training_curve(pd.DataFrame({"epoch": [], "loss": []}))
    with pytest.raises(EcgkitError, match="'auroc_low'"):
        interval_plot(pd.DataFrame({"auroc": [1.0]}))
    with pytest.raises(EcgkitError, match="no table"):
        interval_plot({})


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


def test_measured_changes_stand_over_the_asked_ones_and_their_means_too():
    asked = np.repeat([-40.0, 40.0], 10)
    figure = asked_measured({"PR": (asked, asked + 1), "QRS": (asked, asked / 2)})
    first, second = figure.axes
    assert [ax.get_title() for ax in figure.axes] or first.get_title(loc="left") == "PR"
    means = second.get_lines()[-1]
    assert means.get_xdata().tolist() == [-40, 40]
    assert means.get_ydata().tolist() == [-20, 20]
    assert first.get_ylabel() == "measured, ms"
    check_picture(figure)
