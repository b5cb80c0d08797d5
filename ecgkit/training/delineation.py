"""Training of the delineator: on the simulator's exact boundaries, and on recordings whose boundaries are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from ecgkit.datasets import ludb
from ecgkit.leads import resample
from ecgkit.models.delineator import CHANNELS, Delineator
from ecgkit.simulator import WAVES, Cohort
from ecgkit.simulator.rhythm import NORMAL
from ecgkit.simulator.waves import Waves
from ecgkit.training.checkpoint import Run, seeded
from ecgkit.training.loop import Schedule, fit
from ecgkit.training.views import NUMBERS
from ecgkit.transforms import add_emg, mask_leads, scale_gain, transform_vcg


@dataclass(frozen=True)
class Annotated:
    """Recordings whose boundaries are known: signals in mV at the delineator's rate, `(n, 12, sig_len)`.

    `span`, `(n, 2)`, holds the milliseconds between which each was annotated. Which beats come early is not looked at.
    """

    signals: NDArray[np.float32]
    waves: Waves
    span: NDArray[np.float64]


def tuning_half(root: str | Path, fs: float) -> Annotated:
    """The half of LUDB, in a folder, that may be learnt from (`ecgkit.datasets.ludb.halves`), at `fs` Hz."""
    data, records = ludb.load(root), ludb.halves(root)[0]
    rows = pd.Index(data.records["record"]).get_indexer(pd.Index(records))
    truth = ludb.truth(root, records)
    return Annotated(resample(data.batch(rows), data.fs, fs), truth.waves, truth.span)


#: Noise of the simulated ECGs, as factors of the usual; each batch has one.
NOISE = (0.5, 1.0, 2.0, 4.0)
#: Half of the batches lose what a recording at 100 Hz does not have.
NARROW_HZ = 40.0
#: What is rare is searched for among so many simulated ECGs, and makes up this share of the windows each: premature
#: beats, and P waves that begin on the T before.
RARE_SHARE, SEARCHED = 0.15, 100_000
#: Milliseconds after the end of T until which a P counts as on it.
ON_T = 20.0
#: Annotated recordings are played between this much slower and faster, each batch at one speed.
TEMPO = 1.25


@dataclass(frozen=True)
class DelineationSettings:
    """What training the delineator needs: `options` of `Delineator`, and the length of a window in `seconds`.

    So many windows make an "epoch"; `real_share` of each batch are of annotated recordings, where there are any.
    """

    options: dict[str, Any] = field(default_factory=dict)
    seconds: float = 4.0
    real_share: float = 0.5
    ecgs_per_epoch: int = 6400
    schedule: Schedule = field(default_factory=lambda: Schedule(epochs=30, batch_size=64, learning_rate=4e-3,
                                                                averaging=0.995))


def train_delineator(annotated: Annotated | None = None, *, settings: DelineationSettings | None = None, seed: int = 0,
                     checkpoints: str | Path | None = None, device: str = "cpu") -> tuple[Delineator, pd.DataFrame]:
    """Train a delineator, given in eval mode with one row per epoch: `epoch`, `loss`, `learning_rate`.

    Parameters
    ----------
    annotated : Annotated, optional
        Recordings to learn from beside the simulator.
    settings, seed, checkpoints, device
        `DelineationSettings`, and see `ecgkit.training.Run`; the seed is also of the patients.
    """
    settings = settings or DelineationSettings()
    with seeded(seed):
        model = Delineator(**settings.options)
    cohorts = [Cohort(seed=seed, fs=model.fs, seconds=settings.seconds, noise=noise, finer=True) for noise in NOISE]
    batch_size = settings.schedule.batch_size
    n_real = round(settings.real_share * batch_size) if annotated else 0
    rare = _rare(cohorts[0], min(SEARCHED, 20 * settings.ecgs_per_epoch))

    def loss(model: Delineator, batch: Tensor, generator: torch.Generator) -> Tensor:
        cohort = cohorts[int(torch.randint(len(cohorts), (1,), generator=generator))]
        parts = [_simulated(cohort, batch_size - n_real, rare, generator)]
        if annotated and n_real:
            parts.append(_recorded(annotated, n_real, cohort.sig_len, model.fs, generator))
        x, target = (torch.cat(part) for part in zip(*parts, strict=True))
        known = torch.isfinite(target).to(device)
        logits = model(_disturbed(x, model.fs, generator).to(device))
        return binary_cross_entropy_with_logits(logits[known], target.to(device)[known])

    run = Run("training the delineator", {"task": "delineation", "settings": settings}, seed, checkpoints, device)
    return fit(model, loss, settings.ecgs_per_epoch, settings.schedule, run)


def coverage(waves: Waves, sig_len: int, fs: float) -> NDArray[np.float32]:
    """How much of each sample lies in each of `CHANNELS`, `(n, 3, sig_len)`: 1 inside, one half at a boundary.

    A wave of which one boundary is unknown makes the samples around it unknown (nan): 300 ms on the open side.
    """
    at = waves.ms * fs / 1000
    onset, offset = at[..., 0], at[..., 2]
    reach = 0.3 * fs
    cover = np.zeros((len(at), len(CHANNELS), sig_len), dtype=np.float32)
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
    return cover


def _rare(cohort: Cohort, n: int) -> list[NDArray[np.int64]]:
    """Numbers of those of the first `n` ECGs that have a premature beat, and that have a P on the T before.

    Where there is none, all.
    """
    ids, found = np.arange(n), []
    for part in np.array_split(ids, -(-n // 4096)):
        waves = cohort.waves(part)
        gap = waves.ms[:, 1:, WAVES.index("P"), 0] - waves.ms[:, :-1, WAVES.index("T"), 2]
        found.append([(waves.kind > NORMAL).any(axis=1), (gap < ON_T).any(axis=1)])
    masks = [np.concatenate(masks) for masks in zip(*found, strict=True)]
    return [ids[mask] if mask.any() else ids for mask in masks]


def _simulated(cohort: Cohort, n: int, rare: list[NDArray[np.int64]],
               generator: torch.Generator) -> tuple[Tensor, Tensor]:
    ids = torch.randint(NUMBERS, (n,), generator=generator).numpy()
    n_each = round(RARE_SHARE * n)
    for k, numbers in enumerate(rare):
        ids[k * n_each:(k + 1) * n_each] = numbers[torch.randint(len(numbers), (n_each,), generator=generator).numpy()]
    target = coverage(cohort.waves(ids), cohort.sig_len, cohort.fs)
    return torch.from_numpy(cohort.signals(ids)), torch.from_numpy(target)


def _recorded(annotated: Annotated, n: int, sig_len: int, fs: float,
              generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Windows of annotated recordings, played slower or faster and turned a little; nan where nobody annotated."""
    rows = torch.randint(len(annotated.signals), (n,), generator=generator).numpy()
    most = annotated.signals.shape[-1]
    length = min(most, round(sig_len * TEMPO ** float(2 * torch.rand(1, generator=generator) - 1)))
    starts = torch.randint(most - length + 1, (n,), generator=generator).numpy()
    windows = np.stack([annotated.signals[row, :, start:start + length]
                        for row, start in zip(rows, starts, strict=True)])
    x = interpolate(torch.from_numpy(windows), sig_len, mode="linear", align_corners=True)
    tempo = (length - 1) / (sig_len - 1)
    ms = (annotated.waves.ms[rows] - (starts / fs * 1000)[:, None, None, None]) / tempo
    target = coverage(Waves(ms, annotated.waves.kind[rows], annotated.waves.rr[rows], fs), sig_len, fs)
    time = (starts[:, None] + np.arange(sig_len) * tempo) / fs * 1000
    target[np.broadcast_to(((time < annotated.span[rows, :1]) | (time > annotated.span[rows, 1:]))[
        :, None], (n, len(WAVES), sig_len))] = np.nan
    return transform_vcg(x, 20.0, 1.2, True, generator), torch.from_numpy(target)


def _disturbed(x: Tensor, fs: float, generator: torch.Generator) -> Tensor:
    """Another gain, missing leads, and in half of the batches the narrow band of a slow recorder."""
    x = mask_leads(scale_gain(x, 0.3, generator), 0.3, generator)
    if torch.rand(1, generator=generator) < 0.5:
        spectrum = torch.fft.rfft(x)
        hertz = torch.fft.rfftfreq(x.shape[-1], 1 / fs)
        x = torch.fft.irfft(spectrum * (1 + (hertz / NARROW_HZ) ** 8).rsqrt(), n=x.shape[-1])
    elif torch.rand(1, generator=generator) < 0.5:
        x = add_emg(x, 0.03, fs, generator)
    return x
