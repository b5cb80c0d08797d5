"""Runs of the counterfactuals' notebook, found again by the ECGs that they explain."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.explain.counterfactual import CounterfactualGAN
from ecgkit.models.classifier import Classifier
from ecgkit.models.weights import load_classifier


@dataclass(frozen=True)
class Run:
    """The folder of one run and what it says about itself.

    Parameters
    ----------
    folder : path
        With `about.json`, `classifier.safetensors` and `explainer.safetensors`.
    about : dict
        `kind` (`ecgkit.explain.panel.KINDS`), `method`, `fingerprint` of the ECGs, and more.
    """

    folder: Path
    about: dict[str, Any]

    def classifier(self) -> Classifier:
        """The network that was explained."""
        return load_classifier(self.folder / "classifier.safetensors")

    def explainer(self) -> CounterfactualGAN:
        """The generator, with the network that it explains."""
        return CounterfactualGAN.restored(self.folder / "explainer.safetensors", self.classifier())


def runs_in(folder: str | Path, data: ECGDataset) -> dict[str, Run]:
    """The runs that explain networks of these very ECGs and labels.

    Parameters
    ----------
    folder : path
        With the results of the only run, or a subfolder for each.
    data : ECGDataset

    Returns
    -------
    dict
        By kind for method "gan", "trained" first; by method for others.

    Raises
    ------
    EcgkitError
        Where no trained one is there.
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
