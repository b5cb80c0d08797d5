"""Tests of a cohort's edits: which answers are shown, and their mean."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.examine import Answers
from ecgkit.study.counterfactuals import chosen, shown_questions

ASKED = pd.DataFrame({"row": range(6), "label": list("AAAABB"), "wanted": [0.05, 0.05, 0.95, 0.95, 0.05, 0.95]})


def answers(*outcome: str) -> Answers:
    n = len(outcome)
    return Answers(np.zeros((n, 12, 10), np.float32), np.zeros((n, 2)), np.array(outcome), np.ones(n))


def test_valid_answers_are_chosen_and_all_attempts_where_none_is() -> None:
    found = answers("valid", "failed", "failed", "abstained", "valid", "failed")
    assert chosen(found, ASKED, "A", 0.05).tolist() == [0]
    assert chosen(found, ASKED, "A", 0.95).tolist() == [2, 3]


def test_what_nobody_asked_is_one_line() -> None:
    with pytest.raises(EcgkitError, match="nobody asked for A at 0.5"):
        chosen(answers(*["valid"] * 6), ASKED, "A", 0.5)


def test_the_question_with_more_answers_is_shown_and_the_disease_away_where_both_have_as_many() -> None:
    found = shown_questions(answers("failed", *["valid"] * 5), ASKED)
    assert found == {"A": 0.95, "B": 0.05}
    assert shown_questions(answers(*["failed"] * 6), ASKED) == {"A": 0.05, "B": 0.05}
