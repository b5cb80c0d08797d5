"""`CounterfactualGAN`: what would this patient's ECG look like if the classifier said something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.explain.counterfactual.training import LEAST_CORRELATION, GANSettings, train_generator
from ecgkit.explain.counterfactual.windows import (
    cut_windows,
    discriminator_condition,
    generator_condition,
)
from ecgkit.explain.results import BATCH, EXTREME, Change, Counterfactuals, assessed, classify, link_of, wanted_logits
from ecgkit.leads import N_LEADS
from ecgkit.models.generator import Discriminator, Generator
from ecgkit.models.weights import load_classifier, load_explainer, save_explainer, shipped_explainers
from ecgkit.models.windowed import Classifier
from ecgkit.training.checkpoint import Run, weights_digest

#: Where an answer falls short or goes too far, the wish is put again, corrected by what was missing: so often at most.
ROUNDS = 4
#: Of real ECGs, this share looks less real than the limit of what is held for plausible.
IMPLAUSIBLE_SHARE = 0.01
#: Real ECGs that the limit is found on, at most.
_ASKED_FOR_LIMIT = 1000
#: Why a regressor's value is not given.
OUT_OF_RANGE = "out of range"
#: The shipped explainer of the classifier of the same name.
DEFAULT = "ptbxl-superclass"


def load(path_or_name: str | Path = DEFAULT, classifier: str | Path | nn.Module | None = None) -> CounterfactualGAN:
    """Give a trained explainer with its classifier, ready to be asked.

    Either is the name of a shipped one, or a file (`CounterfactualGAN.save`); by default the classifier has the name of
    the explainer, and a network itself will do. Where there is no such file, or it explains another classifier, an
    `EcgkitError` is raised.
    """
    if classifier is None:
        known = shipped_explainers()
        if str(path_or_name) not in known:
            remedy = "give also the classifier that it explains" if Path(path_or_name).is_file() else \
                f"no such explainer is shipped (there are {', '.join(known) or 'none'}), and there is no such file"
            raise EcgkitError(f"{path_or_name}: {remedy}")
        classifier = path_or_name
    return CounterfactualGAN.restored(path_or_name, classifier if isinstance(classifier, nn.Module) else
                                      load_classifier(classifier))


class CounterfactualGAN:
    """Residual conditional GAN: trained once, then each counterfactual is one forward pass.

    The generator bends time a little and adds a smooth edit to the eight independent leads, so the limb leads' algebra
    holds exactly (`ecgkit.models.generator`). It is told which label is to have which probability, and is trained so
    that the classifier says so, that its twins say so too, that labels nobody asked about stay, that a discriminator
    takes the ECG for a real one with that probability, and that the way back leads home (Zhu et al. 2017; Singla et al.
    2020), while the edit is small, sparse and smooth.

    Parameters
    ----------
    classifier : Module
        From `(batch, 12, sig_len)` in mV to logits `(batch, n_labels)`; never changed. An `ecgkit.models.Regressor` is
        explained in its units.
    twins : sequence of Module
        Other networks trained on the same ECGs. The generator has to persuade them too, and an answer that one of them
        does not follow is not given: it would explain the accidents of one training. Without any, only `classifier` is
        asked.
    label_names, fs : sequence of str, float, optional
        Of the logits, and sampling rate in Hz; by default the classifier's own.
    settings : GANSettings, optional

    Attributes
    ----------
    history : DataFrame
        Of the training: see `ecgkit.explain.counterfactual.training.train_generator`.
    """

    def __init__(self, classifier: nn.Module, *, twins: Sequence[nn.Module] = (),
                 label_names: Sequence[str] | None = None, fs: float | None = None,
                 settings: GANSettings | None = None) -> None:
        names = label_names or getattr(classifier, "label_names", None)
        rate = fs or getattr(classifier, "fs", None)
        if not names or not rate:
            raise EcgkitError("the classifier does not say its labels and its rate; give label_names and fs")
        self.classifier, self.twins, self.link = classifier, tuple(twins), link_of(classifier)
        self.label_names, self.fs = tuple(names), float(rate)
        self.settings = settings or GANSettings()
        self.history = pd.DataFrame()
        self.limit = -float("inf")
        self.ends = torch.zeros(len(self.label_names), 2)
        self._generator: Generator | None = None
        self._discriminator: Discriminator | None = None

    def fit(self, data: ECGDataset, *, seed: int = 0, checkpoints: str | Path | None = None,
            device: str = "cpu") -> CounterfactualGAN:
        """Train on the ECGs of a dataset at `fs` (training folds only), whose labels are not used; gives itself.

        The rest is as in `ecgkit.training.checkpoint.Run`. Data that do not fit, and a training that diverges, raise an
        `EcgkitError`; whether answers follow the wishes in the end says `collapsed`.
        """
        if data.fs != self.fs:
            raise EcgkitError(f"{data.name} has {data.fs:g} Hz, the classifier expects {self.fs:g}; load it with "
                              f"fs={self.fs:g}")
        windows, classifiers = cut_windows(data, self.classifier, self.length), (self.classifier, *self.twins)
        run = Run("the generator", {"task": "counterfactual", "data": data, "labels": self.label_names,
                                    "classifiers": classifiers}, seed, checkpoints, device)
        self._generator, self._discriminator, self.history = train_generator(
            windows, classifiers, self.settings, self.label_names, run)
        # The twins are judges from here on, as they will be kept.
        self.twins = tuple(deepcopy(twin) for twin in self.twins)
        for model in (self._generator, self._discriminator, *self.twins):
            _as_kept(model)
        self.ends = windows.ends
        self.limit = least_plausible(self._discriminator, data, self.ends, self.length)
        return self

    @property
    def length(self) -> int:
        """Samples of the windows that it was trained on."""
        return round(self.settings.seconds * self.fs)

    @property
    def collapsed(self) -> str:
        """Why the training is not to be believed; empty where it is, and where this explainer was read from a file."""
        if self.history.empty:
            return ""
        last = self.history.tail(5).mean()
        if not last["correlation"] >= LEAST_CORRELATION:
            return f"answers hardly follow the wishes: correlation {last['correlation']:.2f}"
        return ""

    def __call__(self, x: NDArray[np.float32], target: Mapping[str, Any], *,
                 noise: NDArray[np.float32] | None = None) -> Counterfactuals:
        """Counterfactuals; those that fall short, look unreal or lack a twin's consent are not valid, saying why.

        Parameters
        ----------
        x : ndarray, shape (n, 12, sig_len)
            Millivolts at `fs`.
        target : mapping
            Wanted probability by label: one number, or one for each ECG. Other labels are kept, but for NORM, which is
            the absence of the others. Of a regressor, the wanted value in its units, or a `Change` of it; one that is
            out of the range of the training ECGs has no valid answer.
        noise : ndarray, shape (n, n_noise), optional
            Random numbers for another answer; zeros by default.

        Raises
        ------
        EcgkitError
            Before training, for signals of another shape, or for an unknown label.
        """
        if self._generator is None:
            raise EcgkitError("this explainer has not been trained; call fit(data) first, or ecgkit.explain.load()")
        x = np.asarray(x, dtype=np.float32)
        if x.ndim != 3 or x.shape[1] != N_LEADS or not np.isfinite(x).all():
            raise EcgkitError(f"signals of shape {x.shape}; give (n, {N_LEADS}, sig_len) of finite millivolts at "
                              f"{self.fs:g} Hz")
        if noise is None:
            noise = np.zeros((len(x), self.settings.n_noise), dtype=np.float32)
        now = classify(self.classifier, x)
        said = dict(zip(self.label_names, self.link.told(now).T, strict=True))
        target = {k: said[k] + value.by if isinstance(value, Change) and k in said else value
                  for k, value in target.items()}
        wishes = wanted_logits(target, self.label_names, len(x), self.link)
        found = self._corrected(x, now, wishes, {k: self._first_aim(k, logit) for k, logit in wishes.items()}, noise)
        left = np.flatnonzero(~found.valid)
        if len(left) and not self.link.units:
            # What is typical may be too far from this ECG to be drawn; the wish itself asks for less.
            plain = {k: logit[left] for k, logit in wishes.items()}
            milder = self._corrected(x[left], now[left], plain, plain, noise[left])
            found = _with(found, left[milder.valid], milder.rows(milder.valid))
        return found

    def _corrected(self, x: NDArray[np.float32], now: NDArray[np.float64], wishes: Mapping[int, NDArray[np.float64]],
                   aims: Mapping[int, NDArray[np.float64]], noise: NDArray[np.float32]) -> Counterfactuals:
        """Answers to aims (logits), put again until the wishes (logits) are reached; the doubtful ones not valid."""
        target = {self.label_names[k]: self.link.told(logit, k) for k, logit in wishes.items()}
        best, off = assessed(x.copy(), now, target, self.label_names, self.link), np.full(len(x), np.inf)
        aims = {k: aim.copy() for k, aim in aims.items()}
        asked, got = {k: now[:, k].copy() for k in aims}, {k: now[:, k].copy() for k in aims}
        for _ in range(ROUNDS):
            left = np.flatnonzero(~best.valid)
            if not len(left):
                break
            signals = self._generate(x[left], now[left], {k: aim[left] for k, aim in aims.items()}, noise[left])
            logits = classify(self.classifier, signals)
            found = assessed(signals, logits, {name: p[left] for name, p in target.items()}, self.label_names,
                             self.link)
            missed = np.max([self.link.apart(wishes[k][left], logits[:, k]) for k in aims], axis=0)
            closer = missed < off[left]
            best, off[left] = _with(best, left[closer], found.rows(closer)), np.minimum(off[left], missed)
            for k, aim in aims.items():
                slope = _slope(aim[left] - asked[k][left], logits[:, k] - got[k][left])
                asked[k][left], got[k][left] = aim[left], logits[:, k]
                aim[left] += (wishes[k][left] - logits[:, k]) / slope
        return self._doubted(best, x, now, wishes)

    def several(self, x: NDArray[np.float32], target: Mapping[str, Any], n: int = 3, seed: int = 0) -> \
            list[Counterfactuals]:
        """`n` sets of counterfactuals of the same ECGs, each from other random numbers; the first is the plain one."""
        rng = np.random.default_rng(seed)
        draws = [np.zeros((len(x), self.settings.n_noise), dtype=np.float32),
                 *rng.standard_normal((n - 1, len(x), self.settings.n_noise)).astype(np.float32)]
        return [self(x, target, noise=noise) for noise in draws[:n]]

    def _first_aim(self, place: int, logit: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the generator is asked for first: an extreme wish means what is typical with, or without, the label."""
        low, high = self.ends[place].double().numpy()
        extreme = (np.abs(logit) >= np.log((1 - EXTREME) / EXTREME) - 1e-9) & (not self.link.units)
        return np.where(extreme, np.where(logit < 0, np.minimum(low, logit), np.maximum(high, logit)), logit)

    def _generate(self, x: NDArray[np.float32], now: NDArray[np.float64], aims: Mapping[int, NDArray[np.float64]],
                  noise: NDArray[np.float32]) -> NDArray[np.float32]:
        assert self._generator is not None
        logits = torch.from_numpy(now.astype(np.float32))
        wanted, asked = logits.clone(), torch.zeros(logits.shape, dtype=torch.bool)
        for place, aim in aims.items():
            wanted[:, place], asked[:, place] = torch.from_numpy(aim.astype(np.float32)), True
        condition = generator_condition(logits, wanted, asked, torch.from_numpy(noise))
        device = next(self._generator.parameters()).device
        with torch.no_grad():
            parts = [self._generator(some.to(device), told.to(device)).cpu() for some, told in zip(
                torch.from_numpy(x).split(BATCH), condition.split(BATCH), strict=True)]
        return torch.cat(parts).numpy()

    def _doubted(self, found: Counterfactuals, x: NDArray[np.float32], now: NDArray[np.float64],
                 wishes: Mapping[int, NDArray[np.float64]]) -> Counterfactuals:
        """The same without those that look like no real ECG, or that a twin does not follow.

        It follows where it calls the label as wanted; of a quantity, where it goes half the way at least. Where little
        is wanted, it is not asked.
        """
        valid, reason = found.valid.copy(), found.reason.copy()
        changed = np.abs(found.signals - x).max(axis=(1, 2)) > 0
        unreal = valid & changed
        assert self._discriminator is not None
        scores = plausibility(self._discriminator, found.signals[unreal], self.ends, self.length)
        unreal[unreal] = scores < self.limit
        valid[unreal], reason[unreal] = False, "not plausible: it looks less real than 99 of 100 real ECGs"
        rows = np.flatnonzero(valid & changed)
        opinions = [classify(twin, found.signals[rows]) for twin in self.twins] if len(rows) else []
        before = [classify(twin, x[rows]) for twin in self.twins] if len(rows) and self.link.units else opinions
        for place, logit in wishes.items():
            label, wanted = self.label_names[place], logit[rows]
            low, high = self.ends[place].double().numpy()
            beyond = ((logit < low) | (logit > high)) & bool(self.link.units)
            valid[beyond], reason[beyond] = False, f"{OUT_OF_RANGE}: no training ECG has such a {label}"
            for opinion, first in zip(opinions, before, strict=True):
                way, denied = wanted, (opinion[:, place] > 0) != (wanted > 0)
                if self.link.units:
                    way = wanted - now[rows, place]
                    denied = (opinion - first)[:, place] * np.sign(way) < np.abs(way) / 2
                wrong = rows[valid[rows] & denied & (np.abs(way) > 1)]
                valid[wrong] = False
                reason[wrong] = f"not general: another network trained on the same ECGs does not follow ({label})"
        return Counterfactuals(found.signals, found.probabilities, valid, reason)

    def save(self, path: str | Path, card: dict[str, Any]) -> None:
        """Write the explainer to a `.safetensors`, without the classifier that it explains.

        The model card says what it was trained on and how it scored; it must survive JSON.
        """
        twins = [twin for twin in self.twins if isinstance(twin, Classifier)]
        if self._generator is None or self._discriminator is None or len(twins) < len(self.twins):
            raise EcgkitError("this explainer cannot be saved: call fit(data) first; twins must be ecgkit classifiers")
        about = {"label_names": self.label_names, "fs": self.fs, "n_noise": self.settings.n_noise,
                 "seconds": self.settings.seconds, "limit": self.limit, "ends": self.ends.tolist(),
                 "explains": weights_digest(self.classifier)}
        save_explainer(self._generator, self._discriminator, twins, path, about, card)

    @classmethod
    def restored(cls, path: str | Path, classifier: nn.Module) -> CounterfactualGAN:
        """The explainer of a file of `save`, with the classifier that it explains; refused with any other."""
        parts, about = load_explainer(path)
        if about.get("explains") != weights_digest(classifier):
            raise EcgkitError(f"{path} explains another classifier; give the one that it was trained for")
        twins = [part for name, part in parts.items() if name.startswith("twin")]
        try:
            explainer = cls(classifier, twins=twins, label_names=about["label_names"], fs=about["fs"],
                            settings=GANSettings(n_noise=about["n_noise"], seconds=about["seconds"]))
            explainer.limit, explainer.ends = about["limit"], torch.tensor(about["ends"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise EcgkitError(f"{path}: what it tells about the explainer is damaged ({error!r})") from error
        explainer._generator = cast(Generator, parts["generator"])
        explainer._discriminator = cast(Discriminator, parts["discriminator"])
        return explainer


def _slope(asked: NDArray[np.float64], got: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much answers rose for each logit that more was asked; within a third and three, or a step runs wild."""
    return np.clip(np.divide(got, asked, out=np.ones_like(got), where=np.abs(asked) > 0.1), 1 / 3, 3.0)


def _with(all_: Counterfactuals, rows: NDArray[np.intp], part: Counterfactuals) -> Counterfactuals:
    """The same with some rows replaced."""
    merged = Counterfactuals(*(values.copy() for values in vars(all_).values()))
    for into, values in zip(vars(merged).values(), vars(part).values(), strict=True):
        into[rows] = values
    return merged


def _as_kept(model: nn.Module) -> None:
    """Round weights to the half precision in which they are kept: what is tested is what is shipped."""
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())


def plausibility(discriminator: Discriminator, signals: NDArray[np.float32], ends: Tensor, length: int) -> \
        NDArray[np.float64]:
    """How real ECGs `(n, 12, sig_len)` in mV look, of the kind that suits them best: scores `(n,)`, high is real.

    Kinds are the logits that are typical without, and with, each label: `ends`, `(n_labels, 2)`. Held against the one
    kind that was wished for, half of all answers would be refused: a heart with the voltages of hypertrophy and nothing
    else of it is not typical of hypertrophy, but it is an ECG. An ECG's score is the mean over windows of the `length`
    in samples that the discriminator was trained on.
    """
    device, n_labels = next(discriminator.parameters()).device, len(ends)
    kinds = discriminator_condition(torch.arange(n_labels).repeat_interleave(2), ends.flatten(), n_labels).to(device)
    length = min(length, signals.shape[-1])
    places = np.unique(np.linspace(0, signals.shape[-1] - length, -(-signals.shape[-1] // length)).astype(int))
    scores = np.empty(len(signals))
    with torch.no_grad():
        for start in range(0, len(signals), BATCH):
            x = torch.from_numpy(signals[start:start + BATCH]).to(device)
            by_window = [discriminator.against_all(x[..., at:at + length], kinds) for at in places]
            scores[start:start + BATCH] = torch.stack(by_window).mean(dim=0).amax(dim=1).cpu()
    return scores


def least_plausible(discriminator: Discriminator, real: ECGDataset, ends: Tensor, length: int) -> float:
    """The score that `IMPLAUSIBLE_SHARE` of real ECGs falls short of."""
    some = np.unique(np.linspace(0, len(real) - 1, min(len(real), _ASKED_FOR_LIMIT)).astype(np.intp))
    return float(np.quantile(plausibility(discriminator, real.batch(some), ends, length), IMPLAUSIBLE_SHARE))
