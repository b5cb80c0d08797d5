"""A cohort's edits, beat by beat: what an explainer changes on the average, and the answer that shows it best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import resample_patients
from ecgkit.explain.battery import Answers, Bench
from ecgkit.explain.changes import in_words
from ecgkit.explain.players import BEFORE, beat_aligned
from ecgkit.explain.results import probability
from ecgkit.physiology import delineate, measure


@dataclass(frozen=True)
class MeanEdit:
    """The mean edit of a cohort, laid on the R peak.

    Parameters
    ----------
    mean, low, high : ndarray, shape (12, samples)
        mV, with the 95 % interval over patients.
    milliseconds : ndarray, shape (samples,)
        From the R peak.
    n : int
        ECGs.
    """

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    milliseconds: NDArray[np.float64]
    n: int


def chosen(answers: Answers, asked: pd.DataFrame, label: str, wanted: float) -> NDArray[np.intp]:
    """Places of the valid answers to one question, `(n,)`; of all attempts, where none is valid.

    Raises
    ------
    EcgkitError
        Where nothing was asked so.
    """
    asked_so = (asked["label"] == label) & (asked["wanted"] == wanted)
    if not asked_so.any():
        raise EcgkitError(f"nobody asked for {label} at {wanted:g}; see the table of questions")
    valid = asked_so & (answers.outcome == "valid")
    return np.flatnonzero(valid if valid.any() else asked_so)


def mean_edit(answers: Answers, bench: Bench, asked: pd.DataFrame, label: str, wanted: float, *, n_boot: int = 500,
              seed: int = 0) -> MeanEdit:
    """Mean edit of the answers to one question (`chosen`), over all of the ECGs' normal beats."""
    places = chosen(answers, asked, label, wanted)
    rows, fs = asked["row"].to_numpy()[places], bench.data.fs
    before = bench.data.batch(rows)
    beats = beat_aligned(answers.signals[places] - before, delineate(before, fs), fs)
    known = np.isfinite(beats).all(axis=(1, 2))
    beats, rows = beats[known], rows[known]
    flat = beats.reshape(len(beats), -1)
    drawn = np.concatenate([(weights / weights.sum(axis=0)).T @ flat for weights in resample_patients(
        bench.data.records["patient_id"].to_numpy()[rows], n_boot=n_boot, seed=seed, n=len(rows))])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0).reshape(2, *beats.shape[1:])
    ms = 1000 * np.arange(beats.shape[-1]) / fs - BEFORE
    return MeanEdit(beats.mean(axis=0), low, high, ms, len(rows))


def typical(answers: Answers, bench: Bench, asked: pd.DataFrame, label: str, wanted: float) -> int:
    """Place of the answer (`chosen`) whose edit is of median size: neither the neatest nor the worst."""
    places = chosen(answers, asked, label, wanted)
    before = bench.data.batch(asked["row"].to_numpy()[places])
    size = np.abs(answers.signals[places] - before).mean(axis=(1, 2))
    return int(places[np.argsort(size)[len(size) // 2]])


def pictures(answers: Answers, bench: Bench, asked: pd.DataFrame, questions: Mapping[str, float],
             repeatability: Mapping[str, float]) -> list[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
    """Typical answers to some questions, for `ecgkit.figures.before_after_gallery`.

    Parameters
    ----------
    answers, bench, asked
        As in `mean_edit`.
    questions : mapping
        Wanted probability by label.
    repeatability : mapping
        What a measurement must change by to be told.

    Returns
    -------
    list of (str, ndarray, ndarray)
        Title with the probabilities, what became of the question where it was not answered, and the measurements that
        changed; ECG and counterfactual, `(12, sig_len)`.
    """
    drawn = []
    for label, wanted in questions.items():
        place = typical(answers, bench, asked, label, wanted)
        row, k = int(asked["row"].iloc[place]), bench.place(label)
        new = measure(answers.signals[[place]], bench.data.fs).table.iloc[0]
        said = ", ".join(in_words(bench.measured.table.iloc[row], new, repeatability, most=4)) or "no measurement"
        now = float(probability(bench.logits[row, k]))
        outcome = "" if answers.outcome[place] == "valid" else f" ({answers.outcome[place]})"
        title = f"{label} {now:.2f} → {answers.probabilities[place, k]:.2f}{outcome} · {said}"
        drawn.append((title, bench.data.batch([row])[0], answers.signals[place]))
    return drawn


def shown_questions(answers: Answers, asked: pd.DataFrame) -> dict[str, float]:
    """Of each label, the question with more valid answers, the disease away where both have as many; by label."""
    valid = asked.assign(valid=answers.outcome == "valid").groupby(["label", "wanted"], sort=False)["valid"].sum()
    return {str(label): float(valid.loc[label].sort_index().idxmax()) for label in asked["label"].unique()}
