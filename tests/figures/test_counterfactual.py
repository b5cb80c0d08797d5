"""Pictures of counterfactuals: what was edited is shaded, what is sure is coloured, shapes are checked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from ecgkit.errors import EcgkitError
from ecgkit.figures import before_after, changed_beats, edit_map, gan_history, planted_hits, quac_curves, sweep
from ecgkit.figures.counterfactual import RAMP
from ecgkit.figures.ecg_paper import MM_PER_INCH
from ecgkit.leads import LEADS
from tests.figures.helpers import inches, named, png, smallest_text

FS = 100


def ecg(seconds=10.0):
    t = np.arange(round(seconds * FS)) / FS
    return np.exp(-((t % 1 - 0.5) / 0.02) ** 2) * np.linspace(-0.5, 1, 12)[:, None]


def test_both_ecgs_are_drawn_and_only_edits_beyond_20_microvolts_are_shaded():
    edited = ecg()
    edited[LEADS.index("V2"), 520:560] += 0.3
    edited[LEADS.index("V3"), 520:560] += 0.019
    figure = before_after(ecg(), edited, FS, title="t", changes=["QRS 148 → 96 ms", "R in V2 1.2 → 0.8 mV"])
    shaded = {image.get_gid(): np.asarray(image.get_array())[0, :, 3] > 0 for image in named(figure, "highlight")}
    assert [gid for gid, alpha in shaded.items() if alpha.any()] == ["highlight V2"]
    assert np.flatnonzero(shaded["highlight V2"]).tolist() == list(range(20, 60))  # V2 begins at 5 s
    k = LEADS.index("V2")
    rise = (inches(figure, named(figure, "overlay")[k]) - inches(figure, named(figure, "trace")[k]))[:, 1] * MM_PER_INCH
    np.testing.assert_allclose(rise[20:60], 3, atol=0.01)
    assert np.delete(rise, range(20, 60)) == pytest.approx(0, abs=0.01)
    (note,) = named(figure, "note")
    assert note.get_text().replace("\u00a0", " ").split("    ") == ["QRS 148 → 96 ms", "R in V2 1.2 → 0.8 mV"]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [
        "this ECG", "counterfactual", "edit beyond 20 µV"]


def test_a_mask_takes_the_place_of_the_edit():
    mask = np.zeros((12, 1000))
    mask[0, 10:20] = 1
    figure = before_after(ecg(), ecg() + 0.1, FS, title="t", mask=mask)
    shaded = [image for image in named(figure, "highlight") if np.asarray(image.get_array())[0, :, 3].any()]
    assert [image.get_gid() for image in shaded] == ["highlight I"]


@pytest.mark.parametrize("seconds", [2.5, 10])
def test_the_legend_is_clear_of_the_scale_and_names_are_clear_of_both_traces(seconds):
    figure = before_after(ecg(seconds), 2 * ecg(seconds), FS, title="t")
    figure.draw_without_rendering()
    (scale,) = named(figure, "scale")
    assert scale.get_window_extent().x1 < figure.axes[0].get_legend().get_window_extent().x0
    for name, line in zip(named(figure, "lead"), named(figure, "overlay"), strict=True):
        box, points = name.get_window_extent(), inches(figure, line) * figure.dpi
        under = points[(points[:, 0] > box.x0) & (points[:, 0] < box.x1), 1]
        assert not len(under) or under.max() < box.y0 + 3
    assert smallest_text(figure) >= 8


def test_a_sweep_has_a_line_for_each_probability_in_each_lead_coloured_by_it():
    p = np.array([0.9, 0.1, 0.5])
    beats = np.random.default_rng(0).normal(size=(3, 12, 60))
    figure = sweep(beats, p, FS, label="MI")
    assert {text.get_text() for text in named(figure, "lead")} == set(LEADS)
    lines = {line.get_gid(): line for line in named(figure, "beat")}
    assert len(lines) == 36
    for gid, line in lines.items():
        _, k, lead = gid.split()
        np.testing.assert_array_equal(line.get_ydata(), beats[int(k), LEADS.index(lead)])
        assert line.get_color() == RAMP(p[int(k)])
        assert [text.get_text() for text in line.axes.texts] == [lead]
    assert "probability of MI" in [ax.get_ylabel() for ax in figure.axes]
    assert len(png(figure, dpi=110)) < 250_000


def test_the_ramp_is_blue_for_healthy_and_orange_for_disease():
    assert np.allclose(RAMP(0.0)[:3], to_rgb("#0072B2"), atol=0.01)
    assert np.allclose(RAMP(1.0)[:3], to_rgb("#D55E00"), atol=0.01)


def test_an_edit_is_coloured_only_where_its_band_does_not_hold_0():
    ms = np.arange(-10, 10)
    mean = np.tile(np.linspace(-0.1, 0.1, 20), (12, 1))
    figure = edit_map(mean, mean - 0.05, mean + 0.05, ms)
    for line in named(figure, "mean"):
        np.testing.assert_allclose(line.get_ydata(), 1000 * mean[0])
    (more,) = {area.get_datalim(area.axes.transData).x0 for area in named(figure, "more")}
    (less,) = {area.get_datalim(area.axes.transData).x1 for area in named(figure, "less")}
    assert more == ms[mean[0] > 0.05].min()
    assert less == ms[mean[0] < -0.05].max()
    assert smallest_text(figure) >= 8


@pytest.mark.parametrize("draw", [
    lambda: before_after(np.zeros((12, 500)), np.zeros((12, 400)), FS, title="t"),
    lambda: before_after(np.zeros((8, 500)), np.zeros((8, 500)), FS, title="t"),
    lambda: before_after(np.zeros((12, 500)), np.zeros((12, 500)), FS, title="t", mask=np.zeros((12, 400))),
    lambda: sweep(np.zeros((3, 12, 50)), [0.1, 0.2], FS),
    lambda: sweep(np.zeros((3, 8, 50)), [0.1, 0.2, 0.3], FS),
    lambda: edit_map(np.zeros((12, 50)), np.zeros((12, 50)), np.zeros((12, 49)), np.arange(50)),
])
def test_what_does_not_fit_is_refused_in_one_line(draw):
    with pytest.raises(EcgkitError, match="shape") as caught:
        draw()
    assert "\n" not in str(caught.value)


def test_changed_beats_show_both_beats():
    beats = np.random.default_rng(0).normal(size=(2, 2, 12, 100))
    figure = changed_beats(beats, ["QRS +18 ms", "R V5 +0.40 mV"], 100.0, leads=("V1", "V5"))
    rows = figure.subfigs
    assert [row._suptitle.get_text() for row in rows] == ["QRS +18 ms", "R V5 +0.40 mV"]
    for row, drawn in zip(rows, beats, strict=True):
        for ax, lead in zip(row.axes, ("V1", "V5"), strict=True):
            for line, beat in zip(ax.lines[:2], drawn[:, LEADS.index(lead)], strict=True):
                np.testing.assert_allclose(line.get_ydata(), beat)
                assert line.get_xdata()[-1] == 990
    assert smallest_text(figure) >= 8
    assert 2_000 < len(png(figure)) < 400_000
    with pytest.raises(EcgkitError, match="2 names|1 names"):
        changed_beats(beats, ["one"], 100.0)


def test_planted_hits_are_marked_by_way_and_use():
    asked = pd.DataFrame({"way": ["a", "a", "b"], "used": [0.1, 0.3, 0.2], "hit": [1, 0, 1]})
    ax = planted_hits(asked).axes[0]
    found, missed = (marks.get_offsets().data for marks in ax.collections)
    np.testing.assert_allclose(found[:, 0], [0.1, 0.2])
    np.testing.assert_allclose(missed[:, 0], [0.3])
    assert [round(y) for y in found[:, 1]] == [0, 1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert smallest_text(planted_hits(asked)) >= 8


def test_a_training_has_four_panels_with_what_the_history_tells() -> None:
    columns = ("reach", "keep", "edit", "cycle", "real", "fake", "correlation")
    history = pd.DataFrame({"step": [100, 200], **{name: [0.2, 0.1] for name in columns}})
    axes = gan_history(history).axes
    assert len(axes) == 4
    assert sum(len(ax.lines) for ax in axes) == 7
    in_microvolts = next(ax for ax in axes if ax.get_ylabel() == "µV")
    np.testing.assert_allclose(in_microvolts.lines[0].get_ydata(), [200, 100])


def test_a_quac_curve_is_the_mean_of_the_ecgs_that_are_known() -> None:
    share = np.tile(np.linspace(0, 1, 3), (2, 1))
    progress = np.array([[0, 0.4, 1], [np.nan] * 3])
    figure = quac_curves({"edit": (share, progress), "|x|": (share, progress)}, plain=("|x|",))
    edit, plain = figure.axes[0].lines[:2]
    np.testing.assert_allclose(edit.get_ydata(), [0, 0.4, 1])
    np.testing.assert_allclose(edit.get_xdata(), [0, 50, 100])
    assert plain.get_linestyle() != edit.get_linestyle()


def test_no_curve_is_one_line() -> None:
    with pytest.raises(EcgkitError, match="no curve to draw"):
        quac_curves({})
