"""The battery: the same questions for all, and verdicts that the truth passes and idleness does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from ecgkit.datasets import from_arrays
from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.examine import AWAY, THERE, Answers, Bench, ask, examine, questions, unedited
from ecgkit.explain.results import Counterfactuals, judged
from tests.explain.battery.sick import LABELS, N_ALL, N_SICK, Ask, make_sick_bench, oracle
from tests.explain.gan_helpers import Heights, signals


@pytest.fixture(scope="module")
def bench() -> Bench:
    return make_sick_bench()


@pytest.fixture(scope="module")
def asked(bench: Bench) -> pd.DataFrame:
    return questions(bench, 6)


def idle(bench: Bench) -> Ask:
    return lambda x, target: judged(bench.classifier, x, target, LABELS)


def test_unedited_answers_are_the_ecgs_themselves(bench: Bench, asked: pd.DataFrame) -> None:
    found = unedited(bench, asked)
    table = examine(found, bench, asked)
    np.testing.assert_array_equal(found.signals, bench.data.signals[asked["row"]])
    assert (table["size"] == 0).all()
    assert table["identity"].min() > 0.999
    assert not table["transfer"].any()


def test_questions_are_on_the_right_side_sorted_and_the_same_each_time(bench: Bench, asked: pd.DataFrame) -> None:
    assert list(asked) == ["row", "label", "wanted"]
    assert set(asked["label"]) == {"LBBB"}, "no rule defines NORM"
    says = bench.logits[asked["row"], 1] > 0
    np.testing.assert_array_equal(asked["wanted"], np.where(says, AWAY, THERE))
    assert asked["wanted"].tolist() == [AWAY] * 6 + [THERE] * 6
    assert not asked.duplicated("row").any()
    pd.testing.assert_frame_equal(asked, questions(bench, 6))
    assert not asked.equals(questions(bench, 6, seed=1))


def test_as_many_are_asked_as_there_are(bench: Bench) -> None:
    assert questions(bench, 1000)["wanted"].value_counts().to_dict() == {AWAY: N_SICK, THERE: N_ALL - N_SICK}


def test_labels_without_rules_cannot_be_examined(bench: Bench) -> None:
    data = from_arrays(signals(3), np.zeros((3, 2)), ("A", "B"), 100.0)
    with pytest.raises(EcgkitError, match="no rule defines any of A, B"):
        questions(Bench(data, Heights(), {}, {}, bench.embedder), 2)


def test_the_truth_passes(bench: Bench, asked: pd.DataFrame) -> None:
    answers = ask(oracle(bench), bench, asked)
    table = examine(answers, bench, asked)
    away = table[table["wanted"] == AWAY]
    assert len(table) == len(asked)
    assert (away["valid"] == 1).all()
    assert (away["IoU"] > 0.95).all()
    assert (away["distance"] < 1e-3).all()
    assert (away["correlation"] > 0.999).all()
    assert (away[["transfer", "transfer to one", "transfer to two"]] == 1).all(axis=None)
    assert away["rule away"].mean() > 0.5, "a block that is taken away is gone"
    assert (away["unrelated"] > 0.8).all()
    assert (away["labels kept"].isna()).all(), "NORM is the absence of the others: no label is to stay"
    assert (away["Einthoven"] < 1).all()
    assert away["changed"].between(0.05, 0.95).all()
    assert away[[name for name in table if name.startswith("survives")]].isin([0, 1]).all(axis=None)
    assert (away[[name for name in table if name.startswith("survives noise")]] == 1).all(axis=None)
    assert (table["ms"] > 0).all()
    rows = away["row"].to_numpy()
    np.testing.assert_array_equal(away["patient_id"], bench.data.records["patient_id"].to_numpy()[rows])
    size = 1000 * np.abs(answers.signals[:6] - bench.data.signals[rows]).mean(axis=(1, 2))
    np.testing.assert_allclose(away["size"], size, rtol=1e-5)


def test_doing_nothing_fails_and_is_not_examined_further(bench: Bench, asked: pd.DataFrame) -> None:
    few = asked.iloc[[0, 6]].reset_index(drop=True)
    answers = ask(idle(bench), bench, few)
    assert set(answers.outcome) == {"failed"}
    np.testing.assert_array_equal(answers.signals, bench.data.signals[few["row"]])
    table = examine(answers, bench, few)
    assert not table[["valid", "abstained"]].any(axis=None)
    known = ["row", "patient_id", "label", "wanted", "reached", "valid", "abstained", "ms"]
    assert table.drop(columns=known).isna().all(axis=None)
    np.testing.assert_array_equal(table["row"], few["row"])


def test_an_answer_that_was_withheld_is_no_failure(bench: Bench, asked: pd.DataFrame) -> None:
    def shy(x: NDArray[np.float32], target: Mapping[str, Any]) -> Counterfactuals:
        found = idle(bench)(x, target)
        return Counterfactuals(found.signals, found.probabilities, found.valid,
                               np.full(len(x), "not plausible", dtype=object))

    table = examine(ask(shy, bench, asked.iloc[:1]), bench, asked.iloc[:1])
    assert (table["abstained"] == 1).all()
    assert (table["valid"] == 0).all()


def test_without_judges_and_truth_there_are_no_such_columns(bench: Bench, asked: pd.DataFrame) -> None:
    alone, few = Bench(bench.data, bench.classifier, {}, {}, bench.embedder), asked.iloc[:2]
    table = examine(ask(oracle(bench), bench, few), alone, few)
    assert (table["valid"] == 1).all()
    assert not [name for name in table if name.startswith("transfer") or name in ("IoU", "distance", "correlation")]


def test_the_truth_is_the_simulators(bench: Bench) -> None:
    assert bench.truth is not None
    rows = np.flatnonzero(bench.data.labels[:, 1])[:2]
    without, mask = bench.truth.without(rows, "LBBB"), bench.truth.mask(rows, "LBBB")
    assert without.shape == mask.shape == (2, 12, bench.data.sig_len)
    changed = np.abs(bench.data.signals[rows] - without)
    np.testing.assert_allclose(changed[mask < 1e-6], 0, atol=1e-4)
    assert (mask.max(axis=(1, 2)) > 0.1).all()
    assert not bench.truth.mask(np.flatnonzero(bench.data.labels[:, 1] == 0)[:2], "LBBB").any()


def test_times_are_those_of_the_explainer(bench: Bench, asked: pd.DataFrame) -> None:
    answers = ask(idle(bench), bench, asked)
    assert isinstance(answers, Answers)
    assert len(set(answers.ms[:6])) == 1
    assert (answers.ms > 0).all()
