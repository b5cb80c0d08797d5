"""Sweeps: every wanted probability is asked once, answers are measured, and shapes are checked."""

import numpy as np
import pytest
import torch

from ecgkit.errors import EcgkitError
from ecgkit.explain.report.changes import ask_sweep
from ecgkit.explain.results import judged
from ecgkit.simulator import Cohort
from tests.explain.sweeps import hand_made


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
