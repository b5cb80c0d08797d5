"""Transfer: each judge by its own threshold, and only about ECGs on which it agreed before."""

from __future__ import annotations

import numpy as np
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.transfer import transfer, transfer_table

BEFORE = np.array([[0.9, 0.9], [0.4, 0.9], [0.8, 0.8], [0.5, 0.35]])
AFTER = np.array([[0.1, 0.6], [0.1, 0.2], [0.1, 0.1], [0.5, 0.3]])
THRESHOLDS = [0.5, 0.3]


def test_judges_follow_across_their_own_thresholds() -> None:
    found = transfer(BEFORE, AFTER, THRESHOLDS, False, [True, True, False, True])
    # The first judge did not call the second ECG before; the third was no flip of the classifier's own; a score at
    # the threshold is a call.
    np.testing.assert_array_equal(found, [[1, 0], [np.nan, 1], [np.nan, np.nan], [0, 0]])


def test_the_other_direction_is_the_mirror_image() -> None:
    valid = [True, True, True, False]
    down = transfer(BEFORE, AFTER, THRESHOLDS, False, valid)
    # Off the thresholds, turning all signs turns the direction.
    np.testing.assert_array_equal(transfer(-BEFORE, -AFTER, [-0.5, -0.3], True, valid), down)
    mixed = transfer(BEFORE, AFTER, THRESHOLDS, [True, False, False, True], valid)
    np.testing.assert_array_equal(mixed[1:], down[1:])
    assert np.isnan(mixed[0]).all()


def test_the_table_counts_what_was_asked() -> None:
    valid = [True, True, False, True]
    table = transfer_table(transfer(BEFORE, AFTER, THRESHOLDS, False, valid), ["a", "b"], valid)
    assert table.index.tolist() == ["a", "b", "mean"]
    np.testing.assert_allclose(table.to_numpy(), [[2, 1 / 3, 1 / 2], [3, 0, 1 / 3], [2.5, 1 / 6, 5 / 12]])
    none = transfer_table(np.full((2, 1), np.nan), ["a"], [False, False])
    np.testing.assert_array_equal(none.to_numpy()[0], [0, np.nan, np.nan])


def test_arrays_that_do_not_fit_are_said() -> None:
    with pytest.raises(EcgkitError, match=r"thresholds \(3,\)"):
        transfer(BEFORE, AFTER, [1, 2, 3], True, np.ones(4))
    with pytest.raises(EcgkitError, match=r"valid has shape \(3,\)"):
        transfer(BEFORE, AFTER, THRESHOLDS, True, np.ones(3))
