"""Training of a counterfactual generator against a discriminator: checkpointed, resumed, watched for collapse."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ecgkit.explain.conditions import (
    clipped,
    generator_condition,
    kept_labels,
    typical_logits,
)
from ecgkit.explain.counterfactual.duel import Duel, Weights, cycle_loss, edit_loss, reach_loss, variety_loss, warp_loss
from ecgkit.explain.counterfactual.windows import Windows, Wishes, draw_wishes
from ecgkit.models.generator import Discriminator, Edited, Generator
from ecgkit.training.checkpoint import run_file
from ecgkit.training.loop import running_mean
from ecgkit.transforms import filtered, gaussian


@dataclass(frozen=True)
class GANSettings:
    """How a counterfactual generator is trained.

    Parameters
    ----------
    seconds : float
        Length of the training windows.
    steps : int
        Of the generator.
    discriminator_steps : int
        Of the discriminator to each of the generator's, every time with other ECGs and wishes: a discriminator that
        lags behind lets through what a new one sees at once.
    batch_size : int
    learning_rate, discriminator_rate : float
        Adam's, with betas 0 and 0.99; both fall to a tenth over the last half.
    extras_every : int
        Steps between two that also look at the way back and at the variety of answers.
    penalty, penalty_every : float, int
        Weight of the gradient penalty (R1) and steps between its uses.
    warmup : float
        Share of the steps over which the costs of the edit and of the way back rise to their weights: too strong too
        early, and the edit stays nothing. The cost of bending time is there from the start, or it bends to its limit.
    averaging : float
        Decay of the running mean of the generator's weights.
    blur_hz, noise_mv : tuple of float, float
        The classifiers see the answer through a random low-pass between these frequencies, and through noise, so what
        persuades them does not lie in a few fragile samples.
    n_noise : int
        Random numbers that the generator gets, for several answers.
    graded : bool
        Whether any probability is wished for in training; otherwise every wish turns a label.
    weights : Weights
    generator, discriminator : dict
        Options of `Generator` and `Discriminator`.
    """

    seconds: float = 2.5
    steps: int = 6000
    discriminator_steps: int = 2
    batch_size: int = 16
    learning_rate: float = 5e-4
    discriminator_rate: float = 1e-3
    extras_every: int = 2
    penalty: float = 0.02
    penalty_every: int = 8
    warmup: float = 0.3
    averaging: float = 0.998
    blur_hz: tuple[float, float] = (12.0, 40.0)
    noise_mv: float = 0.02
    n_noise: int = 4
    graded: bool = True
    weights: Weights = field(default_factory=Weights)
    generator: dict[str, Any] = field(default_factory=dict)
    discriminator: dict[str, Any] = field(default_factory=dict)


#: A classifier that follows the wishes no better than this after training was not reached: the condition was ignored.
LEAST_CORRELATION = 0.3


def train_generator(windows: Windows, classifiers: Sequence[nn.Module], settings: GANSettings, *, labels: Sequence[str],
                    fs: float, seed: int = 0, checkpoints: str | Path | None = None, run: dict[str, Any] | None = None,
                    device: str = "cpu") -> tuple[Generator, Discriminator, pd.DataFrame]:
    """Train a generator whose answers classifiers read as wanted and a discriminator takes for real.

    Parameters
    ----------
    windows : Windows
        With the logits of the first classifier.
    classifiers : sequence of Module
        From `(batch, 12, length)` to logits `(batch, n_labels)`; the first is the one that is explained. The generator
        has to persuade all of them, in turns.
    settings : GANSettings
    labels : sequence of str
        Names of the logits.
    fs : float
    seed : int
    checkpoints : path, optional
        Folder in which an interrupted run is found again; it ends in the same weights.
    run : dict, optional
        What tells this run from others beside settings and seed.
    device : str

    Returns
    -------
    Generator, Discriminator
        The generator's running mean; both in eval mode.
    DataFrame
        Every hundred steps the means of: `reach`, `keep` (logits), `edit` (mV), `shift` (samples), `cycle` (mV), `real`
        and `fake` (the discriminator's scores), `correlation` of wanted and obtained logits; `minutes` so far.

    Raises
    ------
    EcgkitError
        Where a loss is no longer finite.
    """
    state = _State(windows, classifiers, settings, labels, fs, seed, device)
    file = run_file(checkpoints, {"run": run or {}, "seed": seed, "n": len(windows), **asdict(settings)}) \
        if checkpoints else None
    if file:
        state.restore(file)
    state.train(settings.steps, file)
    averaged = state.averaged.module.eval()
    assert isinstance(averaged, Generator)
    return averaged, state.discriminator.eval(), pd.DataFrame(state.history)


class _State(Duel):
    """Everything that changes while a run goes on."""

    def __init__(self, windows: Windows, classifiers: Sequence[nn.Module], settings: GANSettings,
                 labels: Sequence[str], fs: float, seed: int, device: str) -> None:
        self.windows, self.settings, self.fs, self.device = windows, settings, fs, device
        self.classifiers = [frozen(deepcopy(classifier)).to(device) for classifier in classifiers]
        self.n_labels, self.ends = len(labels), typical_logits(windows.logits)
        self.kept = torch.from_numpy(kept_labels(labels))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator = Generator(3 * self.n_labels + settings.n_noise, fs=fs, **settings.generator).to(device)
            self.discriminator = Discriminator(2 * self.n_labels, **settings.discriminator).to(device)
        self.averaged = AveragedModel(self.generator, avg_fn=partial(running_mean, settings.averaging))
        models = {"generator": self.generator, "averaged": self.averaged, "discriminator": self.discriminator}
        super().__init__(models, {
            "generator": torch.optim.Adam(self.generator.parameters(), settings.learning_rate, betas=(0.0, 0.99)),
            "discriminator": torch.optim.Adam(self.discriminator.parameters(), settings.discriminator_rate,
                                              betas=(0.0, 0.99))}, seed=seed, name="the generator")

    def train_some(self, n_steps: int) -> None:
        """Train `n_steps`, and add a row to the history; draws depend on the seed and the step alone."""
        generator = self.draws()
        told: list[dict[str, float]] = []
        pairs: list[Tensor] = []
        for _ in range(n_steps):
            self._set_rates()
            row, pair = self._one(generator)
            self.check(row)
            told.append(row)
            pairs.append(pair)
            self.step += 1
        row = {name: float(np.mean([each[name] for each in told if name in each])) for name in told[0]}
        row["correlation"] = float(torch.corrcoef(torch.cat(pairs, dim=1))[0, 1])
        self.history.append({"step": self.step, **row})

    def _one(self, generator: torch.Generator) -> tuple[dict[str, float], Tensor]:
        s, w = self.settings, self.settings.weights
        for _ in range(s.discriminator_steps - 1):
            other = self._drawn(generator)
            with torch.no_grad():
                new = self.generator(other.x, other.condition(0))
            self._teach(new, other, generator)
        drawn = self._drawn(generator)
        x, asked = drawn.x, drawn.asked
        done = self.generator.edited(x, drawn.condition(0))
        new = done.signals
        scores = self._teach(new, drawn, generator)

        for parameter in self.discriminator.parameters():
            parameter.requires_grad_(False)
        member = self.classifiers[self.step % len(self.classifiers)]
        seen = self._through(new, generator)
        logits = member(seen)
        # A further classifier has an opinion of its own of the ECG as it was: its labels are kept at that.
        before = drawn.now if member is self.classifiers[0] else _quietly(member, x)
        reach, keep = reach_loss(logits, torch.where(asked, drawn.wanted, before), asked, self.kept[drawn.label])
        fooled = -self.discriminator(new, drawn.judged).mean()
        ramp = min(1.0, (self.step + 1) / max(1, s.warmup * s.steps))
        total = w.reach * reach + w.keep * keep + w.adversarial * fooled + w.warp * warp_loss(done) \
            + ramp * edit_loss(done, w)
        told = {"reach": reach, "keep": keep, "edit": done.edit.abs().mean(), "shift": done.shift.abs().mean()}
        if self.step % s.extras_every == 0:
            cycle, variety = self._extras(drawn, done, generator)
            total = total + s.extras_every * (ramp * w.cycle * cycle + w.variety * variety)
            told["cycle"] = cycle
        self.descend("generator", total)
        for parameter in self.discriminator.parameters():
            parameter.requires_grad_(True)
        self.averaged.update_parameters(self.generator)
        row = {name: float(value.detach()) for name, value in told.items()} | scores
        obtained = logits.detach().gather(1, drawn.label[:, None])[:, 0]
        return row, torch.stack([clipped(drawn.aim), clipped(obtained)]).cpu()

    def _drawn(self, generator: torch.Generator) -> Wishes:
        s = self.settings
        return draw_wishes(self.windows, self.ends, s.batch_size, n_noise=s.n_noise, graded=s.graded,
                           generator=generator, device=self.device)

    def _teach(self, new: Tensor, drawn: Wishes, generator: torch.Generator) -> dict[str, float]:
        """A step of the discriminator: the answers, and real windows on which the classifier says what was wanted."""
        s = self.settings
        alike = self.windows.partners(drawn.label, drawn.aim, generator)
        penalty = s.penalty * s.penalty_every if self.step % s.penalty_every == 0 else 0.0
        return self.teach_discriminator(self.windows.batch(alike).to(self.device), new.detach(), drawn.judged, penalty)

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
        x = filtered(x, gaussian(cutoff, self.fs, sigmas=3).to(x))
        return x + s.noise_mv * float(torch.rand(1, generator=generator)) * torch.randn(
            x.shape, generator=generator).to(x.device)

    def _set_rates(self) -> None:
        s = self.settings
        left = max(0.0, min(1.0, 2 * (1 - self.step / s.steps)))
        rates = {"generator": s.learning_rate, "discriminator": s.discriminator_rate}
        self.set_rates({name: rate * (0.1 + 0.9 * left) for name, rate in rates.items()})


def frozen(model: nn.Module) -> nn.Module:
    """The model in eval mode, its weights without gradients."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model.eval()


def _quietly(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x)
