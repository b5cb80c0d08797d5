"""The cardiology table: every row can be read, and every label that is explained has one."""

import numpy as np
import pytest

from ecgkit.datasets.ptbxl import SUPERCLASSES
from ecgkit.errors import EcgkitError
from ecgkit.explain.attribution.players import QRS, REST, SEGMENTS, ST, P, T
from ecgkit.leads import LEADS
from ecgkit.simulator.catalogue import EDIT_NAMES
from ecgkit.study.cases import cardiology_cells, cardiology_table, described_labels


def test_every_row_names_leads_segments_a_sign_and_a_source():
    for row in cardiology_table().itertuples():
        assert row.leads == "all" or set(row.leads.split()) <= set(LEADS), row
        assert set(row.segments.split()) <= set(SEGMENTS), row
        assert len(row.sign) > 5, row
        assert row.source == "secondary" or row.source.startswith("10."), row


def test_every_disease_and_superclass_but_normal_has_cells():
    assert set(described_labels()) == (set(SUPERCLASSES) | set(EDIT_NAMES)) - {"NORM"}
    for label in described_labels():
        cells = cardiology_cells(label)
        assert cells.shape == (12, 5)
        assert 0 < cells.sum() < cells.size


def test_cells_of_an_inferior_infarct_and_of_a_long_pr():
    cells = cardiology_cells("IMI")
    assert [LEADS[k] for k in np.flatnonzero(cells.any(axis=1))] == ["II", "III", "aVF"]
    assert cells[LEADS.index("II")].tolist() == [k in (QRS, ST, T) for k in range(5)]
    assert (cardiology_cells("1AVB") == [k in (P, REST) for k in range(5)]).all()


def test_rows_of_one_label_add_up():
    cells = cardiology_cells("HYP")
    assert cells[LEADS.index("V1")].tolist() == [True, True, False, False, False]
    assert not cells[LEADS.index("aVR")].any()


def test_the_table_cannot_be_changed_from_outside():
    cardiology_table()["leads"] = "none"
    assert cardiology_table()["leads"].iloc[0] != "none"


def test_an_unknown_label_is_refused():
    with pytest.raises(EcgkitError, match="no label 'NORM'; it has MI"):
        cardiology_cells("NORM")
