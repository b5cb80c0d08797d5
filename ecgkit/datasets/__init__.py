"""Sources of ECGs; all give the same `ECGDataset`."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from ecgkit.datasets.base import ECGDataset, from_arrays, join
from ecgkit.datasets.splits import label_subsets, subset_of
from ecgkit.errors import EcgkitError

#: Name of each source and what it is.
SOURCES = {
    "synthetic": "a cohort from the embedded simulator",
    "ptbxl": "PTB-XL, or a folder in its layout",
    "challenge": "PhysioNet/CinC Challenge 2020 and 2021 folders",
    "ludb": "LUDB, with cardiologists' boundaries",
    "folder": "your own recordings and a CSV with labels",
    "cinc2011": "CinC 2011 (set A), without labels: for pretraining",
}


def load(source: str, **options: Any) -> ECGDataset:
    """Load ECGs from a source: signals, one row per ECG, multi-hot labels.

    Parameters
    ----------
    source : str
        A key of `SOURCES`.
    **options
        What the source's own `load` takes: ``load("ptbxl", root=..., task="superclass", fs=100)``.

    Raises
    ------
    EcgkitError
        For an unknown source or option, a folder or table in another layout, and where no record can be used.
    """
    if source not in SOURCES:
        raise EcgkitError(f"no source of ECGs is called {source!r}; known are {', '.join(SOURCES)}")
    read = import_module(f"ecgkit.datasets.{source}").load
    parameters = inspect.signature(read).parameters
    unknown = [name for name in options if name not in parameters]
    if unknown:
        raise EcgkitError(f"source {source!r} has no option {unknown[0]!r}; it has {', '.join(parameters)}")
    needed = [name for name, parameter in parameters.items()
              if parameter.default is inspect.Parameter.empty and name not in options]
    if needed:
        raise EcgkitError(f"source {source!r} needs the option {needed[0]!r}: load({source!r}, {needed[0]}=...)")
    data: ECGDataset = read(**options)
    return data


__all__ = ["SOURCES", "ECGDataset", "from_arrays", "join", "label_subsets", "load", "subset_of"]
