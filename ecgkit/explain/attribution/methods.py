"""Attributions: how much every sample of every lead adds to one logit, by the methods of captum and shap."""

from __future__ import annotations

import inspect
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import TqdmWarning

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.explain.attribution.gradcam import GuidedBackprop, class_activation
from ecgkit.explain.attribution.players import (
    N_PLAYERS,
    QRS,
    REST,
    normal_beats,
    normal_template,
    player_mask,
    segments,
)
from ecgkit.explain.results import classify, held, link_of
from ecgkit.leads import N_LEADS
from ecgkit.physiology import delineate, median_beats
from ecgkit.progress import track
from ecgkit.simulator import Waves

with warnings.catch_warnings():
    # captum and shap import it too; in a notebook it would warn of bars that nobody asked for.
    warnings.simplefilter("ignore", TqdmWarning)
    import tqdm.auto  # noqa: F401

#: Coalitions of Kernel SHAP; with fewer, the regression on so many players is not determined.
LEAST_COALITIONS = 100


@dataclass(frozen=True)
class _Ask:
    """What is to be explained: a logit of a frozen model, for ECGs on the CPU."""

    model: nn.Module
    target: int
    x: NDArray[np.float32]
    background: NDArray[np.float32]
    batch_size: int
    given_waves: Waves | None
    fs: float | None

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @cached_property
    def waves(self) -> Waves:
        fs = getattr(self.model, "fs", None) if self.fs is None else self.fs
        if self.given_waves is None and fs is None:
            raise EcgkitError("this method needs the waves: give waves (ecgkit.physiology.delineate), or fs in Hz")
        waves = self.given_waves or delineate(self.x, float(fs or 0))
        if len(waves.ms) != len(self.x):
            raise EcgkitError(f"waves of {len(waves.ms)} ECGs for {len(self.x)}; give those of the same ECGs")
        return waves

    @cached_property
    def parts(self) -> NDArray[np.int8]:
        """The ECGs' segments."""
        return segments(self.waves, self.x.shape[2])

    @cached_property
    def replaced(self) -> NDArray[np.float32]:
        """The ECGs with the waves of a normal beat."""
        beat = normal_template(median_beats(self.background, delineate(self.background, self.waves.fs)))
        return np.where(self.parts[:, None] == REST, self.x, normal_beats(self.x, self.waves, beat))

    @property
    def scale(self) -> float:
        """What one of the output is worth: of a regressor in its units."""
        link = link_of(self.model)
        return float(link.scale[self.target]) if link.units else 1.0

    def tensor(self, values: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(np.array(values, dtype=np.float32)).to(self.device).requires_grad_()

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        return classify(self.model, x, self.batch_size)[:, self.target]

    def captum(self, method: str, rows: slice, **options: Any) -> Tensor:
        """Maps of some ECGs by a method of captum."""
        from captum import attr  # takes a second

        return getattr(attr, method)(self.model).attribute(self.tensor(self.x[rows]), target=self.target, **options)


def _smoothgrad(ask: _Ask, rows: slice, *, n_samples: int = 25, stdev: float = 0.05) -> Tensor:
    from captum.attr import NoiseTunnel, Saliency

    return NoiseTunnel(Saliency(ask.model)).attribute(
        ask.tensor(ask.x[rows]), nt_type="smoothgrad", nt_samples=n_samples, nt_samples_batch_size=ask.batch_size,
        stdevs=float(stdev), target=ask.target, abs=False)


def _integrated_gradients(ask: _Ask, rows: slice, *, n_steps: int = 50) -> Tensor:
    return ask.captum("IntegratedGradients", rows, baselines=ask.tensor(_baseline(ask)), n_steps=n_steps,
                      internal_batch_size=ask.batch_size)


def _baseline(ask: _Ask) -> NDArray[np.float32]:
    """Where the path of integrated gradients begins, `(1, 12, sig_len)`."""
    return ask.background.mean(axis=0, keepdims=True)


def _expected_gradients(ask: _Ask, rows: slice, *, n_samples: int = 64) -> Tensor:
    background = ask.tensor(ask.background)
    total = torch.zeros(ask.x[rows].shape, device=ask.device)
    for start in range(0, n_samples, ask.batch_size):
        n = min(ask.batch_size, n_samples - start)
        total += n * ask.captum("GradientShap", rows, baselines=background, n_samples=n).detach()
    return total / n_samples


def _grad_cam(ask: _Ask, rows: slice) -> Tensor:
    x = ask.tensor(ask.x[rows])
    return class_activation(ask.model, x, ask.target).expand_as(x)


def _guided_grad_cam(ask: _Ask, rows: slice) -> Tensor:
    cam = class_activation(ask.model, ask.tensor(ask.x[rows]), ask.target, rectify=True)
    with GuidedBackprop():
        return ask.captum("Saliency", rows, abs=False) * cam


def _kernel_shap(ask: _Ask, rows: slice, *, n_samples: int = 512) -> Tensor:
    from shap import KernelExplainer

    if n_samples < LEAST_COALITIONS:
        raise EcgkitError(f"kernel-shap: n_samples={n_samples}; give {LEAST_COALITIONS} at least, or its regression on "
                          f"{N_PLAYERS} players is not determined")
    x, other, mask = ask.x[rows], ask.replaced[rows], player_mask(ask.parts[rows])[0]
    players = np.unique(mask[mask < N_PLAYERS])  # a heart without P waves has fewer
    if not len(players):
        return torch.zeros(x.shape)
    column = np.full(N_PLAYERS + 1, len(players))
    column[players] = np.arange(len(players))

    def value(coalitions: NDArray[Any]) -> NDArray[np.float64]:
        # The last column is the rest of the ECG, which is always there.
        there = np.pad(coalitions > 0.5, ((0, 0), (0, 1)), constant_values=True)
        parts = np.array_split(there, -(-len(there) // ask.batch_size))
        return np.concatenate([ask.logits(np.where(some[:, column[mask]], x, other)) for some in parts])

    explainer = KernelExplainer(value, np.zeros((1, len(players))))
    values = np.zeros(N_PLAYERS + 1)
    values[players] = explainer.shap_values(np.ones((1, len(players))), nsamples=n_samples, l1_reg=False,
                                            silent=True)[0]
    size = np.maximum(np.bincount(mask.ravel(), minlength=N_PLAYERS + 1), 1)
    return torch.from_numpy((values / size)[mask])[None]


@dataclass(frozen=True)
class _Arm:
    """A method: what it is, how it maps some ECGs, whether it needs a background, whether one ECG fills a batch."""

    says: str
    run: Callable[..., Tensor]
    background: bool = False
    one_by_one: bool = False


_ARMS = {
    "saliency": _Arm("gradient of the logit, signed", lambda ask, rows: ask.captum("Saliency", rows, abs=False)),
    "gradient-x-input": _Arm("gradient times signal", lambda ask, rows: ask.captum("InputXGradient", rows)),
    "smoothgrad": _Arm("mean gradient over n_samples (25) copies with noise of stdev (0.05 mV)", _smoothgrad,
                       one_by_one=True),
    "integrated-gradients": _Arm("gradients along n_steps (50) from the mean of the background, or from zeros, times "
                                 "the way", _integrated_gradients, one_by_one=True),
    "expected-gradients": _Arm("gradients at n_samples (64) random points between the ECG and the background's, "
                               "times the way (captum's GradientShap)", _expected_gradients, background=True,
                               one_by_one=True),
    "grad-cam": _Arm("last convolution's features weighted by their mean gradients, the same in all leads", _grad_cam),
    "guided-grad-cam": _Arm("guided backpropagation times the positive Grad-CAM", _guided_grad_cam),
    "kernel-shap": _Arm("Shapley values of 12 leads by P, QRS, ST and T from n_samples (512) coalitions, spread over "
                        "their samples; an absent one is that of the background's normal beat", _kernel_shap,
                        background=True, one_by_one=True),
}
#: Methods of `attribute`, and what each is.
METHODS: dict[str, str] = {name: arm.says for name, arm in _ARMS.items()}


def attribute(model: nn.Module, x: NDArray[np.float32], target: str | int, *, method: str = "expected-gradients",
              background: NDArray[np.float32] | None = None, waves: Waves | None = None,
              label_names: Sequence[str] | None = None, fs: float | None = None, seed: int = 0, batch_size: int = 32,
              **options: float) -> NDArray[np.float32]:
    """Attribute one logit of any classifier to the samples of the leads.

    A map depends on the seed, the model and its ECG alone, not on which ECGs it is computed with. The model is left as
    it was, and so are the random states of torch and NumPy.

    Parameters
    ----------
    model : Module
        From `(batch, 12, sig_len)` float32 in mV to logits `(batch, n_labels)`.
    x : ndarray, shape (n, 12, sig_len)
        Millivolts.
    target, method : str or int, str
        Label, or its place among the logits; one of `METHODS`.
    background : ndarray, shape (m, 12, sig_len), optional
        Real normal ECGs: needed by expected gradients (Erion et al. 2021), and by Kernel SHAP (Lundberg & Lee 2017),
        where the median of their beats stands in for a wave that takes no part: an ECG without waves would be no ECG,
        and networks see infarcts in it. Integrated gradients (Sundararajan et al. 2017) begin at the background's
        mean, and without one at zeros.
    waves : Waves, optional
        Of the same ECGs, for Kernel SHAP; without them `ecgkit.physiology.delineate` finds them.
    label_names, fs : sequence of str, float, optional
        Names of the logits, and sampling rate in Hz (where waves are to be found), if the model has no such attributes.
    seed, batch_size : int
        Of what a method draws; signals that pass through the model together.
    **options
        Of the method: `n_samples`, `n_steps`, `stdev`, as `METHODS` says.

    Returns
    -------
    ndarray of float32, shape (n, 12, sig_len)
        Signed: positive where the ECG adds to the logit. Gradients are in 1/mV, other maps in logits; of an
        `ecgkit.models.Regressor`, the output's unit stands for the logit.

    Raises
    ------
    EcgkitError
        For an unknown method, label or option, another shape, a missing background or rate, or a network without
        convolutions over time where Grad-CAM needs one.
    """
    arm = _arm(method, options)
    ask = _ask(model, x, target, arm, background=background, waves=waves, label_names=label_names, fs=fs,
               batch_size=batch_size)
    step = 1 if arm.one_by_one else batch_size
    maps = np.empty(x.shape, dtype=np.float32)
    with held(model):
        for start in track(range(0, len(x), step), method, unit="ECG" if step == 1 else "batch"):
            rows = slice(start, start + step)
            with _drawing(seed, x[rows], ask.device):
                maps[rows] = arm.run(ask, rows, **options).detach().cpu().numpy()
    return maps * np.float32(ask.scale)


def completeness_error(model: nn.Module, x: NDArray[np.float32], maps: NDArray[np.float32], target: str | int, *,
                       method: str, **given: Any) -> NDArray[np.float64]:
    """How far a map's sum is from what it promises to add up to, as a share of that, `(n,)`.

    ``|sum(map) - (f(x) - f0)| / |f(x) - f0|`` with the logit f, and f0 that of the method's reference: for integrated
    gradients of the background's mean (or of zeros), for expected gradients the mean over the background, for Kernel
    SHAP of the ECG with the waves of a normal beat (`ecgkit.explain.attribution.players.normal_beats`). nan for methods
    that promise nothing, and where the logit is that of the reference. `maps` are those of `attribute`, and `given` its
    `background`, `waves`, `label_names`, `fs` and `batch_size`.
    """
    ask = _ask(model, x, target, _arm(method, {}), **given)
    if method not in _REFERENCES:
        return np.full(len(x), np.nan)
    promised = ask.scale * (ask.logits(x) - _REFERENCES[method](ask))
    error = np.abs(maps.sum(axis=(1, 2), dtype=np.float64) - promised)
    return np.divide(error, np.abs(promised), out=np.full(len(x), np.nan), where=promised != 0)


#: Logits `(n,)` or `(1,)` from which methods count.
_REFERENCES: dict[str, Callable[[_Ask], NDArray[np.float64]]] = {
    "integrated-gradients": lambda ask: ask.logits(_baseline(ask)),
    "expected-gradients": lambda ask: ask.logits(ask.background).mean(keepdims=True),
    "kernel-shap": lambda ask: ask.logits(ask.replaced)}


def _arm(method: str, options: dict[str, float]) -> _Arm:
    if method not in _ARMS:
        raise EcgkitError(f"unknown attribution method {method!r}; choose from {', '.join(_ARMS)}")
    known = list(inspect.signature(_ARMS[method].run).parameters)[2:]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise EcgkitError(f"{method} has no option {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    return _ARMS[method]


def _ask(model: nn.Module, x: NDArray[np.float32], target: str | int, arm: _Arm, *,
         background: NDArray[np.float32] | None = None, waves: Waves | None = None,
         label_names: Sequence[str] | None = None, fs: float | None = None, batch_size: int = 32) -> _Ask:
    if x.ndim != 3 or x.shape[1] != N_LEADS or not len(x):
        raise EcgkitError(f"ECGs of shape {x.shape}; expected (n, {N_LEADS}, sig_len)")
    if background is None and arm.background:
        raise EcgkitError("this method needs a background: give real normal ECGs (m, 12, sig_len)")
    if background is None:
        background = np.zeros_like(x[:1])
    if not len(background) or background.shape[1:] != x.shape[1:]:
        raise EcgkitError(f"a background of shape {background.shape} for ECGs of shape {x.shape}; leads and length "
                          "must be the same")
    return _Ask(model, _place(model, x, target, label_names), x, background, batch_size, waves, fs)


def _place(model: nn.Module, x: NDArray[np.float32], target: str | int, label_names: Sequence[str] | None) -> int:
    names = tuple(getattr(model, "label_names", ()) if label_names is None else label_names)
    if isinstance(target, str):
        if target not in names:
            known = ", ".join(names) or "no label_names: give them"
            raise EcgkitError(f"no label {target!r}; the classifier has {known}")
        return names.index(target)
    n_labels = classify(model, x[:1]).shape[1]
    if not 0 <= target < n_labels:
        raise EcgkitError(f"no logit {target}; the classifier has {n_labels}, counted from 0")
    return int(target)


@contextmanager
def _drawing(seed: int, x: NDArray[np.float32], device: torch.device) -> Iterator[None]:
    """Draw by the seed and the ECG, and give the caller's random states back.

    captum and shap take no generator: they draw from torch's and NumPy's own.
    """
    words = np.random.SeedSequence([seed, zlib.crc32(np.ascontiguousarray(x).tobytes())]).generate_state(2)
    before = np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(words[0]))
        np.random.seed(words[1])  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002


#: Maps that ignore the classifier, and what they are.
MODEL_FREE = {"|x|": "how far a sample is from its lead's median", "|dx/dt|": "how steep the lead is there",
              "QRS template": "1 within QRS, in all leads", "random": "noise"}


def reference_maps(x: NDArray[np.float32], waves: Waves, *, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Maps of ECGs `(n, 12, sig_len)` in mV that ignore the model (`MODEL_FREE`), by name.

    How far each sample is from its lead's median, in mV; how steep the lead is there, in mV/s by central differences;
    1 within QRS in all leads; and independent normal numbers of either sign.
    """
    inside = segments(waves, x.shape[2]) == QRS
    maps = {"|x|": np.abs(x - np.median(x, axis=-1, keepdims=True)),
            "|dx/dt|": np.abs(np.gradient(x, 1 / waves.fs, axis=-1)),
            "QRS template": np.repeat(inside[:, None], N_LEADS, axis=1),
            "random": np.random.default_rng(seed).standard_normal(x.shape, dtype=np.float32)}
    return {name: each.astype(np.float32) for name, each in maps.items()}


def normal_background(train: ECGDataset, n: int = 64, seed: int = 0) -> NDArray[np.float32]:
    """At most `n` ECGs `(n, 12, sig_len)` that are normal and nothing else, drawn at random."""
    if "NORM" not in train.label_names:
        raise EcgkitError(f"{train.name} has no label NORM, which the background is drawn from")
    normal = train.labels[:, train.label_names.index("NORM")].astype(bool) & (train.labels.sum(axis=1) == 1)
    return train.batch(np.random.default_rng(seed).permutation(np.flatnonzero(normal))[:n])
