"""What recipes are made of: a view by each augmentation, each ingredient left out, and what embeddings hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from torch import Generator, Tensor

from ecgkit import transforms
from ecgkit.datasets.base import ECGDataset
from ecgkit.leads import LEADS
from ecgkit.losses import effective_rank, knn_accuracy
from ecgkit.study.efficiency import Curve, efficiency_table
from ecgkit.study.label_runs import read_predictions
from ecgkit.study.labels import read_curves
from ecgkit.training.probe import Standard

FOLDS = ("validation", "test")
#: The augmentations of the gallery, by what a view has gone through.
CHANGES: dict[str, Callable[[Tensor, float, Generator], Tensor]] = {
    "gain": lambda x, fs, g: transforms.scale_gain(x, 0.4, g),
    "heart vector turned, projected": lambda x, fs, g: transforms.transform_vcg(x, 45, 1.5, False, g),
    "the same turn, residual kept": lambda x, fs, g: transforms.transform_vcg(x, 45, 1.5, True, g),
    "leads masked": lambda x, fs, g: transforms.mask_leads(x, 0.3, g),
    "a part of each lead blanked": lambda x, fs, g: transforms.blank_parts(x, 0.5, g),
    "a group of leads blanked": lambda x, fs, g: transforms.blank_group(x, 1.0, g),
    "time-out": lambda x, fs, g: transforms.time_out(x, 0.5, g),
    "baseline wander and muscle noise": lambda x, fs, g: transforms.add_emg(
        transforms.add_wander(x, 0.3, fs, g), 0.08, fs, g),
}


def views_of(ecg: Tensor, fs: float, leads: Sequence[str], *, seconds: float) -> dict[str, NDArray[np.float32]]:
    """A view of an ECG `(1, 12, n)` by each of `CHANGES`: the first of 32 that changes its leads in so many seconds."""
    copies, seen = ecg.repeat(32, 1, 1), [LEADS.index(lead) for lead in leads]
    views = {}
    for name, change in CHANGES.items():
        view = change(copies, fs, torch.Generator().manual_seed(7))
        changed = (view != copies)[:, seen, :round(seconds * fs)].flatten(1).any(dim=1)
        views[name] = view[int(changed.float().argmax())].numpy()
    return views


def arms(runs: pd.DataFrame, full: str, group: str = "ablation") -> tuple[str, list[str], list[str]]:
    """Which variants to compare: the whole recipe, its ablations, and what stands in for these where there is none.

    Ablations are those of a `group`.
    """
    probed = list(runs["variant"].unique())
    base = full if full in probed else probed[0]
    ablations = set(runs.loc[runs["group"] == group, "variant"])
    found = [variant for variant in probed if variant in ablations and variant != base]
    return base, found, found or [variant for variant in probed if variant != base] or [base]


def curves_of(runs: pd.DataFrame, data: ECGDataset, variants: Sequence[str], *,
              n_boot: int) -> dict[str, dict[str, Curve]]:
    """Scores of each variant's probe on folds 9 and 10, from rows of one mode."""
    rows = runs[runs["variant"].isin(variants)]
    arm = rows.drop_duplicates("variant").set_index("variant")["arm"]
    read = {name: read_curves(rows, data, part=name, n_boot=n_boot) for name in FOLDS}
    return {name: {variant: curves[arm[variant]] for variant in variants} for name, curves in read.items()}


def worth_of(curves: Mapping[str, Curve], base: str) -> pd.DataFrame:
    """Macro AUROC of the recipe less that without each ingredient: `worth` with its ends, by (method, fraction)."""
    table = efficiency_table(curves, base)
    table = table.drop(base, level="method") if len(curves) > 1 else table
    return pd.DataFrame({"worth": -table["difference"], "worth_low": -table["difference_high"],
                         "worth_high": -table["difference_low"]}).fillna(0.0)


def printed(tables: Mapping[str, pd.DataFrame], titles: Mapping[str, str], words: str) -> pd.DataFrame:
    """Print a table of each fold, one column for each share of the labels and fold, a row in `words` for a variant."""
    fractions = tables["test"].index.unique("fraction")
    return pd.DataFrame({f"{100 * fraction:g} %, {name}": {
        titles[str(variant)]: words.format(**row)
        for variant, row in tables[name].xs(fraction, level="fraction").iterrows()}
        for fraction in fractions for name in FOLDS}).rename_axis("variant")


def printed_monitors(folder: Path, titles: Mapping[str, str]) -> pd.DataFrame:
    """Print the last row of each pretraining's history that says whether it collapsed."""
    rows = {}
    for variant, title in titles.items():
        look = pd.read_csv(folder / variant / "history.csv").dropna(subset=["effective_rank"]).tail(1)
        for _, row in look.iterrows():
            rows[title] = {"epochs": f"{row['epoch']:.0f}", "loss": f"{row['loss']:.3f}"} | {
                name: f"{row[name]:.3f}" for name in ("alignment", "uniformity", "effective_rank", "knn")}
    shown = pd.DataFrame(rows).T.rename(columns={"effective_rank": "effective rank", "knn": "kNN"})
    return shown if len(shown) else pd.DataFrame({"epochs": "0"}, index=["none of these was pretrained"])


def embedding(folder: Path, variant: str) -> NDArray[np.float32]:
    """Embeddings of folds 9 and 10, as the notebook of a variant kept them."""
    arrays = read_predictions(folder / variant / "embedding.npz")
    return np.concatenate([arrays[name] for name in FOLDS]).astype(np.float32)


def map_of(z: NDArray[np.float32]) -> NDArray[np.float32]:
    """Places `(n, 2)` of embeddings by t-SNE."""
    tsne = TSNE(perplexity=min(30, (len(z) - 1) / 3), init="pca", random_state=0)
    places: NDArray[np.float32] = tsne.fit_transform(Standard.of(z)(z))
    return places


def printed_numbers(z: NDArray[np.float32], data: ECGDataset) -> dict[str, str]:
    """How many features embeddings of folds 9 and 10 have, how many they use, and what the nearest ECGs tell."""
    held_out = [data.validation, data.test]
    owners = torch.from_numpy(pd.factorize(pd.concat([part.records["patient_id"] for part in held_out]))[0])
    truth = torch.from_numpy(np.concatenate([part.labels for part in held_out]))
    centred = torch.from_numpy(z)
    centred = centred - centred.mean(dim=0)
    return {"features": str(z.shape[1]), "effective rank": f"{effective_rank(centred):.1f}",
            "kNN": f"{knn_accuracy(centred, truth, 10, owners):.3f}"}


def words(tables: Mapping[str, pd.DataFrame], worth: Mapping[str, pd.DataFrame], titles: Mapping[str, str],
          base: str, found: Sequence[str], *, few: float, whole: bool) -> dict[str, str]:
    """Words of the page, about the share `few` of the labels; `whole`: `base` is the whole recipe."""
    at = {name: table.xs(few, level="fraction") for name, table in worth.items()}
    most = str(at["validation"]["worth"].idxmax())
    clear = (at["test"]["worth_low"] > 0) | (at["test"]["worth_high"] < 0)
    said = {name: "{worth:+.3f} ({worth_low:+.3f} to {worth_high:+.3f})".format(**table.loc[most]) if found
            else "nothing" for name, table in at.items()}
    others = [title for variant, title in titles.items() if variant != base] or [titles[base]]
    note = "Every comparison is with the whole recipe at the same short budget." if found and whole else (
        f"This run holds {'no ablation' if not found else 'no whole recipe'}: what stands here in its place is "
        f"{titles[base]} against {', '.join(others)}, which says nothing about ingredients.")
    return {"abl_few": f"{100 * few:g} %", "abl_full": titles[base], "abl_note": note,
            "abl_full_auroc": "{auroc:.3f}".format(**tables["test"].xs(few, level="fraction").loc[base]),
            "abl_most": titles[most] if found else "no variant of this run",
            "abl_most_validation": said["validation"], "abl_most_test": said["test"],
            "abl_n": str(len(found)), "abl_n_clear": str(int(clear.sum()) if found else 0)}
