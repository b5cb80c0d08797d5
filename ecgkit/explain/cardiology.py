"""The cardiology table (`cardiology.csv`): in which leads and segments the signs of a label are looked for.

The table is ours, put together from the recommendations that define the rules of `ecgkit.physiology`; no cardiologist
has reviewed it. It says where signs may stand, not that all of them do: an infarct has one territory and the label
MI all of them. The PR segment and f waves have no segment of their own and belong to the rest.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.explain.players import SEGMENTS
from ecgkit.leads import LEADS, N_LEADS


@cache
def _table() -> pd.DataFrame:
    return pd.read_csv(Path(__file__).with_name("cardiology.csv"), dtype=str)


def cardiology_table() -> pd.DataFrame:
    """Rows of `label`, `leads`, `segments`, `sign` (in words) and `source` (a DOI, or secondary: a textbook)."""
    return _table().copy()


def described_labels() -> tuple[str, ...]:
    """Labels that the table has."""
    return tuple(_table()["label"].unique())


def cardiology_cells(label: str) -> NDArray[np.bool_]:
    """Leads by segments (`ecgkit.explain.players.SEGMENTS`) in which signs of a label are looked for, `(12, 5)`.

    Raises
    ------
    EcgkitError
        For a label that the table does not have.
    """
    rows = _table()[_table()["label"] == label]
    if rows.empty:
        raise EcgkitError(f"the cardiology table has no label {label!r}; it has {', '.join(described_labels())}")
    cells = np.zeros((N_LEADS, len(SEGMENTS)), dtype=bool)
    for leads, segments in rows[["leads", "segments"]].itertuples(index=False):
        of_leads = np.ones(N_LEADS, dtype=bool) if leads == "all" else np.isin(LEADS, leads.split())
        cells |= of_leads[:, None] & np.isin(SEGMENTS, segments.split())
    return cells
