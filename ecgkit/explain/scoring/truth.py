"""Distance to the truth: simulated ECGs have a true counterfactual, the same patient and day without the disease."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.evaluation.checks import ratio


def distance_to_truth(before: NDArray[Any], after: NDArray[Any], truth: NDArray[Any]) -> pd.DataFrame:
    """Compare edited ECGs with true counterfactuals.

    Parameters
    ----------
    before, after, truth : ndarray, shape (n, 12, sig_len)
        Millivolts: the ECG, what the explainer made of it, and `Cohort.counterfactual`. The truth has the same beats
        and noise, but for atrial fibrillation, without which the rhythm is another: there the distances have no
        meaning.

    Returns
    -------
    DataFrame, n rows
        `rms` (mV; root mean square of after - truth over leads and time), `relative` (the same, divided by the root
        mean square of before - truth: 1 for an explainer that does nothing, 0 for the truth; nan where there is
        nothing to change) and `correlation` (of the edit with the true difference over leads and time; 0 for an edit
        that is nothing, nan where there is nothing to change).

    Raises
    ------
    EcgkitError
        Where the shapes differ.
    """
    if not before.shape == after.shape == truth.shape or before.ndim != 3:
        raise EcgkitError(f"ECGs of shapes {before.shape}, {after.shape} and {truth.shape}; all must be (n, 12, "
                          "sig_len)")
    edit, wanted = after.astype(np.float64) - before, truth.astype(np.float64) - before
    rms, needed = (np.sqrt((x**2).mean(axis=(1, 2))) for x in (edit - wanted, wanted))
    centred = [x - x.mean(axis=(1, 2), keepdims=True) for x in (edit, wanted)]
    product = (centred[0] * centred[1]).sum(axis=(1, 2))
    scale = np.sqrt((centred[0]**2).sum(axis=(1, 2)) * (centred[1]**2).sum(axis=(1, 2)))
    correlation = np.where(needed > 0, np.divide(product, scale, out=np.zeros(len(product)), where=scale > 0), np.nan)
    return pd.DataFrame({"rms": rms, "relative": ratio(rms, needed, needed > 0), "correlation": correlation})
