"""How far two measurements of the same ECG lie apart, as it was measured on real recordings."""

from __future__ import annotations

from pathlib import Path

import pandas as pd


def repeatability() -> dict[str, float]:
    """What a measurement must change by before the change means anything.

    Returns
    -------
    dict
        By measurement (`ecgkit.physiology.COLUMNS`), in its unit: the distance that 95 of 100 pairs of the first and
        the second half of the same ten seconds do not exceed. From the PTB-XL sample, whose table is in the book's page
        on measurements; `repeatability.csv` also tells of how many ECGs.
    """
    table = pd.read_csv(Path(__file__).with_name("repeatability.csv"), index_col="measurement")
    return {str(name): float(value) for name, value in table["p95"].items()}
