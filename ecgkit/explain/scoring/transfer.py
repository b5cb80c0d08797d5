"""Transfer: whether classifiers that an explainer never saw follow the flips of the one that it explains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ecgkit.errors import EcgkitError
from ecgkit.evaluation.checks import Array, ratio


def transfer(before: Any, after: Any, thresholds: Any, up: Any, valid: Any) -> Array:
    """Which flips other classifiers follow.

    A judge follows where its score crosses its own decision threshold in the wanted direction. It is asked only about
    ECGs that it put on the near side of the threshold before, and only where the explained classifier itself flipped.

    Parameters
    ----------
    before, after : array_like, shape (n, n_judges)
        Each judge's score of the asked label, before and after the edit; a label is called at or above the threshold.
    thresholds : array_like, shape (n_judges,)
        Each judge's threshold of that label on the same scale, chosen on other ECGs
        (`ecgkit.evaluation.best_f1_thresholds` on validation).
    up : bool or array_like of bool, shape (n,)
        Whether the label was to appear (True) or to vanish.
    valid : array_like of bool, shape (n,)
        Whether the explained classifier flipped.

    Returns
    -------
    ndarray, shape (n, n_judges)
        1 followed, 0 not, nan not counted.

    Raises
    ------
    EcgkitError
        Where the shapes do not fit together.
    """
    first, second, limit = (np.asarray(values, dtype=np.float64) for values in (before, after, thresholds))
    if first.ndim != 2 or first.shape != second.shape or limit.shape != first.shape[1:]:
        raise EcgkitError(f"scores of shapes {first.shape} and {second.shape} with thresholds {limit.shape}; give "
                          "(n, n_judges) twice and (n_judges,)")
    n = len(first)
    if np.shape(valid) != (n,) or np.shape(up) not in ((), (n,)):
        raise EcgkitError(f"valid has shape {np.shape(valid)} and up {np.shape(up)} for {n} ECGs")
    wanted = np.broadcast_to(np.asarray(up, dtype=bool), (n,))[:, None]
    counted = np.asarray(valid, dtype=bool)[:, None] & ((first >= limit) != wanted)
    return np.where(counted, (second >= limit) == wanted, np.nan)


def transfer_table(followed: Array, judges: Sequence[str], valid: Any) -> pd.DataFrame:
    """Shares that follow, judge by judge.

    Parameters
    ----------
    followed : ndarray, shape (n, n_judges)
        As `transfer` gives it.
    judges : sequence of str
        Their names.
    valid : array_like of bool, shape (n,)
        The explained classifier's own flips.

    Returns
    -------
    DataFrame, indexed by judge, and their mean
        `counted` (own flips that the judge was asked about), `disagreed` (share of the own flips that it was not asked
        about, as it did not agree before) and `followed` (share of those counted).
    """
    counted, own = (~np.isnan(followed)).sum(axis=0), int(np.asarray(valid, dtype=bool).sum())
    share = ratio(np.nansum(followed, axis=0), counted, counted > 0)
    disagreed = ratio(own - counted, own, np.full(len(judges), own > 0))
    table = pd.DataFrame({"counted": counted.astype(np.float64), "disagreed": disagreed, "followed": share},
                         index=pd.Index(judges, name="judge"))
    return pd.concat([table, table.mean().to_frame("mean").T.rename_axis("judge")])
