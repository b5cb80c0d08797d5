"""Tests of gathering the label studies: what is read, what is refused, how arms are chosen and compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ecgkit.datasets.base import ECGDataset, from_arrays
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc, macro
from ecgkit.study import labels as gather
from ecgkit.study.efficiency import Curve
from ecgkit.study.label_runs import FEW
from ecgkit.study.labels import REFERENCE, Difference

FRACTIONS = (0.1, 1.0)


@pytest.fixture(scope="module")
def data() -> ECGDataset:
    rng = np.random.default_rng(0)
    records = pd.DataFrame({"record": [f"{k}" for k in range(200)], "patient_id": np.arange(200) // 2,
                            "strat_fold": 1 + np.arange(200) // 2 % 10})
    return from_arrays(np.zeros((200, 12, 4)), rng.integers(2, size=(200, 3)), ["a", "b", "c"], 100, records=records)


def write(folder: Path, data: ECGDataset, *, group: str = "full", title: str = "", modes: tuple[str, ...] = (),
          skill: float = 1.0, seeds: int = 2, fractions: tuple[float, ...] = FRACTIONS) -> None:
    """One variant as the pretraining notebook leaves it; the more skill, the better its predictions."""
    folder.mkdir(parents=True)
    (folder / "method.json").write_text(json.dumps({"title": title or folder.name, "group": group}))
    rows = []
    for mode in modes:
        for fraction in fractions:
            for seed in range(seeds):
                rng = np.random.default_rng([seed, round(100 * fraction)])
                kept = {part: (skill * of.labels + rng.normal(size=of.labels.shape)).astype(np.float32)
                        for part, of in (("validation", data.validation), ("test", data.test))}
                name = f"{mode}-{fraction}-{seed}.npz"
                np.savez(folder / name, **kept)  # type: ignore[arg-type]
                rows.append({"task": "superclass", "mode": mode, "fraction": fraction, "seed": seed,
                             "n_labels": round(100 * fraction) + seed, "n_patients": 5, "n_validation_labels": 0,
                             "auroc_validation": macro(auroc(data.validation.labels, kept["validation"])),
                             "auroc_test": macro(auroc(data.test.labels, kept["test"])), "predictions": name})
    if modes:
        pd.DataFrame(rows).to_csv(folder / "study.csv", index=False)


def read(folder: Path) -> pd.DataFrame:
    return gather.read_runs(gather.read_methods(folder))


@pytest.fixture
def three(tmp_path: Path, data: ECGDataset) -> Path:
    write(tmp_path / "a", data, modes=("linear probe", "fine-tuned"), skill=2)
    write(tmp_path / "b", data, modes=("linear probe",), skill=3, group="screened")
    write(tmp_path / "random", data, modes=("scratch", "linear probe"), group="control", title="untrained")
    return tmp_path


def test_controls_come_first_and_a_folder_is_the_variant(three: Path) -> None:
    methods = gather.read_methods(three)
    assert methods.index.tolist() == ["random", "a", "b"]
    assert methods["title"].tolist() == ["untrained", "a", "b"]


def test_arms_are_named_and_predictions_found(three: Path) -> None:
    runs = read(three)
    assert list(dict.fromkeys(runs["arm"])) == [
        REFERENCE, "untrained, linear probe", "a, linear probe", "a, fine-tuned", "b, linear probe"]
    assert all(Path(file).is_file() for file in runs["predictions"])


def test_a_variant_may_lie_elsewhere(three: Path, data: ECGDataset, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other") / "results"
    write(other, data, modes=("random forest",), group="control", title="measurements")
    methods = gather.read_methods(three, measured=other, absent=other / "nothing")
    assert methods.index.tolist() == ["random", "measured", "a", "b"]
    runs = gather.read_runs(methods)
    assert set(runs.loc[runs["variant"] == "measured", "arm"]) == {"measurements, random forest"}
    assert all(Path(file).is_file() for file in runs["predictions"])


def test_two_arms_together_are_the_mean_of_their_logits(three: Path, data: ECGDataset, tmp_path: Path) -> None:
    runs = read(three)
    for file in runs["predictions"]:  # probabilities, where the other tests have any scores
        arrays = gather.read_predictions(file)
        np.savez(file, **{part: 1 / (1 + np.exp(-values)) for part, values in arrays.items()})
    joint = gather.together(runs, [("a, linear probe", "b, linear probe"), ("a, linear probe", "none")], data,
                            tmp_path / "joint")
    assert joint["arm"].unique().tolist() == ["a, linear probe + b, linear probe"]
    assert len(joint) == len(FRACTIONS) * 2
    row = joint.iloc[0]
    same = runs[(runs["fraction"] == row["fraction"]) & (runs["seed"] == row["seed"])].set_index("arm")
    found = gather.read_predictions(row["predictions"])["test"]
    logits = [{part: np.log(p / (1 - p)) for part in ("validation", "test")
               for p in [gather.read_predictions(same.loc[arm, "predictions"])[part].clip(0.001, 0.999)]}
              for arm in row["arm"].split(" + ")]
    z = [(of["test"] - of["validation"].mean(axis=0)) / of["validation"].std(axis=0) for of in logits]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-np.mean(z, axis=0))), rtol=1e-5)
    assert row["auroc_test"] == pytest.approx(macro(auroc(data.test.labels, found)))
    assert joint["auroc_test"].mean() > same.loc["a, linear probe", "auroc_test"]


def test_the_few_label_classifier_is_paired_with_the_fine_tuned_network(tmp_path: Path, data: ECGDataset) -> None:
    write(tmp_path / "a", data, modes=("linear probe", "fine-tuned", FEW))
    write(tmp_path / "b", data, modes=("fine-tuned", FEW), group="screened")
    write(tmp_path / "c", data, modes=(FEW,))
    runs = read(tmp_path)
    assert gather.pairs_of(runs) == [(f"a, {FEW}", "a, fine-tuned")]
    joint = gather.together(runs, gather.pairs_of(runs), data, tmp_path / "joint")
    assert (joint["title"].iloc[0], joint["mode"].iloc[0]) == ("a", f"{FEW} + fine-tuned")


def test_one_recipe_from_several_seeds_has_a_mean_and_a_spread(tmp_path: Path, data: ECGDataset) -> None:
    for name, skill in (("a", 1), ("a-1", 2), ("a-2", 3), ("a-long", 9)):
        write(tmp_path / name, data, modes=("linear probe",), skill=skill)
    runs = read(tmp_path)
    table = gather.over_pretrainings(runs, "a")
    assert list(table.columns) == ["labelled ECGs", "a", "a-1", "a-2", "mean", "SD"]
    assert len(table) == len(FRACTIONS)
    of = runs[runs["fraction"] == FRACTIONS[0]].groupby("variant")["auroc_test"].mean()[["a", "a-1", "a-2"]]
    assert table["mean"].iloc[0] == f"{of.mean():.3f}"
    assert table["SD"].iloc[0] == f"{of.std():.3f}"
    assert gather.over_pretrainings(runs, "none").iloc[0, 0] == "not measured"


def test_the_ruler_names_ours_and_the_published(three: Path, data: ECGDataset) -> None:
    curves = gather.read_curves(read(three), data, n_boot=5)
    table = gather.beside_published(curves, ["a, linear probe"], data)
    assert (table.index == "this book").sum() == len(FRACTIONS)
    assert table.loc["this book", "labelled ECGs"].tolist() == ["10", "100"]
    published = table.drop("this book")
    assert len(published) >= 5
    assert published["macro AUROC"].astype(float).between(0.5, 1).all()


def test_curves_are_those_of_the_test_predictions_on_the_same_resamples(three: Path, data: ECGDataset) -> None:
    runs = read(three)
    curves = gather.read_curves(runs, data, n_boot=20)
    curve = curves["a, linear probe"]
    of = runs[(runs["arm"] == "a, linear probe") & (runs["fraction"] == 0.1)]
    assert curve.fractions.tolist() == [0.1, 1.0]
    assert curve.n_labels.tolist() == [10.5, 100.5]
    assert curve.seeds[0] == pytest.approx(of["auroc_test"].to_numpy())
    same = curves["a, fine-tuned"]  # the same predictions in this fake
    assert np.array_equal(curve.samples, same.samples, equal_nan=True)


def test_validation_labels_count_as_spent(three: Path, data: ECGDataset) -> None:
    curves = gather.read_curves(read(three).assign(n_validation_labels=7), data, n_boot=5)
    assert curves[REFERENCE].n_labels.tolist() == [17.5, 107.5]


def test_another_cohort_is_refused(three: Path, data: ECGDataset) -> None:
    shuffled = from_arrays(data.signals, data.labels[::-1], data.label_names, 100, records=data.records)
    with pytest.raises(EcgkitError, match="scores otherwise"):
        gather.read_curves(read(three), shuffled, n_boot=5)


def test_the_choice_is_the_mean_over_few_labels_on_fold_9_whatever_fold_10_says(three: Path) -> None:
    runs = read(three)
    runs.loc[runs["arm"] == "a, fine-tuned", "auroc_validation"] = [0.8, 0.9, 1.0, 1.0]
    runs.loc[runs["arm"] != "a, fine-tuned", "auroc_validation"] = 0.84
    runs["auroc_test"] = np.where(runs["arm"] == "a, fine-tuned", 0.1, 0.9)
    table = gather.arms(runs)
    assert table.loc["a, fine-tuned"].to_dict() == {"variant": "a", "title": "a", "mode": "fine-tuned",
                                                    "group": "full", "fold_9": pytest.approx(0.85)}
    assert gather.best(table) == "a, fine-tuned"
    assert gather.best(table[table["group"] == "none"]) is None


def test_fractions_that_all_full_arms_have_weigh_the_same(tmp_path: Path, data: ECGDataset) -> None:
    write(tmp_path / "a", data, modes=("linear probe",), fractions=(0.01, 0.05, 0.1, 0.5))
    write(tmp_path / "b", data, modes=("linear probe",), fractions=(0.01, 0.1))
    write(tmp_path / "c", data, modes=("linear probe",), fractions=(0.1,), group="screened")
    runs = read(tmp_path)
    runs = runs[~((runs["variant"] == "a") & (runs["fraction"] == 0.1) & (runs["seed"] == 1))]
    runs["auroc_validation"] = runs["fraction"].map({0.01: 0.6, 0.05: 0.9, 0.1: 0.8, 0.5: 1.0})
    assert gather.shared_fractions(runs) == [0.01, 0.1]
    chosen_by = gather.arms(runs)["fold_9"]
    assert chosen_by[:2].tolist() == pytest.approx([0.7, 0.7])
    assert np.isnan(chosen_by["c, linear probe"])
    write(tmp_path / "d", data, modes=("linear probe",), fractions=(1.0,))
    assert gather.best(gather.arms(read(tmp_path))) is None, "nothing is shared, so nothing is comparable"


def test_the_reference_is_scratch_where_there_is_one(three: Path, data: ECGDataset) -> None:
    curves = gather.read_curves(read(three), data, n_boot=5)
    assert gather.reference_of(dict(reversed(curves.items()))) == REFERENCE
    curves.pop(REFERENCE)
    assert gather.reference_of(curves) == "untrained, linear probe"


def curve(mean: list[float], samples: Any, fractions: tuple[float, ...] = FRACTIONS) -> Curve:
    return Curve(np.array(fractions), 1000 * np.array(fractions), tuple(np.array([m]) for m in mean), np.array(samples))


def test_a_difference_is_paired_by_resample_and_averaged_over_pairs() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(size=(500, 1))  # what both find hard cancels
    a, b = (curve(mean, hard + np.array(mean)) for mean in ([0.8, 0.9], [0.7, 0.85]))
    found = gather.difference(a, b, [(0.1, 0.1), (1, 1), (0.5, 0.5)])
    assert found is not None
    assert (found.estimate, found.low, found.high) == pytest.approx((0.075, 0.075, 0.075))
    assert str(gather.difference(a, b, [(0.1, 1)])) == "-5.0 (-5.0 to -5.0)"
    assert gather.difference(a, b, [(0.5, 0.5)]) is None


@pytest.mark.parametrize(("low", "high", "answer"), [
    (-0.009, 0.02, "yes"), (0.001, 0.02, "yes"), (-0.02, 0.02, "undecided"), (-0.01, 0.0, "undecided"),
    (-0.02, -0.001, "no"), (-0.002, -0.001, "no")])
def test_no_loss_is_shown_by_the_interval_not_by_its_width(low: float, high: float, answer: str) -> None:
    assert Difference((low + high) / 2, low, high).no_loss(0.01) == answer


def test_gains_leave_out_what_was_not_run() -> None:
    curves = {"a": curve([0.8, 0.9], [[0.8, 0.9]]), "b": curve([0.7], [[0.7]], (0.1,))}
    table = gather.gains_table(curves, [("a", "b"), ("a", "c")], [0.1, 1])
    assert table.to_dict("index") == {"a − b": {"10 %": "+10.0 (+10.0 to +10.0)", "100 %": "not measured",
                                                "mean": "+10.0 (+10.0 to +10.0)"}}
    assert gather.gains_table(curves, [], [0.1]).to_csv() == "difference in points,result\n–,not measured\n"


def test_a_table_without_rows_becomes_a_note_under_its_columns() -> None:
    table = pd.DataFrame({"x": ["1"], "y": ["2"]}).rename_axis("arm")
    assert gather.or_note(table) is table
    assert gather.or_note(table[:0]).to_csv() == "arm,x,y\n–,not measured,\n"


def test_failures_say_what_to_do(tmp_path: Path, data: ECGDataset) -> None:
    with pytest.raises(EcgkitError, match="run the notebook 03_pretraining"):
        gather.read_methods(tmp_path)
    write(tmp_path / "a", data)
    with pytest.raises(EcgkitError, match="no variant has rows"):
        read(tmp_path)
    write(tmp_path / "b", data, title="a")
    with pytest.raises(EcgkitError, match="two variants are called 'a'"):
        read(tmp_path)
    (tmp_path / "b" / "method.json").write_text('{"title": "b", "group": "best"}')
    with pytest.raises(EcgkitError, match="one of control"):
        read(tmp_path)
    (tmp_path / "b" / "method.json").write_text('{"title"')
    with pytest.raises(EcgkitError, match="damaged"):
        read(tmp_path)


def test_a_second_control_has_a_scratch_of_its_own(three: Path, data: ECGDataset) -> None:
    write(three / "random-dual", data, group="control", modes=("scratch",), title="dual")
    assert list(dict.fromkeys(read(three)["arm"]))[:3] == [REFERENCE, "untrained, linear probe", "dual, scratch"]


def test_a_row_that_is_there_twice_is_refused(three: Path) -> None:
    rows = pd.read_csv(three / "a" / "study.csv")
    pd.concat([rows, rows[:1]]).to_csv(three / "a" / "study.csv")
    with pytest.raises(EcgkitError, match="'a, linear probe' has two rows"):
        read(three)


def test_damaged_predictions_are_named(three: Path, data: ECGDataset) -> None:
    runs = read(three)
    Path(runs["predictions"][0]).write_bytes(b"PK no archive")
    with pytest.raises(EcgkitError, match=Path(runs["predictions"][0]).name):
        gather.read_curves(runs, data, n_boot=5)


def test_words_say_what_was_found_and_what_was_not(three: Path, data: ECGDataset) -> None:
    runs = read(three)
    table = gather.arms(runs)
    curves = gather.read_curves(runs, data, n_boot=20)
    found = gather.words(table, curves, curves, reference=REFERENCE, winner="a, linear probe", joint=None, margin=0.01)
    value = curves["a, linear probe"]
    assert found["at_10"].startswith(f"{value.mean[0]:.3f} (")
    assert (found["winner"], found["winner_mode"], found["margin"]) == ("a", "linear probe", "1")
    assert found["gain_100"] == str(gather.difference(value, curves[REFERENCE], [(1, 1)]))
    assert found["answer"] == gather.difference(value, curves[REFERENCE], [(0.1, 1)]).no_loss(0.01)  # type: ignore[union-attr]
    assert {found[key] for key in ("at_1", "forest_10", "joint_10", "joint_saved", "joint_fold_9")} == {"not measured"}
    nothing = gather.words(table, curves, curves, reference="untrained, linear probe", winner=None, joint=None,
                           margin=0.01)
    assert nothing["winner"] == "no method (none had the full protocol)"
    assert {nothing[key] for key in ("at_10", "gain_10", "saved", "answer")} == {"not measured"}


def test_words_beside_say_what_was_not_run(three: Path) -> None:
    methods = gather.read_methods(three).assign(encoder="net", n_unlabelled=1234)
    # b is another seed of a recipe, or was screened: it may be first by luck.
    rows = ["b, no real label", "a, no real label", gather.NO_SIGNAL]
    without = pd.DataFrame({"macro": ["0.9", "0.7", "0.6"]}, index=rows)
    found = gather.words_beside(methods, read(three), "random", {"linear probe": "+1.0"}, without)
    assert found == {"utah_probe": "+1.0", "utah_tuned": "not measured", "utah_n": "none: it was not run",
                     "utah_encoder": "not run", "control_encoder": "net", "chosen_at": "10 %", "zero": "0.7",
                     "age_sex": "0.6"}


def test_what_needs_no_label_is_scored_where_it_is_there(three: Path, data: ECGDataset) -> None:
    methods = gather.read_methods(three)
    assert gather.without_labels(methods, data, zero=True, n_boot=5).iloc[0].tolist() == ["not measured"]
    np.savez(three / "a" / "zero.npz", validation=data.validation.labels / 1.0, test=data.test.labels / 1.0)
    table = gather.without_labels(methods, data, zero=True, n_boot=5)
    assert table.loc["a, no real label"].to_dict() == dict.fromkeys(["macro", "a", "b", "c"], "1.000 (1.000–1.000)")
    assert len(gather.printed_further(read(three), data, n_boot=5)) == 5
