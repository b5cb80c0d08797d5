"""How unlike a classifier's training ECGs an ECG is: the distance of its embedding, as a percentile of theirs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from ecgkit.models.windowed import Classifier

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Novelty:
    """Mahalanobis distance in the embedding of a classifier.

    Parameters
    ----------
    mean, whiten : ndarray, shape (n_features,) and (n_features, n_features)
        Of the embeddings of training ECGs; what makes their covariance the identity.
    distances : ndarray, shape (n_quantiles,)
        Evenly spaced quantiles, 0 to 1, of the distances of training ECGs; see `ecgkit.training.gate.save_novelty`.
    """

    mean: Array
    whiten: Array
    distances: Array

    def distance(self, embeddings: NDArray[np.floating]) -> Array:
        """Distances `(n,)` of embeddings `(n, n_features)`."""
        return np.linalg.norm((embeddings - self.mean) @ self.whiten, axis=1)

    def percentile(self, classifier: Classifier, signals: NDArray[np.float32]) -> Array:
        """Percent of the training ECGs that are more like the others than each of `signals` `(n, 12, sig_len)` is."""
        ranks = np.linspace(0, 100, len(self.distances))
        return np.interp(self.distance(classifier.embedder().embed(signals)), self.distances, ranks)

    def save(self, path: str | Path, card: dict[str, str]) -> None:
        """Write it in half precision, with how it was made."""
        save_file({name: getattr(self, name).astype(np.float16 if name == "whiten" else np.float32)
                   for name in ("mean", "whiten", "distances")}, path, metadata=card)


def shipped_novelty(classifier: str) -> Novelty | None:
    """What comes with the package for a shipped classifier; None for any other."""
    path = Path(str(files("ecgkit.models"))) / "shipped" / "novelty" / f"{classifier}.safetensors"
    if Path(classifier).name != classifier or not path.is_file():
        return None
    return Novelty(**{name: values.astype(np.float64) for name, values in load_file(path).items()})
