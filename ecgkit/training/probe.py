"""Heads on embeddings of a frozen encoder: a linear probe, and a small network that is never called linear."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ecgkit.datasets.splits import assign_folds
from ecgkit.errors import EcgkitError
from ecgkit.models.windowed import Classifier
from ecgkit.training.checkpoint import Run, seeded
from ecgkit.training.loop import Schedule, fit

#: Embeddings, `(n, n_features)`.
Features = NDArray[np.floating[Any]]

#: Values of scikit-learn's C, the inverse strength of the penalty, that a probe chooses from.
STRENGTHS = (1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
#: Where the labelled ECGs are too few to choose a strength among themselves.
FALLBACK = 1e-2
N_FOLDS = 5
#: The most steps that `fixed_steps` calls an epoch.
STRETCH = 25
#: Spread of what a prior says, beside features of spread 1.
PRIOR_SCALE = 5.0
#: A feature whose spread is this small beside its mean is constant up to rounding.
_CONSTANT = 1e-6


@dataclass(frozen=True)
class Standard:
    """Mean and spread by which embeddings are standardised, `(n_features,)`.

    They need no labels, so those of all training ECGs may be used however few have labels.
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def of(cls, features: Features) -> Standard:
        """Mean and standard deviation of features `(n, n_features)`; 1 for a feature that is constant."""
        wide = features.astype(np.float64)
        mean, spread = wide.mean(axis=0), wide.std(axis=0)
        return cls(mean, np.where(spread > _CONSTANT * np.abs(mean), spread, 1.0))

    def __call__(self, features: Features) -> NDArray[np.float64]:
        """Standardise features `(n, n_features)`."""
        return (features - self.mean) / self.spread


@dataclass(frozen=True)
class LinearProbe:
    """One logistic regression per label on standardised embeddings, and the C that was chosen, its `strength`.

    `weight` is `(n_labels, n_features)`, zero for a label of which one class only was seen; `bias` is `(n_labels,)`.
    """

    standard: Standard
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    strength: float

    def logits(self, features: Features) -> NDArray[np.float64]:
        """Logits `(n, n_labels)` of features `(n, n_features)`."""
        return self.standard(features) @ self.weight.T + self.bias

    def predict(self, features: Features) -> NDArray[np.float64]:
        """Probabilities `(n, n_labels)` of features `(n, n_features)`."""
        return expit(self.logits(features))


def linear_probe(features: Features, labels: NDArray[np.uint8], *, groups: ArrayLike, seed: int,
                 standard: Standard | None = None, prior: NDArray[np.float64] | None = None,
                 strengths: Sequence[float] = STRENGTHS) -> LinearProbe:
    """Fit a linear probe: an L2-penalised logistic regression for each label.

    One strength of the penalty serves all labels: the one with the least log-loss, in the mean over labels, of
    predictions across folds of patients among these same ECGs. A label counts in the choice where it is present in at
    least two folds and absent in at least two; where none does, the strength is `FALLBACK`.

    Parameters
    ----------
    features, labels : ndarray, shape (n, n_features) and (n, n_labels)
        Embeddings of the labelled ECGs, and their labels, multi-hot.
    groups, seed : array_like, shape (n,), int
        Patient of each ECG; seed of the folds.
    standard : Standard, optional
        Better that of all ECGs, labelled or not; by default that of `features`.
    prior : ndarray, shape (n_labels, n_features), optional
        What is believed of each label beforehand (`prior_of`): the penalty then hardly holds back weights along this
        direction. The prior knows nothing of these labels, and its length and sign are learnt from them.
    strengths : sequence of float
        Values of C to choose from.

    Returns
    -------
    LinearProbe
        A label of one class only gets its prevalence, drawn half an ECG towards the other class.

    Raises
    ------
    EcgkitError
        Where shapes do not fit, there is no ECG, a feature is not finite or a strength is not positive.
    """
    patients = np.asarray(groups)
    _check(features, labels)
    if len(patients) != len(features):
        raise EcgkitError(f"{len(patients)} patients for {len(features)} embeddings; give one per ECG")
    if not strengths or min(strengths) <= 0:
        raise EcgkitError(f"strengths {tuple(strengths)}: give at least one, all above 0")
    standard = standard or Standard.of(features)
    x, y = standard(features), np.asarray(labels, dtype=bool)
    if prior is not None and prior.shape != (y.shape[1], x.shape[1]):
        raise EcgkitError(f"a prior of shape {prior.shape}; expected {(y.shape[1], x.shape[1])}")
    # One more feature for each label: what the prior says of it, large, so that its weight is hardly penalised.
    seen = [x if prior is None else np.column_stack([x, PRIOR_SCALE * x @ direction])
            for direction in (y.T if prior is None else prior)]
    strength = _best_strength(seen, y, patients, sorted(strengths), seed)
    weight, bias = np.zeros((y.shape[1], x.shape[1])), np.empty(y.shape[1])
    for k, truth in enumerate(y.T):
        if truth.all() or not truth.any():
            # Half an ECG of the other class (Haldane 1956, Anscombe 1956), since a certain answer has no logit.
            bias[k] = np.log((truth.sum() + 0.5) / ((~truth).sum() + 0.5))
        else:
            found, bias[k] = next(_path(seen[k], truth, [strength]))
            weight[k] = found if prior is None else found[:-1] + PRIOR_SCALE * found[-1] * prior[k]
    return LinearProbe(standard, weight, bias, strength)


def probe_and_held_out(features: Features, labels: NDArray[np.uint8], *, groups: ArrayLike, seed: int,
                       standard: Standard, prior: NDArray[np.float64]) -> tuple[LinearProbe, NDArray[np.float64]]:
    """Fit a `linear_probe`, and say for each ECG `(n, n_labels)` what a probe of its kind does that had not seen it.

    The folds of patients are those in which it chooses its strength; where there is one only, the logit is the bias.
    """
    patients, y = np.asarray(groups), np.asarray(labels, dtype=bool)
    told: dict[str, Any] = {"seed": seed, "standard": standard, "prior": prior}
    probe = linear_probe(features, labels, groups=patients, **told)
    fold = assign_folds(patients, y, n_folds=N_FOLDS, seed=seed)
    logits = np.tile(probe.bias, (len(y), 1))
    for held_out in np.unique(fold):
        inside, outside = fold == held_out, fold != held_out
        if outside.any():
            logits[inside] = linear_probe(features[outside], labels[outside], groups=patients[outside],
                                          strengths=(probe.strength,), **told).logits(features[inside])
    return probe, logits


def prior_of(classifier: Classifier, label_names: Sequence[str], standard: Standard,
             features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Directions, `(n_labels, n_features)` on standardised features, in which a classifier sees labels; 0 for others.

    It is on the same encoder; its logits are given unit spread over `features` `(n, n_features)`, labelled or not.
    """
    norm, linear = classifier.head[0], classifier.head[-1]
    assert isinstance(norm, nn.BatchNorm1d)
    assert isinstance(linear, nn.Linear)
    assert norm.running_var is not None
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().double().cpu().numpy()
    weights = dict(zip(classifier.label_names, linear.weight.detach().double().cpu().numpy(), strict=True))
    unknown = np.zeros(len(scale))
    weight = np.stack([weights.get(name, unknown) for name in label_names]) * scale * standard.spread
    spread = (standard(features) @ weight.T).std(axis=0)
    return weight / np.where(spread > 0, spread, 1.0)[:, None]


def _best_strength(seen: Sequence[NDArray[np.float64]], y: NDArray[np.bool_], patients: NDArray[np.object_],
                   strengths: Sequence[float], seed: int) -> float:
    if len(strengths) == 1:
        return strengths[0]
    fold = assign_folds(patients, y, n_folds=N_FOLDS, seed=seed)
    # A label that is in two folds, and missing in two, has both classes outside of any one fold.
    chosen_by = [(x, truth) for x, truth in zip(seen, y.T, strict=True)
                 if min(len(set(fold[truth])), len(set(fold[~truth]))) > 1]
    if not chosen_by:
        return FALLBACK
    losses = np.zeros(len(strengths))
    for x, truth in chosen_by:
        logits = np.empty((len(strengths), len(x)))
        for held_out in range(1, N_FOLDS + 1):
            inside, outside = fold == held_out, fold != held_out
            logits[:, inside] = [x[inside] @ weight + bias for weight, bias in
                                 _path(x[outside], truth[outside], strengths)]
        losses += np.logaddexp(0, np.where(truth, -logits, logits)).mean(axis=1)
    return strengths[int(losses.argmin())]


def _path(x: NDArray[np.float64], y: NDArray[np.bool_],
          strengths: Sequence[float]) -> Iterator[tuple[NDArray[np.float64], float]]:
    """Weights and bias at each strength, from the strongest penalty on: each fit starts where the last one ended."""
    from sklearn.linear_model import LogisticRegression  # a second, which only fitting needs

    model = LogisticRegression(warm_start=True, max_iter=1000)
    for strength in strengths:
        model.set_params(C=strength).fit(x, y)
        yield model.coef_[0].copy(), float(model.intercept_[0])


@dataclass(frozen=True)
class HeadSettings:
    """What an MLP head needs: `hidden` units with a rectifier, `dropout` before the output, and AdamW's settings.

    ECGs are drawn with replacement, so that the steps are as many however few ECGs there are.
    """

    hidden: int = 128
    dropout: float = 0.5
    steps: int = 300
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2


@dataclass(frozen=True)
class MlpHead:
    """A network with one hidden layer: `net` gives logits `(n, n_labels)` of standardised embeddings, in eval mode."""

    standard: Standard
    net: nn.Module

    @torch.no_grad()
    def predict(self, features: Features) -> NDArray[np.float64]:
        """Probabilities `(n, n_labels)` of features `(n, n_features)`."""
        x = torch.from_numpy(self.standard(features).astype(np.float32))
        return torch.sigmoid(self.net(x).double()).numpy()


def frozen_head(features: Features, labels: NDArray[np.uint8], *, seed: int,
                standard: Standard | None = None, settings: HeadSettings | None = None) -> MlpHead:
    """Train an MLP head on embeddings of a frozen encoder.

    Parameters
    ----------
    features, labels, standard
        As in `linear_probe`, with the same errors.
    seed, settings : int, HeadSettings, optional
        Seed of the initial weights, the batches and the dropout.
    """
    settings = settings or HeadSettings()
    _check(features, labels)
    standard = standard or Standard.of(features)
    x, y = (torch.from_numpy(np.asarray(a, dtype=np.float32)) for a in (standard(features), labels))
    with seeded(seed):
        net = nn.Sequential(nn.Linear(x.shape[1], settings.hidden), nn.ReLU(), nn.Dropout(settings.dropout),
                            nn.Linear(settings.hidden, y.shape[1]))

    def loss(net: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
        drawn = torch.randint(len(x), (len(batch),), generator=generator)
        return binary_cross_entropy_with_logits(net(x[drawn]), y[drawn])

    schedule, n_items = fixed_steps(settings.steps, batch_size=settings.batch_size,
                                    learning_rate=settings.learning_rate, weight_decay=settings.weight_decay)
    trained, _ = fit(net, loss, n_items, schedule, Run("training the head", seed=seed))
    return MlpHead(standard, trained)


def fixed_steps(steps: int, **options: Any) -> tuple[Schedule, int]:
    """A schedule of so many steps whatever the number of ECGs, and the `n_items` that `fit` must be told for it.

    An "epoch" is a stretch of at most `STRETCH` steps, after which a checkpoint may be written. The loss must draw its
    ECGs itself: the positions that it is given say no more than how many. The options are those of `Schedule`.
    """
    if steps < 1:
        raise EcgkitError(f"{steps} steps of training: give at least 1")
    stretch = max(k for k in range(1, STRETCH + 1) if steps % k == 0)
    schedule = Schedule(epochs=steps // stretch, **options)
    return schedule, stretch * schedule.batch_size


def check_shapes(features: Features, labels: NDArray[np.uint8], what: str = "embeddings") -> None:
    """Raise EcgkitError where features are not `(n, n_features)` or labels not `(n, n_labels)`, with n from 1 on."""
    if features.ndim != 2 or np.ndim(labels) != 2 or len(features) != len(labels) or not len(features):
        raise EcgkitError(f"{what} of shape {features.shape} and labels of shape {np.shape(labels)}; expected "
                          "(n, n_features) and (n, n_labels) with n from 1 on")


def _check(features: Features, labels: NDArray[np.uint8]) -> None:
    check_shapes(features, labels)
    if not np.isfinite(features).all():
        row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise EcgkitError(f"the embedding of ECG {row} is not finite; look for damaged signals")
