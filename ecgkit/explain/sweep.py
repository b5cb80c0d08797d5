"""One ECG asked about at several wanted probabilities of one label: the answers, and what they measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from ecgkit.errors import EcgkitError
from ecgkit.explain.results import Explainer, classify, probability
from ecgkit.leads import N_LEADS
from ecgkit.physiology import measure

#: Wanted probabilities that are asked unless others are given.
WANTED = np.linspace(0.05, 0.95, 13)


@dataclass(frozen=True)
class Sweep:
    """Answers to several wanted probabilities of one label, for one ECG.

    Parameters
    ----------
    label : str
        The label that was asked about.
    fs : float
        Sampling rate in Hz.
    original : ndarray, shape (12, sig_len)
        The ECG itself, millivolts.
    now : float
        The classifier's probability of the label for it.
    wanted, obtained : ndarray, shape (k,)
        Probabilities, wanted ones rising.
    valid : ndarray of bool, shape (k,)
        Whether each was reached.
    signals : ndarray, shape (k, 12, sig_len)
        The answers, millivolts.
    before : Series
        Measurements of the ECG: a row of `ecgkit.physiology.measure`'s table.
    measured : DataFrame, k rows
        The same of the answers.

    Raises
    ------
    EcgkitError
        Where shapes do not fit each other, or the wanted probabilities do not rise.
    """

    label: str
    fs: float
    original: NDArray[np.float32]
    now: float
    wanted: NDArray[np.float64]
    obtained: NDArray[np.float64]
    valid: NDArray[np.bool_]
    signals: NDArray[np.float32]
    before: pd.Series[float]
    measured: pd.DataFrame

    def __post_init__(self) -> None:
        k = len(self.wanted)
        if self.original.shape[:1] != (N_LEADS,) or self.signals.shape != (k, *self.original.shape) or not k:
            raise EcgkitError(f"an ECG of shape {self.original.shape}, {k} wanted probabilities and answers of shape "
                              f"{self.signals.shape}; expected (12, sig_len), k and (k, 12, sig_len)")
        if not len(self.obtained) == len(self.valid) == len(self.measured) == k:
            raise EcgkitError(f"{k} wanted probabilities, {len(self.obtained)} obtained, {len(self.valid)} verdicts, "
                              f"{len(self.measured)} rows of measurements; give as many of each")
        if (np.diff(self.wanted) <= 0).any():
            raise EcgkitError("the wanted probabilities do not rise; sort the answers by them")


def ask_sweep(explainer: Explainer, classifier: nn.Module, x: NDArray[np.float32], label: str, *,
              label_names: tuple[str, ...], fs: float, wanted: NDArray[np.float64] = WANTED) -> Sweep:
    """Ask an explainer about one ECG at several wanted probabilities of a label, and measure the answers.

    Parameters
    ----------
    explainer : callable
        Gives `Counterfactuals`.
    classifier : Module
        The one that is explained.
    x : ndarray of float32, shape (12, sig_len)
        Millivolts.
    label : str
        Of `label_names`.
    label_names : tuple of str
        Labels of the classifier.
    fs : float
        Sampling rate in Hz.
    wanted : ndarray, shape (k,)
        Rising probabilities between 0 and 1.
    """
    answers = explainer(np.repeat(x[None], len(wanted), axis=0), {label: wanted})
    place = label_names.index(label)
    now = float(probability(classify(classifier, x[None]))[0, place])
    table = measure(np.concatenate([x[None], answers.signals]), fs).table
    return Sweep(label, fs, x, now, wanted, answers.probabilities[:, place], answers.valid, answers.signals,
                 table.iloc[0], table.iloc[1:].reset_index(drop=True))
