"""Counterfactual explainers that others proposed, beside which ours is measured."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.explain.baselines.gradient import PGD, LatentAscent, Wachter
from ecgkit.explain.baselines.search import NearestUnlikeNeighbour
from ecgkit.explain.results import Explainer
from ecgkit.models.windowed import Classifier
from ecgkit.training.loop import Schedule

__all__ = ["BASELINES", "PGD", "LatentAscent", "NearestUnlikeNeighbour", "Wachter", "baselines"]

#: Baselines by the names that a notebook is given.
BASELINES = {"neighbour": "nearest unlike neighbour", "wachter": "Wachter", "wachter-smooth": "Wachter, smooth",
             "vae": "VAE latent ascent"}


def baselines(names: Sequence[str], classifier: Classifier, train: ECGDataset, *, epochs: int = 10,
              checkpoints: str | Path | None = None) -> dict[str, Explainer]:
    """Baseline explainers of a classifier (keys of `BASELINES`), by their printed names.

    In `train` neighbours are found, and the autoencoder is trained for `epochs`.
    """
    given: dict[str, Any] = {"label_names": classifier.label_names}
    schedule = Schedule(epochs=epochs, batch_size=32, learning_rate=3e-3, weight_decay=1e-4)
    makers: dict[str, Callable[[], Explainer]] = {
        "neighbour": lambda: NearestUnlikeNeighbour(classifier, background=train.signals, **given),
        "wachter": lambda: Wachter(classifier, fs=classifier.fs, smooth=False, **given),
        "wachter-smooth": lambda: Wachter(classifier, fs=classifier.fs, smooth=True, **given),
        "vae": lambda: LatentAscent(classifier, fs=classifier.fs, schedule=schedule, **given).fit(
            train, seed=0, checkpoints=checkpoints)}
    for name in names:
        if name not in makers:
            raise EcgkitError(f"no baseline {name!r}; choose from {', '.join(BASELINES)}")
    return {BASELINES[name]: makers[name]() for name in names}
