"""What every counterfactual explainer gives: ECGs, what the classifier says of them, and why one is not to be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import nn

from ecgkit.explain.conditions import wanted_logits

#: A target is reached within this distance in probability: 0.05 is reached at 0.10, 0.95 at 0.90.
WITHIN = 0.05
#: ECGs at a time: more do not stay in a processor's cache, and take longer each.
BATCH = 16


@dataclass(frozen=True)
class Counterfactuals:
    """Counterfactual ECGs.

    Parameters
    ----------
    signals : ndarray of float32, shape (n, 12, sig_len)
        Millivolts.
    probabilities : ndarray, shape (n, n_labels)
        What the explained classifier says of them.
    valid : ndarray of bool, shape (n,)
        Whether the target was reached by a counterfactual that is held for plausible.
    reason : ndarray of str, shape (n,)
        Why not, where not; empty where valid.
    """

    signals: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    valid: NDArray[np.bool_]
    reason: NDArray[Any]

    def __len__(self) -> int:
        return len(self.signals)

    def rows(self, which: NDArray[Any]) -> Counterfactuals:
        """Some of them, by place or by mask."""
        return Counterfactuals(*(values[which] for values in vars(self).values()))


class Explainer(Protocol):
    """Anything that answers "what would this ECG look like if the classifier said so"."""

    def __call__(self, x: NDArray[np.float32], target: Mapping[str, Any]) -> Counterfactuals:
        """Counterfactuals of ECGs `(n, 12, sig_len)` in mV, with wanted probabilities by label."""
        ...


def reached(probabilities: NDArray[np.float64], target: Mapping[str, Any], label_names: tuple[str, ...],
            within: float = WITHIN) -> NDArray[np.bool_]:
    """Whether all wanted probabilities were reached, `(n,)`: from 0.95 on (0.05 down) further is reached too."""
    good = np.ones(len(probabilities), dtype=bool)
    for place, logit in wanted_logits(target, label_names, len(probabilities)).items():
        wanted, p = probability(logit), probabilities[:, place]
        beyond = ((wanted >= 1 - within - 1e-9) & (p >= wanted)) | ((wanted <= within + 1e-9) & (p <= wanted))
        good &= beyond | (np.abs(p - wanted) <= within + 1e-9)
    return good


def classify(classifier: nn.Module, x: NDArray[np.float32], batch_size: int = BATCH) -> NDArray[np.float64]:
    """Logits `(n, n_labels)` of any classifier for ECGs `(n, 12, sig_len)`, in eval mode and without gradients."""
    device = next((weight.device for weight in classifier.parameters()), torch.device("cpu"))
    # Each module's own: a frozen part stays in eval mode inside a model in training.
    modes = [(module, module.training) for module in classifier.modules()]
    classifier.eval()
    try:
        with torch.no_grad():
            parts = [classifier(torch.from_numpy(np.array(x[at:at + batch_size], dtype=np.float32)).to(device)).cpu()
                     for at in range(0, max(1, len(x)), batch_size)]
    finally:
        for module, mode in modes:
            module.training = mode
    return torch.cat(parts).double().numpy()


def probability(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logistic function."""
    return expit(logits)


def judged(classifier: nn.Module, signals: NDArray[np.float32], target: Mapping[str, Any],
           label_names: tuple[str, ...]) -> Counterfactuals:
    """Counterfactuals of signals that an explainer made: valid where the classifier says what was wanted."""
    return assessed(signals, classify(classifier, signals), target, label_names)


def assessed(signals: NDArray[np.float32], logits: NDArray[np.float64], target: Mapping[str, Any],
             label_names: tuple[str, ...]) -> Counterfactuals:
    """The same, where the classifier's logits `(n, n_labels)` are known."""
    p = probability(logits)
    good = reached(p, target, label_names)
    reason = np.full(len(signals), "", dtype=object)
    for name in target:
        k = label_names.index(name)
        aim = np.broadcast_to(np.asarray(target[name], dtype=np.float64), (len(signals),))
        for row in np.flatnonzero(~reached(p, {name: aim}, label_names) & (reason == "")):
            reason[row] = f"not reached: {name} is {p[row, k]:.2f}, wanted {aim[row]:.2f}"
    return Counterfactuals(signals, p, good, reason)
