"""What attributions are asked to explain: ECGs, each with one label that the classifier says of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgkit.datasets.base import ECGDataset
from ecgkit.datasets.synthetic import SUPERCLASSES_OF, cohort_of
from ecgkit.errors import EcgkitError
from ecgkit.explain.attribution.players import SEGMENTS, player_cells, segments
from ecgkit.explain.attribution.replacements import normal_beats, normal_template
from ecgkit.explain.battery.localisation import true_mask
from ecgkit.explain.results import classify
from ecgkit.leads import LEADS, N_LEADS
from ecgkit.models.windowed import Classifier
from ecgkit.physiology import delineate, median_beats
from ecgkit.simulator import Waves

NORMAL = "NORM"


@dataclass(frozen=True)
class Cases:
    """ECGs, each with one label that the classifier says of it; an ECG with two labels is there twice.

    Parameters
    ----------
    table : DataFrame, shape (n, 4)
        `row` (of the dataset that they are from), `record`, `patient_id`, `label`.
    x : ndarray of float32, shape (n, 12, sig_len)
        Millivolts.
    waves : Waves
        Of the same.
    background : ndarray of float32, shape (m, 12, sig_len)
        Normal ECGs that nothing of the study is from.
    """

    table: pd.DataFrame
    x: NDArray[np.float32]
    waves: Waves
    background: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.table)

    def subset(self, places: NDArray[np.intp]) -> Cases:
        """Some of them, by place."""
        w = self.waves
        return replace(self, table=self.table.iloc[places].reset_index(drop=True), x=self.x[places],
                       waves=Waves(w.ms[places], w.kind[places], w.rr[places], w.fs))

    def each(self) -> dict[str, NDArray[np.intp]]:
        """Places of each label's, in the order of the table."""
        labels = self.table["label"].to_numpy()
        return {label: np.flatnonzero(labels == label) for label in self.table["label"].unique()}

    def drawn(self, n_each: int, seed: int = 0) -> Cases:
        """At most so many of each label, drawn at random; 0 takes all."""
        if not n_each:
            return self
        rng = np.random.default_rng(seed)
        return self.subset(np.concatenate([np.sort(rng.permutation(places)[:n_each])
                                           for places in self.each().values()]))

    @cached_property
    def parts(self) -> NDArray[np.int8]:
        """Segments of the samples; see `ecgkit.explain.attribution.players.segments`."""
        return segments(self.waves, self.x.shape[2])

    @cached_property
    def cells(self) -> NDArray[np.int64]:
        """Number of each sample's lead × segment; -1 for the rest."""
        return player_cells(self.parts)

    @cached_property
    def normalised(self) -> NDArray[np.float32]:
        """The ECGs with the P, QRS, ST and T of a normal beat."""
        beats = median_beats(self.background, delineate(self.background, self.waves.fs))
        return normal_beats(self.x, self.waves, normal_template(beats))


def cases_of(classifier: Classifier, data: ECGDataset, train: ECGDataset, *, n_background: int = 64,
             seed: int = 0) -> Cases:
    """Everything that a classifier says (p >= 0.5) of some ECGs, as far as the cardiology table knows the label.

    NORM is left out: normal ECGs are what maps compare with, so there is nothing to be explained.

    Parameters
    ----------
    classifier : Classifier
    data, train : ECGDataset
        ECGs to explain, all of them; and those that normal ones are drawn from for the background.
    n_background, seed : int
        How many, and the seed of the draw.

    Raises
    ------
    EcgkitError
        Where `train` has no normal ECGs, or the classifier says nothing.
    """
    background = normal_background(train, n_background, seed)
    logits = classify(classifier, data.signals)
    found = [pd.DataFrame({"row": np.flatnonzero(column >= 0), "label": label})
             for label, column in zip(classifier.label_names, logits.T, strict=True) if label in described_labels()]
    table = pd.concat(found, ignore_index=True) if found else pd.DataFrame({"row": [], "label": []}, dtype=int)
    if table.empty or not len(background):
        raise EcgkitError(f"nothing to explain: {len(table)} labels said of {len(data)} ECGs, {len(background)} normal "
                          "ECGs for the background; give more ECGs, or a trained classifier")
    rows = table["row"].to_numpy(np.intp)
    for k, name in enumerate(("record", "patient_id"), start=1):
        table.insert(k, name, data.records[name].to_numpy()[rows])
    once, place = np.unique(rows, return_inverse=True)
    waves = delineate(data.batch(once), data.fs)
    return Cases(table, data.batch(rows), Waves(waves.ms[place], waves.kind[place], waves.rr[place], waves.fs),
                 background)


def normal_background(train: ECGDataset, n: int = 64, seed: int = 0) -> NDArray[np.float32]:
    """At most `n` ECGs `(n, 12, sig_len)` that are normal and nothing else, drawn at random: attributions start there.

    Raises
    ------
    EcgkitError
        Where `train` does not say which ECGs are normal.
    """
    if NORMAL not in train.label_names:
        raise EcgkitError(f"{train.name} has no label {NORMAL}, which the background is drawn from")
    normal = train.labels[:, train.label_names.index(NORMAL)].astype(bool) & (train.labels.sum(axis=1) == 1)
    return train.batch(np.random.default_rng(seed).permutation(np.flatnonzero(normal))[:n])


def truth_of(cases: Cases, data: ECGDataset) -> NDArray[np.bool_] | None:
    """Samples that the label's disease changes by more than 50 µV, `(n, 12, sig_len)`; None for recorded ECGs.

    A superclass is the sum of its diseases.
    """
    if "ecg_index" not in data.records:
        return None
    cohort, ids = cohort_of(data), data.records["ecg_index"].to_numpy()
    mask = np.zeros(cases.x.shape, dtype=bool)
    for label, places in cases.each().items():
        diseases = (label,) if label in cohort.edit_names else \
            tuple(name for name, classes in SUPERCLASSES_OF.items() if label in classes)
        rows = cases.table["row"].to_numpy()[places]
        mask[places] = true_mask(cohort.truth_mask(ids[rows], diseases))
    return mask


@cache
def _table() -> pd.DataFrame:
    return pd.read_csv(Path(__file__).with_name("cardiology.csv"), dtype=str)

def cardiology_table() -> pd.DataFrame:
    """Rows of `label`, `leads`, `segments`, `sign` (in words) and `source` (a DOI, or secondary: a textbook)."""
    return _table().copy()

def described_labels() -> tuple[str, ...]:
    """Labels that the table has."""
    return tuple(_table()["label"].unique())

def cardiology_cells(label: str) -> NDArray[np.bool_]:
    """Leads by segments in which signs of a label are looked for, `(12, 5)`.

    Raises
    ------
    EcgkitError
        For a label that the table does not have.
    """
    rows = _table()[_table()["label"] == label]
    if rows.empty:
        raise EcgkitError(f"the cardiology table has no label {label!r}; it has {', '.join(described_labels())}")
    cells = np.zeros((N_LEADS, len(SEGMENTS)), dtype=bool)
    for leads, where in rows[["leads", "segments"]].itertuples(index=False):
        of_leads = np.ones(N_LEADS, dtype=bool) if leads == "all" else np.isin(LEADS, leads.split())
        cells |= of_leads[:, None] & np.isin(SEGMENTS, where.split())
    return cells
