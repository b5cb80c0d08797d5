"""Pictures of attributions: colours centred on 0, unsure cells marked, bands in the colour of the sign."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from ecgkit.errors import EcgkitError
from ecgkit.figures import attribution_map, attribution_on_ecg, beeswarm, waterfall
from ecgkit.figures.attribution import LOWERS, RAISES
from ecgkit.figures.style import GREY
from ecgkit.leads import LEADS
from tests.figures.helpers import inches, named, png, smallest_text

FS = 100


def cells(n_classes=5, n_segments=5, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_classes, 12, n_segments))
    width = np.abs(rng.normal(size=values.shape))
    return values, values - width, values + width


def corner(patch):
    return patch.get_x() + 0.5, patch.get_y() + 0.5


def test_cells_that_may_be_0_are_hatched_and_no_others():
    values, low, high = cells()
    values[1, 3, 0] = np.nan
    figure = attribution_map(values, low, high, names=list("ABCDE"))
    panels = figure.axes[:5]
    assert [ax.get_title("left") for ax in panels] == list("ABCDE")
    for k, ax in enumerate(panels):
        patches = [patch for patch in ax.patches if patch.get_gid() == "unsure"]
        assert all(patch.get_hatch() for patch in patches)
        expected = np.argwhere((low[k] <= 0) & (high[k] >= 0) & np.isfinite(values[k]))
        assert sorted(corner(patch)[::-1] for patch in patches) == sorted(map(tuple, expected.astype(float)))
        missing = [corner(patch) for patch in ax.patches if patch.get_gid() == "missing"]
        assert missing == ([(0, 3)] if k == 1 else [])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["interval covers 0", "no value"]


def test_one_scale_around_0_for_all_classes():
    values, low, high = cells(n_classes=2, n_segments=4)
    figure = attribution_map(values, low, high, unit="logits")
    images = named(figure, "values")
    largest = np.abs(values).max()
    for k, image in enumerate(images):
        assert image.get_clim() == (-largest, largest)
        np.testing.assert_array_equal(image.get_array(), values[k])
        assert max(np.abs(np.array(image.to_rgba(0.0)[:3]) - 0.97)) < 0.01
        blue, red = (image.to_rgba(x) for x in (-0.5 * largest, 0.5 * largest))
        np.testing.assert_allclose((blue[:3], red[:3]), (to_rgb(LOWERS), to_rgb(RAISES)), atol=0.02)
    first = figure.axes[0]
    assert [text.get_text() for text in first.get_yticklabels()] == list(LEADS)
    assert [text.get_text() for text in first.get_xticklabels()] == ["P", "QRS", "ST", "T"]
    assert figure.axes[-1].get_ylabel() == "logits"
    assert len(figure.legends[0].get_texts()) == 1


def test_figures_fit_the_page():
    figure = attribution_map(*cells(), names=list("ABCDE"))
    assert len(png(figure)) < 250_000
    single = attribution_map(*(array[0] for array in cells(1)))
    assert len(named(single, "values")) == 1
    many = attribution_map(*cells(13))
    for each in (figure, single, many):
        assert each.get_figwidth() <= 7.7
        assert smallest_text(each) >= 8.5


def test_bands_follow_the_trace_in_the_colour_of_the_sign():
    t = np.arange(10 * FS) / FS
    signal = np.sin(2 * np.pi * t) * np.linspace(0.2, 1, 12)[:, None]
    weights = np.zeros((12, len(t)))
    weights[0, 20], weights[0, 21], weights[3, 260:300] = 2.0, -1.0, 4.0
    figure = attribution_on_ecg(signal, weights, FS, title="an ECG", label="the logit of MI")
    bands, traces = named(figure, "attribution"), named(figure, "trace")
    assert [band.get_gid().split()[1] for band in bands] == [*LEADS, "II"]
    for band, trace in zip(bands, traces, strict=True):
        middle = np.array([piece[1] for piece in band.get_segments()])
        np.testing.assert_allclose(middle, trace.get_xydata())
        assert band.get_zorder() < trace.get_zorder()
    colours = bands[0].get_colors()
    np.testing.assert_allclose(colours[20][:3], to_rgb(RAISES))
    np.testing.assert_allclose(colours[21][:3], to_rgb(LOWERS))
    # The strongest per cent of what is not 0 is 4 here: half as strong is half as opaque.
    np.testing.assert_allclose(colours[[19, 20, 21], 3], [0, 0.425, 0.2125])
    # aVR stands in the second column, from 2.5 s to 5 s.
    np.testing.assert_allclose(bands[3].get_colors()[:, 3], np.where((np.arange(250) >= 10) & (np.arange(250) < 50),
                                                                     0.85, 0))
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == \
        ["raises the logit of MI", "lowers the logit of MI"]
    x, _ = inches(figure, traces[0]).T
    assert (x[FS] - x[0]) * 25.4 == pytest.approx(25, rel=0.01)


def test_a_map_of_nothing_is_drawn_without_colour():
    figure = attribution_on_ecg(np.zeros((12, 1000)), np.zeros((12, 1000)), FS, rhythm_lead=None)
    assert not any(band.get_colors()[:, 3].any() for band in named(figure, "attribution"))


def test_what_does_not_fit_is_refused():
    values, low, high = cells()
    with pytest.raises(EcgkitError, match=r"shapes \(5, 12, 5\), \(5, 12, 4\)"):
        attribution_map(values, low[:, :, :4], high)
    with pytest.raises(EcgkitError, match="4 or 5"):
        attribution_map(*(array[:, :11] for array in (values, low, high)))
    with pytest.raises(EcgkitError, match="2 names for 5 classes"):
        attribution_map(values, low, high, names=["A", "B"])
    with pytest.raises(EcgkitError, match="finite"):
        attribution_map(values * np.nan, low, high)
    with pytest.raises(EcgkitError, match="highlight has shape"):
        attribution_on_ecg(np.zeros((12, 1000)), np.zeros((12, 900)), FS)


def test_a_swarm_has_a_dot_for_each_ecg_in_the_rows_that_matter_most():
    rng = np.random.default_rng(0)
    values, features = rng.normal(size=(40, 3, 5)) * [0.1, 0.5, 0.2, 0.4, 0.01], rng.normal(size=(40, 5))
    features[:4] = np.nan
    figure = beeswarm(values, features, list("abcde"), ["X", "Y", "Z"], top=3)
    panels = figure.axes[:3]
    assert [ax.get_title("left") for ax in panels] == ["X", "Y", "Z"]
    for k, ax in enumerate(panels):
        assert ax.get_xlabel() == "adds to the probability"
        assert [text.get_text() for text in ax.get_yticklabels()] == ["b", "d", "c"]
        assert ax.get_ylim() == (2.5, -0.5)
        for row, j in enumerate((1, 3, 2)):
            dots = ax.collections[row]
            x, y = dots.get_offsets().T
            np.testing.assert_array_equal(x, values[:, k, j])
            assert np.abs(y - row).max() <= 0.4
            assert len({(round(a, 6), b) for a, b in zip(x, y, strict=True)}) == 40
            colours = dots.to_rgba(dots.get_array())
            np.testing.assert_allclose(colours[:4, :3], [to_rgb(GREY)] * 4)
            order = np.argsort(features[4:, j])
            assert (np.diff(np.asarray(dots.get_array())[4:][order]) > 0).all()
    assert figure.axes[-1].get_xticklabels()[0].get_text() == "low"
    assert png(figure)
    assert smallest_text(figure) >= 8


def test_dots_of_one_value_stand_beside_each_other():
    figure = beeswarm(np.zeros((9, 1, 1)), np.zeros((9, 1)), ["a"], ["X"])
    y = np.sort(figure.axes[0].collections[0].get_offsets()[:, 1])
    np.testing.assert_allclose(y, np.linspace(-0.2, 0.2, 9))
    with pytest.raises(EcgkitError, match="for 2 labels and 1 names"):
        beeswarm(np.zeros((9, 1, 1)), np.zeros((9, 1)), ["a"], ["X", "Y"])


def test_a_waterfall_runs_from_the_base_over_the_strongest_to_the_sum():
    values, base = np.array([[0.1, -0.3, 0.02, 0.05], [0.0, 0.2, 0.1, -0.05]]), np.array([0.5, 0.1])
    figure = waterfall(values, base, ["QRS 148 ms", "b", "c", "d"], ["MI", "CD"], top=2)
    assert [ax.get_title("left") for ax in figure.axes] == ["MI: 0.50 → 0.37", "CD: 0.10 → 0.35"]
    for ax, order, row, first in zip(figure.axes, ([1, 0], [1, 2]), values, base, strict=True):
        steps = np.append(row[order], row.sum() - row[order].sum())
        starts = first + np.append(0, np.cumsum(steps)[:-1])
        assert [bar.get_y() + bar.get_height() / 2 for bar in ax.patches] == [0, 1, 2]
        for bar, step, start in zip(ax.patches, steps, starts, strict=True):
            ends = sorted((bar.get_x(), bar.get_x() + bar.get_width()))
            np.testing.assert_allclose(ends, sorted((start, start + step)), atol=1e-12)
            np.testing.assert_allclose(bar.get_facecolor()[:3], to_rgb(LOWERS if step < 0 else RAISES))
        assert [line.get_xdata()[0] for line in ax.lines] == pytest.approx([first, first + row.sum()])
        assert ax.get_yticklabels()[2].get_text() == "2 others"
    assert [text.get_text() for text in figure.axes[0].texts] == ["−0.30", "+0.10", "+0.07"]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()][:2] == ["b", "QRS 148 ms"]
    assert png(figure)
    assert smallest_text(figure) >= 8
    with pytest.raises(EcgkitError, match="for 1 labels and 4 features"):
        waterfall(values, base, list("abcd"), ["MI"])
