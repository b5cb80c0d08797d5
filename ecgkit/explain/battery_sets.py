"""Battery figures of a set of answers: do they follow every wish, do they look real, what do controls change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ecgkit.datasets.base import ECGDataset
from ecgkit.evaluation import Bootstrap, auroc, bootstrap
from ecgkit.explain.battery import Answers, Bench
from ecgkit.explain.battery_table import printed_value, with_interval
from ecgkit.explain.conditions import AWAY
from ecgkit.explain.results import Explainer
from ecgkit.explain.scoring.discrimination import fresh_discriminator
from ecgkit.explain.scoring.oracle import rule_oracle
from ecgkit.explain.scoring.reach import Follows, follows
from ecgkit.explain.scoring.realism import embedding_distances
from ecgkit.physiology import measure

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
