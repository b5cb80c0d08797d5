"""Controls: what may be predicted without looking at the signal."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError


def age_sex_control(train: ECGDataset, test: ECGDataset) -> NDArray[np.float64]:
    """Predict each label from age and sex alone.

    A logistic regression on a cubic spline of age with five knots, sex, and whether either is missing.

    Parameters
    ----------
    train, test : ECGDataset
        With the columns `age` (years) and `sex` (0 male, 1 female), and the same labels.

    Returns
    -------
    ndarray, shape (len(test), n_labels)
        Probabilities; the training prevalence where the training ECGs have only one class.

    Raises
    ------
    EcgkitError
        Where a column is missing.
    """
    for data in (train, test):
        lacking = {"age", "sex"} - set(data.records)
        if lacking:
            raise EcgkitError(f"{data.name}: the records lack the column {sorted(lacking)[0]}")
    spline = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), SplineTransformer(n_knots=5))
    aged = spline.fit_transform(_column(train, "age"))
    known, asked = _features(train, aged), _features(test, spline.transform(_column(test, "age")))
    out = np.empty((len(test), len(test.label_names)))
    for k, y in enumerate(train.labels.T):
        out[:, k] = LogisticRegression(max_iter=1000).fit(known, y).predict_proba(asked)[:, 1] if 0 < y.mean() < 1 \
            else y.mean()
    return out


def _column(data: ECGDataset, name: str) -> NDArray[np.float64]:
    return pd.to_numeric(data.records[name], errors="coerce").to_numpy(dtype=float)[:, None]


def _features(data: ECGDataset, aged: NDArray[np.float64]) -> NDArray[np.float64]:
    age, sex = _column(data, "age"), _column(data, "sex")
    return np.hstack([aged, np.nan_to_num(sex, nan=0.5), np.isnan(age), np.isnan(sex)])
