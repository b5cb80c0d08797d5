"""Nested label subsets as a table that can be published: which ECGs have labels at which fraction and seed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.progress import track

FRACTIONS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)


def label_subsets(data: ECGDataset, fractions: Iterable[float] = FRACTIONS,
                  seeds: Iterable[int] = range(5)) -> pd.DataFrame:
    """Write down the subsets that `data.label_fraction` draws.

    Parameters
    ----------
    data : ECGDataset
        With labels, over which subsets are stratified.
    fractions : iterable of float
        Shares of the patients, in (0, 1].
    seeds : iterable of int
        One drawing each.

    Returns
    -------
    DataFrame, one row per ECG
        `record`, `patient_id`, and for each seed a column ``seed_<s>``: the smallest fraction whose subset contains
        the ECG, NaN where none does. Subsets of one seed are nested, so this tells all of them; `subset_of` reads one.
    """
    table = data.records[["record", "patient_id"]].copy()
    largest_first = sorted(set(fractions), reverse=True)
    for seed in track(list(seeds), "drawing label subsets", unit="seed"):
        smallest = np.full(len(data), np.nan)
        for fraction in largest_first:
            patients = data.label_fraction(fraction, seed).records["patient_id"].unique()
            smallest[data.records["patient_id"].isin(patients).to_numpy()] = fraction
        table[f"seed_{seed}"] = smallest
    return table


def subset_of(table: pd.DataFrame, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Read one subset from a table of `label_subsets`.

    Parameters
    ----------
    table : DataFrame
        All rows of the table, as it was drawn or as its CSV is read again.
    fraction, seed
        One of those that were drawn.

    Returns
    -------
    ndarray of bool, shape (n,)
        Which ECGs have labels, in the table's order; `ECGDataset.subset` takes it.

    Raises
    ------
    EcgkitError
        Where the table has no such seed, or was not drawn at this fraction.
    """
    column = f"seed_{seed}"
    if column not in table:
        drawn = [name.removeprefix("seed_") for name in table.columns if str(name).startswith("seed_")]
        raise EcgkitError(f"the label subsets have no seed {seed}; they have {', '.join(drawn) or 'none'}")
    mask = (table[column] <= fraction).to_numpy()
    # Two small fractions may hold the same patients, so the values in the column do not tell what was drawn; the
    # number of patients does.
    n_patients = table["patient_id"].nunique()
    if table.loc[mask, "patient_id"].nunique() != max(1, round(fraction * n_patients)):
        values = ", ".join(f"{value:g}" for value in sorted(table[column].dropna().unique()))
        raise EcgkitError(f"the label subsets of seed {seed} were not drawn at {fraction:g}; they have {values}")
    return mask
