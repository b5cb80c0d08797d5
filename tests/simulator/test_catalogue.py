"""The catalogue's arrays say what its readable data say."""

import numpy as np
import pytest

from ecgkit.simulator.catalogue import BASE, CLASSES, DROPS, EDIT_NAMES, EDITS, MOVES, NORMAL, SLOTS


def test_there_are_thirteen_classes() -> None:
    assert len(CLASSES) == 13
    assert CLASSES[0] == "NORM"
    assert MOVES.shape == (12, len(SLOTS), 5)
    assert len(set(SLOTS)) == len(SLOTS)


@pytest.mark.parametrize("name", EDIT_NAMES)
def test_a_full_edit_ends_at_its_own_values(name: str) -> None:
    edit, row = EDITS[name], EDIT_NAMES.index(name)
    table = BASE + MOVES[row]
    for slot, wavelet in {**edit.replace, **edit.add}.items():
        np.testing.assert_allclose(table[SLOTS.index(slot)], wavelet, atol=1e-12)
    for slot, delay in edit.delay.items():
        assert table[SLOTS.index(slot), 0] == pytest.approx(NORMAL[slot][0] + delay)
    touched = {*edit.replace, *edit.add, *edit.delay}
    others = [k for k, slot in enumerate(SLOTS) if slot not in touched]
    np.testing.assert_array_equal(MOVES[row, others], 0)
    assert {slot for k, slot in enumerate(SLOTS) if DROPS[row, k]} == set(edit.drop)


def test_what_edits_add_is_absent_from_a_normal_beat() -> None:
    added = [SLOTS.index(slot) for edit in EDITS.values() for slot in edit.add]
    np.testing.assert_array_equal(BASE[added, 2:], 0)
