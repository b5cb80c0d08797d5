"""`FewLabelClassifier`: what the house knows, joined into one learner for those who have few labels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from scipy.special import expit, logit

from ecgkit.errors import EcgkitError
from ecgkit.models.encoders import build_encoder
from ecgkit.models.weights import holds_few_labels, load_classifier, load_textbook, shipped_few_labels
from ecgkit.models.windowed import Classifier, Embedder
from ecgkit.training.checkpoint import whole
from ecgkit.training.forest import Bins, Forest, random_forest
from ecgkit.training.measured import MeasuredFeatures
from ecgkit.training.probe import LinearProbe, Standard, prior_of, probe_and_held_out

FORMAT = "ecgkit-few-labels-1"
_LEARNT = ("belief", "share", "centre", "spread", "line")
#: Shares of trees are kept off 0 and 1 by this much, whose logits are not finite.
_CERTAIN = 1e-3
#: What the textbook says of a label weighs as much as so many labelled ECGs (chosen on fold 9 of PTB-XL's sample).
BELIEF = 15
#: Of the line from joined logits to those of probabilities: less would be the wrong way round.
LEAST_SLOPE = 0.1


@dataclass(frozen=True)
class Seen:
    """What is known of ECGs before any label: measurements and margins `(n, n_measured)`, embeddings `(n, d)`."""

    measured: NDArray[np.float64]
    embedded: NDArray[np.float32]

    def rows(self, rows: slice | NDArray[np.bool_]) -> Seen:
        """Some of the ECGs."""
        return Seen(self.measured[rows], self.embedded[rows])


class FewLabelClassifier:
    """A classifier for a lab with fifty labels: a forest on measurements and rules, joined with a probe on embeddings.

    The forest knows what is measured (`ecgkit.physiology.measure`), and how far beyond its threshold each diagnostic
    rule is; the probe knows what a pretrained encoder has seen without labels. Each gives a logit; these are brought to
    one scale and averaged. Of a label that the encoder's textbook knows by name (`ecgkit.training.textbook`), the probe
    gets the textbook's direction as its prior, and what the textbook says weighs as much as `BELIEF` labelled ECGs.
    One line for each label makes probabilities of it (Platt 1999). Scale and line are learnt from predictions for
    labelled ECGs that the member had not seen: out of bag, and across folds of patients.

    Parameters
    ----------
    fs, seed : float, int
        Sampling rate in Hz of the signals; seed of the forest and of the folds.
    encoder : Embedder or Classifier, optional
        A classifier is an encoder with a textbook (its head). By default the best that is shipped.
    n_trees : int
        Of each label's forest.
    folder : path, optional
        Where measurements are kept, so that nothing is measured twice.
    """

    def __init__(self, fs: float = 100.0, seed: int = 0, encoder: Embedder | Classifier | None = None,
                 n_trees: int = 100, folder: str | Path | None = None) -> None:
        self.fs, self.seed, self.encoder, self.n_trees, self.folder = fs, seed, encoder, n_trees, folder

    # What scikit-learn's tools ask of an estimator, without its second of imports where one only predicts.

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters that it was made with, by name."""
        return {name: getattr(self, name) for name in signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Change parameters; what was learnt stays until the next `fit`."""
        for name, value in params.items():
            if name not in self.get_params():
                raise EcgkitError(f"no parameter {name!r}; there are {', '.join(self.get_params())}")
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags("classifier", TargetTags(required=True, multi_output=True), classifier_tags=ClassifierTags(),
                    input_tags=InputTags(two_d_array=False, three_d_array=True))

    @property
    def classes_(self) -> NDArray[np.intp]:
        """Numbers of the labels, as scikit-learn's classifiers of several labels have them."""
        return np.arange(len(self.label_names_))

    def fit(self, signals: NDArray[np.float32], labels: ArrayLike, *, groups: ArrayLike | None = None,
            unlabelled: NDArray[np.float32] | None = None, label_names: tuple[str, ...] = ()) -> Self:
        """Learn from labelled ECGs.

        Parameters
        ----------
        signals : ndarray, shape (n, 12, sig_len)
            In mV, at `fs` Hz, 2.5 s or longer.
        labels : array_like of 0 and 1, shape (n, n_labels)
        groups : array_like, shape (n,), optional
            Patients, so that no fold holds half of one; by default each ECG is a patient of its own.
        unlabelled : ndarray, shape (m, 12, sig_len), optional
            Further ECGs, whose measurements and embeddings say what is common.
        label_names : tuple of str
            One for each label; by default their numbers.

        Returns
        -------
        FewLabelClassifier
            Itself.

        Raises
        ------
        EcgkitError
            Where shapes, rate or numbers do not fit, or there is no ECG.
        """
        seen = self.see(np.asarray(signals))
        more = self.see(unlabelled) if unlabelled is not None else None
        return self.fit_seen(seen, np.asarray(labels), groups=groups, more=more, label_names=label_names)

    def see(self, signals: NDArray[np.float32]) -> Seen:
        """What is known of signals `(n, 12, sig_len)` in mV before any label."""
        embedder = self._embedder()
        if embedder.fs != self.fs:
            raise EcgkitError(f"signals at {self.fs:g} Hz, and the encoder expects {embedder.fs:g} Hz; resample "
                              "them, or give another encoder")
        return Seen(MeasuredFeatures(self.fs, self.folder, rules=True).embed(signals), embedder.embed(signals))

    def fit_seen(self, seen: Seen, labels: NDArray[Any], *, groups: ArrayLike | None = None,
                 more: Seen | None = None, label_names: tuple[str, ...] = ()) -> Self:
        """Learn as `fit` does, from what `see` gave, of labelled and of `more` ECGs."""
        y = np.asarray(labels, dtype=np.uint8)
        fits = y.ndim == 2 and 0 < len(y) == len(seen.measured)
        if not fits or (label_names and len(label_names) != y.shape[1]):
            raise EcgkitError(f"labels of shape {y.shape} for {len(seen.measured)} ECGs and {len(label_names)} label "
                              "names; expected (n, n_labels), n from 1 on, and a name each")
        patients = np.arange(len(y)).astype(str) if groups is None else np.asarray(groups)
        all_seen = [seen] if more is None else [seen, more]
        self.label_names_ = tuple(label_names) or tuple(map(str, range(y.shape[1])))
        self.forest_, out_of_bag = random_forest(
            seen.measured, y, seed=self.seed, n_trees=self.n_trees,
            bins=Bins.of(np.concatenate([part.measured for part in all_seen])))
        everything = np.concatenate([part.embedded for part in all_seen])
        standard = Standard.of(everything)
        taught = self._with_textbook()
        self.belief_ = np.zeros((y.shape[1], everything.shape[1])) if not isinstance(taught, Classifier) else prior_of(
            taught, self.label_names_, standard, everything)
        self.probe_, held_out = probe_and_held_out(seen.embedded, y, groups=patients, seed=self.seed,
                                                   standard=standard, prior=self.belief_)
        members = np.stack([_logit(out_of_bag), held_out])
        known = np.ma.masked_invalid(members)  # an ECG of a rare label may be in every bag
        spread = known.std(axis=1).filled(0)
        self.centre_, self.spread_ = known.mean(axis=1).filled(0), np.where(spread > 0, spread, 1.0)
        self.share_ = np.where(self.belief_.any(axis=1), BELIEF / (BELIEF + len(y)), 0.0)
        self.line_ = _lines(self._joined(members, seen), y)
        return self

    @property
    def label_names(self) -> tuple[str, ...]:
        """One for each label, once it has learnt."""
        return self.label_names_

    @property
    def crop_len(self) -> int:
        """Samples of the shortest ECG that it takes."""
        return self._embedder().crop_len

    def decision_function(self, signals: NDArray[np.float32]) -> NDArray[np.float64]:
        """Logits `(n, n_labels)` of signals `(n, 12, sig_len)` in mV."""
        return self.logits(self.see(np.asarray(signals)))

    def predict_proba(self, signals: NDArray[np.float32]) -> NDArray[np.float64]:
        """Calibrated probabilities `(n, n_labels)` of signals `(n, 12, sig_len)` in mV."""
        return self.probabilities(self.see(np.asarray(signals)))

    def predict(self, signals: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Labels `(n, n_labels)`, 1 where the probability is one half or more."""
        return (self.predict_proba(signals) >= 0.5).astype(np.uint8)

    def logits(self, seen: Seen) -> NDArray[np.float64]:
        """Logits `(n, n_labels)` from what `see` gave."""
        if not hasattr(self, "line_"):
            raise EcgkitError("this classifier has learnt nothing yet; call fit, or FewLabelClassifier.load")
        members = np.stack([_logit(self.forest_.predict(seen.measured)), self.probe_.logits(seen.embedded)])
        slope, offset = self.line_
        return slope * self._joined(members, seen) + offset

    def probabilities(self, seen: Seen) -> NDArray[np.float64]:
        """Calibrated probabilities `(n, n_labels)` from what `see` gave."""
        return np.asarray(expit(self.logits(seen)))

    def save(self, path: str | Path, card: dict[str, Any]) -> None:
        """Write everything, the encoder too, and a model card, to a file named `.safetensors`, whole or not at all."""
        embedder = self._embedder()
        arrays = {name: np.asarray(getattr(self.forest_, name)) for name in ("feature", "threshold", "skip", "roots")}
        arrays |= {"edges": self.forest_.bins.edges, "mean": self.probe_.standard.mean,
                   "standard_spread": self.probe_.standard.spread, "weight": self.probe_.weight,
                   "bias": self.probe_.bias, **{name: getattr(self, f"{name}_") for name in _LEARNT}}
        arrays |= {f"encoder/{name}": value.detach().cpu().numpy() for name, value in embedder.state_dict().items()}
        config = {"fs": self.fs, "seed": self.seed, "n_trees": self.n_trees, "label_names": self.label_names_,
                  "strength": self.probe_.strength, "crop_len": embedder.crop_len, "encoder": embedder.encoder.config}
        with whole(Path(path)) as partial:
            save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, partial,
                      metadata={"format": FORMAT, "config": json.dumps(config), "card": json.dumps(card)})

    @classmethod
    def load(cls, path: str | Path) -> FewLabelClassifier:
        """Read a file of `save`, or one that is shipped; `EcgkitError` where it is none, damaged or of another kind."""
        path = shipped_few_labels().get(str(path), path)
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError("it is of another kind; make one with FewLabelClassifier.save")
            return cls._built(json.loads(metadata["config"]), load_file(path))
        except Exception as error:  # what is damaged fails in whatever way forests and networks are built
            told = (str(error) or type(error).__name__).splitlines()[0]
            raise EcgkitError(f"{path}: not a readable few-label classifier ({told})") from error

    @classmethod
    def _built(cls, config: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> FewLabelClassifier:
        embedder = Embedder(build_encoder(**config["encoder"]), fs=config["fs"], crop_len=config["crop_len"])
        embedder.load_state_dict({name.removeprefix("encoder/"): torch.from_numpy(value)
                                  for name, value in arrays.items() if name.startswith("encoder/")})
        made = cls(config["fs"], config["seed"], embedder.eval(), config["n_trees"])
        made.label_names_ = tuple(config["label_names"])
        made.forest_ = Forest(Bins(arrays["edges"]), arrays["feature"], arrays["threshold"], arrays["skip"],
                              arrays["roots"])
        made.probe_ = LinearProbe(Standard(arrays["mean"], arrays["standard_spread"]), arrays["weight"],
                                  arrays["bias"], config["strength"])
        for name in _LEARNT:
            setattr(made, f"{name}_", arrays[name])
        if len(made.label_names_) != len(made.forest_.roots):
            raise ValueError(f"{len(made.label_names_)} names for {len(made.forest_.roots)} labels")
        return made

    def _with_textbook(self) -> Embedder | Classifier:
        return load_textbook() if self.encoder is None else self.encoder

    def _embedder(self) -> Embedder:
        found = self._with_textbook()
        return found.embedder() if isinstance(found, Classifier) else found

    def _joined(self, members: NDArray[np.float64], seen: Seen) -> NDArray[np.float64]:
        """Mean of the members' logits `(2, n, n_labels)` on one scale, and so much of what the textbook says.

        A member that does not know an ECG (nan) has no say in it.
        """
        mean = np.nanmean((members - self.centre_[:, None]) / self.spread_[:, None], axis=0)
        return (1 - self.share_) * mean + self.share_ * (self.probe_.standard(seen.embedded) @ self.belief_.T)


def load_any(path_or_name: str | Path) -> Classifier | FewLabelClassifier:
    """Read a network or a few-label classifier: a file of either, or the name of one that is shipped."""
    return FewLabelClassifier.load(path_or_name) if holds_few_labels(path_or_name) else load_classifier(path_or_name)


def _logit(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    return logit(shares.clip(_CERTAIN, 1 - _CERTAIN))


def _lines(joined: NDArray[np.float64], y: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Slope and offset for each label, `(2, n_labels)`, from joined logits to those of probabilities (Platt 1999).

    Slopes are held near 1 and above 0: a few ECGs should neither make a line steep nor turn the order around.
    """
    from scipy.optimize import minimize  # half a second, which only fitting needs

    found = np.empty((2, y.shape[1]))
    for k, truth in enumerate(y.T):
        offset = logit((truth.sum() + 0.5) / (len(truth) + 1))
        if truth.all() or not truth.any():  # what orders the ECGs, if anything does, is the textbook
            found[:, k] = 1.0, offset
            continue

        def loss(line: NDArray[np.float64], x: NDArray[np.float64] = joined[:, k],
                 sign: NDArray[np.float64] = 1 - 2.0 * truth) -> float:
            return float(np.logaddexp(0, sign * (line[0] * x + line[1])).sum() + 0.5 * (line[0] - 1) ** 2)

        found[:, k] = minimize(loss, (1.0, offset), bounds=((LEAST_SLOPE, None), (None, None))).x
    return found
