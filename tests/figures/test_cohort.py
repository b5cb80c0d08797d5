"""Pictures of a cohort: counts and shares are those of the data."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import confusion_of_labels
from ecgkit.figures import PALETTE, age_sex, confusion_map, cooccurrence_map, embedding_map
from tests.evaluation.helpers import cohort
from tests.figures.helpers import png, smallest_text

NAMES = ("NORM", "MI", "HYP")


def annotations(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_age_and_sex():
    age = [5, 45, 49, 50, 89, 90, 300, np.nan, 60]
    sex = [0, 0, 0, 1, 1, 1, 1, 0, np.nan]
    figure = age_sex(age, sex)
    men, women = ([bar.get_width() for bar in ax.patches] for ax in figure.axes)
    assert men == [1, 0, 0, 0, 2, 0, 0, 0, 0, 0]
    assert women == [0, 0, 0, 0, 0, 1, 0, 0, 1, 2]
    assert [ax.get_title("center") for ax in figure.axes] == ["men, 3", "women, 4"]
    assert "2 without age or sex" in figure.get_supxlabel()
    assert smallest_text(figure) >= 8
    assert len(png(figure)) < 250_000


def test_cooccurrence():
    labels = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [1, 1, 0]])
    figure = cooccurrence_map(labels, NAMES)
    # Two of four ECGs with the first label have the second; both with the second have the first; none has the third.
    assert annotations(figure) == ["50", "0", "100", "0"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == \
        ["NORM  (n = 4)", "MI  (n = 2)", "HYP  (n = 0)"]
    assert smallest_text(figure) >= 8
    assert len(png(figure)) < 250_000


def test_confusion():
    y_true, y_score, _ = cohort()
    rates = confusion_of_labels(y_true, y_score)
    assert annotations(confusion_map(rates, NAMES)) == [f"{100 * rate:.0f}" for rate in rates.ravel()]


def test_many_labels_are_coloured_but_not_written():
    figure = cooccurrence_map(np.ones((5, 30)), [f"label {k}" for k in range(30)])
    assert annotations(figure) == []
    assert figure.get_figwidth() <= 8


def test_what_does_not_fit_is_refused():
    with pytest.raises(EcgkitError, match="both must be"):
        age_sex([1, 2], [1])
    with pytest.raises(EcgkitError, match="no ECG has both"):
        age_sex([np.nan], [1])
    with pytest.raises(EcgkitError, match="labels of shape"):
        cooccurrence_map(np.ones((5, 2)), NAMES)
    with pytest.raises(EcgkitError, match="rates of shape"):
        confusion_map(np.ones((2, 2)), NAMES)


FOUR = ("NORM", "MI", "STTC", "CD")


def points(n=200, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)), (rng.random((n, 4)) < [0.5, 0.3, 0.2, 0.0]).astype(int)


def test_each_panel_colours_its_label():
    xy, labels = points()
    figure = embedding_map(xy, labels, FOUR)
    assert [ax.get_title("left") for ax in figure.axes] == \
        [f"{name}  (n = {count})" for name, count in zip(FOUR, labels.sum(axis=0), strict=True)]
    for k, ax in enumerate(figure.axes):
        others, mine = ax.collections
        np.testing.assert_array_equal(mine.get_offsets(), xy[labels[:, k] == 1])
        np.testing.assert_array_equal(others.get_offsets(), xy[labels[:, k] == 0])
        if len(mine.get_offsets()):
            assert to_hex(mine.get_facecolor()[0]).upper() == PALETTE[k]
        red, green, blue = others.get_facecolor()[0][:3]
        assert red == green == blue
    assert len({ax.get_xlim() for ax in figure.axes}) == 1
    assert smallest_text(figure) >= 10
    assert figure.get_figwidth() <= 6.5
    assert len(png(figure)) < 250_000


def test_thousands_of_points_are_small_and_few_are_not():
    areas = [embedding_map(*points(n), FOUR).axes[0].collections[0].get_sizes()[0] for n in (50, 1000, 20_000)]
    assert areas[0] > areas[1] > areas[2] >= 3


def test_an_embedding_that_does_not_fit_is_refused():
    xy, labels = points()
    with pytest.raises(EcgkitError, match=r"xy of shape \(200, 1\)"):
        embedding_map(xy[:, :1], labels, FOUR)
    with pytest.raises(EcgkitError, match="finite"):
        embedding_map(np.full_like(xy, np.nan), labels, FOUR)
    with pytest.raises(EcgkitError, match=r"labels of shape \(200, 4\) for 200 ECGs and 3 names"):
        embedding_map(xy, labels, FOUR[:3])
