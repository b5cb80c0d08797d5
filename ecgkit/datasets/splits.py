"""Splits by patient, stratified over labels: nested label subsets and folds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def patient_order(patient_id: NDArray[Any], labels: NDArray[Any], seed: int) -> NDArray[Any]:
    """Order the patients so that every prefix is a stratified sample of them.

    Patients with the same set of labels form a stratum; each stratum is shuffled and spread evenly over (0, 1), and
    all are sorted by that place (systematic sampling). So a prefix of any length takes the same share of every
    stratum, up to one patient, and prefixes are nested.

    Parameters
    ----------
    patient_id : ndarray, shape (n,)
        Patient of each ECG.
    labels : ndarray, shape (n, n_labels)
        Multi-hot; a patient's set is the union over their ECGs.
    seed : int
        Seed of the shuffle.

    Returns
    -------
    ndarray, shape (n_patients,)
        The patients, each once.
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
    """Give every ECG a fold from 1 to `n_folds`: patients stay whole, labels are stratified.

    Returns
    -------
    ndarray of int, shape (n,)
        `strat_fold` of each ECG.
    """
    order = patient_order(patient_id, labels, seed)
    fold = pd.Series(np.arange(len(order)) * n_folds // max(len(order), 1) + 1, index=order)
    return fold.loc[np.asarray(patient_id)].to_numpy()
