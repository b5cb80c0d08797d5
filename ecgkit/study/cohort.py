"""Page 01, the cohort: how many planted faults the gate in front of every answer finds, and how often it is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.datasets import ECGDataset, load
from ecgkit.leads import swapped
from ecgkit.physiology import Usable, delineate, usable
from ecgkit.physiology.electrodes import SWAPS
from ecgkit.physiology.usable import SPIKES_FS
from ecgkit.progress import track
from ecgkit.simulator import faults

Signals = NDArray[np.float32]
ELECTRODES = ("limb_electrodes", "chest_electrodes")
#: Faults that the page draws; a railed amplifier leaves any paper.
DRAWN = ("white noise, 0.3 mV", "square wave", "clipped at half", SWAPS["RA-LA"][0])


@dataclass(frozen=True)
class Planted:
    """A fault to plant: what makes it of ECGs (signals, rate, seed), and the codes by which it is found.

    Without a code, it is found where an answer is withheld.
    """

    make: Callable[[Signals, float, int], Signals]
    codes: tuple[str, ...] = ()


def _like(make: Callable[..., Signals], **options: float) -> Callable[[Signals, float, int], Signals]:
    """Recordings of nothing else, as many and as long as the ECGs."""
    return lambda x, fs, seed: make(len(x), fs, x.shape[2] / fs, seed=seed, **options)


def _paced(x: Signals, fs: float, seed: int) -> Signals:
    """Spikes 25 ms before each QRS."""
    onset = delineate(x, fs).ms[:, :, 1, 0]
    return faults.paced(x, fs, [row[np.isfinite(row)] - 25 for row in onset], seed=seed)


def _noisy(x: Signals, fs: float, seed: int) -> Signals:
    """The ECGs under white noise at the electrodes."""
    return x + faults.white_noise(len(x), fs, x.shape[2] / fs, at_electrodes=True, seed=seed)


PLANTED: dict[str, Planted] = {
    "white noise, 0.3 mV": Planted(_like(faults.white_noise, millivolts=0.3)),
    "white noise at the electrodes, 0.3 mV": Planted(_like(faults.white_noise, millivolts=0.3, at_electrodes=True)),
    "electrode motion, 0.3 mV": Planted(_like(faults.coloured_noise, millivolts=0.3)),
    "flat, noise of 20 µV": Planted(_like(faults.white_noise, millivolts=0.02)),
    "square wave": Planted(_like(faults.square_wave)),
    "railed amplifier": Planted(lambda x, fs, seed: faults.railed(x)),
    "gain ten times too high": Planted(lambda x, fs, seed: 10 * x),
    "gain ten times too low": Planted(lambda x, fs, seed: x / np.float32(10)),
    "under noise of 0.3 mV": Planted(_noisy),
    "clipped at half": Planted(lambda x, fs, seed: faults.clipped(x), ("clipped",)),
    "pacing spikes": Planted(_paced, ("paced",)),
}


def gate_table(sets: Mapping[str, tuple[Signals, float]], *, most: int = 1000, seed: int = 1) -> pd.DataFrame:
    """Plant faults in ECGs and look at them through the gate.

    Parameters
    ----------
    sets : mapping
        By name: ECGs `(n, 12, sig_len)` in mV that are taken to be right, and their rate in Hz.
    most : int
        ECGs of a set, at most.
    seed : int
        Of the faults.

    Returns
    -------
    DataFrame, indexed by (`set`, `fault`)
        `n`, `found` (share told of, for exchanged electrodes by the right pair) and `withheld` (share without an
        answer). The fault ``"none"`` is the ECGs as they are: `found` is the share told of exchanged electrodes, which
        are false warnings where the electrodes are right.
    """
    rows: dict[tuple[str, str], dict[str, float]] = {}
    plan = [(name, fault) for name in sets for fault in ("none", *PLANTED, *SWAPS)]
    for name, fault in track(plan, "planting faults", unit="fault"):
        signals, fs = sets[name][0][:most], sets[name][1]
        if fault == "pacing spikes" and fs < SPIKES_FS:
            continue
        if fault in SWAPS:
            seen = usable(swapped(signals, fault), fs)
            found = np.array([pair == fault for pair in seen.swaps])
        else:
            planted = PLANTED.get(fault, Planted(lambda x, fs, seed: x, ELECTRODES))
            seen = usable(planted.make(signals, fs, seed), fs)
            found = _told(seen, planted.codes) if planted.codes else ~seen.usable
        label = SWAPS[fault][0] if fault in SWAPS else fault
        rows[name, label] = {"n": len(seen), "found": found.mean(), "withheld": (~seen.usable).mean()}
    return pd.DataFrame(rows.values(), index=pd.MultiIndex.from_tuples(rows, names=["set", "fault"]))


def _told(seen: Usable, codes: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which ECGs have one of some codes among their reasons or warnings."""
    return np.array([any(code in told for code in codes for told in each)
                     for each in zip(seen.reasons, seen.warnings, strict=True)])


def held_out(cohort: ECGDataset, beside: Path | None = None, *, ludb: str = "",
             cinc2011: str = "") -> dict[str, tuple[Signals, float]]:
    """ECGs on which no limit of the gate was chosen, for `gate_table`: folds 9 and 10, LUDB, CinC 2011.

    The last two are folders of these names in `beside`; one that is not there, or not named, is passed over.
    """
    both = np.concatenate([cohort.validation.signals, cohort.test.signals])
    sets = {f"{cohort.name}, folds 9 and 10": (both, cohort.fs)}
    for source, folder, options in (("ludb", ludb, {}), ("cinc2011", cinc2011, {"fs": 100})):
        if beside is not None and folder and (beside / folder).is_dir():
            data = load(source, root=beside / folder, **options)
            sets[data.name] = data.signals, data.fs
    return sets


def printed_gate(table: pd.DataFrame) -> pd.DataFrame:
    """A `gate_table` for print: faults by sets, with the number of ECGs in the name of each set."""
    shares = table.reset_index()
    shares["set"] = [f"{name} (n = {n:,.0f})" for name, n in zip(shares["set"], shares["n"], strict=True)]
    none = shares[shares["fault"] == "none"]
    rows = pd.concat([none.assign(fault="none: answer withheld", found=none["withheld"]),
                      none.assign(fault="none: electrodes said to be exchanged"), shares[shares["fault"] != "none"]])
    order = list(dict.fromkeys(rows["fault"])), list(dict.fromkeys(rows["set"]))
    rows["found"] = (100 * rows["found"]).map("{:.1f} %".format)
    wide = rows.pivot_table("found", "fault", "set", aggfunc="first")
    return wide.loc[order].fillna("–").rename_axis(columns=None)


def words(table: pd.DataFrame) -> dict[str, str]:
    """What the prose says of the gate, of the first set of a `gate_table`."""
    first = table.loc[table.index[0][0]]
    noise = first.loc[[name for name, planted in PLANTED.items() if not planted.codes][:6], "found"].min()
    return {"n": f"{first['n'].iloc[0]:,.0f}", "false": f"{first.loc['none', 'withheld']:.1%}",
            "warned": f"{first.loc['none', 'found']:.1%}", "noise": f"{noise:.1%}",
            **{key: f"{first.loc[SWAPS[pair][0], 'found']:.1%}" for key, pair in
               (("arms", "RA-LA"), ("leg", "RA-LL"), ("left", "LA-LL"), ("chest", "V1-V6"))}}


def gallery(signals: Signals, fs: float, *, seed: int = 1) -> dict[str, tuple[Signals, str]]:
    """What the gate says of one ECG `(12, sig_len)` with each fault planted: by fault, signals and words."""
    made = {name: planted.make(signals[None], fs, seed) for name, planted in PLANTED.items()}
    made |= {SWAPS[pair][0]: swapped(signals[None], pair) for pair in ("RA-LA", "RA-LL", "V1-V6")}
    shown = {}
    for name, x in made.items():
        seen = usable(x, fs)
        words = [f"withheld: {'; '.join(seen.reasons[0].values())}"] if seen.reasons[0] else []
        shown[name] = x[0], "; ".join([*words, *seen.warnings[0].values()]) or "nothing to beware of"
    return shown
