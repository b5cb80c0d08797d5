"""CinC 2011 (set A): ten-second ECGs without diagnoses or patients, as one NumPy archive, for pretraining."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.store import read_table
from ecgkit.errors import EcgkitError
from ecgkit.leads import LEADS, N_LEADS, resample

NAME = "CinC 2011 (set A)"
SIGNALS, TABLE = "signals_100hz_int16uV.npz", "records.csv"
#: Of the signals as they are stored.
STORED_FS, SIG_LEN = 100, 1000
#: The challenge's verdicts on a signal.
QUALITIES = ("acceptable", "indeterminate", "unacceptable")


def load(root: str | Path, *, fs: float = STORED_FS, quality: str = "acceptable") -> ECGDataset:
    """Load the ECGs of the challenge on signal quality.

    Parameters
    ----------
    root : path
        Folder with ``signals_100hz_int16uV.npz``, which holds `X` (int16 microvolts, `(n, 1000, 12)`, leads in the
        order of `ecgkit.leads.LEADS`) and `record`, and with ``records.csv`` (columns `record` and `quality`).
    fs, quality : float, {"acceptable", "indeterminate", "unacceptable", "all"}
        Sampling rate in Hz, to which the stored 100 Hz are resampled; which verdict on the signal to keep.

    Returns
    -------
    ECGDataset
        Without labels and folds. The challenge names no patients: `patient_id` is the record.

    References
    ----------
    Silva, Moody, Celi 2011, *Improving the quality of ECGs collected using mobile phones: the PhysioNet/Computing in
    Cardiology Challenge 2011*, Computing in Cardiology 38.
    """
    if quality not in (*QUALITIES, "all"):
        raise EcgkitError(f"{NAME} has no quality {quality!r}; choose from {', '.join(QUALITIES)}, all")
    if not fs > 0:
        raise EcgkitError(f"{NAME} at {fs} Hz: the sampling rate must be positive")
    root = Path(root).expanduser()
    records = _table(root / TABLE)
    stored = _signals(root / SIGNALS, records["record"])
    keep = np.full(len(records), True) if quality == "all" else records["quality"].eq(quality).to_numpy()
    signals = resample(stored[keep].transpose(0, 2, 1).astype(np.float32) / 1000, STORED_FS, fs)
    kept = records[keep].reset_index(drop=True)
    kept.insert(1, "patient_id", kept["record"])
    return ECGDataset(np.ascontiguousarray(signals, dtype=np.float32), kept, np.empty((len(kept), 0), np.uint8), (),
                      float(fs), NAME)


def _table(path: Path) -> pd.DataFrame:
    table = read_table(path, f"{path.parent}: no {path.name} here; give root= the folder of {NAME}",
                       ("record", "quality"), dtype=str)
    unknown = table.loc[~table["quality"].isin(QUALITIES), "quality"]
    if len(unknown):
        raise EcgkitError(f"{path}: {unknown.iloc[0]!r} is no quality; known are {', '.join(QUALITIES)}")
    return table[["record", "quality"]]


def _signals(path: Path, records: pd.Series[str]) -> NDArray[np.int16]:
    """Stored counts `(n, 1000, 12)`, checked against the names of the records."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            x, names = archive["X"], archive["record"]
    except FileNotFoundError:
        raise EcgkitError(f"{path.parent}: no {path.name} here; give root= the folder of {NAME}") from None
    except KeyError as error:
        raise EcgkitError(f"{path}: lacks an array ({error.args[0]}); expected X and record") from None
    except (OSError, ValueError, EOFError, BadZipFile, AttributeError, TypeError) as error:
        raise EcgkitError(f"{path}: is damaged ({' '.join(str(error).split())[:120]})") from None
    expected = (len(records), SIG_LEN, N_LEADS)
    if x.shape != expected or x.dtype != np.int16:
        raise EcgkitError(f"{path}: X is {x.dtype} of shape {x.shape}; expected int16 of shape {expected} "
                          f"(microvolts, leads {', '.join(LEADS)})")
    if names.astype(str).tolist() != records.tolist():
        raise EcgkitError(f"{path}: its records are not those of {TABLE}, in the same order")
    return x
