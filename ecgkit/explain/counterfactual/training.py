"""Training of a counterfactual generator against a discriminator: what it is to do, and what each of that costs."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from ecgkit.explain.counterfactual.duel import Duel, DuelSettings
from ecgkit.explain.counterfactual.windows import (
    Windows,
    Wishes,
    clipped,
    draw_wishes,
    generator_condition,
)
from ecgkit.explain.results import kept_labels
from ecgkit.leads import independent
from ecgkit.models.generator import Discriminator, Edited, Generator
from ecgkit.training.checkpoint import Run, seeded
from ecgkit.transforms import filtered, gaussian

#: An edit of so many mV counts as half a change.
HALF_CHANGED = 0.03
#: Samples of a segment, within which an edit costs little more once it is there.
SEGMENT = 10
#: Two draws that differ more than this share of the edit are different enough.
ENOUGH = 0.3
#: A classifier that follows the wishes no better than this after training was not reached: the condition was ignored.
LEAST_CORRELATION = 0.3


@dataclass(frozen=True)
class Weights:
    """Weights of the generator's losses; signals count in mV, logits as they are, time in samples.

    Parameters
    ----------
    reach, keep : float
        The classifiers' logit of the asked label against the wanted one (Huber), and the same of labels that stay.
    adversarial : float
        Hinge loss against the discriminator.
    size, count, group, smooth, local : float
        Of the edit: mean absolute value, share of the samples that are changed at all, mean over lead × segment of the
        root mean square, mean absolute slope, mean absolute value of what no heart vector explains.
    warp, cycle : float
        Mean absolute displacement of time, and difference after the way back.
    variety : float
        How much two draws of the random numbers are to differ (Mao et al. 2019).
    """

    reach: float = 4.0
    keep: float = 1.0
    adversarial: float = 2.0
    size: float = 0.7
    count: float = 3.0
    group: float = 0.7
    smooth: float = 1.0
    local: float = 3.0
    warp: float = 0.2
    cycle: float = 5.0
    variety: float = 0.02


@dataclass(frozen=True, kw_only=True)
class GANSettings(DuelSettings):
    """How a counterfactual generator is trained, beside what `DuelSettings` says.

    Over `warmup`, the costs of the edit and of the way back rise: too strong too early, and the edit stays nothing. The
    cost of bending time is there from the start, or it bends to its limit. Over the last half, rates fall to a tenth.

    Parameters
    ----------
    seconds : float
        Length of the training windows.
    discriminator_steps : int
        Of the discriminator to each of the generator's, every time with other ECGs and wishes: a discriminator that
        lags behind lets through what a new one sees at once.
    extras_every : int
        Steps between two that also look at the way back and at the variety of answers.
    blur_hz, noise_mv : tuple of float, float
        The classifiers see the answer through a random low-pass between these frequencies, and through noise, so what
        persuades them does not lie in a few fragile samples.
    n_noise : int
        Random numbers that the generator gets, for several answers.
    graded : bool
        Whether any probability is wished for in training; otherwise every wish turns a label.
    weights : Weights
    """

    seconds: float = 2.5
    discriminator_steps: int = 2
    extras_every: int = 2
    blur_hz: tuple[float, float] = (12.0, 40.0)
    noise_mv: float = 0.02
    n_noise: int = 4
    graded: bool = True
    weights: Weights = field(default_factory=Weights)


def train_generator(windows: Windows, classifiers: Sequence[nn.Module], settings: GANSettings, labels: Sequence[str],
                    run: Run) -> tuple[Generator, Discriminator, pd.DataFrame]:
    """Train a generator whose answers classifiers read as wanted and a discriminator takes for real.

    The first classifier is the one that is explained, and whose logits the windows have; the generator has to persuade
    all of them, in turns. `labels` are the names of the logits; `run` tells of data and classifiers.

    Returns
    -------
    Generator, Discriminator
        The generator's running mean; both in eval mode.
    DataFrame
        Every hundred steps the means of: `reach`, `keep` (logits), `edit` (mV), `shift` (samples), `cycle` (mV), `real`
        and `fake` (the discriminator's scores), `correlation` of wanted and obtained logits; `minutes` so far.
    """
    state = _State(windows, classifiers, settings, labels, run)
    history = state.train()
    averaged = state.averaged.module.eval()
    assert isinstance(averaged, Generator)
    return averaged, state.discriminator.eval(), history


class _State(Duel):
    """Everything that changes while a run goes on."""

    name = "generator"

    def __init__(self, windows: Windows, classifiers: Sequence[nn.Module], settings: GANSettings,
                 labels: Sequence[str], run: Run) -> None:
        self.windows, self.settings = windows, settings
        self.classifiers = [frozen(deepcopy(classifier)).to(run.device) for classifier in classifiers]
        self.ends, self.kept = windows.ends, torch.from_numpy(kept_labels(labels))
        self.pairs: list[Tensor] = []
        n_labels, fs = len(labels), windows.data.fs
        with seeded(run.seed):
            self.generator = Generator(3 * n_labels + settings.n_noise, fs=fs, **settings.generator).to(run.device)
            self.discriminator = Discriminator(2 * n_labels, **settings.discriminator).to(run.device)
        super().__init__(self.generator, self.discriminator, settings, run)

    def rate_share(self) -> float:
        return 0.1 + 0.9 * max(0.0, min(1.0, 2 * (1 - self.step / self.steps)))

    def row(self, told: list[dict[str, float]], generator: torch.Generator) -> dict[str, float]:
        means = {name: float(np.mean([each[name] for each in told if name in each])) for name in told[0]}
        pairs, self.pairs = torch.cat(self.pairs, dim=1), []
        return means | {"correlation": float(torch.corrcoef(pairs)[0, 1])}

    def one(self, generator: torch.Generator) -> dict[str, float]:
        s, w = self.settings, self.settings.weights
        for _ in range(s.discriminator_steps - 1):
            other = self._drawn(generator)
            with torch.no_grad():
                new = self.generator(other.x, other.condition(0))
            self._teach(new, other, generator)
        drawn = self._drawn(generator)
        done = self.generator.edited(drawn.x, drawn.condition(0))
        new = done.signals
        scores = self._teach(new, drawn, generator)

        self.discriminator.requires_grad_(False)
        member = self.classifiers[self.step % len(self.classifiers)]
        logits = member(self._through(new, generator))
        # A further classifier has an opinion of its own of the ECG as it was: its labels are kept at that.
        with torch.no_grad():
            before = drawn.now if member is self.classifiers[0] else member(drawn.x)
        reach, keep = reach_loss(logits, torch.where(drawn.asked, drawn.wanted, before), drawn.asked,
                                 self.kept[drawn.label])
        fooled = -self.discriminator(new, drawn.judged).mean()
        ramp = min(1.0, (self.step + 1) / max(1, s.warmup * s.steps))
        total = w.reach * reach + w.keep * keep + w.adversarial * fooled + w.warp * warp_loss(done) \
            + ramp * edit_loss(done, w)
        told = {"reach": reach, "keep": keep, "edit": done.edit.abs().mean(), "shift": done.shift.abs().mean()}
        if self.step % s.extras_every == 0:
            cycle, variety = self._extras(drawn, done, generator)
            total = total + s.extras_every * (ramp * w.cycle * cycle + w.variety * variety)
            told["cycle"] = cycle
        self.teach_model(total)
        self.discriminator.requires_grad_(True)
        obtained = logits.detach().gather(1, drawn.label[:, None])[:, 0]
        self.pairs.append(torch.stack([clipped(drawn.aim), clipped(obtained)]).cpu())
        return {name: float(value.detach()) for name, value in told.items()} | scores

    def _drawn(self, generator: torch.Generator) -> Wishes:
        s = self.settings
        return draw_wishes(self.windows, self.ends, s.batch_size, n_noise=s.n_noise, graded=s.graded,
                           generator=generator, device=self.run.device)

    def _teach(self, new: Tensor, drawn: Wishes, generator: torch.Generator) -> dict[str, float]:
        """A step of the discriminator: the answers, and real windows on which the classifier says what was wanted."""
        s = self.settings
        real = self.windows.batch(self.windows.partners(drawn.label, drawn.aim, generator)).to(self.run.device)
        penalty = s.penalty * s.penalty_every if self.step % s.penalty_every == 0 else 0.0
        return self.teach_discriminator(real, new.detach(), drawn.judged, penalty)

    def _extras(self, drawn: Wishes, done: Edited, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The way back from half of the answers, and how another draw of the other half differs."""
        half = len(drawn.x) // 2
        back = self.generator(self._through(done.signals[:half], generator), generator_condition(
            drawn.wanted[:half], drawn.now[:half], drawn.asked[:half], drawn.noise[0, :half]))
        other = self.generator(drawn.x[half:], drawn.condition(1)[half:])
        return cycle_loss(back, drawn.x[:half]), variety_loss(done.signals[half:], other, done.edit[half:])

    def _through(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The signal through a random low-pass (a Gaussian) and with a little noise."""
        s = self.settings
        low, high = s.blur_hz
        cutoff = low + (high - low) * float(torch.rand(1, generator=generator))
        x = filtered(x, gaussian(cutoff, self.windows.data.fs, sigmas=3).to(x))
        return x + s.noise_mv * float(torch.rand(1, generator=generator)) * torch.randn(
            x.shape, generator=generator).to(x.device)


def reach_loss(logits: Tensor, wanted: Tensor, asked: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """How far asked labels are from what is wanted, and kept ones from what they were; all `(batch, n_labels)`."""
    gap = smooth_l1_loss(clipped(logits) + 0.1 * (logits - clipped(logits)), clipped(wanted), reduction="none")
    return (gap * asked).sum() / asked.sum().clamp_min(1), (gap * kept).sum() / kept.sum().clamp_min(1)


def edit_loss(done: Edited, weights: Weights) -> Tensor:
    """What an edit costs."""
    edit = done.edit
    usable = edit.shape[-1] // SEGMENT * SEGMENT
    power = edit[..., :usable].unflatten(-1, (-1, SEGMENT)).square().mean(dim=-1)
    changed = edit.square() / (edit.square() + HALF_CHANGED**2)
    return weights.size * edit.abs().mean() + weights.count * changed.mean() \
        + weights.group * (power + 1e-6).sqrt().mean() + weights.smooth * edit.diff(dim=-1).abs().mean() \
        + weights.local * done.local.abs().mean()


def warp_loss(done: Edited) -> Tensor:
    """Mean displacement of time, in samples: a shift of everything costs, though no classifier notices it."""
    return done.shift.abs().mean()


def cycle_loss(back: Tensor, x: Tensor) -> Tensor:
    """Mean absolute difference of the independent leads after the way back, in mV."""
    return (independent(back) - independent(x)).abs().mean()


def variety_loss(first: Tensor, second: Tensor, edit: Tensor) -> Tensor:
    """Minus how much two answers differ, in units of the edit's size, up to `ENOUGH`."""
    difference = (independent(first) - independent(second)).abs().mean(dim=(1, 2))
    return -(difference / (edit.detach().abs().mean(dim=(1, 2)) + 1e-3)).clamp(max=ENOUGH).mean()


def frozen(model: nn.Module) -> nn.Module:
    """The model in eval mode, its weights without gradients."""
    return model.requires_grad_(False).eval()
