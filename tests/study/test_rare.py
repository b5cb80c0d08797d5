"""Tests of rare labels: the rule, nested choices by patient, and a probe that sees no positive beyond them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgkit.datasets.base import ECGDataset, from_arrays
from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc, macro
from ecgkit.models.encoders import build_encoder
from ecgkit.models.windowed import Embedder
from ecgkit.study.rare import (
    FEW,
    SCRATCH,
    classify_few_positives,
    compared_variants,
    few_positives,
    group_means,
    mean_of_seeds,
    positives,
    probabilities,
    probe_few_positives,
    rarest,
    readers_of,
    said,
    with_few_positives,
    words,
    words_on_groups,
)
from ecgkit.training.few_labels import FewLabelClassifier, Seen
from ecgkit.training.probe import Standard, linear_probe


def dataset(counts: dict[str, tuple[int, int, int]], n: int = 40) -> ECGDataset:
    """`n` ECGs in each of the folds 1, 9 and 10, with so many positives of each label."""
    labels = np.zeros((3 * n, len(counts)), dtype=np.uint8)
    for k, by_fold in enumerate(counts.values()):
        for part, count in enumerate(by_fold):
            labels[part * n:part * n + count, k] = 1
    records = pd.DataFrame({"record": np.arange(3 * n).astype(str), "patient_id": np.arange(3 * n) // 2,
                            "strat_fold": np.repeat([1, 9, 10], n)})
    return from_arrays(np.zeros((3 * n, 12, 4)), labels, tuple(counts), 100, records=records)


def test_the_rarest_labels_with_enough_ecgs_are_named() -> None:
    data = dataset({"common": (30, 9, 9), "no test": (10, 2, 1), "b": (12, 2, 2), "a": (12, 2, 5), "edge": (10, 2, 2),
                    "too few": (9, 9, 9), "no validation": (11, 1, 4)})
    assert rarest(data, 3) == ("edge", "a", "b")
    assert rarest(data, 9) == ("edge", "a", "b", "common")
    assert rarest(data, 1, least=(1, 1, 1)) == ("too few",)
    assert positives(data).loc["a"].to_dict() == {"train": 12, "validation": 2, "test": 5}
    with pytest.raises(EcgkitError, match="no label has 31 training, 2 validation and 2 test ECGs"):
        rarest(data, least=(31, 2, 2))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40), st.integers(0, 3))
def test_choices_are_nested_whole_patients_and_reach_the_number(ecgs: list[tuple[int, bool]], seed: int) -> None:
    patients = np.array([patient for patient, _ in ecgs])
    truth = np.array([positive for _, positive in ecgs], dtype=np.uint8)
    largest = np.bincount(patients, weights=truth).max()
    before = np.zeros(len(truth), dtype=bool)
    for wanted in range(1, int(truth.sum()) + 1):
        kept = with_few_positives(truth, patients, wanted, seed)
        assert wanted <= truth[kept].sum() < wanted + largest
        assert not set(patients[kept]) & set(patients[~kept]), "a patient stays or goes as a whole"
        assert kept[~np.isin(patients, patients[truth == 1])].all(), "nobody without the label drops out"
        assert kept[before].all()
        before = kept
    if truth.any():
        assert before.all()


def test_another_seed_draws_other_positives() -> None:
    truth = np.ones(20, dtype=np.uint8)
    kept = {tuple(np.flatnonzero(with_few_positives(truth, np.arange(20), 5, seed))) for seed in range(5)}
    assert len(kept) == 5
    assert with_few_positives(truth, np.arange(20), 21, 0).all()
    with pytest.raises(EcgkitError, match="0 positive ECGs: give at least 1"):
        with_few_positives(truth, np.arange(20), 0, 0)


def test_a_probe_is_that_of_the_chosen_ecgs_alone() -> None:
    train = dataset({"a": (12, 0, 0), "b": (20, 0, 0)}).train
    rng = np.random.default_rng(0)
    features = rng.normal(size=(len(train), 6)) + train.labels[:, :1]
    asked = rng.normal(size=(7, 6))
    found = probe_few_positives(train, features, asked, wanted=[5, 12], seeds=2)
    assert {number: len(runs) for number, runs in found.items()} == {5: 2, 12: 2}
    patients = train.records["patient_id"].to_numpy()
    kept = with_few_positives(train.labels[:, 1], patients, 5, 1)
    alone = linear_probe(features[kept], train.labels[kept, 1:], groups=patients[kept], seed=1,
                         standard=Standard.of(features))
    np.testing.assert_array_equal(found[5][1][:, 1], alone.predict(asked)[:, 0])
    assert not np.array_equal(found[5][0][:, 1], found[5][1][:, 1])
    assert not np.array_equal(found[5][0], found[12][0])


def test_readers_are_from_scratch_with_all_and_few_labels_and_the_best_pretrained(tmp_path: Path) -> None:
    for variant, group, score in (("a", "full", 0.8), ("b", "full", 0.9), ("random", "control", 1.0)):
        (tmp_path / variant).mkdir()
        (tmp_path / variant / "method.json").write_text(json.dumps({"title": variant.upper(), "group": group}))
        pd.DataFrame([{"task": "superclass", "mode": mode, "fraction": fraction, "seed": 0, "auroc_validation": score,
                       "predictions": "p.npz"} for mode in ("linear probe", *["scratch"] * (variant == "random"))
                      for fraction in (0.1, 1.0)]).to_csv(tmp_path / variant / "study.csv")
    np.savez(tmp_path / "b" / "p.npz", validation=np.zeros((1, 2)), test=np.ones((3, 2)))
    methods, titles, missing = compared_variants(tmp_path, ["b", "c"])
    assert (titles, missing) == ({"b": "B"}, ["c"])
    found, shares = readers_of(methods)
    assert list(found) == ["from scratch, 100 %", "from scratch, 10 %", "B, linear probe, 10 %"]
    assert shares == (1.0, 0.1)
    assert mean_of_seeds(found["B, linear probe, 10 %"]).tolist() == np.ones((3, 2)).tolist()


def test_groups_are_scored_on_the_same_resamples_over_labels_that_both_have() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=(80, 3)).astype(np.uint8)
    truth[:40, 2] = 0
    score, first = truth + rng.normal(size=(80, 3)), np.arange(80) < 40
    one, other = group_means(truth, score, [first, ~first], np.arange(80), n_boot=10)
    assert one.estimate == pytest.approx(macro(auroc(truth[:40, :2], score[:40, :2])))
    gap = one - other
    assert gap.samples == pytest.approx(one.samples - other.samples)
    found = words_on_groups({("x minus y", "r, 10 %"): gap, ("x minus y", "s"): one}, {}, "r, 10 %", ["s"])
    assert found == {"fair_chosen": "r", "fair_note": "This run lacks: s.", "fair_gap": f"x minus y {said(gap)}",
                     "fair_change": ""}


def test_few_positives_are_scored_and_told() -> None:
    data = dataset({"a": (12, 4, 4), "b": (20, 4, 4)})
    rng = np.random.default_rng(0)
    embedded = {"net": [rng.normal(size=(len(part), 6)) for part in (data.train, data.validation, data.test)]}
    encoder = Embedder(build_encoder("xresnet1d18", widths=[4, 4, 4, 4]), fs=100, crop_len=250)
    seen = {name: Seen(rng.normal(size=(len(part), 5)), rng.normal(size=(len(part), 8)).astype(np.float32))
            for name, part in (("train", data.train), ("test", data.test))}
    joined = (lambda seed: FewLabelClassifier(seed=seed, encoder=encoder, n_trees=3)), seen
    curves, numbers = few_positives(data.train, data.test, embedded, seeds=2, n_boot=5, joined=joined)
    assert list(curves) == ["net", FEW]
    kept = with_few_positives(data.train.labels[:, 1], data.train.records["patient_id"], 5, 1)
    model = joined[0](1).fit_seen(seen["train"].rows(kept), data.train.labels[kept, 1:],
                                  groups=data.train.records["patient_id"][kept], label_names=("b",))
    found_few = classify_few_positives(data.train, joined, wanted=[5], seeds=2)
    np.testing.assert_allclose(found_few[5][1][:, 1], probabilities(model, seen["test"])[:, 0])
    assert numbers == {5: "5 positive ECGs", 10: "10 positive ECGs", 20: "all positive ECGs"}
    assert curves["net"].n_labels.tolist() == [5, 10, 16]
    table = pd.DataFrame({"auroc": [0.7, 0.6], "difference": [0.1, np.nan], "difference_low": [-0.1, np.nan],
                          "difference_high": [0.2, np.nan]}, index=["net", SCRATCH])
    found = words(data, table, "net", [])
    assert (found["rare_best"], found["rare_scratch"], found["rare_fewest"]) == ("0.700", "0.600", "12")
    assert found["rare_difference"] == "+0.100 (-0.100 to +0.200)"
