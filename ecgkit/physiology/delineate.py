"""Where P, QRS and T begin, peak and end: the delineator's probabilities, read as beats."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.leads import N_LEADS, resample
from ecgkit.models.delineator import Delineator
from ecgkit.models.weights import load_delineator
from ecgkit.physiology.rhythm import premature
from ecgkit.progress import track
from ecgkit.simulator.rhythm import NORMAL
from ecgkit.simulator.waves import MARKS, WAVES, Waves

#: Kind of a "beat" that is a P wave alone, which no QRS followed.
NOT_CONDUCTED = 3
#: ECGs that pass through the net together.
BATCH = 16
#: Milliseconds that a wave must last, and gaps inside one that are closed.
SHORTEST = {"P": 30.0, "QRS": 30.0, "T": 50.0}
GAP = 30.0
#: The longest PQ interval, ms: a P wave further away has no QRS.
LONGEST_PQ = 600.0
#: Where there are fewer P waves than this share of the QRS complexes, and `LEAST_BEATS` or more of these, no P wave is
#: believed: fibrillation and noise look like a P now and then, and an atrium that beats does so all the time. In
#: PTB-XL's folds 1 to 8 that concerns 0.4 % of the ECGs in sinus rhythm, and three quarters of those in fibrillation.
LEAST_P_SHARE, LEAST_BEATS = 1 / 3, 4

_P, _QRS, _T = range(3)
_shipped = cache(load_delineator)


def delineate(signals: NDArray[np.float32], fs: float, *, model: Delineator | None = None) -> Waves:
    """Find the waves of some ECGs, from all their leads together.

    Parameters
    ----------
    signals : ndarray, shape (n, 12, sig_len)
        Millivolts; 2.5 s to a minute.
    fs : float
        Sampling rate in Hz, 100 to 1000.
    model : Delineator, optional
        Trained by `ecgkit.training.delineation`; by default the one that comes with the package.

    Returns
    -------
    Waves
        Boundaries in milliseconds, finer than a sample, of every beat in order of time. nan where a beat has no such
        wave (no P in atrial fibrillation), or where a wave goes on beyond the recording. `kind` is 0 for a normal
        beat, 1 and 2 for an atrial and a ventricular premature one, 3 (`NOT_CONDUCTED`) for a P wave without a QRS,
        -1 where there is no beat.

    Raises
    ------
    EcgkitError
        For another shape, rate or length.
    """
    if signals.ndim != 3 or signals.shape[1] != N_LEADS:
        raise EcgkitError(f"signals of shape {signals.shape}; expected (n, {N_LEADS}, sig_len)")
    seconds = signals.shape[-1] / fs
    if not (100 <= fs <= 1000 and 2.5 <= seconds <= 60):
        raise EcgkitError(f"{seconds:g} s at {fs:g} Hz: waves are found in 2.5 to 60 s at 100 to 1000 Hz")
    model = model or _shipped()
    starts = range(0, len(signals), BATCH)
    found: list[tuple[NDArray[np.float64], NDArray[np.int8]]] = []
    for start in track(starts, "finding waves", unit="batch") if len(starts) > BATCH else starts:
        x = resample(np.nan_to_num(np.asarray(signals[start:start + BATCH], dtype=np.float32)), fs, model.fs)
        with torch.no_grad():
            chance = torch.sigmoid(model(torch.from_numpy(x))).numpy()
        found += [_beats(p, s, model.fs) for p, s in zip(chance, x, strict=True)]
    return _joined(found, fs)


def _beats(chance: NDArray[np.float32], signal: NDArray[np.float32],
           fs: float) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Beats of one ECG, `(n_beats, 3, 3)` in ms, and their kinds."""
    spans = {wave: _spans(chance[k], fs, SHORTEST[wave]) for k, wave in enumerate(WAVES)}
    if len(spans["QRS"]) >= LEAST_BEATS and len(spans["P"]) < LEAST_P_SHARE * len(spans["QRS"]):
        spans["P"] = []
    size = np.sqrt(np.mean((signal - np.median(signal, axis=-1, keepdims=True))**2, axis=0))
    beats: list[NDArray[np.float64]] = []
    kinds: list[int] = []
    qrs = spans["QRS"]
    for k, span in enumerate(qrs):
        before = qrs[k - 1][1] if k else -np.inf
        after = qrs[k + 1][0] if k + 1 < len(qrs) else np.inf
        t_waves = [wave for wave in spans["T"] if span[1] - GAP <= wave[0] and wave[1] <= after + GAP]
        p_waves = [wave for wave in spans["P"] if before < wave[0] and wave[1] <= span[0] + GAP]
        beat = np.full((len(WAVES), len(MARKS)), np.nan)
        beat[_QRS] = _marks(span, size, fs)
        if t_waves:
            beat[_T] = _marks(max(t_waves, key=lambda wave: wave[1] - wave[0]), size, fs)
        if p_waves and span[0] - p_waves[-1][0] <= LONGEST_PQ:
            beat[_P] = _marks(p_waves.pop(), size, fs)
        beats += [*(_alone(wave, size, fs) for wave in p_waves), beat]
        kinds += [NOT_CONDUCTED] * len(p_waves) + [NORMAL]
    last = qrs[-1][1] if qrs else -np.inf
    late = [wave for wave in spans["P"] if wave[0] > last]
    beats += [_alone(wave, size, fs) for wave in late]
    kinds += [NOT_CONDUCTED] * len(late)
    ms, kind = np.array(beats).reshape(-1, len(WAVES), len(MARKS)), np.array(kinds, dtype=np.int8)
    conducted = kind != NOT_CONDUCTED
    kind[conducted] = premature(ms[conducted], signal, fs)
    return ms, kind


def _alone(p_wave: tuple[float, float], size: NDArray[np.float64], fs: float) -> NDArray[np.float64]:
    """A beat that has nothing but a P wave."""
    beat = np.full((len(WAVES), len(MARKS)), np.nan)
    beat[_P] = _marks(p_wave, size, fs)
    return beat


def _spans(chance: NDArray[np.float32], fs: float, shortest: float) -> list[tuple[float, float]]:
    """Stretches (ms) in which a wave is likelier than not, between the places where its probability crosses 1/2."""
    above = np.concatenate([[False], chance >= 0.5, [False]]).astype(np.int8)
    rise, fall = np.flatnonzero(np.diff(above) == 1), np.flatnonzero(np.diff(above) == -1) - 1
    padded = np.concatenate([[0.0], chance, [0.0]]).astype(np.float64)
    # padded[k + 1] is sample k.
    begin = rise - 1 + (0.5 - padded[rise]) / (padded[rise + 1] - padded[rise])
    end = fall + (padded[fall + 1] - 0.5) / (padded[fall + 1] - padded[fall + 2])
    spans: list[tuple[float, float]] = []
    for first, last in zip(begin * 1000 / fs, end * 1000 / fs, strict=True):
        if spans and first - spans[-1][1] < GAP:
            spans[-1] = (spans[-1][0], last)
        else:
            spans.append((first, last))
    return [span for span in spans if span[1] - span[0] >= shortest]


def _marks(span: tuple[float, float], size: NDArray[np.float64], fs: float) -> NDArray[np.float64]:
    """Onset, peak and offset of a wave: its peak is where the leads together are furthest from the line between."""
    first, last = (min(max(round(ms * fs / 1000), 0), len(size) - 1) for ms in span)
    inside = size[first:last + 1]
    line = np.linspace(inside[0], inside[-1], len(inside))
    at = int(np.argmax(inside - line)) + first
    shift = 0.0
    if 0 < at < len(size) - 1:
        left, middle, right = size[at - 1:at + 2]
        bend = left - 2 * middle + right
        shift = float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend < 0 else 0.0
    ends = (len(size) - 1) * 1000 / fs
    onset, offset = (np.nan if span[0] <= 0 else span[0]), (np.nan if span[1] >= ends else span[1])
    return np.array([onset, (at + shift) * 1000 / fs, offset])


def _joined(found: list[tuple[NDArray[np.float64], NDArray[np.int8]]], fs: float) -> Waves:
    """One array for all ECGs, and the time since the QRS before."""
    most = max((len(kinds) for _, kinds in found), default=0)
    ms = np.full((len(found), most, len(WAVES), len(MARKS)), np.nan)
    kind = np.full((len(found), most), -1, dtype=np.int8)
    rr = np.full((len(found), most), np.nan)
    for row, (beats, kinds) in enumerate(found):
        ms[row, :len(beats)], kind[row, :len(kinds)] = beats, kinds
        with_qrs = np.flatnonzero(np.isfinite(beats[:, _QRS, 1]))
        rr[row, with_qrs[1:]] = np.diff(beats[with_qrs, _QRS, 1])
    return Waves(ms, kind, rr, fs)
