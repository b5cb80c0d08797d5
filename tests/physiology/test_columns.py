"""Every column has a unit and a meaning; every hole has a reason."""

from __future__ import annotations

import numpy as np
import pytest

from ecgkit.leads import LEADS
from ecgkit.physiology.columns import COLUMNS, Sheet, either, why


def test_every_column_has_a_unit_and_a_meaning() -> None:
    units = {text.split(";")[0] for text in COLUMNS.values()}
    assert units == {"1/min", "ms", "ratio", "count", "degrees", "mV", "0 or 1"}
    assert all(len(text.split("; ", 1)[1]) > 5 for text in COLUMNS.values())
    assert len(COLUMNS) == 20 + 15 * 12


def test_the_first_reason_counts() -> None:
    got = either(why(np.array([True, False, False]), "a"), why(np.array([True, True, False]), "longer"))
    assert got.tolist() == ["a", "longer", ""]


def test_a_sheet_has_values_or_reasons() -> None:
    sheet = Sheet()
    for name in COLUMNS:
        sheet.put(name, np.array([1.0, 2.0]), np.array(["", "lost"]))
    sheet.put_leads("r", np.arange(24).reshape(2, 12), np.full((2, 12), ""))
    table, reasons = sheet.tables()
    assert list(table) == list(reasons) == list(COLUMNS)
    assert table["pr"].tolist() == pytest.approx([1.0, np.nan], nan_ok=True)
    assert reasons["pr"].tolist() == ["", "lost"]
    assert table[[f"r_{lead}" for lead in LEADS]].to_numpy().ravel().tolist() == list(range(24))
