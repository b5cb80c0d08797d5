"""Training of a style generator of beats against a discriminator: what it is to do, and how alike and varied it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ecgkit.errors import EcgkitError
from ecgkit.explain.counterfactual.duel import Duel, DuelSettings
from ecgkit.leads import independent
from ecgkit.models.generator import Discriminator
from ecgkit.models.style import StyleNet
from ecgkit.training.checkpoint import Run, seeded

#: From beats `(batch, 12, period)` in mV to logits `(batch, n_labels)`, with gradients.
Ask = Callable[[Tensor], Tensor]
#: What `StyleSettings.least_variety` is by default.
LEAST_VARIETY = 0.5
#: Samples of the windows in which spectra of beats are compared.
WINDOWS = (16, 32, 64)


@dataclass(frozen=True)
class StyleWeights:
    """Weights of the generator's losses.

    Parameters
    ----------
    beat, slope, spectrum, latent : float
        Mean absolute difference of the independent leads in mV, of their steps from sample to sample, of the magnitudes
        of short Fourier transforms in mV, and of the encoder's numbers of the beat and of the beat as drawn again.
    answer, adversarial : float
        Divergence of the classifier's answers (Kullback & Leibler, summed over the labels); hinge loss against the
        discriminator.
    """

    beat: float = 20.0
    slope: float = 20.0
    spectrum: float = 5.0
    latent: float = 0.1
    answer: float = 0.5
    adversarial: float = 0.05


@dataclass(frozen=True, kw_only=True)
class StyleSettings(DuelSettings):
    """How a style generator is trained, beside what `DuelSettings` says.

    The rates fall to a twentieth along a cosine; the betas of encoder and generator are 0.9 and 0.99. Over `warmup`,
    the losses of the critics rise to their weights: a beat has to look like one first.

    Parameters
    ----------
    n_latent : int
        Numbers of the encoder.
    critics_every : int
        Steps between those that ask the critics (the classifier, the discriminator and the encoder), whose losses then
        count so many times as much: these are what costs time.
    least_variety : float
        Beats drawn after training that differ among themselves less than this share of what real ones do: collapse.
    weights, encoder : StyleWeights, dict
        Of the losses; options of `StyleEncoder`.
    """

    steps: int = 3000
    batch_size: int = 32
    learning_rate: float = 3e-3
    discriminator_rate: float = 5e-4
    penalty: float = 2.0
    penalty_every: int = 4
    averaging: float = 0.995
    discriminator: dict[str, Any] = field(default_factory=lambda: {"widths": (32, 48, 64, 64)})
    n_latent: int = 32
    critics_every: int = 4
    least_variety: float = LEAST_VARIETY
    weights: StyleWeights = field(default_factory=StyleWeights)
    encoder: dict[str, Any] = field(default_factory=dict)


def train_style(beats: Tensor, probabilities: Tensor, ask: Ask, settings: StyleSettings, run: Run, *,
                millivolts: float = 0.25) -> tuple[StyleNet, pd.DataFrame]:
    """Train encoder and generator so that a beat drawn again looks alike and the classifier answers alike.

    The classifier gives beats `(n, 12, period)` in mV `probabilities` `(n, n_labels)`; `ask` is the classifier, from
    beats to logits, and `run` tells of both. Signals are divided by `millivolts`. A loss that is no longer finite, and
    drawn beats that have collapsed into few, raise an `EcgkitError`.

    Returns
    -------
    StyleNet
        The running mean, in eval mode.
    DataFrame
        Every hundred steps the means of the losses, of the discriminator's scores `real` and `fake`, and the `variety`
        of the beats drawn as a share of the real ones'.
    """
    state = _State(beats, probabilities, ask, settings, run.also(millivolts=millivolts), millivolts)
    history = state.train()
    variety = history["variety"].iloc[-1]
    if variety < settings.least_variety:
        raise EcgkitError(f"the style generator collapsed: its beats vary {variety:.2f} times as much as real ones; "
                          "train longer, or give the beat's reconstruction more weight")
    averaged = state.averaged.module.eval()
    assert isinstance(averaged, StyleNet)
    return averaged, history


class _State(Duel):
    """Everything that changes while a run goes on."""

    name, betas = "net", (0.9, 0.99)

    def __init__(self, beats: Tensor, probabilities: Tensor, ask: Ask, settings: StyleSettings, run: Run,
                 millivolts: float) -> None:
        self.beats, self.probabilities, self.ask, self.settings = beats, probabilities, ask, settings
        n_labels, period = probabilities.shape[1], beats.shape[2]
        with seeded(run.seed):
            self.net = StyleNet(settings.n_latent, n_labels, period, millivolts=millivolts, encoder=settings.encoder,
                                generator=settings.generator)
            discriminator = Discriminator(n_labels, millivolts=millivolts, **settings.discriminator)
        super().__init__(self.net, discriminator, settings, run)

    def rate_share(self) -> float:
        return 0.05 + 0.95 * (0.5 + 0.5 * math.cos(math.pi * self.step / self.steps))

    def row(self, told: list[dict[str, float]], generator: torch.Generator) -> dict[str, float]:
        means = {str(name): float(mean) for name, mean in pd.DataFrame(told).mean().items()}
        seen = torch.randint(len(self.beats), (256,), generator=generator)
        with torch.no_grad():
            drawn = self.averaged.module(self.beats[seen], self.probabilities[seen])
        return means | {"variety": variety(drawn, self.beats[seen])}

    def one(self, generator: torch.Generator) -> dict[str, float]:
        s = self.settings
        which = torch.randint(len(self.beats), (s.batch_size,), generator=generator)
        x, p = self.beats[which], self.probabilities[which]
        latent = self.net.encoder(x)
        new = self.net.generator(torch.cat([latent, p], dim=1))
        error = independent(new) - independent(x)
        losses = {"beat": error.abs().mean(), "slope": error.diff(dim=-1).abs().mean(),
                  "spectrum": spectral_distance(independent(new), independent(x))}
        total = sum((getattr(s.weights, name) * loss for name, loss in losses.items()), start=x.new_zeros(()))
        scores: dict[str, float] = {}
        if self.step % s.critics_every == 0:
            due = self.step // s.critics_every % s.penalty_every == 0
            scores = self.teach_discriminator(x, new.detach(), p, s.penalty * s.penalty_every if due else 0.0)
            self.discriminator.requires_grad_(False)
            judged = {"latent": (self.net.encoder(new) - latent.detach()).abs().mean(),
                      "answer": divergence(p, self.ask(new)), "adversarial": -self.discriminator(new, p).mean()}
            share = s.critics_every * min(1.0, self.step / max(1.0, s.warmup * s.steps))
            for name, loss in judged.items():
                total = total + share * getattr(s.weights, name) * loss
            losses |= judged
        self.teach_model(total)
        self.discriminator.requires_grad_(True)
        return {name: float(loss.detach()) for name, loss in losses.items()} | scores


def divergence(p: Tensor, logits: Tensor) -> Tensor:
    """Kullback and Leibler's divergence of answers from probabilities `p`, summed over labels, mean over the batch."""
    own = binary_cross_entropy_with_logits(torch.logit(p, eps=1e-6), p, reduction="none")
    return (binary_cross_entropy_with_logits(logits, p, reduction="none") - own).sum(dim=1).mean()


def spectral_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of the magnitudes of short Fourier transforms, over several window lengths.

    Of beats `(batch, n_leads, period)` on a ring; in their unit, as a window's weights have unit sum.
    """
    total = a.new_zeros(())
    for size in WINDOWS:
        weights = torch.hann_window(size, device=a.device)
        spectra = []
        for x in (a, b):
            frames = torch.cat([x, x[..., :size - 1]], dim=-1).unfold(-1, size, size // 4)
            spectra.append(torch.fft.rfft(frames * (weights / weights.sum())).abs())
        total = total + (spectra[0] - spectra[1]).abs().mean()
    return total / len(WINDOWS)


def variety(drawn: Tensor, real: Tensor) -> float:
    """How much beats `(n, 12, period)` differ from each other, as a share of how much real ones do."""
    return float(independent(drawn).std(dim=0).mean() / independent(real).std(dim=0).mean().clamp_min(1e-6))
