"""Rare labels: which ones by a rule, and a probe that is shown only some of their positive ECGs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.progress import track
from ecgkit.training.probe import Features, Standard, linear_probe

#: Positive ECGs that a rare label needs at least: to train on, in the validation fold, in the test fold.
LEAST = (10, 2, 2)


def positives(data: ECGDataset) -> pd.DataFrame:
    """Count each label's ECGs by split.

    Returns
    -------
    DataFrame of int, one row per label
        `train`, `validation`, `test`.
    """
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    return pd.DataFrame({name: part.labels.sum(axis=0).astype(int) for name, part in parts.items()},
                        index=pd.Index(data.label_names, name="label"))


def rarest(data: ECGDataset, n: int = 5, *, least: tuple[int, int, int] = LEAST) -> tuple[str, ...]:
    """Name the `n` rarest labels that can be trained and tested at all; no score has a say.

    Parameters
    ----------
    data : ECGDataset
        With folds.
    n : int
        Labels wanted; there may be fewer.
    least : tuple of int
        Positive ECGs that a label must have in the training, validation and test folds.

    Returns
    -------
    tuple of str
        From the rarest among the training ECGs on; ties in alphabetical order.

    Raises
    ------
    EcgkitError
        Where no label has enough ECGs.
    """
    counts = positives(data)
    enough = counts[(counts >= least).all(axis=1)].sort_index().sort_values("train", kind="stable")
    if not len(enough):
        raise EcgkitError(f"{data.name}: no label has {least[0]} training, {least[1]} validation and {least[2]} test "
                          "ECGs; load more ECGs or a task with more labels")
    return tuple(enough.index[:n])


def with_few_positives(truth: NDArray[np.uint8], groups: ArrayLike, wanted: int, seed: int) -> NDArray[np.bool_]:
    """Choose training ECGs so that few of them are positive: patients with the label drop out, the others stay.

    Patients with the label are drawn one by one until they have `wanted` positive ECGs, so that there may be a few more
    than that, or fewer where there are not as many; choices of one seed are nested.

    Parameters
    ----------
    truth : ndarray of 0 and 1, shape (n,)
        One label.
    groups : array_like, shape (n,)
        Patient of each ECG.
    wanted : int
        Positive ECGs.
    seed : int
        Of the order of the patients.

    Returns
    -------
    ndarray of bool, shape (n,)

    Raises
    ------
    EcgkitError
        Where less than one positive ECG is wanted.
    """
    if wanted < 1:
        raise EcgkitError(f"{wanted} positive ECGs: give at least 1")
    patients = pd.Series(np.asarray(groups))
    count = pd.Series(truth.astype(int)).groupby(patients).sum()
    count = count[count > 0]
    count = count.iloc[np.random.default_rng(seed).permutation(len(count))]
    dropped = count.index[count.cumsum().shift(fill_value=0) >= wanted]
    return ~patients.isin(dropped).to_numpy()


def probe_few_positives(train: ECGDataset, features: Features, asked: Features, *, wanted: Sequence[int],
                        seeds: int = 3) -> Mapping[int, list[NDArray[np.float64]]]:
    """Fit a linear probe for each label on some of its positive ECGs and all negative ones.

    Parameters
    ----------
    train : ECGDataset
        Training ECGs with their labels.
    features : ndarray, shape (len(train), n_features)
        Their embeddings, by all of which embeddings are standardised.
    asked : ndarray, shape (n, n_features)
        Embeddings to predict.
    wanted : sequence of int
        Numbers of positive ECGs; see `with_few_positives`.
    seeds : int
        Draws of the positive ECGs.

    Returns
    -------
    mapping of a number of positive ECGs to arrays, one per seed, of shape (n, n_labels)
        Probabilities, too low ones, since positive ECGs were taken away and negative ones not; use their order.
    """
    standard, patients = Standard.of(features), train.records["patient_id"].to_numpy()
    out = {number: [np.empty((len(asked), len(train.label_names))) for _ in range(seeds)] for number in wanted}
    plan = list(product(wanted, range(seeds), range(len(train.label_names))))
    for number, seed, k in track(plan, "probing with few positives", unit="probe"):
        truth = train.labels[:, k]
        kept = with_few_positives(truth, patients, number, seed)
        probe = linear_probe(features[kept], truth[kept, None], groups=patients[kept], seed=seed, standard=standard)
        out[number][seed][:, k] = probe.predict(asked)[:, 0]
    return out
