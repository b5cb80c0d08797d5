"""Splits by patient, stratified over labels: folds, and nested label subsets as a table that can be published."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.progress import track

if TYPE_CHECKING:
    from ecgkit.datasets.base import ECGDataset

FRACTIONS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)


def patient_order(patient_id: NDArray[Any], labels: NDArray[Any], seed: int) -> NDArray[Any]:
    """Order the patients so that every prefix is a stratified sample of them.

    Patients with the same set of labels form a stratum; each stratum is shuffled and spread evenly over (0, 1), and
    all are sorted by that place (systematic sampling). So a prefix of any length takes the same share of every
    stratum, up to one patient, and prefixes are nested.

    Parameters
    ----------
    patient_id, labels, seed : ndarray, shape (n,) and (n, n_labels), int
        Patient and multi-hot labels of each ECG; a patient's set is the union over their ECGs. Seed of the shuffle.
    """
    by_patient = pd.DataFrame(np.asarray(labels, dtype=np.uint8)).groupby(np.asarray(patient_id), sort=True).max()
    rng = np.random.default_rng(seed)
    shuffled = by_patient.iloc[rng.permutation(len(by_patient))]
    strata = shuffled.apply(lambda row: row.to_numpy().tobytes(), axis=1) if len(shuffled.columns) else \
        pd.Series(b"", index=shuffled.index)
    rank, size = strata.groupby(strata).cumcount(), strata.groupby(strata).transform("size")
    start = dict(zip(sorted(set(strata)), rng.random(strata.nunique()), strict=True))
    place = (rank + strata.map(start)) / size
    return shuffled.index.to_numpy()[np.argsort(place.to_numpy(), kind="stable")]


def assign_folds(patient_id: NDArray[Any], labels: NDArray[Any], *, n_folds: int = 10,
                 seed: int = 0) -> NDArray[np.int64]:
    """Give every ECG its `strat_fold`, from 1 to `n_folds`: patients stay whole, labels are stratified."""
    order = patient_order(patient_id, labels, seed)
    fold = pd.Series(np.arange(len(order)) * n_folds // max(len(order), 1) + 1, index=order)
    return fold.loc[np.asarray(patient_id)].to_numpy()


def label_subsets(data: ECGDataset, fractions: Iterable[float] = FRACTIONS,
                  seeds: Iterable[int] = range(5)) -> pd.DataFrame:
    """Write down the subsets that `data.label_fraction` draws.

    Parameters
    ----------
    data : ECGDataset
        With labels, over which subsets are stratified.
    fractions, seeds : iterable of float, iterable of int
        Shares of the patients, in (0, 1]; one drawing for each seed.

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
    """Read one subset from a whole table of `label_subsets`, as it was drawn or as its CSV is read again.

    It says which ECGs have labels, `(n,)`, in the table's order; `ECGDataset.subset` takes it. A seed or a fraction
    that was not drawn raises `EcgkitError`.
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
