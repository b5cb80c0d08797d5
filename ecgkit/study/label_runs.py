"""The label-efficiency study of one encoder: train at every fraction of the labels and seed, keep the predictions."""

from __future__ import annotations

import hashlib
import shutil
import time
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit import __version__
from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.splits import FRACTIONS
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc, macro
from ecgkit.models.weights import load_classifier, load_encoder
from ecgkit.models.windowed import Classifier, Embedder
from ecgkit.progress import track
from ecgkit.training.checkpoint import run_file, whole
from ecgkit.training.few_labels import FewLabelClassifier, Seen
from ecgkit.training.finetune import FinetuneSettings, check_fits, finetune
from ecgkit.training.forest import Bins, Forest, random_forest
from ecgkit.training.measured import Filled, MeasuredFeatures
from ecgkit.training.methods import METHODS
from ecgkit.training.pretrain import PretrainSettings, pretrain, simulated_settings, untrained
from ecgkit.training.probe import HeadSettings, LinearProbe, MlpHead, Standard, frozen_head, linear_probe, prior_of
from ecgkit.training.simulated import pretrain_on_simulator
from ecgkit.training.supervised import SupervisedSettings, train_classifier
from ecgkit.training.textbook import textbook

#: The mode of `ecgkit.FewLabelClassifier`.
FEW = "few-label classifier"
#: What is trained on the labels, and what else it knows.
MODES = {
    "linear probe": "a logistic regression on the frozen encoder's embeddings",
    "frozen head": "an MLP head on the frozen encoder's embeddings",
    "fine-tuned": "the linear probe as the head, then everything",
    "scratch": "a classifier from random weights; no encoder is used",
    "logistic regression": "the same regression as the linear probe, on measurements",
    "random forest": "a random forest on measurements",
    "forest with rules": "the same on measurements and on how far each diagnostic rule is met",
    FEW: "the forest with rules, joined with the linear probe (FewLabelClassifier)",
}
#: The modes that take measurements in place of an encoder.
MEASURED = ("logistic regression", "random forest", "forest with rules")
#: Up to this fraction of the labels, `seeds_low` subsets are drawn; above it `seeds_high`.
LOW_FRACTION = 0.1

#: Probabilities for the validation and the test ECGs.
Predictions = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class StudySettings:
    """How each mode is trained, alike at every fraction and seed; "fine-tuned" begins with the "linear probe".

    "scratch" is given `least_steps` optimiser steps where its epochs would make fewer, by more epochs, so that few
    labels do not mean a net that was hardly trained.
    """

    finetune: FinetuneSettings = field(default_factory=FinetuneSettings)
    head: HeadSettings = field(default_factory=HeadSettings)
    scratch: SupervisedSettings = field(default_factory=SupervisedSettings)
    n_trees: int = 100
    least_steps: int = 300

    def scratch_for(self, n_ecgs: int) -> SupervisedSettings:
        """`scratch` with the epochs that so many labelled ECGs need."""
        schedule = self.scratch.schedule
        steps_per_epoch = n_ecgs // min(schedule.batch_size, n_ecgs)
        epochs = max(schedule.epochs, -(-self.least_steps // steps_per_epoch))
        return replace(self.scratch, schedule=replace(schedule, epochs=epochs))

    def of(self, mode: str) -> dict[str, Any]:
        """The settings that decide a row of one mode."""
        if mode == "scratch":
            return {**asdict(self.scratch), "least_steps": self.least_steps}
        if mode in ("linear probe", "logistic regression"):
            return {"strengths": self.finetune.strengths}
        if mode in ("random forest", "forest with rules", FEW):
            return {"n_trees": self.n_trees}
        return asdict(self.head if mode == "frozen head" else self.finetune)


def label_study(data: ECGDataset, embedder: Embedder | MeasuredFeatures | None, *, mode: str, folder: str | Path,
                fractions: Iterable[float] = FRACTIONS, seeds_low: int = 5, seeds_high: int = 3,
                settings: StudySettings | None = None, taught: Classifier | None = None,
                known: str | Path | None = None, measurements: str | Path | None = None,
                progress: str = "label study", device: str = "cpu") -> pd.DataFrame:
    """Train on fractions of the labelled patients in folds 1 to 8, and predict validation and test ECGs each time.

    Embeddings are standardised with the mean and spread of all training ECGs, which takes no label; nothing else is
    learnt from ECGs outside of the subset, and no choice is made on validation or test labels. Predictions of a row are
    written to `folder` when it is done, so that a study that was killed goes on; a row that is there, or in the folder
    of a `known` study, is not trained again, unless data, folds, encoder, settings or the training code have changed.

    The `embedder` is `MeasuredFeatures` for the modes of `MEASURED`, and an encoder for the rest of `MODES`; "scratch"
    does not look at it. There are `seeds_low` seeds at fractions up to 10 %, `seeds_high` above; a seed decides the
    subset (nested over fractions) and the training. `taught` is what the encoder was pretrained as, where that had
    names: if the data's labels are among them, its directions are the prior of the linear probe
    (`ecgkit.training.probe.prior_of`); the few-label classifier takes those that are, and what it measures is kept in
    a folder of `measurements`, if there is one.

    By row `mode`, `fraction`, `seed`, `n_labels` (labelled ECGs), `n_patients` (theirs), `n_validation_labels` (spent
    on choices: none), `auroc_validation` and `auroc_test` (macro), `seconds` (of training and prediction, without the
    embeddings that rows share), and `predictions`: a file in `folder`, for `read_predictions`.
    """
    fractions = sorted({float(fraction) for fraction in fractions})
    _check(data, embedder, mode, fractions, min(seeds_low, seeds_high))
    study = _Study(data, embedder, mode, settings or StudySettings(), Path(folder), taught, device,
                   Path(known or folder), measurements)
    plan = [(fraction, seed) for fraction in fractions
            for seed in range(seeds_low if fraction <= LOW_FRACTION else seeds_high)]
    return pd.DataFrame([study.row(fraction, seed) for fraction, seed in track(plan, progress, unit="run")])


def _check(data: ECGDataset, embedder: Embedder | MeasuredFeatures | None, mode: str, fractions: list[float],
           seeds: int) -> None:
    if mode not in MODES:
        raise EcgkitError(f"no mode {mode!r}; choose from {', '.join(MODES)}")
    if not fractions or not 0 < fractions[0] <= fractions[-1] <= 1:
        raise EcgkitError(f"label fractions {fractions}: give at least one, all above 0 and up to 1")
    if seeds < 1:
        raise EcgkitError(f"{seeds} seeds: give at least 1")
    if not data.label_names:
        raise EcgkitError(f"{data.name}: no labels to study; load the data with a task")
    for name, part in (("training", data.train), ("validation", data.validation), ("test", data.test)):
        if not len(part):
            raise EcgkitError(f"{data.name}: no {name} ECG; give the records a strat_fold from 1 to 10")
    if mode in MEASURED:
        if not isinstance(embedder, MeasuredFeatures):
            raise EcgkitError(f"{mode}: give MeasuredFeatures in place of an embedder")
        if data.fs != embedder.fs:
            raise EcgkitError(f"{data.name}: {data.fs:g} Hz, and measurements of {embedder.fs:g} Hz were asked for")
    elif mode != "scratch":
        if not isinstance(embedder, Embedder):
            raise EcgkitError(f"{mode}: give an embedder; only scratch does without")
        check_fits(embedder, data)


class _Study:
    """One encoder, or the measurements, on one dataset in one mode."""

    def __init__(self, data: ECGDataset, embedder: Embedder | MeasuredFeatures | None, mode: str,
                 settings: StudySettings, folder: Path, taught: Classifier | None, device: str, known: Path,
                 measurements: str | Path | None) -> None:
        self.train, self.validation, self.test = data.train, data.validation, data.test
        self.embedder = None if mode == "scratch" else embedder
        if isinstance(embedder, MeasuredFeatures):
            self.embedder = replace(embedder, rules=mode == "forest with rules")
        self.mode, self.settings, self.folder, self.device, self.known = mode, settings, folder, device, known
        self.measurements = measurements
        knows = taught is not None and set(data.label_names) <= set(taught.label_names)
        self.taught = taught if (knows or mode == FEW) and mode not in ("scratch", *MEASURED) else None
        self.run = {"task": "label study", "mode": mode, "data": data.fingerprint(),
                    "held_out": [_digest(self.validation), _digest(self.test)], "train": _digest(self.train),
                    "encoder": _identity(self.embedder), "settings": settings.of(mode), "taught": self.taught}

    def row(self, fraction: float, seed: int) -> dict[str, Any]:
        """Train one row, or find it trained."""
        few = self.train.label_fraction(fraction, seed)
        digest = run_file(self.folder, {**self.run, "labelled": _digest(few), "fraction": fraction, "seed": seed}).stem
        file = self.folder / f"{self.mode.replace(' ', '-')}-{100 * fraction:g}-percent-seed-{seed}-{digest}.npz"
        if not file.is_file() and (self.known / file.name).is_file():
            with whole(file) as partial:
                shutil.copyfile(self.known / file.name, partial)
        if not file.is_file():
            if self.embedder is not None:  # computed here, outside of the clock of the row that comes first
                self.seen if self.mode == FEW else self.features  # noqa: B018
            start = time.perf_counter()
            validation, test = self._predict(few, seed)
            seconds = time.perf_counter() - start
            with whole(file) as partial, partial.open("wb") as stream:
                np.savez(stream, validation=validation.astype(np.float32), test=test.astype(np.float32),
                         seconds=seconds)
        found = read_predictions(file, "remove the file to train this row anew")
        return {"mode": self.mode, "fraction": fraction, "seed": seed, "n_labels": len(few),
                "n_patients": few.n_patients, "n_validation_labels": 0,
                "auroc_validation": float(macro(auroc(self.validation.labels, found["validation"]))),
                "auroc_test": float(macro(auroc(self.test.labels, found["test"]))),
                "seconds": float(found["seconds"]), "predictions": file.name}

    def _predict(self, few: ECGDataset, seed: int) -> Predictions:
        if self.mode == "scratch":
            model, _ = train_classifier(few, settings=self.settings.scratch_for(len(few)), seed=seed,
                                        device=self.device)
        elif self.mode == "fine-tuned":
            assert isinstance(self.embedder, Embedder)
            model, _ = finetune(self.embedder, few, settings=self.settings.finetune, seed=seed,
                                probe=self._probe(few, seed), device=self.device)
        elif self.mode == FEW:
            return self._joined(few, seed)
        else:
            head = self._head(few, seed)
            return head.predict(self.features["validation"]), head.predict(self.features["test"])
        return model.predict(self.validation.signals), model.predict(self.test.signals)

    def _joined(self, few: ECGDataset, seed: int) -> Predictions:
        """What `FewLabelClassifier` makes of the labelled ECGs, and of the others without their labels."""
        labelled = np.isin(self.train.rows, few.rows)
        more = None if labelled.all() else self.seen["train"].rows(~labelled)
        assert isinstance(self.embedder, Embedder)
        model = FewLabelClassifier(self.train.fs, seed, self.taught or self.embedder, self.settings.n_trees)
        model.fit_seen(self.seen["train"].rows(labelled), few.labels, groups=few.records["patient_id"], more=more,
                       label_names=self.train.label_names)
        return model.probabilities(self.seen["validation"]), model.probabilities(self.seen["test"])

    def _head(self, few: ECGDataset, seed: int) -> LinearProbe | MlpHead | Forest:
        """What is trained on features that stay as they are."""
        if self.mode == "frozen head":
            return frozen_head(self._embeddings(few), few.labels, seed=seed, standard=self.standard,
                               settings=self.settings.head)
        if self.mode in ("random forest", "forest with rules"):
            return random_forest(self._embeddings(few), few.labels, seed=seed, n_trees=self.settings.n_trees,
                                 bins=self.bins)[0]
        return self._probe(few, seed)

    def _probe(self, few: ECGDataset, seed: int) -> LinearProbe:
        return linear_probe(self._embeddings(few), few.labels, groups=few.records["patient_id"], seed=seed,
                            standard=self.standard, prior=self.prior, strengths=self.settings.finetune.strengths)

    def _embeddings(self, few: ECGDataset) -> NDArray[Any]:
        return self.features["train"][np.isin(self.train.rows, few.rows)]

    @cached_property
    def features(self) -> dict[str, NDArray[Any]]:
        """Embeddings or measurements of all ECGs, by fold: what is learnt from no label is computed once."""
        assert self.embedder is not None
        found = {name: self.embedder.embed(getattr(self, name).signals) for name in ("train", "validation", "test")}
        if self.mode != "logistic regression":
            return found
        filled = Filled.of(found["train"])
        return {name: filled(measurements) for name, measurements in found.items()}

    @cached_property
    def seen(self) -> dict[str, Seen]:
        """What the few-label classifier sees of all ECGs, by fold."""
        assert isinstance(self.embedder, Embedder)
        model = FewLabelClassifier(self.train.fs, encoder=self.embedder, folder=self.measurements)
        return {name: model.see(getattr(self, name).signals) for name in ("train", "validation", "test")}

    @cached_property
    def bins(self) -> Bins:
        """Bins of the measurements of all training ECGs, labelled or not."""
        return Bins.of(self.features["train"])

    @cached_property
    def prior(self) -> NDArray[np.float64] | None:
        """What the encoder's own head says of the labels, if it knows them."""
        if self.taught is None:
            return None
        return prior_of(self.taught, self.train.label_names, self.standard, self.features["train"])

    @cached_property
    def standard(self) -> Standard:
        """Mean and spread of the embeddings of all training ECGs, labelled or not."""
        known = self.features["train"]
        if self.mode in MEASURED:  # filled in and standardised already; a rare flag must not grow large by it
            return Standard(np.zeros(known.shape[1]), np.ones(known.shape[1]))
        return Standard.of(known)


def _identity(embedder: Embedder | MeasuredFeatures | None) -> dict[str, Any] | None:
    if embedder is None:
        return None
    if isinstance(embedder, MeasuredFeatures):
        return embedder.identity()
    return {"weights": embedder, "fs": embedder.fs, "crop_len": embedder.crop_len,
            "config": getattr(embedder.encoder, "config", type(embedder.encoder).__name__)}


def _digest(data: ECGDataset) -> str:
    """Which ECGs of which patients, in order: folds and subsets are not in the fingerprint of the data."""
    lines = data.records["record"].astype(str) + "\t" + data.records["patient_id"].astype(str)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def read_predictions(file: str | Path, advice: str = "run the variant again") -> dict[str, NDArray[Any]]:
    """Probabilities for the `validation` and the `test` ECGs, `(n, n_labels)` each, of a row or of ``zero.npz``."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            found = dict(arrays)
            return {part: found[part] for part in ("validation", "test")} | found
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError) as error:
        raise EcgkitError(f"{file}: the predictions are damaged; {advice}") from error


def label_studies(cohorts: Mapping[str, ECGDataset], embedder: Embedder | MeasuredFeatures | None, folder: Path, *,
                  wanted: Iterable[tuple[str, str]], title: str = "", **options: Any) -> pd.DataFrame:
    """Run a `label_study` for each wanted pair of a set of labels and a mode, and write ``study.csv`` in a folder."""
    rows = []
    for task, mode in wanted:
        found = label_study(cohorts[task], embedder, mode=mode, folder=folder / "predictions" / task,
                            progress=f"{title}{task}, {mode}", **options)
        rows.append(found.assign(task=task, predictions=f"predictions/{task}/" + found["predictions"]))
    study = pd.concat(rows, ignore_index=True)
    study.to_csv(folder / "study.csv", index=False)
    return study


def printed_study(study: pd.DataFrame) -> pd.DataFrame:
    """Scores of `label_studies` for print, as the mean over seeds."""
    names = {"n_labels": "labelled ECGs", "auroc_validation": "fold 9", "auroc_test": "fold 10"}
    shown = study.pivot_table(index=["task", "mode", "fraction"], values=list(names))[list(names)]
    return shown.round({"n_labels": 0}).astype({"n_labels": int}).rename(columns=names).round(3)


def encoder_of(method: str, unlabelled: ECGDataset | None, cohort: ECGDataset, settings: PretrainSettings, *,
               seed: int, start: Embedder | None, checkpoints: Path, device: str,
               simulated: Classifier | None = None) -> tuple[Embedder, pd.DataFrame, Classifier | None]:
    """Pretrain by a method, or draw a random encoder: that, its history, and its head of what is believed, if any.

    What learnt from the simulator believes what it was taught there; what started from such a network, which was
    `simulated`, believes its `textbook`.
    """
    if method == "random":
        return untrained(cohort.train, settings=settings, seed=seed), pd.DataFrame(), None
    embedder, history = pretrain(unlabelled, method=method, settings=settings, seed=seed, start=start,
                                 watch=cohort.validation, checkpoints=checkpoints, device=device)
    taught = None
    if method == "simulator":
        taught, _ = pretrain_on_simulator(simulated_settings(settings), seed=seed, checkpoints=checkpoints)
    elif simulated is not None and unlabelled is not None:
        measured = MeasuredFeatures(settings.fs, checkpoints / "measured", rules=True)
        taught = textbook(embedder, simulated, unlabelled, measured)
    return embedder, history, taught


def started_from(folder: str | Path) -> tuple[Embedder | None, Classifier | None]:
    """The encoder of a variant, and the network that it was taught as, if it was; nothing without a folder."""
    taught = Path(folder) / "taught.safetensors"
    if not folder:
        return None, None
    return load_encoder(Path(folder) / "encoder.safetensors"), load_classifier(taught) if taught.is_file() else None


def about(method: str) -> str:
    """What a method of pretraining does, in words."""
    return METHODS[method].about if method in METHODS else "random weights, never trained"


def card_of(told: Mapping[str, Any], unlabelled: ECGDataset, study: pd.DataFrame) -> dict[str, Any]:
    """Model card of a pretrained encoder, from what the page tells of it."""
    probes = study[(study["mode"] == "linear probe") & (study["task"] == "superclass")].groupby("fraction")
    return {**told, "data": unlabelled.name if told["real"] else "simulated ECGs",
            "fingerprint": unlabelled.fingerprint(),
            "fold_9_probe": {str(f): round(v, 4) for f, v in probes["auroc_validation"].mean().items()},
            "ecgkit": __version__, "licence": "MIT",
            "intended_use": "research and teaching; not a medical device, not for decisions about patients",
            "limits": "tested on one source of ECGs; other devices and populations were not tried"}


def words(told: Mapping[str, Any], history: pd.DataFrame, n_features: int) -> dict[str, str]:
    """Words of the page on pretraining, from what it tells of the encoder and the last row of its history."""
    rank = float(history["effective_rank"].iloc[-1]) if len(history) else float("nan")
    return {"pre_title": told["title"], "pre_about": told["about"],
            "pre_n_unlabelled": f"{told['n_unlabelled']:,}" if told["real"] else "no recorded",
            "pre_epochs": str(told["epochs"]), "pre_n_parameters": f"{told['n_parameters']:,}",
            "pre_rank": f"{rank:.0f}", "pre_width": str(n_features),
            "pre_collapse": "has collapsed" if rank < 2 else "has not collapsed"}
