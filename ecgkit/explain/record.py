"""A page of explanation for each record on disk, and a line that says what it shows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from ecgkit.datasets.reader import read_record
from ecgkit.explain.conditions import AWAY, THERE, wanted_logits
from ecgkit.explain.report import explain_ecg, report_html
from ecgkit.explain.results import classify
from ecgkit.explain.shipped import DEFAULT, load
from ecgkit.models.weights import model_card, shipped, shipped_explainers
from ecgkit.physiology import repeatability

#: Of a longer record the first so many seconds are explained: what fits a page of ECG paper.
SECONDS = 10.0


class RecordPages:
    """Explains records of any lead spelling, order, unit and rate.

    Parameters
    ----------
    label : str
        Label of the classifier whose probability is to change.
    wanted : float, optional
        Probability to ask for; by default `AWAY` where the classifier says at least one half, else `THERE`.
    explainer : path
        A shipped explainer, or a file of weights.
    classifier : path, optional
        What it explains: a shipped classifier, or a file of weights; by default the one of the same name.

    Raises
    ------
    EcgkitError
        Where the explainer or the classifier cannot be had, or the label or the probability cannot be asked for.
    """

    def __init__(self, label: str, wanted: float | None = None, *, explainer: str | Path = DEFAULT,
                 classifier: str | Path | None = None) -> None:
        self._explainer = load(explainer, classifier)
        wanted_logits({label: AWAY if wanted is None else wanted}, self._explainer.label_names, 1)
        self._label, self._wanted = label, wanted
        # A shipped explainer bears the name of its classifier: which card is meant, the file says.
        name = str(classifier or explainer)
        self._cards = {"classifier": model_card(shipped().get(name, name)),
                       "explainer": model_card(shipped_explainers().get(str(explainer), explainer))}

    def write(self, record: Path, page: Path) -> str:
        """Write the page of a record, whole or not at all; in a line, what changed and whether that is to be used.

        Raises
        ------
        EcgkitError
            Where the record cannot be read or explained.
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
        html = report_html(found, repeatability=repeatability(), cards=self._cards,
                           **_battery(self._cards["explainer"]))
        partial = page.with_suffix(f".{os.getpid()}.partial")
        try:
            partial.write_text(html, encoding="utf-8")
            os.replace(partial, page)
        finally:
            partial.unlink(missing_ok=True)
        verdict = "valid" if found.answers.valid[0] else str(found.answers.reason[0])
        return f"{label} {found.probabilities[place]:.2f} -> {found.answers.probabilities[0, place]:.2f}, {verdict}"


def _battery(card: dict[str, Any]) -> dict[str, Any]:
    """What an explainer's card says of tests: rows of a table, and on which data."""
    if "battery" not in card:
        return {}
    return {"battery": pd.DataFrame(card["battery"]), "battery_data": card.get("battery_data", "")}
