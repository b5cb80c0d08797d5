"""AttFind: which style coordinates a classifier's answer hangs on (Lang et al. 2021, algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import Bootstrap, resample_patients
from ecgkit.progress import track

#: From style coordinates `(n, n_coordinates)` to the logit of one label, `(n,)`.
Logit = Callable[[Tensor], NDArray[np.float64]]
#: The ends to which a coordinate can be moved.
ENDS = ("lowest", "highest")
#: Draws of random moves beside which those found are held.
N_RANDOM = 5
#: A coordinate is stable if its effect has the same sign in this share of the ECGs.
LEAST_AGREEMENT = 0.8


@dataclass(frozen=True)
class Move:
    """One coordinate taken to one end of its range in the training beats: 0 for the lowest, 1 for the highest."""

    coordinate: int
    end: int


def moved(style: Tensor, moves: Sequence[Move], ends: Tensor) -> Tensor:
    """Style coordinates with some of them moved; `ends` is `(2, n_coordinates)`."""
    style = style.clone()
    for move in moves:
        style[:, move.coordinate] = ends[move.end, move.coordinate]
    return style


def shift_effects(logit: Logit, style: Tensor, ends: Tensor) -> NDArray[np.float64]:
    """Change of the logit when each coordinate alone is moved to each end, `(n, n_coordinates, 2)`."""
    before = logit(style)
    effects = np.empty((*style.shape, len(ENDS)))
    for coordinate in track(range(style.shape[1]), "moving style coordinates", unit="coordinate"):
        for end in range(len(ENDS)):
            effects[:, coordinate, end] = logit(moved(style, [Move(coordinate, end)], ends)) - before
    return effects


def select_moves(effects: NDArray[np.float64], needed: NDArray[np.float64], n_top: int, *,
                 least_agreement: float = LEAST_AGREEMENT) -> pd.DataFrame:
    """Pick moves one after the other, each for the ECGs that those before it did not explain.

    Once all are explained, or none of the others can be, all count again. At most `n_top` are picked.

    Parameters
    ----------
    effects : ndarray, shape (n, n_coordinates, 2)
        Of single moves, positive where the logit goes the wanted way.
    needed : ndarray, shape (n,)
        Effect that explains an ECG: what takes its answer to the other side.
    least_agreement : float
        Moves whose effect is positive in a smaller share of the ECGs are left out; an error if that leaves none.

    Returns
    -------
    DataFrame, one row per pick
        `coordinate`, `end` (0 or 1), `agreement`, `explained` (share of the ECGs that the picks so far explain).
    """
    agreement = (effects > 0).mean(axis=0)
    candidates = agreement >= least_agreement
    if not candidates.any():
        raise EcgkitError(f"no style coordinate moves the answer the same way in {100 * least_agreement:.0f} % of "
                          f"{len(effects)} ECGs; train the style generator longer")
    strong = effects >= needed[:, None, None]
    explained = np.zeros(len(effects), dtype=bool)
    rows: list[dict[str, Any]] = []
    while len(rows) < n_top and candidates.any():
        open_cases = ~explained
        if not (strong[open_cases] & candidates).any():
            open_cases = np.ones(len(effects), dtype=bool)
        mean = np.where(candidates, effects[open_cases].mean(axis=0), -np.inf)
        coordinate, end = np.unravel_index(mean.argmax(), mean.shape)
        explained |= strong[:, coordinate, end]
        candidates[coordinate] = False
        rows.append({"coordinate": int(coordinate), "end": int(end), "agreement": float(agreement[coordinate, end]),
                     "explained": float(explained.mean())})
    return pd.DataFrame(rows)


def sufficiency_table(logit: Logit, style: Tensor, ends: Tensor, moves: Sequence[Move], *, raised: bool,
                      patients: Any = None, n_boot: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Share of the ECGs whose answer flips when the first moves are made together, with intervals over patients.

    Of those ECGs alone that, as they are drawn again, lie on the side that they are to leave (probability 0.5), the
    lower one if the label is to be `raised`. Moves come in the order of their importance.

    Indexed by `moves` from 1: `n`, `flipped` with `flipped_low` and `flipped_high`, `effect` (mean change of the logit
    in the wanted direction), and `random`, the share that as many other coordinates flip, each moved to an end at
    random.
    """
    sign = 1.0 if raised else -1.0
    before = sign * logit(style)
    side = before < 0
    if not side.any():
        raise EcgkitError(f"none of {len(style)} ECGs has an answer that could be {'raised' if raised else 'lowered'} "
                          "across a probability of 0.5; give others")
    style, before = style[torch.from_numpy(side)], before[side]
    ids = np.arange(len(style)) if patients is None else np.asarray(patients)[side]
    after = sign * _together(logit, style, ends, moves)
    rng = np.random.default_rng(seed)
    chance = np.mean([(sign * _together(logit, style, ends, _others(style.shape[1], moves, rng)) > 0).mean(axis=0)
                      for _ in range(N_RANDOM)], axis=0)
    flipped = mean_of((after > 0).astype(np.float64), ids, n_boot=n_boot, seed=seed)
    low, high = flipped.interval()
    return pd.DataFrame({"n": len(style), "flipped": flipped.estimate, "flipped_low": low, "flipped_high": high,
                         "effect": (after - before[:, None]).mean(axis=0), "random": chance},
                        index=pd.RangeIndex(1, len(moves) + 1, name="moves"))


def mean_of(values: NDArray[np.float64], patients: Any, *, n_boot: int = 1000, seed: int = 0) -> Bootstrap:
    """Means of the columns of `(n, k)`, with resamples of the patients."""
    samples = [weights.T @ values / weights.sum(axis=0)[:, None]
               for weights in resample_patients(patients, n_boot=n_boot, seed=seed)]
    return Bootstrap(values.mean(axis=0), np.concatenate(samples))


def _together(logit: Logit, style: Tensor, ends: Tensor, moves: Sequence[Move]) -> NDArray[np.float64]:
    """The logit after the first 1, 2, ... moves made together, `(n, n_moves)`."""
    return np.stack([logit(moved(style, moves[:k + 1], ends)) for k in range(len(moves))], axis=1)


def _others(n_coordinates: int, moves: Sequence[Move], rng: np.random.Generator) -> list[Move]:
    """As many random moves of other coordinates."""
    others = np.setdiff1d(np.arange(n_coordinates), [move.coordinate for move in moves])
    drawn = rng.permutation(others)[:len(moves)]
    return [Move(int(c), int(end)) for c, end in zip(drawn, rng.integers(2, size=len(drawn)), strict=True)]
