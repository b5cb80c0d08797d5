"""Counterfactuals and attributions of the same ECGs on one axis: how soon the network turns, and where the truth is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.datasets.base import ECGDataset
from ecgkit.explain.attribution.methods import attribute
from ecgkit.explain.battery import localisation
from ecgkit.explain.battery.examine import Answers, Bench
from ecgkit.explain.battery.perturbation import ExchangeCurve, quac
from ecgkit.explain.results import AWAY
from ecgkit.physiology import delineate
from ecgkit.study.attribution import reference_maps
from ecgkit.study.battery import printed_value, with_interval
from ecgkit.study.cases import normal_background
from ecgkit.study.counterfactuals import chosen

#: Name of the counterfactual's own edit among the maps.
EDIT = "counterfactual"
LOCALISED = {"pointing game": localisation.pointing_game, "relevance mass": localisation.relevance_mass,
             "relevance rank": localisation.relevance_rank, "IoU": localisation.iou}


@dataclass(frozen=True)
class Mapped:
    """ECGs from which one label was taken away, and every map of why they have it.

    Parameters
    ----------
    label : str
    rows : ndarray of int, shape (n,)
        Of the bench's ECGs.
    x, after : ndarray of float32, shape (n, 12, sig_len)
        The ECGs and their counterfactuals in mV.
    maps : dict
        `(n, 12, sig_len)` each: the edit, attributions, and maps that ask no model.
    """

    label: str
    rows: NDArray[np.intp]
    x: NDArray[np.float32]
    after: NDArray[np.float32]
    maps: dict[str, NDArray[np.floating]]


def map_answers(bench: Bench, asked: pd.DataFrame, answers: Answers, train: ECGDataset, methods: Sequence[str], *,
                n_each: int = 8) -> list[Mapped]:
    """Map the ECGs of valid answers, of each label at most `n_each`, by several methods of attribution."""
    background, fs = normal_background(train), bench.data.fs
    found = []
    for label in bench.labels:
        if not ((asked["label"] == label) & (asked["wanted"] == AWAY)).any():
            continue
        places = chosen(answers, asked, label, AWAY)[:n_each]
        rows = asked["row"].to_numpy()[places]
        x, after = bench.data.batch(rows), answers.signals[places]
        waves = delineate(x, fs)
        maps: dict[str, NDArray[np.floating]] = {EDIT: after - x}
        maps |= {method: attribute(bench.classifier, x, bench.place(label), method=method, background=background,
                                   waves=waves, fs=fs) for method in methods}
        found.append(Mapped(label, rows, x, after, maps | reference_maps(x, waves)))
    return found


def quac_curves(bench: Bench, mapped: Sequence[Mapped]) -> dict[str, ExchangeCurve]:
    """QuAC curves of all maps: the same counterfactuals' values go in, what each map holds for important first."""
    parts: dict[str, list[ExchangeCurve]] = {}
    for one in mapped:
        for name, each in one.maps.items():
            parts.setdefault(name, []).append(
                quac(bench.classifier, one.x, one.after, each, bench.place(one.label), bench.data.fs))
    return {name: ExchangeCurve(np.concatenate([c.share for c in curves]), np.concatenate([c.logits for c in curves]))
            for name, curves in parts.items()}


def localised(bench: Bench, mapped: Sequence[Mapped], *, n_boot: int = 1000) -> pd.DataFrame:
    """Whether maps lie where the truth is; all are told how large the true mask is, the edit too.

    Returns
    -------
    DataFrame
        Indexed by `map` and `metric` (`LOCALISED`), with `estimate`, `low`, `high` (over patients) and `n`; empty
        where the bench has no truth.
    """
    if not bench.truth:
        return pd.DataFrame(columns=["estimate", "low", "high", "n"])
    masks = [localisation.true_mask(bench.truth.mask(one.rows, one.label)) for one in mapped]
    patients = bench.data.records["patient_id"].to_numpy()[np.concatenate([one.rows for one in mapped])]
    rows = {}
    for name in mapped[0].maps:
        for metric, score in LOCALISED.items():
            values = [score(one.maps[name], mask) for one, mask in zip(mapped, masks, strict=True)]
            rows[name, metric] = with_interval(np.concatenate(values), patients, n_boot=n_boot)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["map", "metric"])


def printed_localised(table: pd.DataFrame) -> pd.DataFrame:
    """`localised` for print: a row for each map, a column for each metric."""
    words = pd.Series([printed_value(row) for _, row in table.iterrows()], index=table.index)
    return pd.DataFrame({metric: words.xs(metric, level="metric") for metric in LOCALISED})
