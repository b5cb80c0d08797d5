"""The verdict: what the battery found on every source, beside what was aimed at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgkit.errors import EcgkitError
from ecgkit.study.battery import ADVERSARIAL, METRICS, best_of, in_words, printed_value
from ecgkit.study.battery_maps import EDIT

#: The explainer that the aims are about, as the battery calls it.
MAIN = "GAN"
_NO_AIM, _NOTHING = "reported", "–"


@dataclass(frozen=True)
class BatteryRun:
    """Tables of one run of the battery's notebook.

    Parameters
    ----------
    summary : dict
        What the run says of itself: `data`, `n_ecgs`, `fingerprint`.
    simulated : bool
        Whether there is a truth.
    battery, sets, located, consistency, effects, planted : DataFrame
        `battery_table`, `battery_sets.realism` by explainer, `battery_maps.localised`, `battery_study.agreement`,
        `battery_sets.effects` by network and label, `battery_study.shortcut_table`.
    """

    summary: dict[str, Any]
    simulated: bool
    battery: pd.DataFrame
    sets: pd.DataFrame
    located: pd.DataFrame
    consistency: pd.DataFrame
    effects: pd.DataFrame
    planted: pd.DataFrame

    @property
    def data(self) -> str:
        """What the ECGs are."""
        return str(self.summary["data"])


def battery_runs(folder: str | Path) -> list[BatteryRun]:
    """Read the only run of a folder, or the run in each of its subfolders.

    Raises
    ------
    EcgkitError
        Where there is none.
    """
    found = [*Path(folder).glob("summary.json"), *Path(folder).glob("*/summary.json")]
    places = sorted(place.parent for place in found)
    if not places:
        raise EcgkitError(f"{folder}: no results of the battery; run 10_battery first")
    runs = [_read(place) for place in places]
    return sorted(runs, key=lambda run: run.simulated)


def _read(folder: Path) -> BatteryRun:
    def table(name: str, index: list[int]) -> pd.DataFrame:
        return pd.read_csv(folder / f"{name}.csv", index_col=index)

    located = table("located", [0, 1])
    return BatteryRun(json.loads((folder / "summary.json").read_text(encoding="utf-8")), len(located) > 0,
                      table("battery", [0, 1]), table("sets", [0]), located, table("consistency", [0]),
                      table("effects", [0, 1]), table("shortcut", [0]))


def maps_beside_truth(folder: str | Path) -> pd.DataFrame:
    """How well each attribution's maps lie where the truth is, for print; empty where only recorded ECGs were mapped.

    Parameters
    ----------
    folder : path
        Results of 08_attribution, or a folder of such.
    """
    for path in sorted([*Path(folder).glob("truth.csv"), *Path(folder).glob("*/truth.csv")]):
        table = pd.read_csv(path, dtype=str)
        if "IoU" in table:
            return table.set_index("method")
    return pd.DataFrame()


@dataclass(frozen=True)
class Aim:
    """Something that was to be reached.

    Parameters
    ----------
    what : str
    simulated, recorded : str
        What was aimed at, on either kind of ECGs.
    found : callable
        From a `BatteryRun` to what was measured, in words.
    """

    what: str
    simulated: str
    recorded: str
    found: Callable[[BatteryRun], str]


def _battery(metric: str, run: BatteryRun, explainer: str = MAIN, digits: int = 2) -> str:
    return _row(run.battery, metric, explainer, digits)


def _row(table: pd.DataFrame, first: str, second: str, digits: int = 2) -> str:
    rows = table[(table.index.get_level_values(0) == first) & (table.index.get_level_values(1) == second)]
    return printed_value(rows.iloc[0], digits) if len(rows) else _NOTHING


def _sets(column: str, run: BatteryRun) -> str:
    row = run.sets[run.sets.index == MAIN].iloc[0].to_dict()
    ends = f" ({row['auc_low']:.2f}–{row['auc_high']:.2f})" if column == "auc" else ""
    return f"{row[column]:.2f}{ends}" if np.isfinite(row[column]) else _NOTHING


def _located(run: BatteryRun) -> str:
    return _row(run.located, EDIT, "IoU")


def _consistent(run: BatteryRun) -> str:
    return printed_value(run.consistency.iloc[0]) if len(run.consistency) else _NOTHING


def _controls(run: BatteryRun) -> str:
    """How many of the controls' effects have an interval that covers 0."""
    rows = run.effects[run.effects.index.get_level_values(0).isin(["shuffled", "random"])]
    if not len(rows):
        return _NOTHING
    return f"{((rows['low'] <= 0) & (rows['high'] >= 0)).sum()} of {len(rows)}"


def _revealed(run: BatteryRun) -> str:
    """A planted artefact's amplitude in the ECGs, and in the answers of its network's explainer."""
    if "artefact away" not in run.planted.index:
        return _NOTHING
    row = run.planted.loc["artefact away"].to_dict()
    return f"{row['before']:.0f} → {row['after']:.0f} µV"


AIMS = (
    Aim("target reached", "≥ 0.98", "≥ 0.95", partial(_battery, "target reached")),
    Aim("reached and not withheld", _NO_AIM, _NO_AIM,
        partial(_battery, "valid: reached, plausible")),
    Aim("followed by unseen networks", "≥ 0.95", "≥ 0.85", partial(_battery, "followed by unseen networks")),
    Aim("the same of the attack", _NO_AIM, "≤ 0.3", partial(_battery, "followed by unseen networks",
                                                             explainer=ADVERSARIAL)),
    Aim("defining rule no longer met", "≥ 0.95", "≥ 0.80",
        partial(_battery, "disease away: defining rule no longer met")),
    Aim("unrelated measurements kept", "≥ 0.95", "≥ 0.90", partial(_battery, "unrelated measurements kept")),
    Aim("IoU of the edit with the truth", "≥ 0.6", _NOTHING, _located),
    Aim("fresh discriminator, AUROC", "≤ 0.60", "≤ 0.65", partial(_sets, "auc")),
    Aim("follows the wish (rank correlation)", "≥ 0.98", "≥ 0.95", partial(_sets, "spearman")),
    Aim("share of the signal changed", "≪ 0.78", "≪ 0.78",
        partial(_battery, "signal changed by over 20 µV")),
    Aim("effects on controls that cover 0", "all", "all", _controls),
    Aim("planted artefact, before and after", _NOTHING, "gone", _revealed),
    Aim("agreement with a retrained network's", "≥ 0.8", "≥ 0.7", _consistent),
    Aim("ms per ECG", "≤ 10", "≤ 10", partial(_battery, "ms per ECG", digits=0)),
)


def aims_table(runs: Iterable[BatteryRun]) -> pd.DataFrame:
    """What was aimed at and what the generator reached, for print: a row for each aim, two columns for each source."""
    columns = {}
    for run in runs:
        columns[f"{run.data}: aim"] = [aim.simulated if run.simulated else aim.recorded for aim in AIMS]
        columns[run.data] = [aim.found(run) for aim in AIMS]
    return pd.DataFrame(columns, index=pd.Index([aim.what for aim in AIMS], name="what"))


def winners_table(runs: Iterable[BatteryRun]) -> pd.DataFrame:
    """Which explainer is best at what, for print; a dash where the attack is, since the metric then says nothing."""
    columns = {}
    for run in runs:
        best: dict[str, str] = {}
        for metric in METRICS:
            if metric.title not in run.battery.index.get_level_values(0):
                continue
            first = best_of(run.battery["estimate"].xs(metric.title, level="metric"), metric)
            best[metric.title] = "– (the attack)" if ADVERSARIAL in first else in_words(first)
        columns[run.data] = pd.Series(best)
    return pd.DataFrame(columns).fillna(_NOTHING).rename_axis("metric")


def headline(run: BatteryRun, metrics: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Some metrics of every explainer, for `ecgkit.figures.interval_plot`: `share`, `share_low`, `share_high`.

    Parameters
    ----------
    metrics : mapping
        From titles of the battery's metrics to shorter names.
    """
    named = {"estimate": "share", "low": "share_low", "high": "share_high"}
    by_name = run.battery.reset_index("metric").groupby(level="explainer", sort=False)
    return {str(name): rows.set_index("metric").reindex(list(metrics)).rename(
        index=dict(metrics), columns=named)[list(named.values())] for name, rows in by_name}
