"""The catalogue's arrays say what its readable data say."""

import numpy as np
import pytest

from ecgkit.simulator.catalogue import (
    ALL_NAMES,
    BASE,
    CLASSES,
    DROPS,
    EDIT_NAMES,
    EDITS,
    FINER_EDITS,
    FINER_NAMES,
    MOVES,
    NORMAL,
    SLOTS,
    VENTRICULAR,
    Edit,
)

ALL: dict[str, Edit] = {**EDITS, **FINER_EDITS}


def test_there_are_thirteen_classes() -> None:
    assert len(CLASSES) == 13
    assert CLASSES[0] == "NORM"
    assert CLASSES[1:] == EDIT_NAMES == tuple(EDITS)


def test_there_are_thirty_edits_the_twelve_first() -> None:
    assert (*EDIT_NAMES, *FINER_NAMES) == ALL_NAMES == tuple(ALL)
    assert len(ALL_NAMES) == len(set(ALL_NAMES)) == 30
    assert len({edit.name for edit in ALL.values()}) == 30
    assert MOVES.shape == (30, len(SLOTS), 5)
    assert len(set(SLOTS)) == len(SLOTS)


def test_wavelets_of_finer_diseases_come_after_all_others() -> None:
    """A patient's random numbers are drawn slot by slot: another order would make the default cohort another one."""
    first = len(NORMAL) + len(VENTRICULAR) + sum(len(edit.add) for edit in EDITS.values())
    assert set(SLOTS[first:]) == {slot for edit in FINER_EDITS.values() for slot in edit.add}


@pytest.mark.parametrize("name", ALL_NAMES)
def test_a_full_edit_ends_at_its_own_values(name: str) -> None:
    edit, row = ALL[name], ALL_NAMES.index(name)
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
    added = [SLOTS.index(slot) for edit in ALL.values() for slot in edit.add]
    np.testing.assert_array_equal(BASE[added, 2:], 0)
