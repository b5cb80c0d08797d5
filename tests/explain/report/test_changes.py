"""Changes of measurements, as they are counted and written, and sweeps that ask for every wanted probability once."""

import numpy as np
import pandas as pd
import pytest
import torch

from ecgkit.errors import EcgkitError
from ecgkit.explain.report.changes import (
    ask_sweep,
    beyond,
    difference,
    in_words,
    name_of,
    number,
    shown_columns,
    unit_of,
)
from ecgkit.explain.results import judged
from ecgkit.physiology import COLUMNS
from ecgkit.simulator import Cohort
from tests.explain.report.sweeps import REPEATABILITY, hand_made


def test_every_measurement_has_a_name_of_its_own():
    names = [name_of(column) for column in COLUMNS]
    assert len(set(names)) == len(names)
    assert name_of("qrs") == "QRS"
    assert name_of("r_V5") == "R in V5"
    assert name_of("p_terminal_V1") == "terminal P of V1"
    assert [unit_of(c) for c in ("qrs", "axis", "heart_rate", "p_share", "n_beats", "r_V5", "notched_I")] == [
        "ms", "°", "/min", "%", "", "mV", ""]


@pytest.mark.parametrize(("column", "value", "signed", "text"), [
    ("qrs", 96.4, False, "96"), ("qrs", -52.2, True, "−52"), ("qrs", 3.0, True, "+3"), ("qrs", -0.3, True, "0"),
    ("r_V5", 0.301, False, "0.30"), ("r_V5", -0.001, True, "0"), ("axis", -30.0, False, "−30"),
    ("p_share", 0.5, False, "50"), ("qrs", np.nan, False, "–"),
])
def test_numbers_are_written_as_people_write_them(column, value, signed, text):
    assert number(column, value, signed=signed) == text


def test_angles_differ_the_short_way_round():
    before = pd.Series({"axis": 170.0, "qrs": 170.0})
    change = difference(before, pd.DataFrame({"axis": [-170.0], "qrs": [-170.0]}))
    assert change["axis"].tolist() == [20]
    assert change["qrs"].tolist() == [-340]


def test_only_what_exceeds_repeatability_counts():
    change = pd.DataFrame({"qrs": [5.0, 5.1, -6, np.nan], "qt": [500.0] * 4})
    assert beyond(change, {"qrs": 5.0})["qrs"].tolist() == [False, True, True, False]
    assert not beyond(change, {"qrs": 5.0})["qt"].any()


def test_words_tell_what_changed_and_nothing_else():
    sweep = hand_made()
    assert in_words(sweep.before, sweep.measured.iloc[0], REPEATABILITY) == [
        "QRS 145 → 102 ms", "R in V5 0.90 → 0.05 mV"]
    assert in_words(sweep.before, sweep.before, REPEATABILITY) == []


def test_tables_show_the_main_ones_and_the_voltages_that_changed_most():
    sweep = hand_made()
    measured = sweep.measured.assign(t_V2=1.0, q_I=-0.5)
    limits = REPEATABILITY | {"t_V2": 0.1, "q_I": 0.1, "s_V1": 0.1}
    change = difference(sweep.before, measured)
    assert shown_columns(change, limits)[6:] == ["t_V2", "r_V5", "q_I"]
    assert shown_columns(change, limits, most=1)[6:] == ["t_V2"]


class Loudness(torch.nn.Module):
    """Two labels: the logit of B is a hundred times the mean square of V5, less 2."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        loud = 100 * x[:, 10].square().mean(dim=1) - 2
        return torch.stack([-loud, loud], dim=1)


def test_a_sweep_asks_for_every_probability_and_measures_the_answers():
    x, classifier, asked = Cohort(seed=1).signals([3])[0], Loudness(), []

    def explainer(signals, target):
        asked.append(target["B"])
        power = 100 * np.square(signals[:, 10]).mean(axis=1)
        scale = np.sqrt((np.log(target["B"] / (1 - target["B"])) + 2).clip(1e-3) / power)
        return judged(classifier, (signals * scale[:, None, None]).astype(np.float32), target, ("A", "B"))

    wanted = np.array([0.2, 0.6, 0.9])
    sweep = ask_sweep(explainer, classifier, x, "B", label_names=("A", "B"), fs=100, wanted=wanted)
    assert len(asked) == 1
    np.testing.assert_array_equal(asked[0], wanted)
    np.testing.assert_allclose(sweep.obtained, wanted, atol=1e-4)
    assert sweep.valid.all()
    np.testing.assert_array_equal(sweep.original, x)
    assert sweep.now == pytest.approx(float(torch.sigmoid(classifier(torch.from_numpy(x[None])))[0, 1]))
    size = np.abs(sweep.signals).max(axis=(1, 2)) / np.abs(x).max()
    np.testing.assert_allclose(sweep.measured["r_V5"], size * sweep.before["r_V5"], rtol=0.05)


@pytest.mark.parametrize(("wrong", "said"), [
    ({"original": np.zeros((12, 999), np.float32)}, r"ECG of shape \(12, 999\)"),
    ({"obtained": np.zeros(3)}, "3 obtained"),
    ({"wanted": np.linspace(0.9, 0.1, 13)}, "do not rise"),
])
def test_a_sweep_that_does_not_fit_is_refused(wrong, said):
    with pytest.raises(EcgkitError, match=said) as caught:
        hand_made(**wrong)
    assert "\n" not in str(caught.value)
