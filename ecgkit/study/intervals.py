"""Page 15, intervals: networks that read intervals and age, explained in milliseconds and years, beside a ruler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.describe import write_summary
from ecgkit.evaluation import Bootstrap, means, paired_p
from ecgkit.evaluation.checks import Array, ratio
from ecgkit.explain.counterfactual.gan import OUT_OF_RANGE, CounterfactualGAN
from ecgkit.explain.counterfactual.training import GANSettings
from ecgkit.explain.report.changes import difference, in_words, name_of, unit_of
from ecgkit.explain.results import Change
from ecgkit.models import pretrained, save_regressor
from ecgkit.models.windowed import Regressor
from ecgkit.physiology import measure
from ecgkit.study.battery import with_interval
from ecgkit.training import Schedule, SupervisedSettings
from ecgkit.training.supervised import train_regressor

#: What the networks read, and its unit.
INTERVALS, AGE = {"pr": "ms", "qrs": "ms", "qt": "ms"}, {"age": "years"}
UNITS, TITLES = INTERVALS | AGE, {"pr": "PR", "qrs": "QRS", "qt": "QT", "age": "age"}
#: Changes that are asked for, in these units.
ASKED: dict[str, tuple[float, ...]] = {**dict.fromkeys(INTERVALS, (-40.0, -20.0, 20.0, 40.0)), "age": (-15.0, 15.0)}
#: Measurements in which the age is sought.
SOUGHT = ("heart_rate", *INTERVALS, "qtc_fridericia", "p_duration", "axis", "t_axis", "p_II", "p_terminal_V1", "r_I",
          "r_aVF", "r_V5", "s_V2", "st60_V2", "st60_V5", "t_I", "t_II", "t_V2", "t_V5")
#: Time is bent by at most so many ms: a bend is smoothed over four times as much, and QRS is short.
WARP_MS = 60
_CHUNK = 512


def read_by_ruler(data: ECGDataset) -> pd.DataFrame:
    """Measurements of all ECGs (`ecgkit.physiology.measure`), and the age in years; nan where not known."""
    parts = [measure(data.batch(slice(at, at + _CHUNK)), data.fs).table for at in range(0, len(data), _CHUNK)]
    return pd.concat(parts, ignore_index=True).assign(age=data.records["age"].to_numpy(np.float64))


def readers(train: ECGDataset, values: pd.DataFrame, units: Mapping[str, str], n_twins: int, *, epochs: int,
            **run: Any) -> list[Regressor]:
    """The network that is explained, and its twins: alike but for the seed, from the shipped encoder at its rate."""
    start = pretrained()
    settings = SupervisedSettings(dropout=0.2, schedule=Schedule(epochs=epochs, learning_rate=3e-3))
    return [train_regressor(train, values[list(units)], units, settings=settings, seed=seed,
                            start=start.encoder if start.fs == train.fs else None, **run)[0]
            for seed in range(1 + n_twins)]


def explainer_of(networks: Sequence[Regressor], train: ECGDataset, steps: int, **run: Any) -> CounterfactualGAN:
    """A generator trained for the first of the networks, with the others as its twins."""
    return CounterfactualGAN(networks[0], twins=networks[1:], settings=GANSettings(
        steps=steps, generator={"warp_ms": WARP_MS})).fit(train, **run)


def line(moments: Array) -> Array:
    """Slope and R² of a line of y on x, `(..., 2)`, from the means of x, y, x², y² and xy, `(..., 5)`."""
    x, y, xx, yy, xy = np.moveaxis(moments, -1, 0)
    both, across, up = xy - x * y, xx - x * x, yy - y * y
    return np.stack([ratio(both, across, across > 0), ratio(both**2, across * up, across * up > 0)], axis=-1)


def lines(pairs: Iterable[pd.DataFrame], n_boot: int) -> tuple[Bootstrap, Bootstrap]:
    """Slopes and R² of the second column on the first of tables whose third has the patients; nan rows do not count."""
    found = []
    for pair in pairs:
        x, y = pair.iloc[:, :2].where(pair.notna().all(axis=1)).to_numpy(np.float64).T
        found.append(means(np.column_stack([x, y, x * x, y * y, x * y]), pair.iloc[:, 2], n_boot=n_boot))
    once, drawn = line(np.array([m.estimate for m in found])), line(np.stack([m.samples for m in found], axis=1))
    return Bootstrap(once[..., 0], drawn[..., 0]), Bootstrap(once[..., 1], drawn[..., 1])


def accuracies(networks: Sequence[Regressor], data: ECGDataset, values: pd.DataFrame, *,
               n_boot: int = 1000) -> pd.DataFrame:
    """How well networks read what the ruler (or the record) says.

    By quantity: `n` ECGs in which it is known, its `unit`, the mean absolute error (`estimate`, with `low` and `high`
    over patients), and `r2`, the squared correlation.
    """
    rows = {}
    for network in networks:
        for name, said in zip(network.label_names, network.predict(data.signals).T, strict=True):
            error = with_interval(np.abs(said - values[name]), data.records["patient_id"], n_boot=n_boot)
            rows[TITLES[name]] = {"unit": UNITS[name], **error, "r2": pd.Series(said).corr(values[name]) ** 2}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("quantity")


def ask_changes(explainer: CounterfactualGAN, data: ECGDataset, before: pd.DataFrame) -> pd.DataFrame:
    """Ask every ECG for every change of `ASKED`, and measure the answers.

    A row for each question: `row`, `patient_id`, `asked`, `by`, `in_range` (what is wanted lies within the training
    ECGs' range), `valid`, `reason`, and how far each measurement moved (`before` are the ECGs' own).
    """
    x, tables = data.signals, []
    for name in explainer.label_names:
        for by in ASKED[name]:
            found = explainer(x, {name: Change(by)})
            moved = difference(before, measure(found.signals, data.fs).table)
            inside = [not why.startswith(OUT_OF_RANGE) for why in found.reason]
            tables.append(moved.assign(row=range(len(data)), patient_id=data.records["patient_id"].to_numpy(),
                                       asked=name, by=by, valid=found.valid, reason=found.reason, in_range=inside))
    return pd.concat(tables, ignore_index=True)


def slopes_table(ruled: pd.DataFrame, repeatability: Mapping[str, float], *, n_boot: int = 1000) -> pd.DataFrame:
    """Measured against asked change of each interval, from valid answers, with 95 % intervals over patients.

    By interval: `asked` (questions within range), `answered` (share of them), `n` (answers that can be measured),
    `slope` and `r2`, and `kept`: the share of the other intervals that stay within repeatability.
    """
    rows, pairs = {}, []
    for name in INTERVALS:
        all_ = ruled[ruled["asked"] == name]
        asked, part = all_[all_["in_range"]], all_[all_["valid"]].dropna(subset=[name])
        pairs.append(all_[["by", name, "patient_id"]].assign(**{name: all_[name].where(all_["valid"])}))
        others = [other for other in INTERVALS if other != name]
        stays = (part[others].abs() <= [repeatability[other] for other in others]).where(part[others].notna())
        kept = with_interval(stays.astype(float).mean(axis=1), part["patient_id"], n_boot=n_boot)
        rows[TITLES[name]] = {"asked": len(asked), "answered": asked["valid"].mean(), "n": len(part),
                              "kept": kept["estimate"], "kept_low": kept["low"], "kept_high": kept["high"]}
    slope, r2 = lines(pairs, n_boot)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("interval")
    return table.assign(**slope.columns("slope"), **r2.columns("r2"))


def age_table(ruled: pd.DataFrame, values: pd.DataFrame, whose: Any, *, n_boot: int = 1000) -> pd.DataFrame:
    """What changes with the age that the network sees, and with the age in the record, per 15 years.

    By measurement of `SOUGHT`, in words: its `unit` (µV for mV); the mean change in answers to 15 years more, or fewer
    (then turned round), as `seen`; the slope on age in the ECGs of `values`, 15 times, as `data`; each with `_low`,
    `_high` (over patients) and `_q`, its bootstrap p after Benjamini and Hochberg 1995.
    """
    unit = pd.Series(map(unit_of, SOUGHT), pd.Index(map(name_of, SOUGHT), name="measurement"))
    fold = np.where(unit == "mV", 1000.0, 1.0)
    moved = fold * ruled[list(SOUGHT)].where(ruled["valid"]).mul(np.sign(ruled["by"]), axis=0).to_numpy()
    slope, _ = lines((values[["age", name]].assign(whose=whose) for name in SOUGHT), n_boot)
    table = pd.DataFrame({"unit": unit.replace("mV", "µV")})
    for name, found in (("seen", means(moved, ruled["patient_id"], n_boot=n_boot)),
                        ("data", Bootstrap(15 * fold * slope.estimate, 15 * fold * slope.samples))):
        p = np.array([paired_p(column) for column in found.samples.T])
        table = table.assign(**found.columns(name), **{f"{name}_q": false_discovery_control(np.nan_to_num(p, nan=1.0))})
    return table


def pictures(explainer: CounterfactualGAN, data: ECGDataset, before: pd.DataFrame, ruled: pd.DataFrame, by: float,
             repeatability: Mapping[str, float]) -> list[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
    """Of each interval, the valid answer to a change whose measured change is the median, as a gallery draws it."""
    drawn = []
    for name in INTERVALS:
        part = ruled[(ruled["asked"] == name) & (ruled["by"] == by)]
        part = (part[part["valid"]] if part["valid"].any() else part).sort_values(name)
        row = int(part["row"].iloc[len(part) // 2])
        x = data.batch([row])
        after = explainer(x, {name: Change(by)}).signals
        said = in_words(before.iloc[row], measure(after, data.fs).table.iloc[0], repeatability, most=1)
        drawn.append((f"{TITLES[name]} {by:+.0f} ms · {', '.join(said) or 'no measurement'}", x[0], after[0]))
    return drawn


def save(folder: Path, data: ECGDataset, explainers: Mapping[str, CounterfactualGAN], read: pd.DataFrame) -> None:
    """Write the summary, and each explainer with the network that it explains."""
    card = {"data": data.name, "n_train": len(data.train), "test": read.round(4).to_dict("index"), "licence": "MIT",
            "intended_use": "research and teaching; not a medical device, not for decisions about patients"}
    for name, explainer in explainers.items():
        save_regressor(cast(Regressor, explainer.classifier), folder / f"{name}.safetensors", card)
        explainer.save(folder / f"{name}-explainer.safetensors", card)
    write_summary(folder, data)
