"""Rare labels: which by a rule, and probes that see few of their positive ECGs; and scores in groups of patients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import Bootstrap, auroc, bootstrap
from ecgkit.progress import track
from ecgkit.study.efficiency import Curve, label_curve
from ecgkit.study.label_runs import read_predictions, started_from
from ecgkit.study.labels import read_methods, read_runs
from ecgkit.training.few_labels import FewLabelClassifier, Seen
from ecgkit.training.probe import Features, Standard, linear_probe

#: The control that was pretrained on nothing, and the few-label classifier, by their names in tables.
SCRATCH, FEW = "from scratch", "few-label classifier"
#: Positive ECGs that a rare label needs at least: to train on, in the validation fold, in the test fold.
LEAST = (10, 2, 2)


def positives(data: ECGDataset) -> pd.DataFrame:
    """Count each label's ECGs by split: a row per label, and the columns `train`, `validation` and `test`."""
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    return pd.DataFrame({name: part.labels.sum(axis=0).astype(int) for name, part in parts.items()},
                        index=pd.Index(data.label_names, name="label"))


def rarest(data: ECGDataset, n: int = 5, *, least: tuple[int, int, int] = LEAST) -> tuple[str, ...]:
    """Name the `n` rarest labels that can be trained and tested at all; no score has a say.

    From the rarest in training on, ties in alphabetical order, and only those with `least` positive ECGs in the
    training, validation and test folds; EcgkitError where there is none.
    """
    counts = positives(data)
    enough = counts[(counts >= least).all(axis=1)].sort_index().sort_values("train", kind="stable")
    if not len(enough):
        raise EcgkitError(f"{data.name}: no label has {least[0]} training, {least[1]} validation and {least[2]} test "
                          "ECGs; load more ECGs or a task with more labels")
    return tuple(enough.index[:n])


def with_few_positives(truth: NDArray[np.uint8], groups: ArrayLike, wanted: int, seed: int) -> NDArray[np.bool_]:
    """A mask of training ECGs of which few are positive: patients with the label drop out, the others stay.

    Those who have the label, `truth` `(n,)`, are drawn one by one until there are `wanted` positive ECGs, or a few
    more, or fewer where there are not as many; choices of one seed are nested.
    """
    if wanted < 1:
        raise EcgkitError(f"{wanted} positive ECGs: give at least 1")
    patients = pd.Series(np.asarray(groups))
    count = pd.Series(truth.astype(int)).groupby(patients).sum()
    count = count[count > 0]
    count = count.iloc[np.random.default_rng(seed).permutation(len(count))]
    dropped = count.index[count.cumsum().shift(fill_value=0) >= wanted]
    return ~patients.isin(dropped).to_numpy()


def probe_few_positives(train: ECGDataset, features: Features, asked: Features, *, wanted: Sequence[int],
                        seeds: int = 3) -> Mapping[int, list[NDArray[np.float64]]]:
    """Fit a linear probe for each label on some of its positive ECGs and all negative ones.

    `features` `(len(train), n_features)` are embeddings of all training ECGs, which standardise; `asked` those to
    predict. For each number of positive ECGs `wanted` (`with_few_positives`), each seed's probabilities `(len(asked),
    n_labels)`: too low ones, since positive ECGs were taken away and negative ones not; use their order.
    """
    standard, patients = Standard.of(features), train.records["patient_id"].to_numpy()
    out = {number: [np.empty((len(asked), len(train.label_names))) for _ in range(seeds)] for number in wanted}
    plan = list(product(wanted, range(seeds), range(len(train.label_names))))
    for number, seed, k in track(plan, "probing with few positives", unit="probe"):
        truth = train.labels[:, k]
        kept = with_few_positives(truth, patients, number, seed)
        probe = linear_probe(features[kept], truth[kept, None], groups=patients[kept], seed=seed, standard=standard)
        out[number][seed][:, k] = probe.predict(asked)[:, 0]
    return out


def few_label_learner(folder: Path, variants: Sequence[str], data: ECGDataset,
                      measurements: Path) -> tuple[Callable[[int], FewLabelClassifier], dict[str, Seen]]:
    """What makes a few-label classifier of a seed, on the last variant's encoder, and what it sees of each split.

    Measurements are kept in a folder.
    """
    encoder, taught = started_from(folder / variants[-1])

    def learner(seed: int) -> FewLabelClassifier:
        return FewLabelClassifier(data.fs, seed, taught or encoder, folder=measurements)

    return learner, {part: learner(0).see(getattr(data, part).signals) for part in ("train", "validation", "test")}


def probabilities(model: FewLabelClassifier, seen: Seen) -> NDArray[np.float64]:
    """Probabilities `(n, n_labels)` of what a few-label classifier sees."""
    return model.probabilities(seen)


def classify_few_positives(train: ECGDataset, joined: tuple[Callable[[int], FewLabelClassifier], dict[str, Seen]], *,
                           wanted: Sequence[int], seeds: int = 3) -> Mapping[int, list[NDArray[np.float64]]]:
    """The same of a few-label classifier, for the test ECGs: see `probe_few_positives`."""
    (learner, seen), patients = joined, train.records["patient_id"].to_numpy()
    n = len(seen["test"].embedded)
    out = {number: [np.empty((n, len(train.label_names))) for _ in range(seeds)] for number in wanted}
    plan = list(product(wanted, range(seeds), range(len(train.label_names))))
    for number, seed, k in track(plan, "learning from few positives", unit="label"):
        kept = with_few_positives(train.labels[:, k], patients, number, seed)
        model = learner(seed).fit_seen(seen["train"].rows(kept), train.labels[kept, k, None], groups=patients[kept],
                                       label_names=(train.label_names[k],))
        out[number][seed][:, k] = probabilities(model, seen["test"])[:, 0]
    return out


def compared_variants(folder: Path, wanted: Sequence[str]) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """Variants of pretraining in a folder, titles of those wanted (of all if none is there), and those missing."""
    methods = read_methods(folder).sort_index()
    missing = [variant for variant in wanted if variant not in methods.index]
    there = [variant for variant in wanted if variant not in missing] or list(methods.index)
    return methods, dict(zip(there, methods["title"][there], strict=True)), missing


def few_positives(train: ECGDataset, test: ECGDataset, embedded: Mapping[str, Sequence[Features]], *, seeds: int,
                  n_boot: int, joined: tuple[Callable[[int], FewLabelClassifier], dict[str, Seen]]) -> tuple[
                      dict[str, Curve], dict[int, str]]:
    """Each encoder's curve over five, ten and all positive ECGs of each label, and what these numbers are called.

    `joined` is of `few_label_learner`, which has a curve of its own.
    """
    counts = train.labels.sum(axis=0)
    most = int(counts.max())
    numbers = [number for number in (5, 10) if number < most] + [most]
    spent = {number: float(np.minimum(number, counts).mean()) for number in numbers}
    probes = {name: probe_few_positives(train, seen, asked, wanted=numbers, seeds=seeds)
              for name, (seen, _, asked) in embedded.items()}
    probes[FEW] = classify_few_positives(train, joined, wanted=numbers, seeds=seeds)
    curves = {name: label_curve(test.labels, runs, spent, test.records["patient_id"], n_boot=n_boot)
              for name, runs in probes.items()}
    return curves, {number: f"{'all' if number == most else number} positive ECGs" for number in numbers}


def readers_of(methods: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], tuple[float, float]]:
    """Rows of readers by name: from scratch on all and few labels, the best pretrained on few; and both shares."""
    runs = read_runs(methods)
    runs = runs[runs["task"] == "superclass"]
    most, few = runs["fraction"].max(), min(runs["fraction"], key=lambda fraction: abs(fraction - 0.1))
    scratch, tenth = runs[runs["mode"] == "scratch"], runs[(runs["fraction"] == few) & (runs["mode"] != "scratch")]
    pretrained = methods["group"].isin(["screened", "full"])
    ranked = tenth[tenth["variant"].isin(methods.index[pretrained] if pretrained.any() else methods.index)]
    found = {f"{SCRATCH}, {100 * share:g} %": scratch[scratch["fraction"] == share] for share in (most, few)}
    if not len(ranked):
        return found | {"none": ranked}, (most, few)
    variant, mode = ranked.groupby(["variant", "mode"])["auroc_validation"].mean().idxmax()
    return found | {f"{methods['title'][variant]}, {mode}, {100 * few:g} %": ranked[
        (ranked["variant"] == variant) & (ranked["mode"] == mode)]}, (most, few)


def mean_of_seeds(rows: pd.DataFrame) -> NDArray[np.floating]:
    """Probabilities for the test ECGs, averaged over the seeds of a reader."""
    mean: NDArray[np.floating] = np.mean([read_predictions(file)["test"] for file in rows["predictions"]], axis=0)
    return mean


def group_means(truth: NDArray[np.uint8], score: NDArray[np.floating], groups: Sequence[NDArray[np.bool_]],
                patients: ArrayLike, *, n_boot: int) -> list[Bootstrap]:
    """Macro AUROC in each group of ECGs, over the labels that all groups have, on the same resamples of patients."""
    n = np.array([[truth[group].sum(axis=0), (truth[group] == 0).sum(axis=0)] for group in groups])
    known = (n >= 5).all(axis=(0, 1))

    def within(group: NDArray[np.bool_]) -> Callable[..., NDArray[np.float64]]:
        return lambda y, score, w=None: auroc(y[group], score[group], None if w is None else w[group])

    return [bootstrap(within(group), truth[:, known], score[:, known], patients, n_boot=n_boot).macro
            for group in groups]


def said(result: Bootstrap) -> str:
    """Print a difference with its interval."""
    return "{:+.3f} ({:+.3f} to {:+.3f})".format(result.estimate[0], *(end[0] for end in result.interval()))


def words(data: ECGDataset, table: pd.DataFrame, best: str, missing: Sequence[str]) -> dict[str, str]:
    """Words of the page on the rare labels of `data`, from an `efficiency_table` with the row `best`."""
    counts, row, scratch = positives(data), table.loc[best], table.loc[SCRATCH]
    return {"rare_names": ", ".join(data.label_names), "rare_n": str(len(data.label_names)), "rare_data": data.name,
            "rare_note": f"Not in this run, so not compared: {', '.join(missing)}." if missing
            else "All encoders are in this run.",
            "rare_fewest": str(counts["train"].min()), "rare_fewest_test": str(counts["test"].iloc[0]),
            "rare_n_test": str(int(data.test.labels.any(axis=1).sum())), "rare_best_name": best,
            "rare_best": f"{row['auroc']:.3f}", "rare_scratch": f"{scratch['auroc']:.3f}",
            "rare_difference": "{difference:+.3f} ({difference_low:+.3f} to {difference_high:+.3f})".format(**row)}


def words_on_groups(gaps: Mapping[tuple[str, str], Bootstrap], changes: Mapping[tuple[str, str], Bootstrap],
                    reader: str, absent: Sequence[str]) -> dict[str, str]:
    """Words of the page on what groups of patients a reader serves how well, by (pair of groups, reader)."""
    return {"fair_chosen": reader.rpartition(", ")[0],
            "fair_note": f"This run lacks: {', '.join(absent)}." if absent else "All three are in this run.",
            **{name: "; ".join(f"{pair} {said(each)}" for (pair, of), each in found.items() if of == reader)
               for name, found in (("fair_gap", gaps), ("fair_change", changes))}}
