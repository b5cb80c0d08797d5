"""A self-contained page on one ECG: what the classifier says, what would change its mind, and how far to believe it."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray
from torch import nn

from ecgkit.datasets.reader import read_record
from ecgkit.errors import EcgkitError
from ecgkit.explain.attribution.forest import reasons_for
from ecgkit.explain.counterfactual.gan import DEFAULT, load
from ecgkit.explain.report.changes import (
    Sweep,
    ask_sweep,
    beyond,
    difference,
    in_words,
    name_of,
    number,
    shown_columns,
    unit_of,
    written,
)
from ecgkit.explain.report.slider import asset, render, slider_html
from ecgkit.explain.results import AWAY, THERE, Counterfactuals, Explainer, classify, probability, wanted_logits
from ecgkit.figures.counterfactual import before_after
from ecgkit.models import Classifier
from ecgkit.models.weights import model_card, shipped, shipped_explainers, shipped_few_labels
from ecgkit.physiology import measure, repeatability
from ecgkit.training.checkpoint import whole
from ecgkit.training.few_labels import FewLabelClassifier

_DPI = 130
#: What a model card says that belongs on the page, and how it is called there.
_CARD = {"data": "trained on", "n_train": "training ECGs", "n_test": "test ECGs", "intended_use": "intended use",
         "limits": "limits", "licence": "licence", "ecgkit": "ecgkit"}


@dataclass(frozen=True)
class Explanation:
    """One ECG, what was asked about it, and the answers.

    Parameters
    ----------
    record : str
        Name of the record.
    label_names, probabilities : tuple of str, ndarray, shape (n_labels,)
        Labels of the classifier, and what it says of the ECG.
    wanted : float
        Probability of `sweep.label` that was asked for.
    answers, measured : Counterfactuals, DataFrame
        One or several, and their measurements, a row each.
    sweep : Sweep
        The same ECG asked at several probabilities; it holds the ECG, its rate, the label and the measurements before.
    """

    record: str
    label_names: tuple[str, ...]
    probabilities: NDArray[np.float64]
    wanted: float
    answers: Counterfactuals
    measured: pd.DataFrame
    sweep: Sweep

    def __post_init__(self) -> None:
        n, labels = len(self.answers), len(self.label_names)
        if not n or len(self.measured) != n or self.answers.signals.shape[1:] != self.sweep.original.shape:
            raise EcgkitError(f"{self.record}: {n} answers of shape {self.answers.signals.shape[1:]} with "
                              f"{len(self.measured)} rows of measurements, for an ECG of shape "
                              f"{self.sweep.original.shape}; give at least one answer, each measured")
        if self.probabilities.shape != (labels,) or self.answers.probabilities.shape != (n, labels):
            raise EcgkitError(f"{self.record}: probabilities of shapes {self.probabilities.shape} and "
                              f"{self.answers.probabilities.shape} for {labels} labels")


@dataclass(frozen=True)
class Beside:
    """A few-label model's name, its probability of the label in print, and its forest's reasons, strongest first."""

    name: str
    probability: str
    reasons: list[str]


def says_beside(model: FewLabelClassifier, name: str, x: NDArray[np.float32], label: str) -> Beside:
    """Ask a few-label model about an ECG `(12, sig_len)` in mV and one of its labels."""
    seen = model.see(x[None])
    p = model.probabilities(seen)[0, model.label_names.index(label)]
    return Beside(name, f"{p:.2f}", reasons_for(model, seen.measured[0])[label])


def explain_ecg(explainer: Explainer, classifier: nn.Module, x: NDArray[np.float32], label: str, wanted: float, *,
                label_names: Sequence[str], fs: float, record: str) -> Explanation:
    """Ask an explainer about one ECG, once at the `wanted` probability of a label, and as `ask_sweep` does."""
    answers = explainer(x[None], {label: wanted})
    sweep = ask_sweep(explainer, classifier, x, label, label_names=tuple(label_names), fs=fs)
    return Explanation(record, tuple(label_names), probability(classify(classifier, x[None]))[0], wanted, answers,
                       measure(answers.signals, fs).table, sweep)


def report_html(of: Explanation, *, repeatability: Mapping[str, float], cards: Mapping[str, Mapping[str, Any]],
                battery: pd.DataFrame | None = None, battery_data: str = "", notes: Sequence[str] = (),
                network: str = "", beside: Beside | None = None) -> str:
    """Write the page: HTML that asks for nothing outside and works offline.

    Parameters
    ----------
    of : Explanation
    repeatability : mapping
        What a measurement must change by to count; see `ecgkit.explain.report.changes.beyond`.
    cards : mapping
        Model cards by name: of the classifier, and of the explainer.
    battery, battery_data : DataFrame, str, optional
        How such explanations did in the battery of tests, printed as it is; on which data, and how many ECGs.
    notes, network : sequence of str, str, optional
        What to beware of in the recording, and the name of the classifier; both stand at the top.
    beside : Beside, optional
        What another model says of the same ECG and label.
    """
    sweep = of.sweep
    return render(
        "report.html", record=of.record, notes=list(notes), network=network, beside=beside,
        label=sweep.label, now=f"{sweep.now:.2f}", wanted=f"{of.wanted:.2f}",
        seconds=f"{sweep.original.shape[1] / sweep.fs:g}", fs=f"{sweep.fs:g}", labels=_labels(of),
        answers=[_answer(of, k, repeatability) for k in range(len(of.answers))],
        slider=Markup(slider_html(sweep, title=f"{sweep.label} from {sweep.wanted[0]:.2f} to {sweep.wanted[-1]:.2f}",
                                  repeatability=repeatability)),
        battery=None if battery is None else _plain_table(battery), battery_data=battery_data,
        cards={name: _essentials(card, sweep.label) for name, card in cards.items()}, css=asset("report.css"))


def _labels(of: Explanation) -> list[dict[str, Any]]:
    """Each label's probability for the ECG and for the first answer."""
    return [{"name": name, "asked": name == of.sweep.label, "now": f"{p:.2f}", "then": f"{q:.2f}",
             "now_width": f"{100 * p:.1f}", "then_width": f"{100 * q:.1f}"}
            for name, p, q in zip(of.label_names, of.probabilities, of.answers.probabilities[0], strict=True)]


def _answer(of: Explanation, k: int, repeatability: Mapping[str, float]) -> dict[str, Any]:
    """What the page shows of one counterfactual."""
    sweep, obtained = of.sweep, of.answers.probabilities[k, of.label_names.index(of.sweep.label)]
    after = of.measured.iloc[[k]]
    change = difference(sweep.before, after)
    compared = sum(name in repeatability for name in change.columns[change.notna().iloc[0]])
    said = in_words(sweep.before, after.iloc[0], repeatability)
    columns = shown_columns(change, repeatability, most=12)
    cells, = written(after, change, columns, repeatability)
    rows = [{"name": name_of(name), "unit": unit_of(name), "before": number(name, sweep.before[name]), "after": value,
             "change": step, "beyond": counts} for name, (value, step, counts) in zip(columns, cells, strict=True)]
    figure = before_after(sweep.original, of.answers.signals[k], sweep.fs, changes=said,
                          title=f"{sweep.label}: {sweep.now:.2f} → {obtained:.2f}")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=_DPI)
    return {"valid": bool(of.answers.valid[k]), "reason": str(of.answers.reason[k]), "obtained": f"{obtained:.2f}",
            "rows": rows, "changed": int(beyond(change, repeatability).to_numpy().sum()), "compared": compared,
            "said": said, "picture": b64encode(picture.getvalue()).decode()}


def _plain_table(table: pd.DataFrame) -> dict[str, list[Any]]:
    flat = table.reset_index() if table.index.name else table
    return {"head": [str(name) for name in flat.columns],
            "rows": [["–" if pd.isna(value) else str(value) for value in row] for row in flat.to_numpy(dtype=object)]}


def _essentials(card: Mapping[str, Any], label: str) -> list[tuple[str, str]]:
    """What a model card says in short, with the score on the label that was asked about."""
    told = [(name, str(card[key])) for key, name in _CARD.items() if key in card]
    scores = card.get("test_auroc", {})
    return told + [(f"test AUROC, {name}", f"{scores[name]:.3f}") for name in (label, "macro") if name in scores]


#: Of a longer record the first so many seconds are explained: what fits a page of ECG paper.
SECONDS = 10.0


class RecordPages:
    """Explains records of any lead spelling, order, unit and rate.

    Parameters
    ----------
    label, wanted : str, float, optional
        Label whose probability is to change, and what to ask for; by default `AWAY` where the classifier says at least
        one half, else `THERE`.
    explainer : path
        A shipped explainer, or a file of weights.
    classifier : path, optional
        What it explains: a shipped classifier, or a file of weights; by default the one of the same name.
    """

    def __init__(self, label: str, wanted: float | None = None, *, explainer: str | Path = DEFAULT,
                 classifier: str | Path | None = None) -> None:
        self._explainer = load(explainer, classifier)
        wanted_logits({label: AWAY if wanted is None else wanted}, self._explainer.label_names, 1)
        self._label, self._wanted = label, wanted
        # A shipped explainer bears the name of its classifier: which card is meant, the file says.
        self.name = str(classifier or explainer)
        self._cards = {"classifier": model_card(shipped().get(self.name, self.name)),
                       "explainer": model_card(shipped_explainers().get(str(explainer), explainer))}
        alike = next(filter(self._same_ecgs, shipped_few_labels()), None)
        self._few_label = (FewLabelClassifier.load(alike), alike) if alike else None

    @property
    def classifier(self) -> Classifier:
        """What is explained."""
        model = self._explainer.classifier
        assert isinstance(model, Classifier)
        return model

    def write(self, record: Path, page: Path, notes: Sequence[str] = ()) -> str:
        """Write the page of a record, whole or not at all; in a line, what changed and whether that is to be used.

        Notes on the recording (`ecgkit.physiology.usable`) stand at its top.
        """
        model, label = self._explainer, self._label
        signal, fs, _ = read_record(record, fs=model.fs)
        signal = signal[:, :round(SECONDS * fs)]
        place = model.label_names.index(label)
        wanted = self._wanted
        if wanted is None:
            wanted = AWAY if classify(model.classifier, signal[None])[0, place] >= 0 else THERE
        found = explain_ecg(model, model.classifier, signal, label, wanted, label_names=model.label_names, fs=fs,
                            record=str(record))
        card = self._cards["explainer"]
        battery = pd.DataFrame(card["battery"]) if "battery" in card else None
        html = report_html(found, repeatability=repeatability(), cards=self._cards, battery=battery,
                           battery_data=card.get("battery_data", ""), notes=notes, network=self.name,
                           beside=says_beside(*self._few_label, signal, label) if self._few_label else None)
        with whole(page) as partial:
            partial.write_text(html, encoding="utf-8")
        verdict = "valid" if found.answers.valid[0] else str(found.answers.reason[0])
        return f"{label} {found.probabilities[place]:.2f} -> {found.answers.probabilities[0, place]:.2f}, {verdict}"

    def _same_ecgs(self, name: str) -> bool:
        """Whether a shipped few-label model learnt this label from the ECGs of what is explained."""
        card, mine = model_card(name), self._cards["classifier"]
        return card["fingerprint"] == mine.get("fingerprint") and self._label in card["test_auroc"]
