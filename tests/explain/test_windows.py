"""Training windows: where they are cut, what the classifier says of them, and who is whose partner."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgkit.errors import EcgkitError
from ecgkit.explain.counterfactual.windows import BLUR, PLACES, Windows, cut_windows
from tests.explain.gan_helpers import NAMES, Heights, dataset


def test_windows_cover_each_ecg_and_the_classifier_saw_each() -> None:
    data, classifier = dataset(5, 100).subset([4, 2, 0]), Heights(0.5)
    windows = cut_windows(data, classifier, 64)
    assert len(windows) == 3 * PLACES
    assert windows.rows.tolist() == [0] * PLACES + [1] * PLACES + [2] * PLACES
    assert (windows.starts.min(), windows.starts.max()) == (0, 100 - 64)
    expected = np.stack([data.signals[row][:, start:start + 64]
                         for row, start in zip(windows.rows, windows.starts, strict=True)])
    x = windows.batch(torch.arange(len(windows)))
    np.testing.assert_array_equal(x.numpy(), expected)
    torch.testing.assert_close(windows.logits, classifier(x).detach())
    assert not windows.logits.requires_grad
    chosen = torch.tensor([7, 0, 7])
    assert torch.equal(windows.batch(chosen), x[chosen])


def test_an_ecg_of_one_window_is_cut_once() -> None:
    windows = cut_windows(dataset(4, 64), Heights(), 64)
    assert windows.starts.tolist() == [0] * 4


def test_more_windows_than_a_batch_are_all_asked_about() -> None:
    windows = cut_windows(dataset(70), Heights(), 32)
    assert windows.logits.shape == (70 * PLACES, 2)
    torch.testing.assert_close(windows.logits[-3:], Heights()(windows.batch(torch.arange(417, 420))).detach())


def test_short_ecgs_are_refused_in_one_line() -> None:
    with pytest.raises(EcgkitError, match="heights: 50 samples; the explainer's windows have 64"):
        cut_windows(dataset(2, 50), Heights(), 64)


@pytest.fixture
def ladder() -> Windows:
    """A hundred windows whose logits of A rise by 0.1 and whose logits of B fall."""
    rise = torch.linspace(-5, 4.9, 100)
    return Windows(dataset(2), np.zeros(100, dtype=np.intp), np.arange(100) % 30, 64, torch.stack([rise, -rise], dim=1))


def test_partners_are_among_those_that_come_closest(ladder: Windows) -> None:
    label, logit = torch.tensor([0, 1] * 200), torch.tensor([1.0, 1.0] * 200)
    partners = ladder.partners(label, logit, torch.Generator().manual_seed(0), near=8)
    found = ladder.logits[partners, label]
    assert float((found - 1).abs().max()) <= 0.4 + BLUR + 1e-5
    assert len(partners.unique()) >= 16, "each of the eight is drawn, for each label"


def test_the_nearest_alone_is_certain_and_draws_repeat_by_seed(ladder: Windows) -> None:
    label, logit = torch.zeros(5, dtype=torch.long), torch.tensor([-99.0, -1.02, 0.0, 2.53, 99.0])
    nearest = ladder.partners(label, logit, torch.Generator(), near=1)
    assert nearest.tolist() == [0, 40, 50, 75, 99]
    one, other, third = (ladder.partners(label, logit, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, other)
    assert not torch.equal(one, third)


def test_fewer_windows_than_neighbours_are_all_neighbours() -> None:
    windows = cut_windows(dataset(3, 64), Heights(), 64)
    partners = windows.partners(torch.zeros(60, dtype=torch.long), torch.zeros(60), torch.Generator().manual_seed(0))
    assert set(partners.tolist()) == {0, 1, 2}
    assert len(NAMES) == windows.logits.shape[1]
