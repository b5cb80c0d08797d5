"""Page 12, the verdict: what the battery found on every source, beside what was aimed at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import with_ends
from ecgkit.study.battery import ADVERSARIAL, EDIT, METRICS, best_of, covers_nothing, in_words

#: The explainer that the aims are about, as the battery calls it.
MAIN = "GAN"
_NO_AIM, _NOTHING = "reported", "–"


@dataclass(frozen=True)
class BatteryRun:
    """What one run of the battery's notebook says of itself, and its tables by the names of their files."""

    summary: dict[str, Any]
    tables: Mapping[str, pd.DataFrame]

    @property
    def data(self) -> str:
        """What the ECGs are."""
        return str(self.summary["data"])

    @property
    def simulated(self) -> bool:
        """Whether there is a truth."""
        return len(self.tables["located"]) > 0


def battery_runs(folder: str | Path) -> list[BatteryRun]:
    """Read the run of a folder and of each of its subfolders; EcgkitError where there is none."""
    levels = {"battery": 2, "sets": 1, "located": 2, "consistency": 1, "effects": 2, "shortcut": 1}
    runs = [BatteryRun(json.loads(file.read_text(encoding="utf-8")), {
        name: pd.read_csv(file.with_name(f"{name}.csv"), index_col=list(range(n))) for name, n in levels.items()})
        for file in _results(folder, "summary.json")]
    if not runs:
        raise EcgkitError(f"{folder}: no results of the battery; run 10_battery first")
    return sorted(runs, key=lambda run: run.simulated)


def _results(folder: str | Path, name: str) -> list[Path]:
    """Files of a name in a folder and in its subfolders."""
    return sorted([*Path(folder).glob(name), *Path(folder).glob(f"*/{name}")], key=lambda file: file.parent)


def maps_beside_truth(folder: str | Path) -> pd.DataFrame:
    """How well maps of attributions lie where the truth is, for print; empty where only recorded ECGs were mapped."""
    for path in sorted(_results(folder, "truth.csv")):
        table = pd.read_csv(path, dtype=str)
        if "IoU" in table:
            return table.set_index("method")
    return pd.DataFrame()


class Aim(NamedTuple):
    """What was to be reached on simulated and on recorded ECGs, and from a `BatteryRun` to what was, in words."""

    what: str
    simulated: str
    recorded: str
    found: Callable[[BatteryRun], str]


def _cell(metric: str, run: BatteryRun, explainer: str = MAIN, digits: int = 2) -> str:
    """A metric of the battery's table."""
    return _first(run.tables["battery"], (metric, explainer), digits=digits)


def _first(table: pd.DataFrame, *rows: tuple[str, ...] | str, name: str = "estimate", digits: int = 2) -> str:
    """The value of a row, or else of the table's first one."""
    found = table[table.index.isin(rows)] if rows else table
    return with_ends(found, name, digits=digits, unknown=_NOTHING).iloc[0] if len(found) else _NOTHING


def _followed(run: BatteryRun) -> str:
    return f"{run.tables['sets']['spearman'][MAIN]:.2f}".replace("nan", _NOTHING)


def _controls(run: BatteryRun) -> str:
    """How many of the controls' effects have an interval that covers 0."""
    covers = covers_nothing(run.tables["effects"])
    return f"{covers.sum()} of {len(covers)}" if len(covers) else _NOTHING


def _revealed(run: BatteryRun) -> str:
    """A planted artefact's amplitude in the ECGs, and in the answers of its network's explainer."""
    planted = run.tables["shortcut"]
    if "artefact away" not in planted.index:
        return _NOTHING
    return "{before:.0f} → {after:.0f} µV".format(**planted.loc["artefact away"])


AIMS = (
    Aim("target reached", "≥ 0.98", "≥ 0.95", partial(_cell, "target reached")),
    Aim("reached and not withheld", _NO_AIM, _NO_AIM, partial(_cell, "valid: reached, plausible")),
    Aim("followed by unseen networks", "≥ 0.95", "≥ 0.85", partial(_cell, "followed by unseen networks")),
    Aim("the same of the attack", _NO_AIM, "≤ 0.3",
        partial(_cell, "followed by unseen networks", explainer=ADVERSARIAL)),
    Aim("defining rule no longer met", "≥ 0.95", "≥ 0.80", partial(_cell, "disease away: defining rule no longer met")),
    Aim("unrelated measurements kept", "≥ 0.95", "≥ 0.90", partial(_cell, "unrelated measurements kept")),
    Aim("IoU of the edit with the truth", "≥ 0.6", _NOTHING, lambda run: _first(run.tables["located"], (EDIT, "IoU"))),
    Aim("fresh discriminator, AUROC", "≤ 0.60", "≤ 0.65", lambda run: _first(run.tables["sets"], MAIN, name="auc")),
    Aim("follows the wish (rank correlation)", "≥ 0.98", "≥ 0.95", _followed),
    Aim("share of the signal changed", "≪ 0.78", "≪ 0.78", partial(_cell, "signal changed by over 20 µV")),
    Aim("effects on controls that cover 0", "all", "all", _controls),
    Aim("planted artefact, before and after", _NOTHING, "gone", _revealed),
    Aim("agreement with a retrained network's", "≥ 0.8", "≥ 0.7", lambda run: _first(run.tables["consistency"])),
    Aim("ms per ECG", "≤ 10", "≤ 10", partial(_cell, "ms per ECG", digits=0)),
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
        estimates = run.tables["battery"]["estimate"]
        best = {metric.title: best_of(estimates.xs(metric.title, level="metric"), metric) for metric in METRICS
                if metric.title in estimates.index.get_level_values("metric")}
        columns[run.data] = pd.Series({title: "– (the attack)" if ADVERSARIAL in first else in_words(first)
                                       for title, first in best.items()})
    return pd.DataFrame(columns).fillna(_NOTHING).rename_axis("metric")


def headline(run: BatteryRun, metrics: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Some metrics of every explainer, renamed, for `ecgkit.figures.interval_plot`: `share` with its ends."""
    named = {"estimate": "share", "low": "share_low", "high": "share_high"}
    by_name = run.tables["battery"].reset_index("metric").groupby(level="explainer", sort=False)
    return {str(name): rows.set_index("metric").reindex(list(metrics)).rename(
        index=dict(metrics), columns=named)[list(named.values())] for name, rows in by_name}


def words(runs: Sequence[BatteryRun], aims: pd.DataFrame) -> dict[str, str]:
    """What the prose of the page says, of the first run, and of the first with a truth."""
    first, truth = aims[runs[0].data], "not in this run"
    for run in [run for run in runs if run.simulated][:1]:
        ranks = run.tables["located"]["estimate"].xs("relevance rank", level="metric")
        best = str(ranks.drop(EDIT).idxmax())
        truth = (f"on {run.data} the edit has {ranks[EDIT]:.2f} of its most important samples inside it, and the best "
                 f"of the other maps ({best}) {ranks[best]:.2f}")
    named = {"transfer": "followed by unseen networks", "attack": "the same of the attack",
             "rule": "defining rule no longer met", "unrelated": "unrelated measurements kept",
             "auc": "fresh discriminator, AUROC"}
    return {"data": runs[0].data, **{name: first[what] for name, what in named.items()}, "truth": truth}
