"""ECGs on paper: millimetres are true, every lead is there and named, no trace runs into the next."""

import warnings

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.errors import EcgkitError
from ecgkit.figures import gallery, plot_ecg
from ecgkit.figures.ecg_paper import MM_PER_INCH
from ecgkit.leads import LEADS
from tests.figures.helpers import inches, named, pixels, png, smallest_text

FS = 100


def beats(amplitude=1.0, seconds=10.0, fs=FS, seed=0):
    """Narrow spikes once a second, a little later and higher in each lead."""
    t = np.arange(round(seconds * fs)) / fs
    lead = np.arange(12)[:, None]
    spikes = np.exp(-((t % 1 - 0.3 - 0.01 * lead) / 0.02) ** 2) * (lead - 5) / 3
    return amplitude * (spikes + 0.02 * np.random.default_rng(seed).normal(size=(12, len(t))))


@pytest.mark.parametrize("fs", [100, 500])
@pytest.mark.parametrize("layout", ["3x4", "6x2", "12x1"])
def test_a_millivolt_is_10_mm_and_a_second_25_mm(fs, layout):
    signal = np.zeros((12, 10 * fs))
    signal[:, fs // 2:fs] = 1.0  # a step of 1 mV from 0.5 s to 1 s
    signal[:, 3 * fs:4 * fs] = 0.001  # keeps the median at 0
    figure = plot_ecg(signal, fs, layout=layout)
    for line in named(figure, "trace")[:3]:
        x, y = inches(figure, line).T * MM_PER_INCH
        assert np.ptp(y) == pytest.approx(10, rel=0.01)
        assert x[fs] - x[0] == pytest.approx(25, rel=0.01)


def test_the_grid_is_millimetres_and_bold_every_five():
    figure = plot_ecg(beats(), FS)
    for millimetres in (1, 5):
        (lines,) = figure.findobj(lambda artist, mm=millimetres: artist.get_gid() == f"grid {mm} mm")
        ends = np.array([segment[0] for segment in lines.get_segments()])
        for axis in (0, 1):
            places = np.unique(lines.get_transform().transform(ends)[:, axis]) / figure.dpi * MM_PER_INCH
            np.testing.assert_allclose(np.diff(places), millimetres, rtol=0.01)
    # In the picture as saved, too: along a row of pixels below all traces, 2.5 mm above the paper's lower edge.
    row = pixels(figure)[-round(9.5 * figure.dpi / MM_PER_INCH), :, 1]
    bold = np.flatnonzero(row < 200)
    np.testing.assert_allclose(np.diff(bold) / figure.dpi * MM_PER_INCH, 5, rtol=0.01)
    assert len(bold) == 270 / 5 + 1


@pytest.mark.parametrize(("layout", "rhythm", "columns", "order"), [
    ("3x4", "II", 4, [*LEADS, "II"]), ("3x4", None, 4, LEADS), ("6x2", "V1", 2, [*LEADS, "V1"]),
    ("12x1", "II", 1, LEADS),
])
def test_leads_are_named_in_order_and_columns_follow_in_time(layout, rhythm, columns, order):
    figure = plot_ecg(beats(), FS, layout=layout, rhythm_lead=rhythm)
    assert [text.get_text() for text in named(figure, "lead")] == list(order)
    signal = beats() * 10
    rows = 12 // columns
    for k, line in enumerate(named(figure, "trace")[:12]):
        column = k // rows
        x, y = inches(figure, line).T * MM_PER_INCH
        expected = signal[k, 1000 // columns * column:1000 // columns * (column + 1)]
        np.testing.assert_allclose(y - y[0], expected - expected[0], atol=0.01)
        assert x[0] == pytest.approx(18 + 250 / columns * column, abs=0.01)


def test_calibration_pulse_of_each_row_is_1_mv_for_200_ms():
    figure = plot_ecg(beats(), FS)
    pulses = named(figure, "calibration")
    assert len(pulses) == 4
    for pulse in pulses:
        x, y = inches(figure, pulse).T * MM_PER_INCH
        assert np.ptp(y) == pytest.approx(10, rel=0.01)
        top = x[y > y.min() + 5]
        assert np.ptp(top) == pytest.approx(5, rel=0.01)


def test_the_scale_is_written_and_the_title_wrapped():
    figure = plot_ecg(beats(), FS, title="a long title " * 20)
    assert named(figure, "scale")[0].get_text().split() == ["25", "mm/s", "10", "mm/mV", "100", "Hz"]
    (title,) = named(figure, "title")
    assert title.get_text().count("\n") >= 1
    figure.draw_without_rendering()
    box = title.get_window_extent()
    assert box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.bbox.y1


@given(amplitude=st.floats(0, 2.2), seed=st.integers(0, 1000), layout=st.sampled_from(["3x4", "6x2", "12x1"]))
@settings(max_examples=8, deadline=None)
def test_no_trace_runs_into_the_next_nor_off_the_paper(amplitude, seed, layout):
    figure = plot_ecg(beats(amplitude, seed=seed), FS, layout=layout)
    traces = named(figure, "trace")
    rows = {"3x4": 3, "6x2": 6, "12x1": 12}[layout]
    points = [inches(figure, line) * MM_PER_INCH for line in traces]
    for k, above in enumerate(points[:12]):
        assert above[:, 1].min() > 5
        assert above[:, 1].max() < figure.get_figheight() * MM_PER_INCH
        if (k + 1) % rows:
            assert (above[:, 1] - points[k + 1][:, 1]).min() > 2


def test_an_artefact_is_cut_at_the_paper_and_the_paper_does_not_grow_with_it():
    signal = beats()
    signal[6, 600:610] = 400.0
    figure = plot_ecg(signal, FS)
    assert figure.get_figheight() * MM_PER_INCH < 350
    margin = round(2.5 * figure.dpi / MM_PER_INCH)
    picture = pixels(figure)
    assert (picture[:margin] == 255).all()
    assert (picture[margin:].min(axis=(1, 2)) < 100).any()


def test_highlight_shades_the_masked_leads_only():
    mask = np.zeros((12, 1000))
    mask[LEADS.index("V2"), 500:600] = 1
    figure = plot_ecg(beats(), FS, highlight=mask, rhythm_lead=None)
    shaded = {image.get_gid(): np.asarray(image.get_array())[0, :, 3] for image in named(figure, "highlight")}
    assert [gid for gid, alpha in shaded.items() if alpha.any()] == ["highlight V2"]
    np.testing.assert_array_equal(shaded["highlight V2"] > 0, mask[LEADS.index("V2"), 500:750] > 0)
    plain, marked = pixels(plot_ecg(beats(), FS, rhythm_lead=None)), pixels(figure)
    changed = np.flatnonzero((plain != marked).any(axis=(0, 2))) / figure.dpi * MM_PER_INCH
    assert changed.min() == pytest.approx(18 + 125, abs=0.5)
    assert changed.max() == pytest.approx(18 + 150, abs=0.5)


def test_overlay_stands_on_the_same_baseline_and_is_named():
    other = beats() + 0.3
    figure = plot_ecg(beats(), FS, overlay=other, names=("ECG", "counterfactual"))
    for mine, its in zip(named(figure, "trace"), named(figure, "overlay"), strict=True):
        np.testing.assert_allclose((inches(figure, its) - inches(figure, mine))[:, 1] * MM_PER_INCH, 3, atol=0.01)
    legend = figure.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["ECG", "counterfactual"]


def test_gallery_stacks_ecgs_at_one_scale():
    signals = np.stack([beats(a) for a in (0.5, 1, 2)])
    figure = gallery(signals, FS, ["a", "b", "c"])
    assert [text.get_text() for text in named(figure, "title")] == ["a", "b", "c"]
    assert [text.get_text() for text in named(figure, "lead")] == list(LEADS) * 3
    first = [np.ptp(inches(figure, line)[:, 1]) * MM_PER_INCH for line in named(figure, "trace")[::12]]
    np.testing.assert_allclose(first, [np.ptp(s[0, :250]) * 10 for s in signals], rtol=0.01)


def test_pictures_are_small_white_legible_and_leave_nothing_behind():
    before = dict(matplotlib.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plot_ecg(beats(), FS, title="t", names=("a", "b"), overlay=beats())
        assert len(png(figure, dpi=110)) < 250_000
    assert not plt.get_fignums()
    assert dict(matplotlib.rcParams) == before
    assert figure.get_facecolor() == (1, 1, 1, 1)
    assert smallest_text(figure) >= 8


@pytest.mark.parametrize(("what", "said"), [
    ({"signal": np.zeros((8, 1000))}, r"signal has shape \(8, 1000\); expected \(12, sig_len\)"),
    ({"signal": np.zeros(1000)}, r"signal has shape \(1000,\)"),
    ({"signal": np.full((12, 1000), np.nan)}, "non-finite sample in lead I"),
    ({"fs": 0}, "sampling rate 0 Hz"),
    ({"layout": "4x3"}, "layout '4x3': give one of 3x4, 6x2, 12x1"),
    ({"rhythm_lead": "V9"}, "rhythm_lead 'V9'"),
    ({"seconds": 11}, "cannot show 11 s of an ECG of 10 s"),
    ({"seconds": -1}, "cannot show -1 s"),
    ({"overlay": np.zeros((12, 500))}, "overlay has shape"),
    ({"highlight": np.zeros((12, 500))}, "highlight has shape"),
    ({"names": ("a", "b")}, "2 names for 1 things"),
])
def test_bad_input_is_refused_in_one_line(what, said):
    arguments = {"signal": np.zeros((12, 1000)), "fs": FS} | what
    with pytest.raises(EcgkitError, match=said) as caught:
        plot_ecg(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("signals", "titles"), [(np.zeros((2, 12, 1000)), ["a"]), (np.zeros((12, 1000)), ["a"] * 12),
                                                 (np.zeros((0, 12, 1000)), [])])
def test_gallery_refuses_what_does_not_fit(signals, titles):
    with pytest.raises(EcgkitError, match="titles"):
        gallery(signals, FS, titles)
