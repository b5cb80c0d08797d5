"""Training of the delineator: on the simulator's exact boundaries, and on recordings whose boundaries are known."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ecgkit.models.delineator import CHANNELS, Delineator
from ecgkit.simulator import WAVES, Cohort
from ecgkit.simulator.rhythm import ATRIAL_PREMATURE, VENTRICULAR_PREMATURE
from ecgkit.simulator.waves import Waves
from ecgkit.training.loop import Schedule, fit
from ecgkit.transforms import add_emg, mask_leads, scale_gain, transform_vcg

#: ECGs are numbers below this one; a number comes up twice once in billions.
_NUMBERS = 1 << 40
#: Noise of the simulated ECGs, as factors of the usual; each batch has one.
NOISE = (0.5, 1.0, 2.0, 4.0)
#: Half of the batches lose what a recording at 100 Hz does not have.
NARROW_HZ = 40.0


@dataclass(frozen=True)
class Annotated:
    """Recordings whose boundaries are known.

    Parameters
    ----------
    signals : ndarray of float32, shape (n, 12, sig_len)
        Millivolts at the delineator's rate.
    waves : Waves
        Their boundaries; which beats come early is not looked at.
    span : ndarray, shape (n, 2)
        Milliseconds between which each recording was annotated.
    """

    signals: NDArray[np.float32]
    waves: Waves
    span: NDArray[np.float64]


@dataclass(frozen=True)
class DelineationSettings:
    """What training the delineator needs.

    Parameters
    ----------
    options : dict
        Of `Delineator`.
    seconds : float
        Length of a window.
    real_share : float
        Share of each batch that is drawn from annotated recordings, where there are any.
    ecgs_per_epoch : int
        Windows that make an "epoch".
    schedule : Schedule
    """

    options: dict[str, Any] = field(default_factory=dict)
    seconds: float = 4.0
    real_share: float = 0.5
    ecgs_per_epoch: int = 6400
    schedule: Schedule = field(default_factory=lambda: Schedule(epochs=30, batch_size=64, learning_rate=4e-3,
                                                                averaging=0.995))


def train_delineator(annotated: Annotated | None = None, *, settings: DelineationSettings | None = None, seed: int = 0,
                     checkpoints: str | Path | None = None, device: str = "cpu") -> tuple[Delineator, pd.DataFrame]:
    """Train a delineator.

    Parameters
    ----------
    annotated : Annotated, optional
        Recordings to learn from beside the simulator.
    settings : DelineationSettings, optional
    seed : int
        Of the patients, the weights and the batches.
    checkpoints : path, optional
        Folder in which an interrupted run is found again.
    device : str
        `cpu` or `cuda`.

    Returns
    -------
    Delineator
        In eval mode.
    DataFrame
        One row per epoch: `epoch`, `loss`, `learning_rate`.
    """
    settings = settings or DelineationSettings()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Delineator(**settings.options).to(device)
    cohorts = [Cohort(seed=seed, fs=model.fs, seconds=settings.seconds, noise=noise, finer=True) for noise in NOISE]
    n_real = round(settings.real_share * settings.schedule.batch_size) if annotated else 0

    def loss(model: nn.Module, batch: Tensor, generator: torch.Generator) -> Tensor:
        assert isinstance(model, Delineator)
        cohort = cohorts[int(torch.randint(len(cohorts), (1,), generator=generator))]
        x, target = _simulated(cohort, len(batch) - n_real, generator)
        if annotated and n_real:
            more = _recorded(annotated, n_real, cohort.sig_len, model.fs, generator)
            x, target = torch.cat([x, more[0]]), torch.cat([target, more[1]])
        known = torch.isfinite(target).to(device)
        logits = model(_disturbed(x, model.fs, generator).to(device))
        return binary_cross_entropy_with_logits(logits[known], target.to(device)[known])

    run = {"task": "delineation", **asdict(settings)} if checkpoints else None
    averaged, history = fit(model, loss, settings.ecgs_per_epoch, settings.schedule, seed=seed, run=run,
                            checkpoints=checkpoints, description="training the delineator")
    assert isinstance(averaged, Delineator)
    return averaged, history


def coverage(waves: Waves, sig_len: int, fs: float) -> NDArray[np.float32]:
    """How much of each sample lies in each of `CHANNELS`, `(n, 5, sig_len)`: 1 inside, one half at a boundary.

    A wave of which one boundary is unknown makes the samples around it unknown (nan): 300 ms on the open side.
    """
    at = waves.ms * fs / 1000
    onset, offset = at[..., 0], at[..., 2]
    reach = 0.3 * fs
    cover = np.zeros((len(at), len(CHANNELS), sig_len), dtype=np.float32)
    early = {3: ATRIAL_PREMATURE, 4: VENTRICULAR_PREMATURE}
    for row, beat, wave in zip(*np.nonzero(np.isfinite(at).any(axis=-1)), strict=True):
        first, last = onset[row, beat, wave], offset[row, beat, wave]
        if np.isnan(first) or np.isnan(last):
            middle = np.nanmean(at[row, beat, wave])
            begin, end = (np.nan_to_num(value, nan=middle + side * reach) for value, side in ((first, -1), (last, 1)))
            cover[row, wave, max(0, int(begin)):max(0, int(end) + 1)] = np.nan
            continue
        begin, end = max(0, int(first) - 1), min(sig_len, int(last) + 3)
        if begin >= end:
            continue
        sample = np.arange(begin, end)
        inside = np.clip(sample - first + 0.5, 0, 1) * np.clip(last - sample + 0.5, 0, 1)
        cover[row, wave, begin:end] = np.maximum(cover[row, wave, begin:end], inside)
        for channel, kind in early.items():
            if wave == WAVES.index("QRS") and waves.kind[row, beat] == kind:
                cover[row, channel, begin:end] = np.maximum(cover[row, channel, begin:end], inside)
    return cover


def _simulated(cohort: Cohort, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    ids = torch.randint(_NUMBERS, (n,), generator=generator).numpy()
    target = coverage(cohort.waves(ids), cohort.sig_len, cohort.fs)
    return torch.from_numpy(cohort.signals(ids)), torch.from_numpy(target)


def _recorded(annotated: Annotated, n: int, sig_len: int, fs: float,
              generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Windows of annotated recordings, turned a little; nan where nobody annotated."""
    rows = torch.randint(len(annotated.signals), (n,), generator=generator).numpy()
    latest = annotated.signals.shape[-1] - sig_len
    starts = torch.randint(latest + 1, (n,), generator=generator).numpy()
    x = np.stack([annotated.signals[row, :, start:start + sig_len] for row, start in zip(rows, starts, strict=True)])
    ms = annotated.waves.ms[rows] - (starts / fs * 1000)[:, None, None, None]
    target = coverage(Waves(ms, annotated.waves.kind[rows], annotated.waves.rr[rows], fs), sig_len, fs)
    time = (starts[:, None] + np.arange(sig_len)) / fs * 1000
    target[:, :len(WAVES)][np.broadcast_to(((time < annotated.span[rows, :1]) | (time > annotated.span[rows, 1:]))[
        :, None], (n, len(WAVES), sig_len))] = np.nan
    target[:, len(WAVES):] = np.nan
    return transform_vcg(torch.from_numpy(x), 20.0, 1.2, True, generator), torch.from_numpy(target)


def _disturbed(x: Tensor, fs: float, generator: torch.Generator) -> Tensor:
    """Another gain, missing leads, and in half of the batches the narrow band of a slow recorder."""
    x = mask_leads(scale_gain(x, 0.3, generator), 0.3, generator)
    if torch.rand(1, generator=generator) < 0.5:
        spectrum = torch.fft.rfft(x)
        hertz = torch.fft.rfftfreq(x.shape[-1], 1 / fs)
        x = torch.fft.irfft(spectrum * (1 + (hertz / NARROW_HZ) ** 8).rsqrt(), n=x.shape[-1])
    else:
        x = add_emg(x, 0.03, fs, generator) if torch.rand(1, generator=generator) < 0.5 else x
    return x
