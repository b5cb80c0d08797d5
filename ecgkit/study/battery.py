"""The battery's table: every metric of every explainer with its interval, and which metrics flatter an attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import Bootstrap, auroc, bootstrap, resample_patients
from ecgkit.evaluation.checks import ratio
from ecgkit.explain.attribution.players import player_cells, segments
from ecgkit.explain.baselines import PGD, LatentAscent, NearestUnlikeNeighbour, Wachter
from ecgkit.explain.battery.discrimination import fresh_discriminator
from ecgkit.explain.battery.examine import Answers, Bench, ask
from ecgkit.explain.battery.oracle import rule_oracle
from ecgkit.explain.battery.reach import Follows, follows, outcomes
from ecgkit.explain.battery.realism import embedding_distances
from ecgkit.explain.battery.stability import consistency
from ecgkit.explain.counterfactual.gan import CounterfactualGAN
from ecgkit.explain.results import AWAY, THERE, Counterfactuals, Explainer, classify
from ecgkit.models.windowed import Classifier
from ecgkit.physiology import delineate, measure
from ecgkit.study.counterfactuals import hum, hum_size
from ecgkit.training.loop import Schedule

#: The adversarial control among the explainers: small, plausible to no one, and it reaches every target.
ADVERSARIAL = "PGD"
STATISTICS = ("estimate", "low", "high", "n")


@dataclass(frozen=True)
class Metric:
    """A row of the table.

    Parameters
    ----------
    column : str
        Of the table of `ecgkit.explain.battery.examine.examine`.
    title : str
        As it is printed.
    higher : bool
        Whether more is better.
    digits : int
        In print.
    """

    column: str
    title: str
    higher: bool = True
    digits: int = 2


METRICS = (
    Metric("reached", "target reached"), Metric("valid", "valid: reached, plausible"),
    Metric("abstained", "abstained", False),
    Metric("transfer", "followed by unseen networks"),
    Metric("rule away", "disease away: defining rule no longer met"),
    Metric("rule there", "disease there: defining rule met"), Metric("unrelated", "unrelated measurements kept"),
    Metric("labels kept", "other labels: mean change", False, 3),
    Metric("survives low-pass 15 Hz", "survives low-pass 15 Hz"),
    Metric("survives low-pass 25 Hz", "survives low-pass 25 Hz"),
    Metric("survives low-pass 40 Hz", "survives low-pass 40 Hz"),
    Metric("survives noise 20 dB", "survives noise, 20 dB"),
    Metric("above 25 Hz", "edit's energy above 25 Hz", False, 3),
    Metric("above 40 Hz", "edit's energy above 40 Hz", False, 3),
    Metric("changed", "signal changed by over 20 µV", False), Metric("size", "mean size of the edit, µV", False, 0),
    Metric("identity", "same patient: cosine of embeddings"),
    Metric("Einthoven", "largest breach of Einthoven's law, µV", False, 0),
    Metric("IoU", "IoU with the true mask"), Metric("distance", "distance to the true counterfactual", False),
    Metric("correlation", "correlation with the true difference"), Metric("ms", "ms per ECG", False, 0),
)


def with_interval(values: Any, patients: Any, *, n_boot: int = 1000, seed: int = 0) -> dict[str, float]:
    """Mean of what is not nan, with its 95 % interval over patients: `STATISTICS`, the last how many there are.

    Parameters
    ----------
    values : array_like, shape (n,)
    patients : array_like, shape (n,)
        Whose ECG each value is of.
    n_boot, seed : int
        Resamples of the patients and their seed.
    """
    value = np.asarray(values, dtype=np.float64)
    known = np.isfinite(value)
    if not known.any():
        return dict(zip(STATISTICS, (np.nan, np.nan, np.nan, 0), strict=True))
    filled = np.where(known, value, 0)
    drawn = [_means(filled, known, weights)
             for weights in resample_patients(patients, n_boot=n_boot, seed=seed, n=len(value))]
    low, high = np.nanquantile(np.concatenate(drawn), [0.025, 0.975])
    return {"estimate": float(value[known].mean()), "low": float(low), "high": float(high), "n": int(known.sum())}


def battery_table(examined: Mapping[str, pd.DataFrame], *, n_boot: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Summarise what `ecgkit.explain.battery.examine.examine` gave for several explainers of one classifier.

    Returns
    -------
    DataFrame
        Indexed by `metric` (its title) and `explainer`, with the columns `STATISTICS`; metrics that no explainer has
        are left out.
    """
    rows = [{"metric": metric.title, "explainer": name,
             **with_interval(table[metric.column], table["patient_id"], n_boot=n_boot, seed=seed)}
            for metric in METRICS if any(metric.column in table for table in examined.values())
            for name, table in examined.items() if metric.column in table]
    table = pd.DataFrame(rows).set_index(["metric", "explainer"])
    return table[table.groupby("metric", sort=False)["n"].transform("sum") > 0]


def printed_battery(table: pd.DataFrame, adversarial: str = ADVERSARIAL) -> pd.DataFrame:
    """The table for print: a row for each metric, a column for each explainer, and which is best.

    A metric that the adversarial control wins says nothing of meaning, and is marked so.
    """
    shown = {metric.title: metric for metric in METRICS}
    lines: dict[str, dict[str, str]] = {}
    for title in table.index.get_level_values("metric").unique():
        metric, part = shown[str(title)], table.loc[title]
        line = {str(name): printed_value(row, metric.digits) for name, row in part.iterrows()}
        best = best_of(part["estimate"], metric)
        flattered = any(name.startswith(adversarial) for name in best)
        line["best"] = in_words(best)
        line["note"] = "flatters the attack" if flattered else ""
        lines[f"{title} {'↑' if metric.higher else '↓'}"] = line
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("metric")


def best_of(estimates: pd.Series[float], metric: Metric) -> list[str]:
    """Names of the explainers that a metric ranks first."""
    value = estimates.dropna() if metric.higher else -estimates.dropna()
    return [str(name) for name in value.index[value >= value.max() - 1e-9]]


def in_words(best: list[str]) -> str:
    """Who is best, for print."""
    return "several" if len(best) > 2 else ", ".join(best)


def _means(filled: NDArray[np.float64], known: NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    total, count = filled @ weights, known.astype(np.float64) @ weights
    return ratio(total, count, count > 0)


def printed_estimates(table: pd.DataFrame, name: str, digits: int = 2) -> pd.DataFrame:
    """`STATISTICS` for print: the estimate with its interval in a column `name`, all other columns, and `n`."""
    words = [printed_value(row, digits) for _, row in table.iterrows()]
    rest = table.drop(columns=list(STATISTICS)).round(digits)
    return pd.DataFrame({name: words}, index=table.index, dtype=object).join(rest).assign(n=table["n"].astype(int))


def printed_value(row: pd.Series[float], digits: int = 2) -> str:
    """An estimate with its interval, for print; a dash where nothing is known."""
    if not row["n"]:
        return "–"
    return f"{row['estimate']:.{digits}f} ({row['low']:.{digits}f}–{row['high']:.{digits}f})"


#: Wishes between healthy and disease.
GRADES = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
#: As many ECGs as a fresh discriminator looks at, of each kind.
LOOKED_AT = 300


def graded(explainer: Explainer, bench: Bench, asked: pd.DataFrame, *, n_each: int = 12,
           grades: Sequence[float] = GRADES) -> tuple[pd.DataFrame, Follows]:
    """Ask for every grade of a label, in `n_each` ECGs of each question's group.

    Returns
    -------
    DataFrame
        `row`, `label`, `wanted`, `obtained` (whatever the explainer thinks of its answer).
    Follows
        Over all of them.
    """
    found = []
    some = asked.groupby(["label", "wanted"], sort=False).head(n_each)
    for label, part in some.groupby("label", sort=False):
        rows = part["row"].to_numpy()
        x = bench.data.batch(rows)
        for grade in grades:
            p = explainer(x, {str(label): grade}).probabilities[:, bench.place(str(label))]
            found.append(pd.DataFrame({"row": rows, "label": label, "wanted": grade, "obtained": p}))
    table = pd.concat(found, ignore_index=True)
    table["ecg"] = table.groupby(["label", "wanted"]).cumcount()
    wide = table.pivot_table(index=["label", "ecg"], columns="wanted", values="obtained")
    wanted = np.broadcast_to(wide.columns.to_numpy(np.float64), wide.shape)
    return table.drop(columns="ecg"), follows(wanted, wide.to_numpy())


def realism(answers: Answers, bench: Bench, asked: pd.DataFrame, real: ECGDataset, *, n_boot: int = 1000,
            seed: int = 0) -> dict[str, float]:
    """Compare valid answers of both directions with real ECGs of other patients.

    Returns
    -------
    dict
        `auc`, `auc_low`, `auc_high` of fresh discriminators (0.5: none can tell); `frechet` and `neighbours`, the
        distances in the embedding over those of two halves of the real ECGs (1: as real ones); `n`, answers.
    """
    rng = np.random.default_rng(seed)
    valid = rng.permutation(np.flatnonzero(answers.outcome == "valid"))[:LOOKED_AT]
    if len(valid) < 12:
        return {"auc": np.nan, "auc_low": np.nan, "auc_high": np.nan, "frechet": np.nan, "neighbours": np.nan,
                "n": len(valid)}
    beside = real.subset(np.sort(rng.permutation(len(real))[:LOOKED_AT]))
    fakes = answers.signals[valid]
    theirs = beside.records["patient_id"].to_numpy()
    mine = bench.data.records["patient_id"].to_numpy()[asked["row"].to_numpy()[valid]]
    told = fresh_discriminator(beside.signals, fakes, theirs, mine, fs=bench.data.fs, seed=seed)
    whose = np.concatenate([theirs, mine]).astype(str)
    found: Bootstrap = bootstrap(auroc, told.fake[:, None], told.score[:, None], whose, n_boot=n_boot, seed=seed)
    low, high = found.interval()
    far = embedding_distances(bench.embedder.embed(beside.signals), bench.embedder.embed(fakes), theirs, seed=seed)
    ratio = (far.loc["made"] / far.loc["real"]).astype(float).to_dict()
    return {"auc": told.auc, "auc_low": float(low[0]), "auc_high": float(high[0]), "frechet": ratio["frechet"],
            "neighbours": ratio["neighbours"], "n": len(valid)}


def printed_sets(sets: pd.DataFrame) -> pd.DataFrame:
    """For print: each explainer's `realism` in a row, and `spearman` of `graded` where every grade was asked for."""
    told = sets.rename(columns={"auc": "estimate", "auc_low": "low", "auc_high": "high"})
    told["n"] = told["n"].where(told["estimate"].notna(), 0)  # too few to tell
    numbers = sets.reindex(columns=["frechet", "neighbours", "spearman"]).astype(float)
    numbers = numbers.map("{:.2f}".format).replace("nan", "–")
    return pd.DataFrame({"fresh discriminator, AUROC": [printed_value(row) for _, row in told.iterrows()],
                         "Fréchet distance": numbers["frechet"], "distance to neighbours": numbers["neighbours"],
                         "follows the wish": numbers["spearman"], "answers": sets["n"].astype(int)},
                        index=sets.index).rename_axis("explainer")


def effects(explainer: Explainer, bench: Bench, *, n_boot: int = 1000, seed: int = 0) -> pd.DataFrame:
    """How far an explainer moves the measurements that define a disease, when it is asked to take the disease away.

    All ECGs that meet a defining rule are asked about, whatever the classifier says of them; where no valid answer
    comes, nothing moves. An explainer of a network that knows nothing must have no effect.

    Returns
    -------
    DataFrame, indexed by label
        `estimate` with `low` and `high`: mean movement of the deciding rule's margin towards healthy, in steps
        (`ecgkit.physiology.rules.STEPS`: 0.1 mV, 20 ms, ...); `n` ECGs, and the share of them `answered`.
    """
    rows, all_rows = {}, np.arange(len(bench.data))
    age, sex = bench.who(all_rows, "age"), bench.who(all_rows, "sex")
    for label in bench.labels:
        met = np.flatnonzero(rule_oracle(bench.measured, bench.measured, label, age, sex).crossed == 0)
        if not len(met):
            continue
        found = explainer(bench.data.batch(met), {label: AWAY})
        after = measure(found.signals, bench.data.fs)
        moved = rule_oracle(bench.measured_of(met), after, label, age[met], sex[met]).movement
        patients = bench.data.records["patient_id"].to_numpy()[met]
        rows[label] = with_interval(np.where(found.valid, moved, 0.0), patients, n_boot=n_boot, seed=seed) \
            | {"answered": float(found.valid.mean())}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("label")


#: Baselines by the names that a notebook is given.
BASELINES = {
    "neighbour": "nearest unlike neighbour", "wachter": "Wachter", "wachter-smooth": "Wachter, smooth",
    "vae": "VAE latent ascent",
}


def baselines(names: Sequence[str], classifier: Classifier, train: ECGDataset, *, epochs: int = 10, seed: int = 0,
              checkpoints: str | Path | None = None) -> dict[str, Explainer]:
    """Baseline explainers of a classifier, by their printed names.

    Parameters
    ----------
    names : sequence of str
        Keys of `BASELINES`.
    classifier : Classifier
    train : ECGDataset
        Training folds: neighbours are found and the autoencoder is trained there.
    epochs : int
        Of the autoencoder.
    seed, checkpoints
        As in `LatentAscent.fit`.
    """
    names_of, fs = classifier.label_names, classifier.fs
    made: dict[str, Explainer] = {}
    for name in names:
        if name == "neighbour":
            made[BASELINES[name]] = NearestUnlikeNeighbour(classifier, background=train.signals,
                                                           label_names=names_of)
        elif name in ("wachter", "wachter-smooth"):
            made[BASELINES[name]] = Wachter(classifier, fs=fs, smooth=name != "wachter", label_names=names_of)
        elif name == "vae":
            schedule = Schedule(epochs=epochs, batch_size=32, learning_rate=3e-3, weight_decay=1e-4)
            ascent = LatentAscent(classifier, fs=fs, label_names=names_of, schedule=schedule)
            made[BASELINES[name]] = ascent.fit(train, seed=seed, checkpoints=checkpoints)
        else:
            raise EcgkitError(f"no baseline {name!r}; choose from {', '.join(BASELINES)}")
    return made


def attack_like(answers: Answers, bench: Bench, asked: pd.DataFrame, classifier: Classifier) -> Answers:
    """Attack every ECG with an edit of the same norm as another explainer's answer to the same question."""
    before = bench.data.batch(asked["row"].to_numpy())
    norms = np.sqrt(np.square((answers.signals - before).astype(np.float64)).sum(axis=(1, 2)))
    attack = PGD(classifier, label_names=classifier.label_names)
    place = {(label, wanted): iter(norms[(asked["label"] == label) & (asked["wanted"] == wanted)])
             for label, wanted in asked[["label", "wanted"]].drop_duplicates().itertuples(index=False)}

    def equal(x: NDArray[np.float32], target: Mapping[str, float]) -> Counterfactuals:
        (label, wanted), = target.items()
        return attack(x, target, norms=[next(place[label, wanted]) for _ in x])
    return ask(equal, bench, asked, name="PGD")


def agreement(first: Answers, second: Answers, bench: Bench, asked: pd.DataFrame, *,
              n_boot: int = 1000) -> pd.DataFrame:
    """How alike two explainers' edits of the same ECGs are: correlations with intervals over patients.

    Where one of them gave no valid answer, the ECG is left out.
    """
    both = (first.outcome == "valid") & (second.outcome == "valid")
    if not both.any():
        return pd.DataFrame(columns=["estimate", "low", "high", "n"])
    before = bench.data.batch(asked["row"].to_numpy()[both])
    cells = player_cells(segments(delineate(before, bench.data.fs), bench.data.sig_len))
    alike = consistency(first.signals[both] - before, second.signals[both] - before, cells, bench.data.fs)
    patients = bench.data.records["patient_id"].to_numpy()[asked["row"].to_numpy()[both]]
    names = {column: ", ".join(column) for column in alike.columns}
    return pd.DataFrame({names[column]: with_interval(alike[column], patients, n_boot=n_boot) for column in names}).T


def shortcut_table(explainer: CounterfactualGAN, data: ECGDataset, label: str, *, n_boot: int = 1000) -> pd.DataFrame:
    """Does the explainer of a network that learnt an artefact reveal it.

    ECGs without the label get the artefact and are asked about without the label; and ECGs without it, as they are,
    are asked about with the label.

    Returns
    -------
    DataFrame
        Of the two questions: `n` ECGs on which the network falls for the artefact (or not), the share `answered`, and
        the artefact's amplitude in µV `before` and `after` the edit, the latter with an interval over patients.
    """
    k = list(data.label_names).index(label)
    clean = data.subset(np.flatnonzero(data.labels[:, k] == 0))
    x, rows = np.array(clean.signals), {}
    for name, signals, wanted in (("artefact away", x + hum(len(x), data.sig_len, data.fs, seed=1), AWAY),
                                  ("artefact there", x, THERE)):
        side = (classify(explainer.classifier, signals)[:, k] > 0) == (wanted == AWAY)
        if not side.any():
            continue
        found = explainer(signals[side], {label: wanted})
        after = with_interval(1000 * hum_size(found.signals, data.fs), clean.records["patient_id"].to_numpy()[side],
                              n_boot=n_boot)
        rows[name] = {"n": int(side.sum()), "answered": float((outcomes(found) == "valid").mean()),
                      "before": float(1000 * hum_size(signals[side], data.fs).mean()), "after": after["estimate"],
                      "low": after["low"], "high": after["high"]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("question")


def printed_shortcut(table: pd.DataFrame) -> pd.DataFrame:
    """`shortcut_table` for print."""
    after = [f"{row['after']:.0f} ({row['low']:.0f}–{row['high']:.0f})" for _, row in table.iterrows()]
    return pd.DataFrame({"ECGs": table["n"], "answered": table["answered"].astype(float).round(2),
                         "before, µV": table["before"].astype(float).round(), "after, µV": after}, index=table.index)
