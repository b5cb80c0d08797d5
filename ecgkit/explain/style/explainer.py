"""`StyleExplainer`: what a classifier looks at, found as style coordinates of beats that have names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.explain.counterfactual.training import frozen
from ecgkit.explain.results import classify, probability
from ecgkit.explain.style.attfind import ENDS, Move, mean_of, moved, select_moves, shift_effects, sufficiency_table
from ecgkit.explain.style.beats import coordinate_name, measured_beats, measured_effects, telling, tiled
from ecgkit.explain.style.training import StyleSettings, train_style
from ecgkit.leads import N_LEADS
from ecgkit.models.style import StyleNet
from ecgkit.training.checkpoint import Run

Beats = NDArray[np.float32]
_BATCH = 256
#: Share of the training beats left out at either end of a coordinate's range: the outermost few lie many standard
#: deviations away, and several coordinates moved there together draw no heart's beat.
TRIM = 0.01


@dataclass(frozen=True)
class Discovery:
    """What one label's answer hangs on: coordinates that raise it, or lower it.

    `coordinates` are those of `StyleExplainer.attfind` with their `name`. `effects`, indexed by coordinate and
    measurement, are those of `measured_effects` with the coordinate's `name` and `telling`: whether the measurement is
    part of it. `sufficiency` is that of `sufficiency_table`.
    """

    label: str
    raised: bool
    coordinates: pd.DataFrame
    effects: pd.DataFrame
    sufficiency: pd.DataFrame


class StyleExplainer:
    """StylEx (Lang et al. 2021) on median beats; here each coordinate gets a name from what it does to measurements.

    A beat reaches the classifier as a strip of itself, 60 beats a minute, so the rhythm has no part in the answer.

    Parameters
    ----------
    classifier, label_names : Module, sequence of str
        From `(batch, 12, sig_len)` in mV to logits `(batch, n_labels)`, and their names.
    fs, seconds : float
        Sampling rate in Hz, and length of the strips.
    settings : StyleSettings
    """

    def __init__(self, classifier: nn.Module, *, label_names: Sequence[str], fs: float, seconds: float = 2.5,
                 settings: StyleSettings | None = None) -> None:
        self.classifier = frozen(classifier)
        self.label_names, self.fs, self.sig_len = tuple(label_names), fs, round(seconds * fs)
        self.settings = settings or StyleSettings()
        self.history = pd.DataFrame()
        self._net: StyleNet | None = None
        self._ends = torch.empty(2, 0)

    def fit(self, beats: Beats, *, seed: int = 0, checkpoints: str | Path | None = None) -> Self:
        """Train the style generator on beats `(n, 12, period)` in mV of `ecgkit.explain.style.beats`.

        The rest is as in `ecgkit.training.checkpoint.Run`. Another shape, a training that diverges, and beats that
        collapse into few raise an `EcgkitError`.
        """
        multiple = 2 ** (len(self.settings.generator.get("widths", (0, 0, 0))) - 1)
        if beats.ndim != 3 or beats.shape[1] != N_LEADS or beats.shape[2] % multiple or len(beats) < 2:
            raise EcgkitError(f"beats of shape {beats.shape}; expected (n, {N_LEADS}, period) with two beats or more "
                              f"and a period that is a multiple of {multiple} samples")
        p = self.probabilities(beats)
        run = Run("the style generator", {
            "classifier": self.classifier, "labels": self.label_names, "sig_len": self.sig_len,
            "beats": float(np.abs(beats).sum(dtype=np.float64)), "shape": list(beats.shape)}, seed, checkpoints)
        self._net, self.history = train_style(
            torch.from_numpy(beats), torch.from_numpy(p.astype(np.float32)), self._ask, self.settings, run,
            millivolts=float(beats.std()))
        self._ends = torch.quantile(self.style(beats), torch.tensor([TRIM, 1 - TRIM]), dim=0)
        return self

    def probabilities(self, beats: Beats) -> NDArray[np.float64]:
        """What the classifier says of beats `(n, 12, period)`: `(n, n_labels)`."""
        return probability(classify(self.classifier, tiled(beats, self.sig_len), _BATCH))

    def style(self, beats: Beats) -> Tensor:
        """Style coordinates `(n, n_coordinates)` of beats."""
        p = torch.from_numpy(self.probabilities(beats).astype(np.float32))
        with torch.no_grad():
            return torch.cat([self.net.style(torch.from_numpy(beats[at:at + _BATCH]), p[at:at + _BATCH])
                              for at in range(0, len(beats), _BATCH)])

    def redrawn(self, beats: Beats, moves: Sequence[Move] = ()) -> Beats:
        """Beats as the generator draws them, `(n, 12, period)` in mV, with some coordinates moved."""
        return self._draw(moved(self.style(beats), moves, self._ends))

    def attfind(self, beats: Beats, label: str, *, raised: bool = True, n_top: int = 10) -> pd.DataFrame:
        """Coordinates that move a label, the first the most important.

        Parameters
        ----------
        beats : ndarray, shape (n, 12, period)
            A few hundred will do; each coordinate is moved in each.
        raised : bool
            Whether the label is to be raised (healthy to disease) or lowered. Beats on the other side of a probability
            of 0.5 have no say.

        Returns
        -------
        DataFrame, one row per coordinate
            The columns of `select_moves`, `effect` (mean change of the logit) with `effect_low` and `effect_high` over
            the `n` beats, and `place` in the generator.
        """
        logit, sign = self._logit(label), 1 if raised else -1
        style = self.style(beats)
        before = sign * logit(style)
        side = before < 0
        if not side.any():
            raise EcgkitError(f"none of {len(beats)} beats can have {label} {'raised' if raised else 'lowered'} across "
                              "a probability of 0.5; give others")
        effects = shift_effects(logit, style[torch.from_numpy(side)], self._ends)
        table = select_moves(sign * effects, -before[side], n_top)
        mine = mean_of(effects[:, table["coordinate"], table["end"]], np.arange(side.sum()))
        low, high = mine.interval()
        places = self.net.generator.places
        return table.assign(effect=mine.estimate, effect_low=low, effect_high=high, n=side.sum(),
                            place=[places[k] for k in table["coordinate"]])

    def changes(self, beats: Beats, label: str, moves: Sequence[Move]) -> NDArray[np.float64]:
        """Change of a label's logit by each move alone, `(n, n_moves)`; these are other beats than `attfind`'s."""
        logit, style = self._logit(label), self.style(beats)
        before = logit(style)
        return np.stack([logit(moved(style, [move], self._ends)) - before for move in moves], axis=1)

    def flips(self, beats: Beats, label: str, moves: Sequence[Move]) -> float:
        """Share of the beats, of those drawn below a probability of 0.5, that the moves together take across it."""
        logit, style = self._logit(label), self.style(beats)
        below = logit(style) < 0
        after = logit(moved(style, moves, self._ends))
        return float((after[below] > 0).mean()) if below.any() else float("nan")

    def explain(self, beats: Beats, label: str, *, raised: bool = True, search: Beats | None = None, n_top: int = 10,
                patients: Any = None, seed: int = 0) -> Discovery:
        """Find, name and test the coordinates of a label; `raised` and `n_top` are as in `attfind`.

        Coordinates are sought on the beats of `search`, and named and tested on `beats` `(n, 12, period)`: two sets
        keep the sufficiency honest. `patients` `(n,)` says whose each of the latter is; intervals are over patients.
        """
        table = self.attfind(beats if search is None else search, label, raised=raised, n_top=n_top)
        moves = moves_of(table)
        before = self.probabilities(beats)[:, self._place(label)]
        side = before < 0.5 if raised else before >= 0.5
        ids = np.arange(len(beats)) if patients is None else np.asarray(patients)
        effects = self._named(beats[side], moves, ids[side], seed)
        names = effects["name"].groupby("coordinate").first()
        sufficient = sufficiency_table(self._logit(label), self.style(beats), self._ends, moves, raised=raised,
                                       patients=ids, seed=seed)
        return Discovery(label, raised, table.assign(name=names.loc[table["coordinate"]].to_numpy()), effects,
                         sufficient)

    def _named(self, beats: Beats, moves: Sequence[Move], patients: Any, seed: int) -> pd.DataFrame:
        """What each move does to each measurement of beats that are drawn with it and without: `Discovery.effects`."""
        style = self.style(beats)
        before = measured_beats(self._draw(style), self.fs)
        tables = {}
        for move in moves:
            after = measured_beats(self._draw(moved(style, [move], self._ends)), self.fs)
            effects = measured_effects(before, after, patients, seed=seed)
            tables[move.coordinate] = effects.assign(name=coordinate_name(effects, len(beats)),
                                                     telling=effects.index.isin(telling(effects, len(beats))))
        return pd.concat(tables, names=["coordinate", "measurement"])

    def average_beats(self, beats: Beats, coordinate: int) -> NDArray[np.float64]:
        """Mean beats with a coordinate at its lowest value, as it is, and at its highest: `(3, 12, period)` in mV."""
        low, high = (self.redrawn(beats, [Move(coordinate, end)]).mean(axis=0) for end in range(len(ENDS)))
        return np.stack([low, self.redrawn(beats).mean(axis=0), high]).astype(np.float64)

    @property
    def net(self) -> StyleNet:
        """The encoder and generator; an error before `fit`."""
        if self._net is None:
            raise EcgkitError("this StyleExplainer is not trained; call fit(beats) first")
        return self._net

    def _ask(self, beats: Tensor) -> Tensor:
        return self.classifier(tiled(beats, self.sig_len))

    def _draw(self, style: Tensor) -> Beats:
        with torch.no_grad():
            return torch.cat([self.net.generator.draw(part) for part in style.split(_BATCH)]).numpy()

    def _logit(self, label: str) -> Any:
        place = self._place(label)
        return lambda style: classify(self.classifier, tiled(self._draw(style), self.sig_len), _BATCH)[:, place]

    def _place(self, label: str) -> int:
        if label not in self.label_names:
            raise EcgkitError(f"no label {label!r}; the classifier has {', '.join(self.label_names)}")
        return self.label_names.index(label)


def moves_of(table: pd.DataFrame) -> list[Move]:
    """The moves of a table of `StyleExplainer.attfind`."""
    return [Move(int(coordinate), int(end)) for coordinate, end in zip(table["coordinate"], table["end"], strict=True)]
