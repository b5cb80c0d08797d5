"""The study behind the battery's page: explainers of the runs, baselines, an attack of equal norm, and the controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.explain.baselines import PGD, LatentAscent, NearestUnlikeNeighbour, Wachter
from ecgkit.explain.battery import Answers, Bench, ask
from ecgkit.explain.battery_table import with_interval
from ecgkit.explain.conditions import AWAY, THERE
from ecgkit.explain.counterfactual import CounterfactualGAN
from ecgkit.explain.panel import hum, hum_size
from ecgkit.explain.players import player_cells, segments
from ecgkit.explain.results import Counterfactuals, Explainer, classify
from ecgkit.explain.scoring.reach import outcomes
from ecgkit.explain.scoring.stability import consistency
from ecgkit.models.classifier import Classifier
from ecgkit.physiology import delineate
from ecgkit.training.loop import Schedule

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
