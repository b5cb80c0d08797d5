"""The annotated ECG: waves shaded where they are, beats and intervals named, unusable leads told, no clutter."""

import warnings

import numpy as np
import pytest
from matplotlib.text import Text

from ecgkit.errors import EcgkitError
from ecgkit.figures import annotated_ecg
from ecgkit.figures.ecg_paper import MM_PER_INCH, MM_PER_S
from ecgkit.leads import LEADS
from ecgkit.simulator import Cohort
from tests.figures.helpers import inches, named, png, smallest_text

MEASURED = {"heart_rate": 71.6, "pr": 160.2, "qrs": 90.4, "qt": 400.0, "qtc_fridericia": 421.7, "axis": -30.4}
LEFT = 18.0  # millimetres: margin and calibration pulse


def ecg(fs=500, seconds=10.0, number=0):
    cohort = Cohort(seed=5, fs=fs, seconds=seconds, noise=0.3)
    waves = cohort.waves([number])
    beats = waves.kind[0] >= 0
    return cohort.signals([number])[0], waves.ms[0][beats], waves.kind[0][beats]


def said(figure, name):
    return [text.get_text() for text in named(figure, name)]


@pytest.mark.parametrize("fs", [100, 500])
def test_every_wave_is_shaded_from_onset_to_offset_in_the_strip_and_its_edges_are_lines(fs):
    signal, ms, kind = ecg(fs)
    figure = annotated_ecg(signal, fs, ms, kind)
    for k, wave in enumerate(("P", "QRS", "T")):
        strip = named(figure, wave)[-1]
        assert strip.get_gid() == f"{wave} II"
        boxes = np.array([path.get_extents().intervalx for path in strip.get_paths()])
        expected = LEFT + np.clip(ms[:, k, ::2] / 1000, 0, 10) * MM_PER_S
        expected = expected[expected[:, 1] > expected[:, 0]]
        np.testing.assert_allclose(boxes, expected, atol=0.01)
        (edges,) = [lines for lines in named(figure, "edges") if lines.get_gid() == f"edges {wave}"]
        drawn = [segment[0, 0] for segment in edges.get_segments()]
        inside = ms[:, k, ::2][(ms[:, k, ::2] >= 0) & (ms[:, k, ::2] <= 10_000)]
        np.testing.assert_allclose(sorted(drawn), np.sort(LEFT + inside * MM_PER_S / 1000), atol=0.01)


def test_a_lead_shows_the_waves_of_its_own_time():
    signal, ms, kind = ecg()
    figure = annotated_ecg(signal, 500, ms, kind)
    shaded = {artist.get_gid(): artist for artist in named(figure, "QRS")}
    assert set(shaded) == {f"QRS {lead}" for lead in LEADS}
    for lead, start in (("I", 0.0), ("aVR", 2.5), ("V3", 5.0), ("V6", 7.5)):
        inside = (ms[:, 1, 2] > start * 1000) & (ms[:, 1, 0] < (start + 2.5) * 1000)
        assert len(shaded[f"QRS {lead}"].get_paths()) == inside.sum()


def test_intervals_are_those_of_a_beat_and_brackets_are_as_long():
    signal, ms, kind = ecg()
    figure = annotated_ecg(signal, 500, ms, kind)
    labels = dict(text.split(" ", 1) for text in said(figure, "interval"))
    lengths = {"PR": ms[:, 1, 0] - ms[:, 0, 0], "QRS": ms[:, 1, 2] - ms[:, 1, 0], "QT": ms[:, 2, 2] - ms[:, 1, 0]}
    drawn = {line.get_gid().split()[1]: np.ptp(inches(figure, line)[:, 0]) * MM_PER_INCH
             for line in named(figure, "bracket")}
    assert set(labels) == set(drawn) == set(lengths)
    beat = next(k for k in range(len(ms)) if f"{lengths['QT'][k]:.0f} ms" == labels["QT"])
    for name, every in lengths.items():
        assert labels[name] == f"{every[beat]:.0f} ms"
        assert drawn[name] == pytest.approx(every[beat] * MM_PER_S / 1000, abs=0.02)


def test_the_bracketed_beat_is_like_the_others():
    signal, ms, kind = ecg()
    ms[4, 2, 2] += 60
    ms[5, 0] = np.nan
    kind[6] = 2
    figure = annotated_ecg(signal, 500, ms, kind)
    (x, *_), = (inches(figure, line)[:1, 0] for line in named(figure, "bracket") if line.get_gid() == "bracket QT")
    onset = (x * MM_PER_INCH - LEFT) / MM_PER_S * 1000
    assert np.abs(ms[:, 1, 0] - onset).argmin() in (0, 1, 2, 3)


def test_an_interval_that_was_not_measured_has_no_bracket():
    signal, ms, kind = ecg()
    figure = annotated_ecg(signal, 500, ms, kind, measurements=MEASURED | {"pr": np.nan})
    assert [text.split()[0] for text in said(figure, "interval")] == ["QRS", "QT"]
    note = said(figure, "note")[0].replace("\u00a0", " ")
    assert note.split("    ") == ["72/min", "PR –", "QRS 90 ms", "QT 400 ms", "QTcF 422 ms", "axis −30°"]


def test_premature_beats_and_lone_p_waves_are_named_above_their_beats():
    signal, ms, kind = ecg()
    kind[2], kind[4], kind[6] = 1, 2, 3
    ms[6, 1:] = np.nan
    figure = annotated_ecg(signal, 500, ms, kind)
    words = {text.get_text(): text.get_position()[0] for text in figure.findobj(Text) if text.get_gid() == "beat"}
    assert words == {"PAC": pytest.approx(LEFT + ms[2, 1, 1] / 40), "PVC": pytest.approx(LEFT + ms[4, 1, 1] / 40)}
    hollow = [line for line in named(figure, "beat") if not isinstance(line, Text) and line.get_markeredgewidth() > 0]
    assert [line.get_xdata()[0] for line in hollow] == pytest.approx([LEFT + ms[6, 0, 1] / 40])
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["P", "QRS", "T",
                                                                                  "P, not conducted"]
    plain = annotated_ecg(*ecg()[:1], 500, *ecg()[1:])
    assert [text.get_text() for text in plain.axes[0].get_legend().get_texts()] == ["P", "QRS", "T"]


def test_unusable_leads_are_grey_named_with_the_reason_and_not_shaded():
    signal, ms, kind = ecg()
    signal[7], signal[1] = 0.3, np.nan
    signal[10] = 30 * np.random.default_rng(0).normal(size=5000)
    faults = np.array(["", "not finite", *[""] * 5, "flat", "", "", "noise", ""])
    figure = annotated_ecg(signal, 500, ms, kind, faults=faults)
    names = said(figure, "lead")
    assert [name for name in names if ":" in name] == ["II: not finite", "V2: flat", "V5: noise"]
    assert names[-1] == "V1", "the strip is of the first usable lead"
    assert not {"II", "V2", "V5"} & {artist.get_gid().split()[1] for artist in named(figure, "QRS")}
    assert figure.get_figheight() < annotated_ecg(ecg()[0], 500, ms, kind).get_figheight() + 1, "noise needs no room"
    png(figure)


def test_an_ecg_without_beats_or_usable_leads_is_drawn_all_the_same():
    figure = annotated_ecg(np.zeros((12, 1000)), 100, np.empty((0, 3, 3)), np.empty(0, dtype=int),
                           measurements=dict.fromkeys(MEASURED, np.nan), faults=["flat"] * 12)
    assert not named(figure, "bracket")
    png(figure)


@pytest.mark.parametrize(("seconds", "number"), [(2.5, 0), (2.5, 1), (10, 0), (10, 1), (10, 2), (10, 3)])
def test_words_are_legible_on_the_paper_and_do_not_overlap(seconds, number):
    signal, ms, kind = ecg(seconds=seconds, number=number)
    kind[::4] = 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = annotated_ecg(signal, 500, ms, kind, measurements=MEASURED, title="a record")
        figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    boxes = [text.get_window_extent() for text in texts]
    assert smallest_text(figure) >= 9
    for k, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        for other, name in zip(boxes[k + 1:], texts[k + 1:], strict=True):
            assert not box.overlaps(other), f"{texts[k].get_text()!r} lies on {name.get_text()!r}"


@pytest.mark.parametrize(("what", "words"), [
    ({"kind": np.zeros(3, dtype=int)}, "expected 12, "), ({"ms": np.zeros((2, 3, 2))}, r"ms of shape \(2, 3, 2\)"),
    ({"faults": ["flat"]}, "1 faults"), ({"signal": np.zeros((8, 1000))}, r"signal has shape \(8, 1000\)"),
])
def test_bad_input_is_refused_in_one_line(what, words):
    given = {"signal": np.zeros((12, 1000)), "fs": 100, "ms": np.zeros((2, 3, 3)), "kind": np.zeros(2, dtype=int)}
    with pytest.raises(EcgkitError, match=words) as caught:
        annotated_ecg(**given | what)
    assert "\n" not in str(caught.value)
