"""The picture of an embedding: every ECG is in every panel once, in colour where it has the panel's label."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from ecgkit.errors import EcgkitError
from ecgkit.figures import PALETTE, embedding_map
from tests.figures.helpers import png, smallest_text

NAMES = ("NORM", "MI", "STTC", "CD")


def points(n=200, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)), (rng.random((n, 4)) < [0.5, 0.3, 0.2, 0.0]).astype(int)


def test_each_panel_colours_its_label():
    xy, labels = points()
    figure = embedding_map(xy, labels, NAMES)
    assert [ax.get_title("left") for ax in figure.axes] == \
        [f"{name}  (n = {count})" for name, count in zip(NAMES, labels.sum(axis=0), strict=True)]
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
    areas = [embedding_map(*points(n), NAMES).axes[0].collections[0].get_sizes()[0] for n in (50, 1000, 20_000)]
    assert areas[0] > areas[1] > areas[2] >= 3


def test_what_does_not_fit_is_refused():
    xy, labels = points()
    with pytest.raises(EcgkitError, match=r"xy of shape \(200, 1\)"):
        embedding_map(xy[:, :1], labels, NAMES)
    with pytest.raises(EcgkitError, match="finite"):
        embedding_map(np.full_like(xy, np.nan), labels, NAMES)
    with pytest.raises(EcgkitError, match=r"labels of shape \(200, 4\) for 200 ECGs and 3 names"):
        embedding_map(xy, labels, NAMES[:3])
