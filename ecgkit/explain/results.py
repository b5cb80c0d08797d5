"""What is asked of a counterfactual explainer, and what it answers: ECGs, and why one of them is not to be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import nn

from ecgkit.errors import EcgkitError

#: Wishes for this probability or beyond, on either side, ask for what is typical of ECGs with, or without, the label.
EXTREME = 0.05
#: What is asked for where nothing finer is: the disease away, and the disease there.
AWAY, THERE = EXTREME, 1 - EXTREME
#: The label that is the absence of the others: it must give way when they change, and they when it does.
NORMAL = "NORM"
#: A target is reached within this distance in probability: 0.05 is reached at 0.10, 0.95 at 0.90.
WITHIN = 0.05
#: ECGs at a time: more do not stay in a processor's cache, and take longer each.
BATCH = 16


@dataclass(frozen=True)
class Counterfactuals:
    """Counterfactual ECGs.

    Parameters
    ----------
    signals, probabilities : ndarray, shape (n, 12, sig_len), (n, n_labels)
        Millivolts, and what the explained classifier says of them.
    valid, reason : ndarray of bool, of str, shape (n,)
        Whether the target was reached by a counterfactual that is held for plausible; why not, where not, else empty.
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


def kept_labels(label_names: Sequence[str]) -> NDArray[np.bool_]:
    """Which labels stay as they are while one is changed, `(n_labels, n_labels)`: row the changed, column the kept."""
    kept = ~np.eye(len(label_names), dtype=bool)
    if NORMAL in label_names:
        place = list(label_names).index(NORMAL)
        kept[:, place] = kept[place] = False
    return kept


def wanted_logits(target: Mapping[str, Any], label_names: Sequence[str], n: int) -> dict[int, NDArray[np.float64]]:
    """Wanted logits `(n,)` by place of the label, from wanted probabilities by name: one, or one for each of `n` ECGs.

    An unknown label, and a probability that is not between 0 and 1, raise `EcgkitError`.
    """
    if not target:
        raise EcgkitError("nothing is asked; give target={\"" + label_names[0] + "\": 0.05}, a label and a probability")
    wanted = {}
    for name, value in target.items():
        if name not in label_names:
            raise EcgkitError(f"no label {name!r}; the classifier has {', '.join(label_names)}")
        p = np.asarray(value, dtype=np.float64)
        if p.shape not in ((), (n,)) or not ((p > 0) & (p < 1)).all():
            raise EcgkitError(f"target of {name}: give one probability between 0 and 1, or {n} of them")
        wanted[list(label_names).index(name)] = np.broadcast_to(np.log(p / (1 - p)), (n,))
    return wanted


def reached(probabilities: NDArray[np.float64], target: Mapping[str, Any], label_names: tuple[str, ...],
            within: float = WITHIN) -> NDArray[np.bool_]:
    """Whether all wanted probabilities were reached, `(n,)`: from 0.95 on (0.05 down) further is reached too."""
    good = np.ones(len(probabilities), dtype=bool)
    for place, logit in wanted_logits(target, label_names, len(probabilities)).items():
        wanted, p = probability(logit), probabilities[:, place]
        beyond = ((wanted >= 1 - within - 1e-9) & (p >= wanted)) | ((wanted <= within + 1e-9) & (p <= wanted))
        good &= beyond | (np.abs(p - wanted) <= within + 1e-9)
    return good


@contextmanager
def held(*models: nn.Module) -> Iterator[torch.device]:
    """Models in eval mode, their weights without gradients; afterwards as they were. Gives the first one's device."""
    # Each module's own mode: a frozen part stays in eval mode inside a model in training.
    modes = [(module, module.training) for model in models for module in model.modules()]
    weights = [(weight, weight.requires_grad) for model in models for weight in model.parameters()]
    try:
        for model in models:
            model.eval().requires_grad_(False)
        yield next((weight.device for weight in models[0].parameters()), torch.device("cpu"))
    finally:
        for module, mode in modes:
            module.training = mode
        for weight, wants in weights:
            weight.requires_grad_(wants)


def classify(classifier: nn.Module, x: NDArray[np.float32], batch_size: int = BATCH) -> NDArray[np.float64]:
    """Logits `(n, n_labels)` of any classifier for ECGs `(n, 12, sig_len)`, in eval mode and without gradients."""
    with held(classifier) as device, torch.no_grad():
        parts = [classifier(torch.from_numpy(np.array(x[at:at + batch_size], dtype=np.float32)).to(device)).cpu()
                 for at in range(0, max(1, len(x)), batch_size)]
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
    for name, wanted in target.items():
        k = label_names.index(name)
        aim = np.broadcast_to(np.asarray(wanted, dtype=np.float64), (len(signals),))
        for row in np.flatnonzero(~reached(p, {name: aim}, label_names) & (reason == "")):
            reason[row] = f"not reached: {name} is {p[row, k]:.2f}, wanted {aim[row]:.2f}"
    return Counterfactuals(signals, p, good, reason)
