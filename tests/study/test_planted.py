"""Page 11: planted features, what is true of them, how ways of discovery are judged, and nothing asked twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecgkit.explain.discovery.shape import NAMES
from ecgkit.simulator import PLANTS
from ecgkit.study import planted as study
from ecgkit.study.planted import CELLS, Planted, Question, Way, asked, by_dose, by_way, questions, words

T_TURNED = Question("T turned", 1.0, "tall P")


@pytest.fixture(scope="module")
def turned() -> Planted:
    return Planted(T_TURNED, 300, 60)


def test_questions_are_graded_with_and_without_decoys() -> None:
    found = questions(16, (0.25, 0.5, 1.0))
    trained = [each for each in found if each.kind == "trained"]
    assert len(found) == len(set(found)) == 16 * 4 + 16
    assert {each.plant for each in trained} == set(PLANTS)
    assert len([each for each in trained if not each.decoy]) == 16
    assert all(each.decoy != each.plant for each in found)
    assert {each.dose for each in found if each.kind != "trained"} == {1.0}
    assert len(questions(1, (1.0,))) == 4


def test_the_label_is_the_feature_and_the_decoy_goes_along(turned: Planted) -> None:
    dose, decoy = (turned.doses[:, list(PLANTS).index(name)] for name in (T_TURNED.plant, T_TURNED.decoy))
    np.testing.assert_array_equal(dose > 0, turned.data.labels[:, 0] == 1)
    assert 0.3 < np.corrcoef(dose, decoy)[0, 1] < 0.7
    others = [k for k, name in enumerate(PLANTS) if name not in (T_TURNED.plant, T_TURNED.decoy)]
    assert not turned.doses[:, others].any()


def test_shuffled_labels_go_with_nothing() -> None:
    shuffled = Planted(replace(T_TURNED, kind="shuffled"), 600, 60)
    dose = shuffled.doses[:, list(PLANTS).index(T_TURNED.plant)] > 0
    assert abs(np.corrcoef(dose, shuffled.data.labels[:, 0])[0, 1]) < 0.15


def test_without_a_feature_only_its_ecgs_change(turned: Planted) -> None:
    dealt = turned.signals_without(T_TURNED.plant)
    before = turned.doses[300:, list(PLANTS).index(T_TURNED.plant)]
    after = np.random.default_rng(turned.seed).permutation(before)
    same = np.abs(dealt - turned.test.signals).max(axis=(1, 2)) < 1e-6
    np.testing.assert_array_equal(same, before == after)


def test_true_names_are_what_the_feature_moves(turned: Planted) -> None:
    moved = study.moved_numbers(turned, "T turned")
    assert NAMES[int(moved.argmax())].startswith("T, ")
    assert moved[NAMES.index("P onset")] < 0.1 * moved.max()
    cells = study.moved_cells(turned, "T turned")
    assert CELLS[int(cells.argmax())].startswith("T in ")
    assert not any(cell.startswith("P in") for cell, size in zip(CELLS, cells, strict=True) if size > 0.1 * cells.max())


def says(*names: str) -> Way:
    """A way of discovery that always finds the same, in this order."""
    def ask(planted: Planted, networks: Sequence[object]) -> pd.DataFrame:
        share = pd.Series(0.0, index=list(NAMES))
        for k, name in enumerate(names):
            share[name] = 1.0 - 0.1 * k
        return pd.DataFrame({"share": share, "found": share > 0})
    return Way(ask, study.moved_numbers)  # type: ignore[arg-type]


def test_a_true_name_is_a_hit_and_an_unused_decoy_is_false(turned: Planted) -> None:
    right = study._judged(turned, [], says("T, down"), decoy_used=0.0)
    assert (right["hit"], right["rank"], right["n_found"], right["n_false"], right["decoy_named"]) == (1, 1, 1, 0, 0)
    decoy = study._judged(turned, [], says("early P, down"), decoy_used=0.0)
    assert (decoy["hit"], decoy["n_false"], decoy["decoy_named"]) == (0, 1, 1)
    assert study._judged(turned, [], says("early P, down"), decoy_used=0.1)["n_false"] == 0
    neither = study._judged(turned, [], says("QRS onset", "T, down"), decoy_used=0.1)
    assert (neither["hit"], neither["rank"], neither["n_false"]) == (1, 2, 1)


def test_whatever_is_found_where_nothing_was_learnt_is_false() -> None:
    shuffled = Planted(replace(T_TURNED, kind="shuffled"), 60, 60)
    assert study._judged(shuffled, [], says("T, down"), decoy_used=0.1)["n_false"] == 1


def test_a_linear_part_is_tested_by_how_far_it_sets_the_label_apart(turned: Planted) -> None:
    truth = turned.test.labels[:, 0]
    rng = np.random.default_rng(0)
    parts = rng.normal(scale=0.1, size=(2, 60, 3))
    parts[:, :, 0] += 3 * truth
    table = study._tested(parts, turned, ("a", "b", "c"))
    assert list(table["found"]) == [True, False, False]
    assert table["share"].sum() == pytest.approx(1)


def test_an_answer_is_kept_and_not_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def networks(self: Planted, n_networks: int) -> list[object]:
        calls.append(n_networks)
        return []

    monkeypatch.setattr(Planted, "networks", networks)
    monkeypatch.setattr(study, "_used", lambda planted, networks: {"auroc": 0.9, "used": 0.4, "decoy_used": 0.0})
    monkeypatch.setitem(study.WAYS, "mine", says("T, down"))  # type: ignore[arg-type]
    sizes = {"n_train": 60, "n_test": 60, "n_networks": 1, "ways": ["mine"], "folder": tmp_path}
    first = asked(T_TURNED, **sizes)
    assert list(first["way"]) == ["mine"]
    pd.testing.assert_frame_equal(asked(T_TURNED, **sizes), first)
    assert len(calls) == 1
    asked(replace(T_TURNED, decoy=""), **sizes)
    assert len(calls) == 2


def table_of(**changes: object) -> pd.DataFrame:
    row = {"plant": "T turned", "dose": 1.0, "decoy": "tall P", "kind": "trained", "auroc": 0.9, "used": 0.4,
           "decoy_used": 0.0, "way": "ours", "hit": 1.0, "rank": 1.0, "n_found": 2, "n_false": 0, "decoy_named": 0.0}
    return pd.DataFrame([row | changes])


def test_tables_count_what_is_used() -> None:
    all_ = pd.concat([table_of(), table_of(hit=0.0, rank=3.0, n_false=1), table_of(used=0.01, hit=0.0, n_found=0),
                      table_of(kind="shuffled", n_found=1), table_of(kind="shuffled", n_found=0)], ignore_index=True)
    row = by_way(all_).loc["ours"]
    assert row["found, of used"].startswith("0.50 (")
    assert (row["questions"], row["mean rank"], row["false, of found"]) == (2, "2.0", "1 of 4")
    assert row["shuffled networks with a finding"] == "1 of 2"
    assert by_dose(all_).loc[1.0, "used"] == "2 of 3"
    said = words(all_)
    assert said["recall"].startswith("0.50")
    assert said["nothing"] == "1 of 2 shuffled"
