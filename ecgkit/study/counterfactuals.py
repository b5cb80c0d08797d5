"""Page 09, counterfactuals: what is explained, its twins, unseen judges and controls, and the edits of a cohort."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from ecgkit import __version__
from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.describe import write_summary
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import means, score_table, with_ends
from ecgkit.explain.attribution.players import BEFORE, beat_aligned
from ecgkit.explain.battery.examine import Answers, Bench
from ecgkit.explain.battery.judges import validity_table
from ecgkit.explain.counterfactual.gan import CounterfactualGAN
from ecgkit.explain.counterfactual.training import GANSettings, Weights
from ecgkit.explain.report.changes import ask_sweep, in_words
from ecgkit.explain.report.slider import slider_html
from ecgkit.explain.results import classify, probability
from ecgkit.leads import LEADS
from ecgkit.models.weights import load_classifier, save_classifier
from ecgkit.models.windowed import Classifier
from ecgkit.physiology import delineate, measure
from ecgkit.training.supervised import SupervisedSettings, new_classifier, train_classifier


@dataclass(frozen=True)
class Run:
    """The folder of one run, as `save` wrote it, and its `about.json`: `kind`, `method`, `fingerprint` and more."""

    folder: Path
    about: dict[str, Any]

    def classifier(self) -> Classifier:
        """The network that was explained."""
        return load_classifier(self.folder / "classifier.safetensors")

    def explainer(self) -> CounterfactualGAN:
        """The generator, with the network that it explains."""
        return CounterfactualGAN.restored(self.folder / "explainer.safetensors", self.classifier())


def runs_in(folder: str | Path, data: ECGDataset) -> dict[str, Run]:
    """The runs that explain networks of these very ECGs and labels, in a folder or a subfolder for each.

    By kind for method "gan", "trained" first, by method for others; where no trained one is there, EcgkitError is
    raised.
    """
    places = [*Path(folder).glob("about.json"), *sorted(Path(folder).glob("*/about.json"))]
    runs = [Run(place.parent, json.loads(place.read_text(encoding="utf-8"))) for place in places]
    mine = data.fingerprint() if runs else ""
    found = {run.about["kind"] if run.about["method"] == "gan" else run.about["method"]: run
             for run in runs if run.about["fingerprint"] == mine}
    if "trained" not in found:
        others = ", ".join(sorted({str(run.about["data"]) for run in runs})) or "nothing"
        raise EcgkitError(f"{folder}: no run of kind trained and method gan explains {data.name}; there is {others}. "
                          "Run 09_counterfactuals with the same source, data, n_patients, task and fs")
    return dict(sorted(found.items(), key=lambda item: item[0] != "trained"))


def classifiers_in(folder: str | Path, data: ECGDataset, kinds: Sequence[str]) -> dict[str, Classifier]:
    """The networks of these kinds that `runs_in` has, by kind."""
    runs = runs_in(folder, data)
    return {kind: runs[kind].classifier() for kind in kinds if kind in runs}


#: What may be explained, and what it is.
KINDS = {
    "trained": "a network trained on the labels",
    "retrained": "the same, trained anew from another random start",
    "shuffled": "control: the same training on labels that were dealt out at random",
    "random": "control: random weights, not trained",
    "shortcut": "control: ECGs of one label bear an artefact, in training",
}
#: Seeds: a kind's own are apart from all others', so that no judge is ever a twin.
_FIRST_SEED = {kind: 1000 * (k + 1) for k, kind in enumerate(KINDS)}
JUDGE_SEED = 9000
#: The planted artefact: the hum of a railway's current, in one lead (16.7 Hz; the mains' 50 Hz cannot be sampled at
#: 100 Hz).
HUM_HZ, HUM_MV, HUM_LEAD = 16.7, 0.1, "V2"
#: Peak of the learning rate of encoders that are no residual nets.
GENTLE_RATE = 3e-3
_CALIBRATE_ON = 512


def train_explained(kind: str, data: ECGDataset, *, settings: SupervisedSettings, twins: Sequence[str] = (),
                    label: str = "", shipped: str = "", checkpoints: str | Path | None = None,
                    device: str = "cpu") -> tuple[Classifier, list[Classifier]]:
    """Train the classifier that is to be explained, and its twins, on the training folds: both in eval mode.

    `kind` is a key of `KINDS`, `twins` the encoder of each other network that is trained on the same ECGs, `label`
    whose ECGs bear the artefact of "shortcut", and `shipped` names a trained classifier to explain in place of a new
    one. Fold 9 is watched, fold 10 not touched. An unknown kind or label raises EcgkitError.
    """
    if kind not in KINDS:
        raise EcgkitError(f"no kind {kind!r}; choose from {', '.join(KINDS)}")
    train, first = seen_in_training(kind, data, label), _FIRST_SEED[kind]
    if kind == "shuffled":
        order = np.random.default_rng(first).permutation(len(train))
        train = replace(train, labels=train.labels[order])

    def network(encoder: str, seed: int) -> Classifier:
        mine = for_encoder(encoder, settings)
        if kind == "random":
            return untrained(train, mine, seed)
        return train_classifier(train, validation=data.validation, settings=mine, seed=seed, checkpoints=checkpoints,
                                device=device)[0]

    explained = load_classifier(shipped) if shipped else network(settings.encoder, first)
    return explained, [network(encoder, first + 1 + k) for k, encoder in enumerate(twins) if encoder]


def seen_in_training(kind: str, data: ECGDataset, label: str = "") -> ECGDataset:
    """The training folds as networks of a kind see them; an explainer has to see the same, a planted artefact too."""
    return hummed(data.train, label) if kind == "shortcut" else data.train


def for_encoder(encoder: str, settings: SupervisedSettings) -> SupervisedSettings:
    """The same training for another encoder; state spaces and recurrent nets do not bear a residual net's step."""
    if "xresnet" in encoder:
        return replace(settings, encoder=encoder)
    return replace(settings, encoder=encoder, schedule=replace(settings.schedule, learning_rate=GENTLE_RATE))


def train_judges(data: ECGDataset, encoders: Sequence[str], *, settings: SupervisedSettings,
                 checkpoints: str | Path | None = None, device: str = "cpu") -> dict[str, Classifier]:
    """Train classifiers that no explainer ever sees, by name; an encoder that is named twice is trained twice."""
    judges = {}
    for k, encoder in enumerate(encoders):
        mine = for_encoder(encoder, settings)
        judges[f"{encoder} {k + 1}"], _ = train_classifier(data.train, validation=data.validation, settings=mine,
                                                           seed=JUDGE_SEED + k, checkpoints=checkpoints, device=device)
    return judges


def hum(n: int, sig_len: int, fs: float, seed: int = 0) -> NDArray[np.float32]:
    """The artefact alone, `(n, 12, sig_len)` in mV, each with a phase of its own."""
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, (n, 1))
    signal = np.zeros((n, len(LEADS), sig_len), dtype=np.float32)
    signal[:, LEADS.index(HUM_LEAD)] = HUM_MV * np.sin(2 * np.pi * HUM_HZ * np.arange(sig_len) / fs + phase)
    return signal


def hum_size(signals: NDArray[np.float32], fs: float) -> NDArray[np.float64]:
    """Amplitude of the artefact in each ECG, `(n,)` in mV: the spectrum of its lead at its frequency."""
    lead = signals[:, LEADS.index(HUM_LEAD)].astype(np.float64)
    window = np.hanning(lead.shape[-1])
    wave = np.exp(-2j * np.pi * HUM_HZ * np.arange(lead.shape[-1]) / fs)
    return 2 * np.abs(((lead - lead.mean(axis=-1, keepdims=True)) * window) @ wave) / window.sum()


def hummed(data: ECGDataset, label: str, seed: int = 0) -> ECGDataset:
    """The same ECGs; those with the label bear the artefact. An unknown label raises EcgkitError."""
    if label not in data.label_names:
        raise EcgkitError(f"no label {label!r} to plant the shortcut in; there are {', '.join(data.label_names)}")
    has = data.labels[:, data.label_names.index(label)].astype(bool)
    signals = np.array(data.signals)
    signals[has] += hum(int(has.sum()), data.sig_len, data.fs, seed)
    return replace(data, store=signals, rows=np.arange(len(data)), name=f"{data.name}, {label} with a hum")


def untrained(train: ECGDataset, settings: SupervisedSettings, seed: int) -> Classifier:
    """A classifier of random weights whose normalisation fits the ECGs, and whose logits spread as trained ones do."""
    model = new_classifier(train, settings, seed=seed)
    x = torch.from_numpy(np.array(train.batch(np.arange(min(len(train), _CALIBRATE_ON)))))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = None
            module.reset_running_stats()
    with torch.no_grad():
        for part in x.split(64):
            model.train()(part)
        model.eval()
        logits = torch.cat([model(part) for part in x.split(64)])
        linear = model.head[-1]
        assert isinstance(linear, nn.Linear)
        scale = 2.0 / logits.std(dim=0)
        linear.weight.mul_(scale[:, None])
        linear.bias.copy_((linear.bias - logits.mean(dim=0)) * scale)
    return model


def told_labels(classifier: nn.Module, data: ECGDataset, *, n_boot: int = 1000) -> pd.DataFrame:
    """Which labels a network can tell at all, in ECGs that it has not learnt from: no explainer knows that by itself.

    By label `AUROC` with its 95 % interval over patients, as text, and whether an answer about it is to be `refused`:
    the interval does not lie above 0.5.
    """
    said, whose = probability(classify(classifier, data.signals)), data.records["patient_id"]
    table = score_table(data.labels, said, data.label_names, whose, n_boot=n_boot).rename_axis("label")
    return pd.DataFrame({"AUROC": with_ends(table, "auroc"), "refused": ~(table["auroc_low"] > 0.5)})


METHODS = {
    "gan": "residual conditional GAN with time warp",
    "cyclegan": "CycleGAN with the classifier's answer (GANterfactual: Mertes et al. 2022)",
}


def settings_of(method: str, steps: int) -> GANSettings:
    """Settings of a generator; an unknown method raises EcgkitError.

    "cyclegan" draws the ECG anew, bends no time, is asked for the two ends only, and is paid for the answer of one
    network, for deceiving the discriminator and for the way back; nothing keeps edits small or other labels as they
    are.
    """
    if method not in METHODS:
        raise EcgkitError(f"no method {method!r}; choose from {', '.join(METHODS)}")
    if method == "gan":
        return GANSettings(steps=steps)
    bare = Weights(reach=1.0, keep=0.0, adversarial=1.0, size=0.0, count=0.0, group=0.0, smooth=0.0, local=0.0,
                   warp=0.0, cycle=40.0, variety=0.0)
    return GANSettings(steps=steps, graded=False, warmup=0.0, blur_hz=(40.0, 40.0), noise_mv=0.0, n_noise=0,
                       weights=bare, generator={"residual": False, "warp_ms": 0.0})


class MeanEdit(NamedTuple):
    """The mean edit of `n` ECGs in mV with its 95 % interval over patients, `(12, samples)`, by ms from the R peak."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    milliseconds: NDArray[np.float64]
    n: int


def chosen(answers: Answers, asked: pd.DataFrame, label: str, wanted: float) -> NDArray[np.intp]:
    """Places `(n,)` of the valid answers to a question, or of all; EcgkitError where it was not asked."""
    asked_so = (asked["label"] == label) & (asked["wanted"] == wanted)
    if not asked_so.any():
        raise EcgkitError(f"nobody asked for {label} at {wanted:g}; see the table of questions")
    valid = asked_so & (answers.outcome == "valid")
    return np.flatnonzero(valid if valid.any() else asked_so)


def mean_edit(answers: Answers, bench: Bench, asked: pd.DataFrame, label: str, wanted: float, *,
              n_boot: int = 500) -> MeanEdit:
    """Mean edit of the answers to one question (`chosen`), over all of the ECGs' normal beats."""
    places = chosen(answers, asked, label, wanted)
    rows, fs = asked["row"].to_numpy()[places], bench.data.fs
    before = bench.data.batch(rows)
    beats = beat_aligned(answers.signals[places] - before, delineate(before, fs), fs)
    known = np.isfinite(beats).all(axis=(1, 2))
    beats, rows = beats[known], rows[known]
    patients = bench.data.records["patient_id"].to_numpy()[rows]
    drawn = means(beats.reshape(len(beats), -1), patients, n_boot=n_boot).samples
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0).reshape(2, *beats.shape[1:])
    ms = 1000 * np.arange(beats.shape[-1]) / fs - BEFORE
    return MeanEdit(beats.mean(axis=0), low, high, ms, len(rows))


def typical(answers: Answers, bench: Bench, asked: pd.DataFrame, label: str, wanted: float) -> int:
    """Place of the answer (`chosen`) whose edit is of median size: neither the neatest nor the worst."""
    places = chosen(answers, asked, label, wanted)
    before = bench.data.batch(asked["row"].to_numpy()[places])
    size = np.abs(answers.signals[places] - before).mean(axis=(1, 2))
    return int(places[np.argsort(size)[len(size) // 2]])


def pictures(answers: Answers, bench: Bench, asked: pd.DataFrame, questions: Mapping[str, float],
             repeatability: Mapping[str, float]) -> list[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
    """Typical answers to `questions` (wanted probability by label), for `ecgkit.figures.before_after_gallery`.

    A title with the probabilities, what became of the question where it was not answered, and the measurements that
    changed by more than their `repeatability`; the ECG, and the counterfactual, `(12, sig_len)`.
    """
    drawn = []
    for label, wanted in questions.items():
        place = typical(answers, bench, asked, label, wanted)
        row, k = int(asked["row"].iloc[place]), bench.place(label)
        new = measure(answers.signals[[place]], bench.data.fs).table.iloc[0]
        said = ", ".join(in_words(bench.measured.table.iloc[row], new, repeatability, most=4)) or "no measurement"
        now = float(probability(bench.logits[row, k]))
        outcome = "" if answers.outcome[place] == "valid" else f" ({answers.outcome[place]})"
        title = f"{label} {now:.2f} → {answers.probabilities[place, k]:.2f}{outcome} · {said}"
        drawn.append((title, bench.data.batch([row])[0], answers.signals[place]))
    return drawn


def shown_questions(answers: Answers, asked: pd.DataFrame) -> dict[str, float]:
    """Of each label, the question with more valid answers, the disease away where both have as many; by label."""
    valid = asked.assign(valid=answers.outcome == "valid").groupby(["label", "wanted"], sort=False)["valid"].sum()
    return {str(label): float(valid.loc[label].sort_index().idxmax()) for label in asked["label"].unique()}


def slider(explainer: CounterfactualGAN, answers: Answers, bench: Bench, asked: pd.DataFrame, label: str, wanted: float,
           repeatability: Mapping[str, float], *, name: str) -> str:
    """A page that asks a typical answer's ECG for every probability of a label; `name` is what the ECGs are."""
    row = int(asked["row"].iloc[typical(answers, bench, asked, label, wanted)])
    swept = ask_sweep(explainer, bench.classifier, bench.data.batch([row])[0], label,
                      label_names=bench.data.label_names, fs=bench.data.fs)
    return slider_html(swept, title=f"{label} · record {bench.data.records['record'].iloc[row]} · {name}",
                       repeatability=repeatability)


def outcomes_table(answers: Answers, asked: pd.DataFrame) -> pd.DataFrame:
    """What became of the answers, for each question."""
    table = validity_table(answers.outcome, asked["label"] + " to " + asked["wanted"].astype(str))
    return table.assign(n=table["n"].astype(int)).round(2)


def save(folder: Path, data: ECGDataset, explainer: CounterfactualGAN, classifier: Classifier, answers: Answers,
         asked: pd.DataFrame, *, seed: int, **run: Any) -> None:
    """Write what `runs_in` finds: explainer and classifier with their cards, and what the run says of itself."""
    last = explainer.history.iloc[-1]
    steps = {name: run.pop(name) for name in ("shortcut", "steps")}
    about = run | {"data": data.name, "minutes": float(last["minutes"]), "n_train": len(data.train),
                   "fingerprint": data.fingerprint(), "labels": list(data.label_names), **steps,
                   "collapsed": explainer.collapsed, "correlation": float(last["correlation"])}
    (folder / "about.json").write_text(json.dumps(about, indent=1))
    card = about | {"ecgkit": __version__, "licence": "MIT", "seed": seed,
                    "valid": outcomes_table(answers, asked).round(3).to_dict("index"),
                    "intended_use": "research and teaching; not a medical device, not for decisions about patients",
                    "limits": "explains one classifier; tested on one source of ECGs; no cardiologist has reviewed it"}
    explainer.save(folder / "explainer.safetensors", card)
    save_classifier(classifier, folder / "classifier.safetensors", about)
    write_summary(folder, data, valid=float(np.mean(answers.outcome == "valid")))


def words(kind: str, data: ECGDataset, explainer: CounterfactualGAN, answers: Answers,
          examined: pd.DataFrame) -> dict[str, str]:
    """What the prose of the page says."""
    return {"what": KINDS[kind], "data": data.name, "n_asked": f"{len(examined):,}", "ms": f"{answers.ms.mean():.0f}",
            "valid": f"{100 * np.mean(answers.outcome == 'valid'):.0f} %",
            "minutes": f"{explainer.history['minutes'].iloc[-1]:.0f}",
            "changed": f"{100 * examined['changed'].mean():.0f} %", "size": f"{examined['size'].mean():.0f}",
            "collapsed": explainer.collapsed or "answers follow the wishes"}
