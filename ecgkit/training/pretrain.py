"""`pretrain`: an embedder that has learnt from ECGs without their labels, by one of `METHODS`."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgkit.datasets.base import ECGDataset, from_arrays
from ecgkit.errors import EcgkitError
from ecgkit.losses import alignment, effective_rank, knn_accuracy, uniformity
from ecgkit.models.encoders import build_encoder
from ecgkit.models.windowed import Embedder
from ecgkit.simulator import Cohort
from ecgkit.training.checkpoint import Run, seeded
from ecgkit.training.loop import fit
from ecgkit.training.measured import MeasuredFeatures
from ecgkit.training.methods import METHODS, Method, SimulatorTask, physiology, utah, without_ingredients
from ecgkit.training.simulated import SimulatedSettings, pretrain_on_simulator
from ecgkit.training.supervised import encoder_from
from ecgkit.training.views import PatientPairs, PretrainSettings, Recordings, SimulatedPairs, patient_codes

__all__ = ["PretrainSettings", "monitors", "pretrain", "simulated_settings", "untrained", "warn_if_collapsed"]

#: ECGs that are looked at, since more tell no more, and neighbours of each that vote.
MOST, NEIGHBOURS = 1024, 10
#: Embeddings of a smaller effective rank lie on a line, or in one point.
LEAST_RANK = 2.0
#: Embeddings that differ by a smaller share of their length are one point: what is left are rounding errors.
ALIKE = 1e-4


def monitors(embedder: Embedder, data: ECGDataset) -> dict[str, float]:
    """Look at the embedding of at most 1,024 of the ECGs, evenly spaced, around its mean.

    Features behind a rectifier share a large offset, which makes all cosines alike and which any classifier on top of
    them takes away; so do the monitors: `alignment` of each ECG's first and last window, `uniformity` and
    `effective_rank` of the embeddings (all 0 where they are alike), and `knn`, the balanced accuracy of the ten nearest
    ECGs of other patients, where there are labels that differ.
    """
    data = data.subset(np.linspace(0, len(data) - 1, min(MOST, len(data))).astype(int))
    signals, width = data.signals, embedder.crop_len
    z = _around_mean(embedder.embed(signals))
    first, last = _around_mean(np.stack([embedder.embed(signals[..., :width]), embedder.embed(signals[..., -width:])]))
    found = {"alignment": alignment(first, last), "uniformity": uniformity(z), "effective_rank": effective_rank(z)}
    patients = patient_codes(data)
    k = min(NEIGHBOURS, len(data) - int(np.bincount(patients).max()))
    if k > 0 and data.labels.std(axis=0).any():
        found["knn"] = knn_accuracy(z, torch.from_numpy(data.labels), k, torch.from_numpy(patients))
    return found


def warn_if_collapsed(history: pd.DataFrame, name: str) -> bool:
    """Whether the last row of a history shows a collapsed embedding, which is said once as a warning."""
    rank = float(history["effective_rank"].iloc[-1])
    if rank < LEAST_RANK:
        warnings.warn(f"{name}: the embedding has collapsed (effective rank {rank:.2f}); lower the learning rate, or "
                      "take another method or augmentation", RuntimeWarning, stacklevel=3)
    return rank < LEAST_RANK


def _around_mean(z: NDArray[np.float32]) -> Tensor:
    """Embeddings `(..., d)` without their mean; zero where they are alike."""
    centred = z - z.reshape(-1, z.shape[-1]).mean(axis=0)
    alike = np.square(centred).mean() < ALIKE**2 * np.square(z).mean()
    return torch.from_numpy(np.zeros_like(centred) if alike else centred)


def pretrain(data: ECGDataset | None, *, method: str = "utah", settings: PretrainSettings | None = None,
             seed: int = 0, start: nn.Module | None = None, watch: ECGDataset | None = None,
             checkpoints: str | Path | None = None, device: str = "cpu") -> tuple[Embedder, pd.DataFrame]:
    """Pretrain an encoder.

    Parameters
    ----------
    data : ECGDataset, optional
        Whole recordings; labels are not looked at but by "supcon". The simulator's methods take its rate only, and
        need none.
    method : str
        A key of `METHODS`.
    start : Embedder or Module, optional
        An embedder or an encoder of the same kind, whose weights are copied; random weights without it.
    watch : ECGDataset, optional
        Labelled ECGs for the monitors, never trained on; without it they look at the training data.
    settings, seed, checkpoints, device
        `PretrainSettings`, and see `ecgkit.training.Run`; the seed is also of the views and of simulated patients.

    Returns
    -------
    Embedder
        In eval mode.
    DataFrame
        One row per epoch: `epoch`, `loss`, `learning_rate`, and every `schedule.validate_every` epochs what
        `ecgkit.training.pretrain.monitors` sees (for "simulator", in the last row only). A collapse is said as a
        RuntimeWarning at the end.

    Raises
    ------
    EcgkitError
        For an unknown method or ingredient, data that are missing, too short or without the labels that the method
        needs, another rate to watch, or a start of another kind.
    """
    settings = settings or PretrainSettings()
    if data is not None:
        settings = replace(settings, fs=data.fs)
    chosen = _choose(method, settings, start)
    watched = _watched(watch, data, settings, seed)
    if isinstance(chosen, SimulatorTask):
        model, history = pretrain_on_simulator(simulated_settings(settings, chosen.encoder), seed=seed,
                                               checkpoints=checkpoints, device=device)
        embedder = model.embedder().to(device).eval()
        history = history.join(pd.DataFrame(monitors(embedder, watched), index=history.index[-1:]))
        warn_if_collapsed(history, method)
        return embedder, history

    source = _source(chosen, data, settings, seed, checkpoints)
    n_steps = settings.schedule.epochs * (len(source) // max(1, min(settings.schedule.batch_size, len(source))))
    with seeded(seed):
        encoder = encoder_from(start.encoder if isinstance(start, Embedder) else start, chosen.encoder,
                               settings.encoder_options)
        learner = chosen.learner(_embedder(encoder, source.sample(), settings), settings, n_steps)
    how = replace(settings, augment=chosen.augment)

    def loss(model: nn.Module, items: Tensor, generator: torch.Generator) -> Tensor:
        batch = source(items, generator).to(device)
        return chosen.loss(model(chosen.views(batch, how, generator)), batch, chosen.temperature, generator)

    run = Run(f"pretraining by {method}", {"task": "pretrain", "method": method, "start": learner, "data": data,
                                           "watch": watch, "settings": settings}, seed, checkpoints, device)
    averaged, history = fit(learner, loss, len(source), settings.schedule, run,
                            validate=lambda model: monitors(_inside(model), watched))
    warn_if_collapsed(history, method)
    return _inside(averaged), history


def untrained(data: ECGDataset, *, settings: PretrainSettings | None = None, seed: int = 0) -> Embedder:
    """An encoder with random weights, in eval mode: the control that every method must beat (Berger et al. 2026).

    The data give rate and scale, the settings encoder and window.
    """
    settings = replace(settings or PretrainSettings(), fs=data.fs)
    with seeded(seed):
        encoder = build_encoder(settings.encoder or "xresnet1d18", **settings.encoder_options)
    return _embedder(encoder, data.batch(slice(0, 1024)), settings).eval()


def simulated_settings(settings: PretrainSettings, encoder: str = "xresnet1d18") -> SimulatedSettings:
    """What the method "simulator" tells `pretrain_on_simulator`.

    All thirty diseases, the superclasses and the clean beat, from ECGs of which leads are missing.
    """
    return SimulatedSettings(
        encoder=settings.encoder or encoder, encoder_options=settings.encoder_options, fs=settings.fs,
        crop_seconds=settings.crop_seconds, finer=True, superclass_weight=0.3, beat_weight=0.3, gain=0.2, mask=0.25,
        ecgs_per_epoch=settings.simulated_per_epoch, schedule=settings.schedule)


def _choose(name: str, settings: PretrainSettings, start: nn.Module | None) -> Method | SimulatorTask:
    """The method of a run, as the settings change it."""
    if name not in METHODS:
        raise EcgkitError(f"no method {name!r}; choose from {', '.join(METHODS)}")
    recipes = {"utah": utah, "physiology": physiology}
    if settings.without and name not in recipes:
        raise EcgkitError(f"{name} has no ingredients to leave out ({', '.join(settings.without)}); only "
                          f"{' and '.join(recipes)} have")
    chosen = recipes[name](settings.without) if name in recipes else METHODS[name]
    if isinstance(chosen, SimulatorTask):
        if start is not None:
            raise EcgkitError(f"{name} starts from random weights; leave out start, or take simulator_contrast")
        return chosen
    if "dual-stream" in settings.without and settings.encoder == "dual_stream":
        raise EcgkitError("utah without dual-stream cannot have the encoder dual_stream; choose another encoder")
    augment = chosen.augment if settings.augment is None else without_ingredients(settings.augment, settings.without)
    temperature = chosen.temperature if settings.temperature is None else settings.temperature
    return replace(chosen, encoder=settings.encoder or chosen.encoder, temperature=temperature, augment=augment)


def _source(chosen: Method, data: ECGDataset | None, settings: PretrainSettings, seed: int,
            folder: str | Path | None) -> Recordings | SimulatedPairs:
    if chosen.items == "simulated patients":
        return SimulatedPairs(Cohort(seed=seed, fs=settings.fs, seconds=settings.crop_seconds, visits=2),
                              settings.simulated_per_epoch)
    if data is None:
        raise EcgkitError(f"no data, but this method learns from recordings: {chosen.about}")
    if chosen.needs_labels and not data.label_names:
        raise EcgkitError(f"{data.name}: has no labels, but this method learns from them: {chosen.about}")
    kept = Path(folder) / "measured" if folder else None
    measured = MeasuredFeatures(data.fs, kept, rules=True) if chosen.needs_measurements else None
    return PatientPairs(data) if chosen.items == "patients" else Recordings(data, measured)


def _watched(watch: ECGDataset | None, data: ECGDataset | None, settings: PretrainSettings, seed: int) -> ECGDataset:
    """What the monitors look at: the ECGs given, else the training data without labels, else simulated ones."""
    for given in (data, watch):
        if given is not None and (given.fs != settings.fs or given.sig_len < settings.crop_len):
            raise EcgkitError(f"{given.name}: ECGs of {given.sig_len / given.fs:g} s at {given.fs:g} Hz give no views "
                              f"of {settings.crop_seconds:g} s at {settings.fs:g} Hz; lower crop_seconds or resample")
    if watch is not None:
        return watch
    if data is not None:
        return data.with_labels(())
    signals = Cohort(seed=seed, fs=settings.fs, seconds=2 * settings.crop_seconds).signals(range(256))
    return from_arrays(signals, np.empty((len(signals), 0)), (), settings.fs, name="simulated ECGs")


def _embedder(encoder: nn.Module, sample: NDArray[np.float32], settings: PretrainSettings) -> Embedder:
    return Embedder(encoder, fs=settings.fs, crop_len=settings.crop_len, millivolts=float(sample.std()) or 1.0)


def _inside(learner: nn.Module) -> Embedder:
    embedder = learner.get_submodule("embedder")
    assert isinstance(embedder, Embedder)
    return embedder
