"""The augmentation gallery: before and after of each lead at their place, in true millimetres."""

import itertools

import numpy as np
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.figures import augmentation_gallery
from ecgkit.figures.ecg_paper import MM_PER_INCH
from ecgkit.leads import LEADS
from tests.figures.helpers import inches, named, png, smallest_text

FS = 100


def ecg(seed=0):
    """Spikes of up to 1 mV, half a second apart."""
    t = np.arange(250) / FS
    spikes = np.exp(-((t % 0.5 - 0.2) / 0.02) ** 2) * np.linspace(0.2, 1, 12)[:, None]
    return spikes + 0.01 * np.random.default_rng(seed).normal(size=(12, 250))


def lines(figure, which):
    return [inches(figure, line) * MM_PER_INCH for line in named(figure, which)]


def test_every_row_shows_before_and_after_in_millimetres():
    x = ecg()
    views = {"half": 0.5 * x, "turned over": -x, "up": x + 0.3}
    figure = augmentation_gallery(x, views, FS, leads=("II", "V6"))
    assert [text.get_text() for text in named(figure, "title")] == list(views)
    assert [text.get_text() for text in named(figure, "lead")] == ["II", "V6"] * 3
    before, after = lines(figure, "before"), lines(figure, "after")
    pairs = [(view, LEADS.index(lead)) for view in views.values() for lead in ("II", "V6")]
    for grey, ink, (view, row) in zip(before, after, pairs, strict=True):
        assert grey[100, 0] - grey[0, 0] == pytest.approx(25)
        assert len(grey) == 200  # the first two seconds
        np.testing.assert_allclose(grey[:, 1] - grey[0, 1], 10 * (x[row, :200] - x[row, 0]), atol=1e-6)
        # Both on one baseline: what is added to an ECG shows.
        np.testing.assert_allclose(ink[:, 1] - grey[:, 1], 10 * (view[row] - x[row])[:200], atol=1e-6)
    assert smallest_text(figure) >= 9
    assert len(png(figure)) < 250_000


def test_rows_do_not_overlap_and_leads_stand_beside_each_other():
    x = ecg()
    figure = augmentation_gallery(x, {"one": x, "other": 2 * x}, FS)
    after = lines(figure, "after")
    for left, right in itertools.pairwise(after[:3]):
        assert left[-1, 0] < right[0, 0]
    assert min(trace[:, 1].min() for trace in after[:3]) > max(trace[:, 1].max() for trace in after[3:])
    assert after[2][-1, 0] < figure.get_figwidth() * MM_PER_INCH


def test_an_artefact_stays_on_its_own_paper():
    x = ecg()
    wild = augmentation_gallery(x, {"wild": 50 * x, "same": x}, FS)
    tame = augmentation_gallery(x, {"tame": 2.5 * x, "same": x}, FS)
    assert wild.get_figheight() - tame.get_figheight() < 1
    above, below = (named(wild, "after")[k].clipbox for k in (0, 3))
    assert above.y0 > below.y1


def test_what_does_not_fit_is_refused():
    x = ecg()
    with pytest.raises(EcgkitError, match="0 views"):
        augmentation_gallery(x, {}, FS)
    with pytest.raises(EcgkitError, match="leads X"):
        augmentation_gallery(x, {"same": x}, FS, leads=["X"])
    with pytest.raises(EcgkitError, match=r"view 'short' has shape \(12, 100\)"):
        augmentation_gallery(x, {"short": x[:, :100]}, FS)
    with pytest.raises(EcgkitError, match="view 'flat' has shape"):
        augmentation_gallery(x, {"flat": x[0]}, FS)
    with pytest.raises(EcgkitError, match="cannot show 3 s of an ECG of 2.5 s"):
        augmentation_gallery(x, {"same": x}, FS, seconds=3)
