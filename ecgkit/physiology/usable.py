"""The gate in front of every answer: whether a recording is an ECG that can be judged, and what to beware of in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.leads import CHEST, LEADS, LIMB, N_LEADS, resample, swapped
from ecgkit.physiology.delineate import delineate
from ecgkit.physiology.electrodes import SWAPS, exchanged
from ecgkit.physiology.median_beat import median_beats
from ecgkit.physiology.quality import lead_faults
from ecgkit.simulator import WAVES, Waves

#: Seconds below which no wave is sought, and beats per second that an ECG has at least: 18 a minute.
SHORTEST, SLOWEST = 2.5, 0.3
#: A recording in which no lead moves by more than this within a second (median of the seconds), mV, is flat. In 99.9 %
#: of the ECGs of folds 1 to 8 the lead that moves most does so by 0.8 mV.
FLAT_MV = 0.2
#: QRS complexes of the lead in which they are largest (peak to peak, median of the beats), mV, lie between. In folds 1
#: to 8 they are 0.8 to 6.4 mV, in CinC 2011 0.4 to 8.3 mV: a gain ten times too high or too low falls outside.
SMALLEST_MV, LARGEST_MV = 0.3, 10.0
#: Between the QRS complexes an ECG is quiet: its steps of 10 ms (median) are this share of those within QRS, or less.
#: 0.40 is the largest in folds 1 to 8, where 99.5 % have less than 0.22, and 0.43 in CinC 2011; noise of any colour, a
#: sine or a sawtooth have 0.54 to 1.2.
LOUDEST, STEPS_FS = 0.5, 100.0
#: Correlation of the beats with their median from which on it is an ECG under noise, and not noise alone.
ALIKE = 0.8
#: Kurtosis (median of the leads) of what swings between two levels is 1, of a sine 1.5, and above 2.2 in folds 1 to 8.
TWO_LEVELS = 1.8
#: So many leads that are flat, noisy or missing leave too little.
MOST_FAULTY = 6
#: A lead is clipped where the signal comes back to its extreme, to within `TOP_MV`, this often, and stays there for
#: `TOP_SECONDS` (2 samples at least) each time: a peak that is not clipped is never twice as high as before. Only for
#: extremes further than `TOP_FAR` mV from the median.
TOP_TIMES, TOP_SECONDS, TOP_MV, TOP_FAR = 3, 0.01, 0.0015, 0.3
#: A pacing spike is narrower than anything the heart makes: fourth differences at 4 ms, root mean square over the
#: leads, mV, in more than `PACED_SHARE` of the beats. Below `SPIKES_FS` Hz the recorder's low-pass has taken spikes
#: away; what is left of them is found only where it is higher than any R wave's tip.
PACED_MV, PACED_MV_SLOW, PACED_SHARE, SPIKES_FS, SPIKE_STEP = 0.42, 0.95, 0.6, 250.0, 0.004
#: ECGs worked on at a time, so that memory does not grow with their number.
CHUNK = 128

_QRS = WAVES.index("QRS")


@dataclass(frozen=True)
class Usable:
    """What the gate says of some ECGs.

    Parameters
    ----------
    reasons : list of dict
        For each ECG, what withholds an answer: code and words; empty where nothing does. Codes: `too_short`,
        `missing`, `flat`, `no_beats`, `not_an_ecg`, `noise`, `amplitude`, `clipped`, `leads`.
    warnings : list of dict
        What to beware of, and does not withhold. Codes: `clipped`, `paced`, `limb_electrodes`, `chest_electrodes`,
        `flat_leads`, `noisy_leads`, `missing_leads`, `wander`.
    faults : ndarray of str, shape (n, 12)
        Each lead's fault, of `ecgkit.physiology.lead_faults`; clipping is sought here more finely.
    swaps : list of str
        The pair of electrodes that look exchanged, as `ecgkit.leads.swapped` takes it; empty where none does.
    """

    reasons: list[dict[str, str]]
    warnings: list[dict[str, str]]
    faults: NDArray[np.str_]
    swaps: list[str]

    def __len__(self) -> int:
        return len(self.reasons)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Whether each may be answered, `(n,)`."""
        return np.array([not reasons for reasons in self.reasons], dtype=bool)

    @property
    def table(self) -> pd.DataFrame:
        """A row for each ECG: `usable`, `reasons` and `warnings` (codes, joined by commas), `swap`."""
        return pd.DataFrame({"usable": self.usable, "reasons": [", ".join(found) for found in self.reasons],
                             "warnings": [", ".join(found) for found in self.warnings], "swap": self.swaps})

    def document(self, row: int = 0) -> dict[str, Any]:
        """What is said of one ECG, as JSON has it; `reasons` only where it is withheld."""
        told = {name: [{"code": code, "text": text} for code, text in found[row].items()]
                for name, found in (("reasons", self.reasons), ("warnings", self.warnings))}
        return {"usable": not told["reasons"], **({"reasons": told["reasons"]} if told["reasons"] else {}),
                "warnings": told["warnings"]}


def usable(signals: NDArray[np.float32], fs: float) -> Usable:
    """Judge whether recordings are ECGs that can be answered, and what to beware of.

    Limits were chosen on folds 1 to 8 of PTB-XL's sample and on planted faults (`ecgkit.simulator.faults`); those of
    amplitude and noise with CinC 2011 and LUDB in view, that of pacing with LUDB and all ECGs of the sample at 500 Hz
    in view.

    Parameters
    ----------
    signals : ndarray, shape (n, 12, sig_len)
        Millivolts, leads in the order of `ecgkit.leads.LEADS`; missing samples are nan.
    fs : float
        Sampling rate in Hz, 100 to 1000. Pacing spikes are found at 250 Hz or more; at 100 Hz few are left.

    Raises
    ------
    EcgkitError
        For another shape, or a lower rate.
    """
    signals = np.asarray(signals, dtype=np.float32)
    if signals.ndim != 3 or signals.shape[1] != N_LEADS:
        raise EcgkitError(f"signals of shape {signals.shape}; expected (n, {N_LEADS}, sig_len)")
    n, seconds = len(signals), signals.shape[2] / fs
    if seconds < SHORTEST:
        short = {"too_short": f"too short: {seconds:g} s of the {SHORTEST:g} s that beats are sought in"}
        return Usable([dict(short) for _ in range(n)], [{} for _ in range(n)], np.full((n, N_LEADS), ""), [""] * n)
    found = Usable([], [], np.empty((0, N_LEADS), dtype="<U10"), [])
    for start in range(0, n, CHUNK):
        part = _judge(signals[start:start + CHUNK], fs)
        found = Usable(found.reasons + part.reasons, found.warnings + part.warnings,
                       np.concatenate([found.faults, part.faults]), found.swaps + part.swaps)
    return found


def unswapped(signals: NDArray[np.float32], swaps: list[str]) -> NDArray[np.float32]:
    """The ECGs `(n, 12, sig_len)` with the electrodes that look exchanged plugged back."""
    return np.stack([swapped(x, pair) if pair else x for x, pair in zip(signals, swaps, strict=True)])


def _judge(signals: NDArray[np.float32], fs: float) -> Usable:
    faults = lead_faults(signals, fs)
    there = np.isfinite(signals)
    filled = np.where(there, signals, np.float32(0))
    at_top = _clipped(filled, fs)
    faults = np.where((faults == "") & at_top, "clipped", faults)
    bad = np.isin(faults, ("not finite", "flat", "noise"))
    clean = np.where(bad[..., None], np.float32(0), filled)
    # Where most leads are noise, beats are sought in all that there is.
    waves = delineate(np.where((bad.sum(axis=1) < MOST_FAULTY)[:, None, None], clean, filled), fs)
    reasons = _reasons(filled, there, fs, waves, faults, at_top)
    beats = median_beats(clean, waves)
    # Where a lead that a pair of electrodes reaches is lost, how the leads run together cannot be told.
    pairs = [pair if pair and not told and not lost[_reached(pair)].any() else ""
             for pair, told, lost in zip(exchanged(beats), reasons, bad, strict=True)]
    paced = _paced(filled, fs, waves)
    warnings = [{} if told else _warnings(*each) for told, *each in zip(reasons, faults, paced, pairs, strict=True)]
    return Usable(reasons, warnings, faults, pairs)


def _on_chest(pair: str) -> bool:
    """Whether electrodes that are exchanged are those of the chest."""
    return pair.startswith("V")


def _reached(pair: str) -> list[int]:
    """Places of the leads that exchanging two electrodes changes."""
    return [LEADS.index(lead) for lead in (CHEST if _on_chest(pair) else LIMB)]


def _reasons(signals: NDArray[np.float32], there: NDArray[np.bool_], fs: float, waves: Waves,
             faults: NDArray[np.str_], at_top: NDArray[np.bool_]) -> list[dict[str, str]]:
    """What withholds each ECG; of those that follow from one another only the first."""
    second = max(1, round(fs))
    whole = signals.shape[2] // second
    moves = np.median(np.ptp(signals[..., :whole * second].reshape(*signals.shape[:2], whole, second), axis=3), axis=2)
    moves = moves.max(axis=1)
    count = np.isfinite(waves.ms[:, :, _QRS, 1]).sum(axis=1)
    loud, size, alike = _beside_qrs(resample(signals, fs, STEPS_FS), STEPS_FS, waves)
    squares = (signals - signals.mean(axis=2, keepdims=True, dtype=np.float64))**2
    with np.errstate(invalid="ignore"):  # a flat lead has no kurtosis
        levels = np.median((squares**2).mean(axis=2) / squares.mean(axis=2)**2, axis=1)
    lost = np.isin(faults, ("not finite", "flat", "noise")).sum(axis=1)
    fewest = max(2, int(np.ceil(SLOWEST * signals.shape[2] / fs)))
    found: list[dict[str, str]] = []
    for k in range(len(signals)):
        told = {}
        noise = not loud[k] <= LOUDEST
        if not there[k].any():
            told["missing"] = "no lead has a sample"
        elif moves[k] < FLAT_MV and (noise or count[k] < fewest):
            told["flat"] = f"flat, no beats: no lead moves by more than {moves[k]:.2f} mV within a second"
        elif levels[k] < TWO_LEVELS:
            told["not_an_ecg"] = "not an ECG: it swings between two levels"
        elif count[k] < fewest:
            told["no_beats"] = f"no beats found: {count[k]} QRS in {signals.shape[2] / fs:g} s"
        elif noise and alike[k] < ALIKE:
            told["not_an_ecg"] = "not an ECG: it is as restless between the beats as in them"
        elif noise:
            told["noise"] = f"noise: between the beats it moves {loud[k]:.2f} times as fast as in QRS"
        elif not SMALLEST_MV <= size[k] <= LARGEST_MV:
            told["amplitude"] = f"impossible amplitude: QRS of {size[k]:.3g} mV; the gain or the unit is wrong"
            if at_top[k].any():
                told["clipped"] = f"clipped in leads {_names(at_top[k])}"
        elif lost[k] >= MOST_FAULTY and not (~there[k]).any():
            told["leads"] = f"{lost[k]} of 12 leads are flat or noise"
        found.append(told)
    return found


def _warnings(faults: NDArray[np.str_], paced: bool, pair: str) -> dict[str, str]:
    told = {}
    if pair:
        told["chest_electrodes" if _on_chest(pair) else "limb_electrodes"] = SWAPS[pair][0]
    if paced:
        told["paced"] = "paced: pacing spikes found; intervals, axes and rules of conducted beats do not apply"
    for code, fault, words in (("clipped", "clipped", "clipped in leads"), ("flat_leads", "flat", "flat or off: leads"),
                               ("noisy_leads", "noise", "noise in leads"),
                               ("missing_leads", "not finite", "missing samples in leads"),
                               ("wander", "wander", "the baseline wanders in leads")):
        if (faults == fault).any():
            told[code] = f"{words} {_names(faults == fault)}"
    return told


def _names(which: NDArray[np.bool_]) -> str:
    """Leads by name; all twelve, all limb or all chest leads in short."""
    names = tuple(np.array(LEADS)[which])
    groups = {LEADS: "I to V6", LIMB: "I to aVF", CHEST: "V1 to V6"}
    return groups.get(names, ", ".join(names))


def _beside_qrs(signals: NDArray[np.float32], fs: float,
                waves: Waves) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of each ECG `(n,)`: steps outside QRS by steps inside, size of QRS in mV, likeness of the beats; nan without."""
    loud, size, alike = np.full((3, len(signals)), np.nan)
    speed = np.abs(np.diff(signals, axis=2)).mean(axis=1)
    for k, (x, ms) in enumerate(zip(signals, waves.ms[:, :, _QRS], strict=True)):
        spans = (ms[np.isfinite(ms).all(axis=1)][:, [0, 2]] * fs / 1000).astype(np.intp)
        if len(spans) < 2:
            continue
        inside = np.zeros(len(speed[k]) + 1, dtype=bool)
        for first, last in spans:
            inside[first:last + 1] = True
        within, between = speed[k][inside[:-1]], speed[k][~inside[:-1]]
        if len(within) and len(between) and np.median(within) > 0:
            loud[k] = np.median(between) / np.median(within)
        cuts = [x[:, max(0, first - 2):last + 3] for first, last in spans]
        size[k] = np.median([np.ptp(cut, axis=1).max() for cut in cuts])
        if loud[k] > LOUDEST:
            alike[k] = _likeness(x, spans.mean(axis=1).astype(np.intp), round(0.08 * fs))
    return loud, size, alike


def _likeness(x: NDArray[np.float32], middle: NDArray[np.intp], reach: int) -> float:
    """Median correlation of beats with their median, over all leads."""
    beats = x[:, np.clip(middle[:, None] + np.arange(-reach, reach + 1), 0, x.shape[1] - 1)].transpose(1, 0, 2)
    beats = (beats - beats.mean(axis=2, keepdims=True)).reshape(len(middle), -1)
    typical = np.median(beats, axis=0)
    norm = np.linalg.norm(beats, axis=1) * np.linalg.norm(typical)
    return float(np.median(beats @ typical / np.maximum(norm, 1e-9)))


def _clipped(signals: NDArray[np.float32], fs: float) -> NDArray[np.bool_]:
    """Which leads come back to their extreme and stay there, `(n, 12)`."""
    centred = signals - np.median(signals, axis=2, keepdims=True)
    stay = max(2, round(TOP_SECONDS * fs))
    found = np.zeros(signals.shape[:2], dtype=bool)
    for side in (centred, -centred):
        top = side.max(axis=2, keepdims=True)
        at_top = np.pad(side >= top - TOP_MV, ((0, 0), (0, 0), (1, 0)))
        count = at_top.cumsum(axis=2)
        stays = count[..., stay:] - count[..., :-stay] == stay
        begins = stays[..., 1:] & ~stays[..., :-1]
        found |= (begins.sum(axis=2) >= TOP_TIMES) & (top[..., 0] > TOP_FAR)
    return found


def _paced(signals: NDArray[np.float32], fs: float, waves: Waves) -> NDArray[np.bool_]:
    """Whether most beats have a spike, `(n,)`."""
    step = max(1, round(SPIKE_STEP * fs))
    inner = signals[..., step:-step] * 4
    bend = 6 * signals[..., 2 * step:-2 * step] - inner[..., :-2 * step] - inner[..., 2 * step:] \
        + signals[..., :-4 * step] + signals[..., 4 * step:]
    sharp = np.sqrt(((bend / 6)**2).mean(axis=1))
    limit = PACED_MV if fs >= SPIKES_FS else PACED_MV_SLOW
    apart = max(1, round(0.02 * fs))
    count = np.isfinite(waves.ms[:, :, _QRS, 1]).sum(axis=1)
    pad = np.pad(sharp > limit, ((0, 0), (1, 0)))
    # Samples of one spike lie closer together than two spikes do.
    times = np.array([1 + (np.diff(np.flatnonzero(row)) > apart).sum() if row.any() else 0 for row in pad])
    return (times > PACED_SHARE * np.maximum(count, 2))
