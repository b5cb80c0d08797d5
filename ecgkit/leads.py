"""The signal contract: twelve leads in order, millivolts, float32 `(..., 12, sig_len)`, sampling rate in Hz.

This is the only place where lead names are spelled, and where leads are reordered, derived, converted and resampled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError, RecordError

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
LIMB = LEADS[:6]
CHEST = LEADS[6:]
#: The eight leads that determine the other four.
INDEPENDENT = ("I", "II", *CHEST)
N_LEADS = len(LEADS)

#: Each limb lead as a combination of I and II (Einthoven 1912; Goldberger 1942).
LIMB_FROM_I_II = np.array([[1, 0], [0, 1], [-1, 1], [-0.5, -0.5], [1, -0.5], [-0.5, 1]])

#: Electrodes, in order; the right leg is the reference.
ELECTRODES = ("RA", "LA", "LL", *CHEST)
#: Twelve leads (rows) from the electrodes' potentials: I is LA - RA, II is LL - RA, and a chest lead is against the
#: mean of the limbs (Wilson 1934).
FROM_ELECTRODES = np.block([[LIMB_FROM_I_II @ [[-1, 1, 0], [-1, 0, 1]], np.zeros((len(LIMB), len(CHEST)))],
                            [np.full((len(CHEST), 3), -1 / 3), np.eye(len(CHEST))]])

#: Dower's matrix: twelve leads (rows, in the order of `LEADS`) from X, Y, Z of a heart vector with X to the left,
#: Y down and Z back (Dower et al. 1980). The limb rows are made to obey the limb-lead algebra exactly.
DOWER = np.array([
    [0.632, -0.235, 0.059], [0.235, 1.066, -0.132],
    [-0.397, 1.301, -0.191], [-0.4335, -0.4155, 0.0365], [0.5145, -0.768, 0.125], [-0.081, 1.1835, -0.1615],
    [-0.515, 0.157, -0.917], [0.044, 0.164, -1.387], [0.882, 0.098, -1.277],
    [1.213, 0.127, -0.601], [1.125, 0.127, -0.086], [0.831, 0.076, 0.230],
])

#: What limb leads show where two of the electrodes RA, LA, LL (right arm, left arm, left leg) are exchanged.
_LIMB_SWAPS = {"RA-LA": ("-I", "III", "II", "aVL", "aVR", "aVF"), "RA-LL": ("-III", "-II", "-I", "aVF", "aVL", "aVR"),
               "LA-LL": ("II", "I", "-III", "aVR", "aVF", "aVL")}
#: The chest electrodes in the opposite order.
BACKWARDS = "V6-V1 backwards"

_VCG_COLUMNS = [LEADS.index(lead) for lead in (*CHEST, "I", "II")]


def _over_twelve(columns: list[list[float]]) -> NDArray[np.float64]:
    """Spread a matrix over V1...V6, I, II to all twelve leads, with zeros for the derived ones."""
    matrix = np.zeros((3, N_LEADS))
    matrix[:, _VCG_COLUMNS] = columns
    return matrix


#: Inverse Dower: X, Y, Z from twelve leads (Edenbrandt & Pahlm 1988).
INVERSE_DOWER = _over_twelve([
    [-0.172, -0.074, 0.122, 0.231, 0.239, 0.194, 0.156, -0.010],
    [0.057, -0.019, -0.106, -0.022, 0.041, 0.048, -0.227, 0.887],
    [-0.229, -0.310, -0.246, -0.063, 0.055, 0.108, 0.022, 0.102],
])
#: Kors' regression: X, Y, Z from twelve leads (Kors et al. 1990).
KORS = _over_twelve([
    [-0.13, 0.05, -0.01, 0.14, 0.06, 0.54, 0.38, -0.07],
    [0.06, -0.02, -0.05, 0.06, -0.17, 0.13, -0.07, 0.93],
    [-0.43, -0.06, -0.14, -0.20, -0.11, 0.31, 0.11, -0.23],
])

_MILLIVOLTS = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "nv": 1e-6}
_CANONICAL = {lead.lower(): lead for lead in LEADS}


def canonical(name: str) -> str | None:
    """Return the lead that a spelling means (`AVR`, `Lead aVR`, `MDC_ECG_LEAD_AVR`; `C1` and `V-1` mean V1), or None.

    An inverted lead such as `-aVR` is not the lead, so it is not recognised.
    """
    key = name.strip().lower()
    for prefix in ("mdc_ecg_lead_", "ecg", "lead"):
        key = key.removeprefix(prefix).lstrip(" _:")
    # IEC calls the chest leads C1 to C6; others write V-1 or V 1.
    return _CANONICAL.get(re.sub(r"^[vc][-_ ]?(?=\d)", "v", key))


def independent(signal: Any) -> Any:
    """Pick the eight independent leads: `(..., 12, sig_len)` to `(..., 8, sig_len)`, NumPy or torch."""
    return signal[..., [LEADS.index(lead) for lead in INDEPENDENT], :]


def from_independent(signal: NDArray[Any]) -> NDArray[Any]:
    """Derive the other four limb leads: `(..., 8, sig_len)` in the order of `INDEPENDENT` to `(..., 12, sig_len)`.

    III = II - I, aVR = -(I + II)/2, aVL = I - II/2, aVF = II - I/2 (Einthoven, Goldberger).
    """
    i, ii = signal[..., 0, :], signal[..., 1, :]
    limb = np.stack([i, ii, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2], axis=-2)
    return np.concatenate([limb, signal[..., 2:, :]], axis=-2)


#: The same as a matrix `(12, 8)` of 0, 1 and one half, so that a product with it is exact in any precision.
TWELVE_FROM_INDEPENDENT = from_independent(np.eye(len(INDEPENDENT)))


def limb_residual(signal: NDArray[Any]) -> NDArray[Any]:
    """How far III, aVR, aVL, aVF are from what I and II imply: `(..., 4, sig_len)`, in the signal's unit."""
    return signal[..., 2:6, :] - from_independent(independent(signal))[..., 2:6, :]


def from_vcg(vcg: NDArray[Any]) -> NDArray[Any]:
    """Twelve leads of a heart vector, `(..., 3, sig_len)` to `(..., 12, sig_len)`: `DOWER`."""
    return DOWER.astype(vcg.dtype) @ vcg


def to_vcg(signal: NDArray[Any], matrix: NDArray[np.float64] = INVERSE_DOWER) -> NDArray[Any]:
    """Heart vector of twelve leads, `(..., 12, sig_len)` to `(..., 3, sig_len)`: `INVERSE_DOWER` or `KORS`."""
    return matrix.astype(signal.dtype) @ signal


def swapped(signal: NDArray[Any], pair: str) -> NDArray[Any]:
    """Leads `(..., 12, sig_len)` as they would be with two electrodes exchanged; the same again takes it back.

    They are permuted and negated, so nothing is rounded; the chest leads do not feel the limbs' exchange, since their
    reference is the mean of the three.

    Parameters
    ----------
    signal, pair : ndarray, shape (..., 12, sig_len), str
        ``"RA-LA"`` (the arms), ``"RA-LL"``, ``"LA-LL"``, two chest leads such as ``"V1-V6"``, or `BACKWARDS`; any other
        raises `EcgkitError`.
    """
    shown = list(LEADS)
    first, _, second = pair.partition("-")
    if pair in _LIMB_SWAPS:
        shown[:len(LIMB)] = _LIMB_SWAPS[pair]
    elif pair == BACKWARDS:
        shown[len(LIMB):] = CHEST[::-1]
    elif first in CHEST and second in CHEST:
        shown[LEADS.index(first)], shown[LEADS.index(second)] = second, first
    else:
        raise EcgkitError(f"no electrodes {pair!r} to exchange; there are {', '.join(_LIMB_SWAPS)}, two chest leads "
                          f"such as V1-V6, and {BACKWARDS!r}")
    sign = np.array([-1 if lead.startswith("-") else 1 for lead in shown], dtype=signal.dtype)
    return signal[..., [LEADS.index(lead.removeprefix("-")) for lead in shown], :] * sign[:, None]


def standardise(signal: NDArray[Any], lead_names: Sequence[str], *, fs: float, target_fs: float | None = None,
                units: str | Sequence[str] = "mV", record: str = "signal") -> NDArray[np.float32]:
    """Bring a recording of any lead order, spelling, unit and rate into the signal contract.

    Parameters
    ----------
    signal, lead_names : ndarray, shape (n_leads, sig_len), sequence of str
        One row per lead, and its name in any spelling; leads beyond the twelve are left out.
    fs, target_fs : float, float, optional
        Sampling rate in Hz; the rate to resample to (polyphase filter), by default the same.
    units : str or sequence of str
        Unit of all rows or of each: V, mV, uV or nV.
    record : str
        Name of the recording, for errors.

    Returns
    -------
    ndarray of float32, shape (12, sig_len)
        Millivolts, in the order of `LEADS`. Limb leads that are missing are derived from any two others.

    Raises
    ------
    RecordError
        Names the record and the lead that is missing, doubled, non-finite or in an unknown unit.
    """
    signal = np.asarray(signal)
    if signal.ndim != 2 or len(signal) != len(lead_names):
        raise RecordError(record, f"{len(lead_names)} lead names for a signal of shape {signal.shape}; "
                                  "expected (n_leads, sig_len)")
    if not fs > 0 or (target_fs is not None and not target_fs > 0):
        raise RecordError(record, f"sampling rate {fs} Hz to {target_fs} Hz: rates must be positive")
    rows = _rows(signal, lead_names, [units] * len(lead_names) if isinstance(units, str) else units, record)
    return resample(_twelve(rows, record), fs, target_fs or fs).astype(np.float32)


def resample(signal: NDArray[Any], fs: float, target_fs: float) -> NDArray[Any]:
    """Resample the last axis by a polyphase anti-aliasing filter; the ends are extended along a line."""
    if fs == target_fs:
        return signal
    ratio = Fraction(target_fs / fs).limit_denominator(10_000)
    from scipy.signal import resample_poly  # takes a second, and most ECGs have their rate

    return resample_poly(signal, ratio.numerator, ratio.denominator, axis=-1, padtype="line")


def _rows(signal: NDArray[Any], names: Sequence[str], units: Sequence[str],
          record: str) -> dict[str, NDArray[np.float64]]:
    if len(units) != len(names):
        raise RecordError(record, f"{len(units)} units for {len(names)} leads")
    rows: dict[str, NDArray[np.float64]] = {}
    for name, unit, row in zip(names, units, signal, strict=True):
        lead = canonical(name)
        if lead is None:
            continue
        if lead in rows:
            raise RecordError(record, f"lead {lead} appears twice")
        scale = _MILLIVOLTS.get(unit.strip().lower())
        if scale is None:
            raise RecordError(record, f"lead {lead} has the unknown unit {unit!r}; give V, mV, uV or nV")
        rows[lead] = np.asarray(row, dtype=np.float64) * scale
        if not np.isfinite(rows[lead]).all():
            bad = int((~np.isfinite(rows[lead])).sum())
            raise RecordError(record, f"lead {lead} has {bad} non-finite samples of {len(row)}")
    return rows


def _twelve(rows: dict[str, NDArray[np.float64]], record: str) -> NDArray[np.float64]:
    missing = [lead for lead in CHEST if lead not in rows]
    if missing:
        raise RecordError(record, f"lead {missing[0]} is missing; all of V1 to V6 are needed, found "
                                  f"{', '.join(rows) or 'no known lead'}")
    have = [lead for lead in LIMB if lead in rows]
    if len(have) < 2:
        absent = next(lead for lead in ("I", "II") if lead not in rows)
        raise RecordError(record, f"lead {absent} is missing; two limb leads are needed, found "
                                  f"{', '.join(have) or 'none'}")
    if len(have) < len(LIMB):
        algebra = LIMB_FROM_I_II[[LIMB.index(lead) for lead in have]]
        i, ii = np.linalg.lstsq(algebra, np.stack([rows[lead] for lead in have]), rcond=None)[0]
        i, ii = rows.get("I", i), rows.get("II", ii)
        derived = from_independent(np.stack([i, ii, *(rows[lead] for lead in CHEST)]))
        rows = {lead: rows.get(lead, derived[k]) for k, lead in enumerate(LEADS)}
    return np.stack([rows[lead] for lead in LEADS])
