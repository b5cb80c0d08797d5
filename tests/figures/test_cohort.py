"""Pictures of a cohort: counts and shares are those of the data."""

import numpy as np
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import confusion_of_labels
from ecgkit.figures import age_sex, confusion_map, cooccurrence_map
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
