"""What is asked of a counterfactual explainer, and what it answers: ECGs, and why one of them is not to be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import nn

from ecgkit.errors import EcgkitError
from ecgkit.models.windowed import Regressor

#: Wishes for this probability or beyond, on either side, ask for what is typical of ECGs with, or without, the label.
EXTREME = 0.05
#: What is asked for where nothing finer is: the disease away, and the disease there.
AWAY, THERE = EXTREME, 1 - EXTREME
#: The label that is the absence of the others: it must give way when they change, and they when it does.
NORMAL = "NORM"
#: A target is reached within this distance in probability: 0.05 is reached at 0.10, 0.95 at 0.90.
WITHIN = 0.05
#: Of a regressor, within this share of its scale: about a tenth of the standard deviation of its training values.
WITHIN_SCALE = 0.15
#: ECGs at a time: more do not stay in a processor's cache, and take longer each.
BATCH = 16


@dataclass(frozen=True)
class Link:
    """How outputs are told: logits as probabilities, those of an `ecgkit.models.Regressor` in its units."""

    units: tuple[str, ...] = ()
    centre: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    scale: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def told(self, outputs: NDArray[np.float64], place: int | slice = slice(None)) -> NDArray[np.float64]:
        """Probabilities, or values in units, of outputs `(n, n_outputs)`, or of those of one place `(n,)`."""
        return outputs * self.scale[place] + self.centre[place] if self.units else probability(outputs)

    def outputs(self, values: NDArray[np.float64], place: int) -> NDArray[np.float64]:
        """The other way round, of one place."""
        return (values - self.centre[place]) / self.scale[place] if self.units else np.log(values / (1 - values))

    def apart(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far outputs of one place are apart: in probability, or in scales."""
        return np.abs(first - second if self.units else probability(first) - probability(second))


LOGISTIC = Link()


def link_of(model: nn.Module) -> Link:
    """How a network's outputs are told."""
    return Link(model.units, *(each.detach().cpu().double().numpy() for each in (model.centre, model.scale))) \
        if isinstance(model, Regressor) else LOGISTIC


@dataclass(frozen=True)
class Change:
    """A wish for more, or less, than the network says now: `by` so much, one number for all ECGs or one for each."""

    by: Any


@dataclass(frozen=True)
class Counterfactuals:
    """Counterfactual ECGs.

    Parameters
    ----------
    signals, probabilities : ndarray, shape (n, 12, sig_len), (n, n_labels)
        Millivolts, and what the explained classifier says of them; what a regressor says, in its units.
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


def wanted_logits(target: Mapping[str, Any], label_names: Sequence[str], n: int, link: Link = LOGISTIC) -> \
        dict[int, NDArray[np.float64]]:
    """Wanted logits `(n,)` by place of the label, from wanted probabilities by name: one, or one for each of `n` ECGs.

    Of a regressor, wanted outputs from values in units. An unknown label, a probability that is not between 0 and 1,
    and a value that is not finite raise `EcgkitError`.
    """
    if not target:
        wish = f"{link.centre[0]:.0f}}}, a quantity and a value" if link.units else "0.05}, a label and a probability"
        raise EcgkitError(f'nothing is asked; give target={{"{label_names[0]}": {wish}')
    wanted = {}
    for name, value in target.items():
        if name not in label_names:
            raise EcgkitError(f"no label {name!r}; the classifier has {', '.join(label_names)}")
        p, place = np.asarray(value, dtype=np.float64), list(label_names).index(name)
        if p.shape not in ((), (n,)) or not (np.isfinite(p) if link.units else (p > 0) & (p < 1)).all():
            what = f"finite number of {link.units[place]}" if link.units else "probability between 0 and 1"
            raise EcgkitError(f"target of {name}: give one {what}, or {n} of them")
        wanted[place] = np.broadcast_to(link.outputs(p, place), (n,))
    return wanted


def reached(probabilities: NDArray[np.float64], target: Mapping[str, Any], label_names: tuple[str, ...],
            within: float = WITHIN, link: Link = LOGISTIC) -> NDArray[np.bool_]:
    """Whether all wanted probabilities were reached, `(n,)`: from 0.95 on (0.05 down) further is reached too.

    A regressor's values are reached within `WITHIN_SCALE`, on either side.
    """
    good = np.ones(len(probabilities), dtype=bool)
    for place, logit in wanted_logits(target, label_names, len(probabilities), link).items():
        wanted, p = link.told(logit, place), probabilities[:, place]
        beyond = ((wanted >= 1 - within - 1e-9) & (p >= wanted)) | ((wanted <= within + 1e-9) & (p <= wanted))
        near = WITHIN_SCALE * link.scale[place] if link.units else within
        good &= (beyond & (not link.units)) | (np.abs(p - wanted) <= near + 1e-9)
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
    return assessed(signals, classify(classifier, signals), target, label_names, link_of(classifier))


def assessed(signals: NDArray[np.float32], logits: NDArray[np.float64], target: Mapping[str, Any],
             label_names: tuple[str, ...], link: Link = LOGISTIC) -> Counterfactuals:
    """The same, where the classifier's logits `(n, n_labels)` are known."""
    p, digits = link.told(logits), ".0f" if link.units else ".2f"
    good = reached(p, target, label_names, link=link)
    reason = np.full(len(signals), "", dtype=object)
    for name, wanted in target.items():
        k = label_names.index(name)
        aim = np.broadcast_to(np.asarray(wanted, dtype=np.float64), (len(signals),))
        for row in np.flatnonzero(~reached(p, {name: aim}, label_names, link=link) & (reason == "")):
            reason[row] = f"not reached: {name} is {p[row, k]:{digits}}, wanted {aim[row]:{digits}}"
    return Counterfactuals(signals, p, good, reason)
