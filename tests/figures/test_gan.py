"""Tests of the figures of a generator's training and of QuAC curves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ecgkit import figures
from ecgkit.errors import EcgkitError


def test_a_training_has_four_panels_with_what_the_history_tells() -> None:
    columns = ("reach", "keep", "edit", "cycle", "real", "fake", "correlation")
    history = pd.DataFrame({"step": [100, 200], **{name: [0.2, 0.1] for name in columns}})
    axes = figures.gan_history(history).axes
    assert len(axes) == 4
    assert sum(len(ax.lines) for ax in axes) == 7
    in_microvolts = next(ax for ax in axes if ax.get_ylabel() == "µV")
    np.testing.assert_allclose(in_microvolts.lines[0].get_ydata(), [200, 100])


def test_a_quac_curve_is_the_mean_of_the_ecgs_that_are_known() -> None:
    share = np.tile(np.linspace(0, 1, 3), (2, 1))
    progress = np.array([[0, 0.4, 1], [np.nan] * 3])
    figure = figures.quac_curves({"edit": (share, progress), "|x|": (share, progress)}, plain=("|x|",))
    edit, plain = figure.axes[0].lines[:2]
    np.testing.assert_allclose(edit.get_ydata(), [0, 0.4, 1])
    np.testing.assert_allclose(edit.get_xdata(), [0, 50, 100])
    assert plain.get_linestyle() != edit.get_linestyle()


def test_no_curve_is_one_line() -> None:
    with pytest.raises(EcgkitError, match="no curve to draw"):
        figures.quac_curves({})
