"""The battery: every explainer is asked the same questions about the same ECGs, and every answer is examined."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.synthetic import SUPERCLASSES_OF, cohort_of
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import best_f1_thresholds
from ecgkit.explain.battery.judges import (
    kept,
    outcomes,
    rule_oracle,
    survives,
    transfer,
    unrelated_moves,
    unrelated_share,
)
from ecgkit.explain.battery.localisation import distance_to_truth, edit_iou
from ecgkit.explain.battery.realism import changed_share, cosine, einthoven_residual, share_above
from ecgkit.explain.results import AWAY, THERE, Explainer, classify, probability
from ecgkit.models.weights import pretrained
from ecgkit.models.windowed import Classifier, Embedder
from ecgkit.physiology import Measurements, measure, repeatability
from ecgkit.physiology.verdicts import DEFINITIONS
from ecgkit.progress import track


@dataclass(frozen=True)
class Bench:
    """What explainers are tried on.

    Parameters
    ----------
    data, classifier : ECGDataset, Module
        ECGs that nothing was trained on, and the classifier that is explained.
    judges, thresholds : mapping
        Classifiers that no explainer has seen, by name, with the same labels, and the probabilities `(n_labels,)` from
        which each calls the labels, chosen on other ECGs.
    embedder : Embedder
        An encoder that was pretrained without labels; measures identity.
    truth : Truth, optional
        Only simulated ECGs have it.
    """

    data: ECGDataset
    classifier: nn.Module
    judges: Mapping[str, nn.Module]
    thresholds: Mapping[str, NDArray[np.float64]]
    embedder: Embedder
    truth: Truth | None = None

    @cached_property
    def logits(self) -> NDArray[np.float64]:
        """Of the classifier that is explained, `(n, n_labels)`."""
        return classify(self.classifier, self.data.signals)

    @cached_property
    def opinions(self) -> dict[str, NDArray[np.float64]]:
        """Probabilities that the judges give, `(n, n_labels)` each."""
        return {name: probability(classify(judge, self.data.signals)) for name, judge in self.judges.items()}

    @cached_property
    def measured(self) -> Measurements:
        """Measurements of all ECGs."""
        return measure(self.data.signals, self.data.fs)

    def measured_of(self, rows: NDArray[np.intp]) -> Measurements:
        """Measurements of some ECGs, as far as rules read them."""
        all_ = self.measured
        return replace(all_, table=all_.table.iloc[rows].reset_index(drop=True), reasons=all_.reasons.iloc[rows],
                       faults=all_.faults[rows])

    @cached_property
    def embedded(self) -> NDArray[np.float32]:
        """Embeddings of all ECGs."""
        return self.embedder.embed(self.data.signals)

    @property
    def labels(self) -> list[str]:
        """Labels that rules define: only of them can be said what a diagnosis rests on."""
        return [name for name in self.data.label_names if name in DEFINITIONS]

    def place(self, label: str) -> int:
        """Column of a label."""
        return list(self.data.label_names).index(label)

    def who(self, rows: NDArray[np.intp], column: str) -> NDArray[np.float64]:
        """Age or sex of some ECGs."""
        return self.data.records[column].to_numpy(np.float64)[rows]


def make_bench(cohort: ECGDataset, classifier: nn.Module, judges: Mapping[str, Classifier]) -> Bench:
    """The bench of a dataset with folds: fold 10, judges whose thresholds fold 9 chose, truth where there is any."""
    test, validation = cohort.test, cohort.validation
    thresholds = {name: best_f1_thresholds(validation.labels, judge.predict(validation.signals))
                  for name, judge in judges.items()}
    return Bench(test, classifier, judges, thresholds, pretrained(),
                 Truth(test) if "ecg_index" in test.records else None)


class Truth:
    """What ECGs of `ecgkit.datasets.synthetic` would be without a disease, or without all of a superclass."""

    def __init__(self, data: ECGDataset) -> None:
        self._cohort, self._ids = cohort_of(data), data.records["ecg_index"].to_numpy()

    def without(self, rows: NDArray[np.intp], label: str) -> NDArray[np.float32]:
        """The same patients' ECGs without it, `(n, 12, sig_len)` in mV."""
        return self._cohort.counterfactual(self._ids[rows], _diseases(label))

    def mask(self, rows: NDArray[np.intp], label: str) -> NDArray[np.float32]:
        """How much it changes each sample, `(n, 12, sig_len)` in mV."""
        return self._cohort.truth_mask(self._ids[rows], _diseases(label))


def _diseases(label: str) -> list[str]:
    """The simulator's diseases that a label stands for."""
    return [label] if label in SUPERCLASSES_OF else [name for name, of in SUPERCLASSES_OF.items() if label in of]


def questions(bench: Bench, n_each: int, *, seed: int = 0) -> pd.DataFrame:
    """The same questions for every explainer: `row` of the bench's data, `label`, `wanted` probability.

    For each label that rules define: of ECGs on which the classifier says so, `n_each` are asked about without the
    label, and of the others as many with it, drawn at random.
    """
    rng, found = np.random.default_rng(seed), []
    for label in bench.labels:
        says = bench.logits[:, bench.place(label)] > 0
        for wanted, side in ((AWAY, says), (THERE, ~says)):
            rows = rng.permutation(np.flatnonzero(side))[:n_each]
            found.append(pd.DataFrame({"row": np.sort(rows), "label": label, "wanted": wanted}))
    if not found:
        raise EcgkitError(f"no rule defines any of {', '.join(bench.data.label_names)}; the battery needs one that is")
    return pd.concat(found, ignore_index=True)


@dataclass(frozen=True)
class Answers:
    """An explainer's answers to all questions.

    Counterfactuals `(n_questions, 12, sig_len)` in mV with their probabilities `(n_questions, n_labels)`, what became
    of each question (one of `ecgkit.explain.battery.judges.OUTCOMES`), and the `ms` it took, the mean of its group.
    """

    signals: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    outcome: NDArray[np.str_]
    ms: NDArray[np.float64]


def ask(explainer: Explainer, bench: Bench, asked: pd.DataFrame, *, name: str = "explainer") -> Answers:
    """Put all questions to an explainer, label by label."""
    n, names = len(asked), bench.data.label_names
    signals = np.empty((n, 12, bench.data.sig_len), dtype=np.float32)
    p, outcome, ms = np.empty((n, len(names))), np.empty(n, dtype="U16"), np.empty(n)
    for part, label, wanted in track(list(_groups(asked)), f"asking {name}", unit="group"):
        x = bench.data.batch(asked["row"].to_numpy()[part])
        started = time.perf_counter()
        found = explainer(x, {label: wanted})
        ms[part] = 1000 * (time.perf_counter() - started) / len(x)
        signals[part], p[part], outcome[part] = found.signals, found.probabilities, outcomes(found)
    return Answers(signals, p, outcome, ms)


def unedited(bench: Bench, asked: pd.DataFrame) -> Answers:
    """The ECGs that were asked about, as they were: what any comparison with other ECGs finds without an edit."""
    rows = asked["row"].to_numpy()
    return Answers(bench.data.batch(rows), probability(bench.logits[rows]), np.full(len(rows), "valid"),
                   np.zeros(len(rows)))


def examine(answers: Answers, bench: Bench, asked: pd.DataFrame) -> pd.DataFrame:
    """Examine every answer, one row for each question.

    Returns
    -------
    DataFrame
        `patient_id`, `label`, `wanted`; `reached`, `valid` and `abstained` (0 or 1). nan where a question has no
        meaning, and for all but those three where there is no valid answer: `transfer` (share of the judges that
        follow, and one column for each), `rule away` and `rule there` (the defining rules turned, by what was asked),
        `movement` (of the deciding rule's margin, in steps), `unrelated` (share of unrelated measurements within
        repeatability), `labels kept` (mean change of probability), `survives <disturbance>`, `above 25 Hz`, `above 40
        Hz` (share of the edit's energy), `changed` (share of the signal by more than 20 µV), `size` (mean, µV),
        `identity` (cosine), `Einthoven` (µV), `ms`. With truth, for diseases taken away: `IoU`, `distance` (relative
        to the true difference), `correlation` with it.
    """
    return pd.concat([_examined(answers, bench, asked, *group) for group in track(
        list(_groups(asked)), "examining", unit="group")]).sort_index()


def _groups(asked: pd.DataFrame) -> Iterator[tuple[NDArray[np.intp], str, float]]:
    for label, wanted in asked[["label", "wanted"]].drop_duplicates().itertuples(index=False):
        yield np.flatnonzero((asked["label"] == label) & (asked["wanted"] == wanted)), str(label), float(wanted)


def _examined(answers: Answers, bench: Bench, asked: pd.DataFrame, part: NDArray[np.intp], label: str,
              wanted: float) -> pd.DataFrame:
    rows, up, k = asked["row"].to_numpy()[part], wanted > 0.5, bench.place(label)
    before, after, fs = bench.data.batch(rows), answers.signals[part], bench.data.fs
    valid = answers.outcome[part] == "valid"
    new, old = measure(after, fs), bench.measured_of(rows)
    oracle = rule_oracle(old, new, label, bench.who(rows, "age"), bench.who(rows, "sex"), up=up)
    stands = survives(bench.classifier, before, after, place=k, up=up, valid=valid, fs=fs)
    table = {
        **_followed(bench, rows, after, k, up, valid), f"rule {'there' if up else 'away'}": oracle.crossed,
        "movement": oracle.movement,
        "unrelated": unrelated_share(unrelated_moves(old, new, label, repeatability())),
        "labels kept": kept(probability(bench.logits[rows]), answers.probabilities[part], label,
                            bench.data.label_names),
        **{f"survives {name}": stands[name].to_numpy() for name in stands},
        **dict(zip(("above 25 Hz", "above 40 Hz"), share_above(after - before, fs).T, strict=True)),
        "changed": changed_share(before, after), "size": 1000 * np.abs(after - before).mean(axis=(1, 2)),
        "identity": cosine(bench.embedded[rows], bench.embedder.embed(after)),
        "Einthoven": 1000 * einthoven_residual(after),
    }
    if bench.truth and not up:
        truth, mask = bench.truth.without(rows, label), bench.truth.mask(rows, label)
        has = mask.max(axis=(1, 2)) > 0
        distance = distance_to_truth(before, after, truth)
        table |= {name: np.where(has, values, np.nan) for name, values in (
            ("IoU", edit_iou(before, after, mask)), ("distance", distance["relative"]),
            ("correlation", distance["correlation"]))}
    told = pd.DataFrame({name: np.where(valid, values, np.nan) for name, values in table.items()}, index=part)
    outcome = answers.outcome[part]
    first = pd.DataFrame({"row": rows, "patient_id": bench.data.records["patient_id"].to_numpy()[rows], "label": label,
                          "wanted": wanted, "reached": (outcome != "failed").astype(float),
                          "valid": valid.astype(float), "abstained": (outcome == "abstained").astype(float),
                          "ms": answers.ms[part]}, index=part)
    return pd.concat([first, told], axis=1)


def _followed(bench: Bench, rows: NDArray[np.intp], after: NDArray[np.float32], place: int, up: bool,
              valid: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """Which judges follow, and the mean of them; nothing where there are none."""
    if not bench.judges:
        return {}
    first = np.stack([p[rows, place] for p in bench.opinions.values()], axis=1)
    second = np.stack([probability(classify(judge, after))[:, place] for judge in bench.judges.values()], axis=1)
    followed = transfer(first, second, [bench.thresholds[name][place] for name in bench.judges], up, valid)
    return {"transfer": pd.DataFrame(followed).mean(axis=1).to_numpy(),
            **{f"transfer to {name}": column for name, column in zip(bench.judges, followed.T, strict=True)}}
