"""The label studies of all variants of pretraining, read from the folders that they wrote, and compared.

A variant's folder holds ``method.json`` (what it is) and ``study.csv`` (the rows of `ecgkit.study.label_runs`, with a
column `task`). One variant in one mode is an *arm* of the study, known by its printed name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from ecgkit.datasets.base import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import Bootstrap, auroc, macro, printed, score_table
from ecgkit.progress import track
from ecgkit.study.efficiency import Curve, efficiency_table, label_curve, labels_saved, printed_efficiency
from ecgkit.study.label_runs import FEW as FEW_LABELS
from ecgkit.study.label_runs import MEASURED, read_predictions
from ecgkit.study.supervised import age_sex_control
from ecgkit.training.probe import Standard

#: The variant whose supervised training from random weights others are compared with, and that arm's name.
CONTROL, REFERENCE = "random", "supervised from scratch"
#: Which protocol a variant got, in the order of tables.
GROUPS = ("control", "full", "screened", "ablation", "knowledge")
#: Those of `GROUPS` that take a recipe apart.
TAKEN_APART = ("ablation", "knowledge")
#: Probabilities of joint predictions are kept this far from 0 and 1 first.
LEAST = 1e-3
#: Arms are chosen on fold 9 by their mean over the fractions from here to there.
FEW = (0.01, 0.1)
NO_SIGNAL = "age and sex, all labels, no signal"


def read_methods(folder: str | Path, **elsewhere: str | Path) -> pd.DataFrame:
    """Read what each variant is, by the name of its subfolder: `path` and what the files say, controls first.

    Folders of further variants stand `elsewhere`, each under the name that it shall have; one without results is passed
    over. EcgkitError is raised where there is no variant, a file is damaged, a group unknown, or a title there twice.
    """
    files = sorted(Path(folder).glob("*/method.json"))
    if not files:
        raise EcgkitError(f"{folder}: no results of pretraining here; run the notebook 03_pretraining first")
    names = [file.parent.name for file in files]
    for name, path in elsewhere.items():
        if (file := Path(path) / "method.json").is_file():
            files, names = [*files, file], [*names, name]
    table = pd.DataFrame([_method(file) for file in files], index=pd.Index(names, name="folder"))
    for bad in table.index[table["title"].duplicated()]:
        raise EcgkitError(f"{folder}: two variants are called {table.loc[bad, 'title']!r}; give each a title")
    return table.iloc[np.argsort([GROUPS.index(group) for group in table["group"]], kind="stable")]


def _method(file: Path) -> dict[str, object]:
    try:
        about = dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise EcgkitError(f"{file}: damaged ({error}); run the variant again") from error
    if about.get("group") not in GROUPS or "title" not in about:
        raise EcgkitError(f"{file}: needs a title, and a group that is one of {', '.join(GROUPS)}")
    return about | {"path": str(file.parent)}


def read_runs(methods: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``study.csv`` of every variant, with paths of `predictions`, and `arm`, `variant`, `title`, `group`."""
    parts = []
    for variant, path, title, group in methods[["path", "title", "group"]].itertuples(name=None):
        file = Path(path) / "study.csv"
        if file.is_file():
            rows = pd.read_csv(file).assign(variant=variant, title=title, group=group)
            rows["predictions"] = [str(file.parent / name) for name in rows["predictions"]]
            rows["arm"] = [REFERENCE if (variant, mode) == (CONTROL, "scratch") else f"{title}, {mode}"
                           for mode in rows["mode"]]
            parts.append(rows)
    if not sum(map(len, parts)):
        raise EcgkitError("no variant has rows in a study.csv; run the notebook 03_pretraining with modes")
    runs = pd.concat(parts, ignore_index=True)
    for arm in runs.loc[runs.duplicated(["task", "arm", "fraction", "seed"]), "arm"]:
        raise EcgkitError(f"{arm!r} has two rows of one task, fraction and seed; keep one variant of it")
    return runs


def arms(runs: pd.DataFrame) -> pd.DataFrame:
    """The arms of one task's rows: `variant`, `title`, `mode`, `group`, and `fold_9`, what fold 9 says of them.

    That is the mean validation AUROC over `shared_fractions`, each of which weighs the same, however many seeds it has;
    nan where an arm lacks one of them.
    """
    table = runs.drop_duplicates("arm").set_index("arm")[["variant", "title", "mode", "group"]]
    low = runs[runs["fraction"].isin(shared_fractions(runs))]
    by_fraction = low.pivot_table(index="arm", columns="fraction", values="auroc_validation", aggfunc="mean")
    return table.assign(fold_9=by_fraction.mean(axis=1, skipna=False).reindex(table.index))


def shared_fractions(runs: pd.DataFrame) -> list[float]:
    """Fractions of `FEW` labels that all arms of the group "full" were run at."""
    full = runs[runs["group"] == "full"]
    arms_at = full[full["fraction"].between(*FEW)].groupby("fraction")["arm"].nunique()
    return arms_at.index[arms_at == full["arm"].nunique()].astype(float).tolist()


def best(table: pd.DataFrame) -> str | None:
    """The arm of `arms` that is best on fold 9; None where there is none to choose from."""
    known = table["fold_9"].dropna()
    return str(known.idxmax()) if len(known) else None


def read_curves(runs: pd.DataFrame, data: ECGDataset, *, part: str = "test", n_boot: int = 1000,
                resample_seeds: bool = False) -> dict[str, Curve]:
    """Score all arms of one task on fold 10, or on fold 9 as `part` "validation", on the same resamples of patients.

    `runs` are rows of `read_runs`, `data` the cohort as the studies loaded it; EcgkitError is raised where predictions
    are missing or damaged, or not of this cohort.
    """
    held_out = getattr(data, part)
    patients = held_out.records["patient_id"]
    curves = {}
    for arm in track(list(dict.fromkeys(runs["arm"])), "scoring the arms", unit="arm"):
        rows = runs[runs["arm"] == arm].sort_values(["fraction", "seed"])
        groups = list(rows.groupby("fraction"))
        spent = {float(f): (of["n_labels"] + of["n_validation_labels"]).mean() for f, of in groups}
        predicted = {float(f): [read_predictions(file)[part] for file in of["predictions"]] for f, of in groups}
        curve = label_curve(held_out.labels, predicted, spent, patients, n_boot=n_boot, resample_seeds=resample_seeds)
        if not np.allclose(np.concatenate(curve.seeds), rows[f"auroc_{part}"], rtol=0, atol=1e-6, equal_nan=True):
            raise EcgkitError(f"{data.name}: {arm!r} scores otherwise on it than its study.csv says; load the ECGs "
                              "as the pretraining notebook did")
        curves[arm] = curve
    return curves


def together(runs: pd.DataFrame, pairs: Iterable[tuple[str, str]], data: ECGDataset,
             folder: str | Path) -> pd.DataFrame:
    """Join two arms of each pair: the mean of their logits, for each fraction and seed that both were run at.

    Both were trained on the same labels; their logits are brought to one scale by mean and spread over the ECGs of
    fold 9, whose labels are not looked at, so the result orders ECGs and is no probability. Predictions are kept in
    `folder`; the rows are like those of `runs`, of the group "together", with `arm` ``"first + second"``.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    for first, second in pairs:
        shared = runs[runs["arm"] == first].merge(runs[runs["arm"] == second], on=["fraction", "seed"],
                                                  suffixes=("", "_second"))
        for row in shared.to_dict("records"):
            each = [read_predictions(row[name]) for name in ("predictions", "predictions_second")]
            logits = [{part: logit(one[part].clip(LEAST, 1 - LEAST)) for part in ("validation", "test")}
                      for one in each]
            joint = {part: expit(np.mean([Standard.of(of["validation"])(of[part]) for of in logits], axis=0))
                     for part in ("validation", "test")}
            file = Path(folder) / f"{len(rows)}.npz"
            np.savez(file, validation=joint["validation"], test=joint["test"])
            rows.append({**{name: row[name] for name in runs.columns}, "arm": f"{first} + {second}",
                         "title": " + ".join(dict.fromkeys([row["title"], row["title_second"]])),
                         "mode": f"{row['mode']} + {row['mode_second']}", "group": "together",
                         "auroc_validation": float(macro(auroc(data.validation.labels, joint["validation"]))),
                         "auroc_test": float(macro(auroc(data.test.labels, joint["test"]))),
                         "predictions": str(file)})
    return pd.DataFrame(rows, columns=runs.columns)


def pairs_of(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """The few-label classifier and the fine-tuned network of each variant of the group "full" that has both."""
    found = []
    for _, rows in runs[runs["group"] == "full"].groupby("variant"):
        arm = dict(zip(rows["mode"], rows["arm"], strict=True))
        if {FEW_LABELS, "fine-tuned"} <= set(arm):
            found.append((arm[FEW_LABELS], arm["fine-tuned"]))
    return found


def beside_published(curves: Mapping[str, Curve], shown: Iterable[str], data: ECGDataset) -> pd.DataFrame:
    """Print our arms beside published ones, by how many ECGs were labelled; other data and other labels, as it says."""
    rows = [{"source": "this book", "method": arm, "data": f"{data.name} ({len(data):,} ECGs)",
             "labels studied": f"{len(data.label_names)} labels", "labelled ECGs": f"{n:,.0f}",
             "macro AUROC": f"{mean:.3f}"}
            for arm in shown for n, mean in zip(curves[arm].n_labels, curves[arm].mean, strict=True)]
    published = pd.read_csv(Path(__file__).with_name("published_labels.csv"), dtype=str)
    return pd.concat([pd.DataFrame(rows, columns=published.columns), published]).set_index("source")


def over_pretrainings(runs: pd.DataFrame, variant: str) -> pd.DataFrame:
    """Print test scores of one recipe pretrained from several seeds: folders ``variant``, ``variant-1``, and so on.

    By mode and number of labelled ECGs: each pretraining's mean over draws of labels, their mean and its spread.
    """
    same = runs[runs["variant"].str.fullmatch(rf"{variant}(-\d+)?")]
    mean = same.pivot_table(index=["mode", "fraction"], columns="variant", values="auroc_test", aggfunc="mean").dropna()
    labelled = same.groupby(["mode", "fraction"])["n_labels"].mean()
    table = mean.map("{:.3f}".format)
    table.insert(0, "labelled ECGs", [f"{labelled[key]:,.0f}" for key in mean.index])
    table["mean"], table["SD"] = mean.mean(axis=1).map("{:.3f}".format), mean.std(axis=1).map("{:.3f}".format)
    return or_note(table.droplevel("fraction").replace("nan", "one only"))


def reference_of(curves: Mapping[str, Curve]) -> str:
    """The arm to compare with: `REFERENCE`, or the first where the control was not trained from scratch."""
    return REFERENCE if REFERENCE in curves else next(iter(curves))


@dataclass(frozen=True)
class Difference:
    """A difference of two macro AUROCs with its paired 95 % interval; printed in points (hundredths)."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return it for print, such as ``+3.1 (+1.0 to +5.2)``."""
        return "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * x for x in (self.estimate, self.low, self.high)))

    def no_loss(self, margin: float) -> str:
        """Whether nothing is lost: "no" where the interval is below 0, "yes" where above -margin, or "undecided"."""
        return "no" if self.high < 0 else "yes" if self.low > -margin else "undecided"


def difference(curve: Curve, other: Curve, pairs: Iterable[tuple[float, float]]) -> Difference | None:
    """Mean difference of two curves over pairs of fractions that both have, one of each; None where none is left."""
    at = [(curve.at(a), other.at(b)) for a, b in pairs if curve.has(a) and other.has(b)]
    if not at:
        return None
    estimate = np.mean([curve.mean[a] - other.mean[b] for a, b in at])
    samples = np.mean([curve.samples[:, a] - other.samples[:, b] for a, b in at], axis=0)
    low, high = Bootstrap(np.array([estimate]), samples[:, None]).interval()
    return Difference(float(estimate), float(low[0]), float(high[0]))


def gains_table(curves: Mapping[str, Curve], pairs: Sequence[tuple[str, str]],
                fractions: Sequence[float]) -> pd.DataFrame:
    """Print differences of pairs of arms in points, at each fraction and on average; those not run are left out."""
    rows = {}
    for a, b in pairs:
        if a in curves and b in curves:
            columns = {f"{100 * f:g} %": [(f, f)] for f in fractions} | {"mean": [(f, f) for f in fractions]}
            rows[f"{a} − {b}"] = {name: told(difference(curves[a], curves[b], at)) for name, at in columns.items()}
    return or_note(pd.DataFrame.from_dict(rows, orient="index").rename_axis("difference in points"))


def told(value: object) -> str:
    """Text of a value that may be missing."""
    return "not measured" if value is None else str(value)


def or_note(table: pd.DataFrame) -> pd.DataFrame:
    """The table, or one row that says "not measured" where it is empty: a page can show no table without rows."""
    if len(table):
        return table
    first, *others = list(table.columns) or ["result"]
    note = {first: ["not measured"]} | {column: [""] for column in others}
    return pd.DataFrame(note, index=["–"]).rename_axis(str(table.index.name or "method"))


def without_labels(methods: pd.DataFrame, data: ECGDataset, *, zero: bool, n_boot: int) -> pd.DataFrame:
    """Print AUROC of age and sex alone; with `zero` before it of what variants believe without a label, by fold 9."""
    files = {f"{title}, no real label": Path(path) / "zero.npz"
             for title, path in zip(methods["title"], methods["path"], strict=True)} if zero else {}
    found = {name: read_predictions(file) for name, file in files.items() if file.is_file()}
    truth = data.validation.labels
    ranked = sorted(found, key=lambda name: -float(macro(auroc(truth, found[name]["validation"]))))
    predicted = {name: found[name]["test"] for name in ranked}
    if {"age", "sex"} <= set(data.records):
        predicted[NO_SIGNAL] = age_sex_control(data.train, data.test)
    test, patients = data.test, data.test.records["patient_id"]
    table = pd.DataFrame({name: printed(score_table(test.labels, p, test.label_names, patients, n_boot=n_boot))["AUROC"]
                          for name, p in predicted.items()}).T
    return or_note(table[["macro", *test.label_names]] if len(table) else table)


def printed_further(runs: pd.DataFrame, data: ECGDataset, *, n_boot: int) -> pd.DataFrame:
    """Print the macro AUROC of every arm on another set of labels, at few fractions."""
    curves = read_curves(runs, data, n_boot=n_boot)
    each = printed_efficiency(efficiency_table(curves, reference_of(curves)))["macro AUROC"]
    few = each[each.index.get_level_values("fraction").isin([0.01, 0.1, 1])]
    wide = few.unstack("fraction").reindex(list(curves))  # noqa: PD010
    return wide.rename(columns=lambda f: f"{100 * f:g} %").fillna("")


def words(table: pd.DataFrame, curves: Mapping[str, Curve], both: Mapping[str, Curve], *, reference: str,
          winner: str | None, joint: str | None, margin: float) -> dict[str, str]:
    """Words of the page on what was found: of `arms`, and their curves, `both` with training seeds resampled too.

    `winner`, of the group "full", and `joint` are the best on fold 9; a loss of `margin` in macro AUROC counts as none.
    """
    scratch = reference == REFERENCE  # without it there is nothing to test
    probe = best(table[(table["group"] == "full") & (table["mode"] == "linear probe")])
    scores = printed_efficiency(efficiency_table(curves, reference))["macro AUROC"].to_dict()
    shown = {"at": winner, "joint": joint, "scratch": REFERENCE, "probe": probe} | {
        mode.split()[-1]: next(iter(table.index[table["mode"] == mode]), None) for mode in MEASURED}
    said = {"reference": reference, "margin": f"{100 * margin:g}"}
    for percent in (1, 5, 10, 100):
        said[f"n_{percent}"] = told(next((f"{n:,.0f}" for curve in curves.values() for f, n in zip(
            curve.fractions, curve.n_labels, strict=True) if np.isclose(f, percent / 100)), None))
        said |= {f"{key}_{percent}": told(scores.get((arm, percent / 100))) for key, arm in shown.items()}
        gap = difference(curves[winner], curves[reference], [(percent / 100,) * 2]) if winner else None
        said[f"gain_{percent}"] = told(gap)

    def saved(arm: str | None, of: Mapping[str, Curve]) -> str:
        known = arm and scratch and of[arm].has(0.1)
        return told(labels_saved(of[arm], of[reference], 0.1) if arm and known else None)

    for key, arm, nothing in (("winner", winner, "no method (none had the full protocol)"),
                              ("joint", joint, "none of them (there was no measurement)")):
        said[f"{key}_fold_9"] = f"{table['fold_9'][arm]:.3f}" if arm else "not measured"
        said[key] = nothing if not arm else arm if key == "joint" else table["title"][arm]
    answer = difference(both[winner], both[reference], [(0.1, 1)]) if winner and scratch else None
    return said | {
        "winner_mode": table["mode"][winner] if winner else "no mode",
        "saved": saved(winner, curves), "saved_seeds": saved(winner, both), "joint_saved": saved(joint, curves),
        "best_probe": told(probe), "answer_difference": told(answer),
        "answer": answer.no_loss(margin) if answer else "not measured"}


def words_beside(methods: pd.DataFrame, runs: pd.DataFrame, control: str | None, gains: Mapping[str, str],
                 without: pd.DataFrame) -> dict[str, str]:
    """Words of the page on `utah` beside its `control`, by its `gains` in each mode, and on what needs no label."""
    macros = {str(name): text for name, text in without["macro"].items()} if "macro" in without else {}
    believed = [f"{title}, no real label" for title in methods["title"][methods["group"] == "full"]]
    return {
        "utah_probe": told(gains.get("linear probe")), "utah_tuned": told(gains.get("fine-tuned")),
        "utah_n": f"{methods['n_unlabelled']['utah']:,.0f}" if "utah" in methods.index else "none: it was not run",
        "utah_encoder": methods["encoder"].get("utah", "not run"),
        "control_encoder": methods["encoder"][control] if control else "not run",
        "chosen_at": ", ".join(f"{100 * f:g} %" for f in shared_fractions(runs)) or "none",
        "zero": told(next((text for name, text in macros.items() if name in believed), None)),
        "age_sex": told(macros.get(NO_SIGNAL))}
