"""Measurements of ECGs in clinical terms: rhythm, intervals, axes, and the amplitudes of every lead's median beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.leads import LEADS, N_LEADS
from ecgkit.models.delineator import Delineator
from ecgkit.physiology.columns import Reasons, Sheet, either, why
from ecgkit.physiology.deflections import NAMES, deflections, qrs_parts
from ecgkit.physiology.delineate import delineate
from ecgkit.physiology.median_beat import LEAST_BEATS, OFFSET, ONSET, QRS, MedianBeats, P, T, median_beats
from ecgkit.physiology.quality import in_part, lead_faults
from ecgkit.physiology.rhythm import measure_rhythm
from ecgkit.simulator import WAVES, Waves

LEAD_I, AVF, V1 = (LEADS.index(lead) for lead in ("I", "aVF", "V1"))
#: Mean voltage of a wave in the frontal plane (mV) below which its axis has no meaning.
LEAST_NET_MV = 0.005


@dataclass(frozen=True)
class Measurements:
    """Measurements of some ECGs.

    Parameters
    ----------
    table : DataFrame
        One row per ECG; the columns, their units and meanings are in `ecgkit.physiology.COLUMNS`. nan where a thing
        could not be measured.
    reasons : DataFrame
        Of the same shape: why it could not be measured; an empty string where it was.
    faults : ndarray of str, shape (n, 12)
        Why a lead is unusable (`ecgkit.physiology.lead_faults`); an empty string where it is usable.
    beats : MedianBeats
        The median beats that were measured.
    waves : Waves
        Boundaries of the waves of every beat.
    """

    table: pd.DataFrame
    reasons: pd.DataFrame
    faults: NDArray[np.str_]
    beats: MedianBeats
    waves: Waves


@dataclass(frozen=True)
class _Part:
    """One wave of the median beats: `(n, 12, length)`, 0 after its end; how many samples; its first sample."""

    signal: NDArray[np.float32]
    size: NDArray[np.intp]
    begin: NDArray[np.intp]


def measure(signals: NDArray[np.float32], fs: float, waves: Waves | None = None, *,
            model: Delineator | None = None) -> Measurements:
    """Measure some ECGs.

    A lead with a fault is left out: its own measurements are nan, and no wave is sought in it. A lead that only wanders
    is kept, since the level before each beat is taken from it. One that was recorded only for a part of the time, as in
    printed ECGs (its other samples are nan), is measured from the beats of that part.

    Parameters
    ----------
    signals : ndarray, shape (n, 12, sig_len)
        Millivolts.
    fs : float
        Sampling rate in Hz.
    waves : Waves, optional
        Boundaries of their waves, where these are known; by default `ecgkit.physiology.delineate` finds them.
    model : Delineator, optional
        What finds them; by default the one that comes with the package.

    Raises
    ------
    EcgkitError
        If the rates or the shapes do not fit each other.
    """
    if waves is not None and fs != waves.fs:
        raise EcgkitError(f"signals at {fs:g} Hz with waves at {waves.fs:g} Hz: give the signals the waves were "
                          "found in")
    faults = lead_faults(signals, fs)
    faults[faults == "wander"] = ""
    partly = in_part(signals, fs)
    faults[partly] = ""
    usable = np.where((faults == "")[..., None], signals, np.float32(0))
    if partly.any():
        # No step where a part begins or ends, which would look like a wave.
        usable[partly] -= np.nanmedian(usable[partly], axis=1, keepdims=True)
    waves = delineate(usable, fs, model=model) if waves is None else waves
    beats = median_beats(usable, waves)
    few = why(beats.n_beats < LEAST_BEATS, f"fewer than {LEAST_BEATS} usable beats")
    lead = either(faults, np.repeat(few[:, None], N_LEADS, axis=1))
    sheet = Sheet()
    sheet.put("n_beats", beats.n_beats, why(beats.n_beats < 0, ""))
    measure_rhythm(sheet, waves)
    _intervals(sheet, beats, few)
    _p_and_t(sheet, beats, few, lead)
    _qrs(sheet, beats, few, lead)
    table, reasons = sheet.tables()
    return Measurements(table, reasons, faults, beats, waves)


def _intervals(sheet: Sheet, beats: MedianBeats, few: Reasons) -> None:
    p, qrs, t = (beats.marks[:, wave] for wave in (P, QRS, T))
    no_p, no_t = _wave_reason(beats, few, P), _wave_reason(beats, few, T)
    qt = t[:, OFFSET] - qrs[:, ONSET]
    no_rate = either(no_t, why(np.isnan(beats.rr), "fewer than 2 beats"))
    sheet.put("pr", qrs[:, ONSET] - p[:, ONSET], no_p)
    sheet.put("qrs", qrs[:, OFFSET] - qrs[:, ONSET], few)
    sheet.put("qt", qt, no_t)
    sheet.put("p_duration", p[:, OFFSET] - p[:, ONSET], no_p)
    sheet.put("t_duration", t[:, OFFSET] - t[:, ONSET], no_t)
    sheet.put("qtc_bazett", qt / np.sqrt(beats.rr / 1000), no_rate)
    sheet.put("qtc_fridericia", qt / np.cbrt(beats.rr / 1000), no_rate)


def _wave_reason(beats: MedianBeats, few: Reasons, wave: int) -> Reasons:
    """Why an ECG's wave has no boundaries, `(n,)`."""
    return either(few, why(np.isnan(beats.marks[:, wave, ONSET]), f"no {WAVES[wave]} wave"))


def _p_and_t(sheet: Sheet, beats: MedianBeats, few: Reasons, lead: Reasons) -> None:
    """Amplitudes and axes of P and T, and the end of P in V1."""
    for wave in (P, T):
        name = WAVES[wave].lower()
        part = _part(beats, wave)
        cut_off = (part.begin < 0) | (part.begin + part.size > beats.signals.shape[2])
        no_wave = either(_wave_reason(beats, few, wave), why(cut_off, f"{WAVES[wave]} reaches beyond the median beat"))
        no_lead = either(lead, np.repeat(no_wave[:, None], N_LEADS, axis=1))
        furthest = np.abs(part.signal).argmax(axis=2)[..., None]
        sheet.put_leads(name, np.take_along_axis(part.signal, furthest, axis=2)[..., 0], no_lead)
        _axis(sheet, f"{name}_axis", part, either(no_wave, _frontal(lead)))
        if wave == P:
            _p_terminal(sheet, part, no_lead)


def _p_terminal(sheet: Sheet, part: _Part, no_lead: Reasons) -> None:
    """Depth and length of the last deflection of P in V1, if it is negative (Morris et al. 1964)."""
    found = deflections(part.signal[:, V1], part.size)
    last = np.append(np.diff(found.wave) != 0, True)[:len(found.wave)] & (found.peak < 0)
    depth, length = np.zeros(len(part.size)), np.zeros(len(part.size))
    depth[found.wave[last]], length[found.wave[last]] = found.peak[last], (found.end - found.begin)[last]
    sheet.put("p_terminal_V1", depth, no_lead[:, V1])
    sheet.put("p_terminal_ms_V1", length, no_lead[:, V1])


def _qrs(sheet: Sheet, beats: MedianBeats, few: Reasons, lead: Reasons) -> None:
    """Deflections of QRS, and the ST segment, of every lead."""
    part = _part(beats, QRS)
    n = len(part.size)
    found = qrs_parts(part.signal.reshape(n * N_LEADS, -1), np.repeat(part.size, N_LEADS))
    for k, name in enumerate(NAMES):
        sheet.put_leads(name, found.amplitude[:, k].reshape(n, N_LEADS), lead)
        sheet.put_leads(f"{name}_ms", found.duration[:, k].reshape(n, N_LEADS), lead)
    r_peak = found.r_peak.reshape(n, N_LEADS)
    from_onset = r_peak + (part.begin - beats.zero - beats.marks[:, QRS, ONSET])[:, None]
    sheet.put_leads("rpeak", from_onset, either(lead, why(np.isnan(r_peak), "no R wave")))
    sheet.put_leads("notched", found.notched.reshape(n, N_LEADS), lead)
    _axis(sheet, "axis", part, either(few, _frontal(lead)))
    for name, later in {"j": 0, "st20": 20, "st60": 60}.items():
        at = np.minimum(np.maximum(part.begin + part.size - 1, 0) + later, beats.signals.shape[2] - 1)
        sheet.put_leads(name, np.take_along_axis(beats.signals, at[:, None, None], axis=2)[..., 0], lead)


def _frontal(lead: Reasons) -> Reasons:
    """Why I or aVF cannot be measured, `(n,)`."""
    return either(*(np.where(lead[:, k] != "", np.char.add(f"{LEADS[k]}: ", lead[:, k]), "") for k in (LEAD_I, AVF)))


def _axis(sheet: Sheet, name: str, part: _Part, missing: Reasons) -> None:
    """Direction of a wave's net area in I and aVF; aVF counts 2 / sqrt(3), as it is the weaker lead (Novosel 1999)."""
    x, y = part.signal[:, LEAD_I].sum(axis=1), part.signal[:, AVF].sum(axis=1) * 2 / np.sqrt(3)
    small = np.hypot(x, y) < LEAST_NET_MV * part.size
    sheet.put(name, np.degrees(np.arctan2(y, x)), either(missing, why(small, "no net area in the frontal plane")))


def _part(beats: MedianBeats, wave: int) -> _Part:
    """One wave of the median beats; of no samples where there is none."""
    first, last = beats.marks[:, wave, ONSET], beats.marks[:, wave, OFFSET]
    there = np.isfinite(first) & np.isfinite(last)
    begin, end = (np.round(np.where(there, edge, 0)).astype(np.intp) + beats.zero for edge in (first, last))
    size = np.where(there, end - begin + 1, 0)
    step = np.arange(max(1, size.max(initial=0)))
    at = np.clip(begin[:, None] + step, 0, beats.signals.shape[2] - 1)
    signal = np.take_along_axis(beats.signals, at[:, None], axis=2)
    return _Part(np.where((step < size[:, None])[:, None], signal, np.float32(0)), size, begin)
