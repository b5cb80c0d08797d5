"""Training of the generator: it follows the wish, repeats by seed, resumes, says where it failed; what edits cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.explain.counterfactual import duel
from ecgkit.explain.counterfactual import training as adversarial
from ecgkit.explain.counterfactual.training import (
    ENOUGH,
    HALF_CHANGED,
    SEGMENT,
    GANSettings,
    Weights,
    cycle_loss,
    edit_loss,
    frozen,
    reach_loss,
    train_generator,
    variety_loss,
    warp_loss,
)
from ecgkit.explain.counterfactual.windows import Windows, cut_windows
from ecgkit.leads import INDEPENDENT, LEADS
from ecgkit.models.generator import Discriminator, Edited, Generator
from ecgkit.training.checkpoint import Run
from tests.explain.gan_helpers import FS, NAMES, TINY, Heights, dataset, same

SHORT = replace(TINY, steps=8, batch_size=4)


@pytest.fixture(scope="module")
def windows() -> Windows:
    return cut_windows(dataset(32), Heights(), round(TINY.seconds * FS))


def train(windows: Windows, settings: GANSettings = SHORT, classifiers: Sequence[nn.Module] = (), **run: Any) \
        -> tuple[Generator, Discriminator, pd.DataFrame]:
    return train_generator(windows, classifiers or [Heights()], settings, NAMES, Run("the generator", **run))


def test_it_learns_to_follow_the_wish(windows: Windows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duel, "ROW", 20)
    generator, discriminator, history = train(windows, TINY)
    assert history["step"].tolist() == [20, 40, 60, 80, 100]
    assert list(history) == ["step", "reach", "keep", "edit", "shift", "cycle", "real", "fake", "correlation",
                             "minutes"]
    assert history["correlation"].iloc[-1] > 0.5
    assert history["correlation"].iloc[0] < 0.5
    assert history["reach"].iloc[-1] < 0.5 * history["reach"].iloc[0]
    assert (history["minutes"].diff().iloc[1:] > 0).all()
    assert not generator.training
    assert not discriminator.training


def test_the_same_seed_gives_the_same_bytes_and_spares_the_global_generator(windows: Windows) -> None:
    before = torch.random.get_rng_state()
    one, its_critic, history = train(windows, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    again, other_critic, repeated = train(windows, seed=3)
    assert same(one, again)
    assert same(its_critic, other_critic)
    pd.testing.assert_frame_equal(untimed(history), untimed(repeated), check_exact=True)
    assert not same(one, train(windows, seed=4)[0])


def untimed(history: pd.DataFrame) -> pd.DataFrame:
    return history.drop(columns="minutes")


class Stopped(Exception):
    """Stands for a kill."""


def test_a_killed_run_ends_in_the_same_weights(windows: Windows, tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duel, "ROW", 3)
    whole, its_critic, history = train(windows)
    once = adversarial._State.one

    def killed(self: adversarial._State, generator: torch.Generator) -> dict[str, float]:
        if self.step == 5:
            raise Stopped
        return once(self, generator)

    monkeypatch.setattr(adversarial._State, "one", killed)
    with pytest.raises(Stopped):
        train(windows, checkpoints=tmp_path)
    asked: list[int] = []

    def counted(self: adversarial._State, generator: torch.Generator) -> dict[str, float]:
        asked.append(self.step)
        return once(self, generator)

    monkeypatch.setattr(adversarial._State, "one", counted)
    resumed, critic, repeated = train(windows, checkpoints=tmp_path)
    assert asked == [3, 4, 5, 6, 7], "it went on from the last row"
    assert same(whole, resumed)
    assert same(its_critic, critic)
    pd.testing.assert_frame_equal(untimed(history), untimed(repeated), check_exact=True)
    done, _, told = train(windows, checkpoints=tmp_path)
    assert len(asked) == 5, "a finished run is not run again"
    assert told["minutes"].tolist() == repeated["minutes"].tolist()
    assert same(whole, done)


def test_another_run_does_not_take_up_its_checkpoint(windows: Windows, tmp_path: Path) -> None:
    one_step = replace(SHORT, steps=1)
    train(windows, one_step, checkpoints=tmp_path)
    for other in ({"seed": 1}, {"identity": {"classifier": "another"}}):
        train(windows, one_step, checkpoints=tmp_path, **other)
    train(windows, replace(one_step, noise_mv=0.1), checkpoints=tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


class Broken(Heights):
    """Gives no number."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * float("nan")


def test_what_is_not_finite_is_said_in_one_line(windows: Windows) -> None:
    with pytest.raises(EcgkitError, match="training diverged at step 0: reach nan") as caught:
        train(windows, classifiers=[Broken()])
    assert "lower the learning rate" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_classifiers_are_asked_in_turns_and_none_is_taught(windows: Windows) -> None:
    calls: list[str] = []

    class Counted(Heights):
        name = "first"

        def forward(self, x: Tensor) -> Tensor:
            calls.append(self.name)
            return super().forward(x)

    first, second = Counted(), Counted(0.3)
    second.name = "second"
    train(windows, replace(SHORT, steps=6), [first, second])
    assert calls == ["first", "second", "second"] * 3, "of a further one, also what it said before"
    assert float(first.gain.detach()) == 6.0
    assert first.gain.grad is None
    assert first.gain.requires_grad, "the caller's own is left as it was"


def test_the_discriminator_sees_other_answers_at_every_step(windows: Windows, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    taught = adversarial._State.teach_discriminator

    def told(self: adversarial._State, real: Tensor, fake: Tensor, *rest: Any) -> dict[str, float]:
        seen.append(fake)
        return taught(self, real, fake, *rest)

    monkeypatch.setattr(adversarial._State, "teach_discriminator", told)
    train(windows, replace(SHORT, steps=2, discriminator_steps=3))
    assert len(seen) == 6
    assert not any(torch.equal(a, b) for k, a in enumerate(seen) for b in seen[:k])
    assert not any(each.requires_grad for each in seen)


def test_rates_fall_to_a_tenth_over_the_last_half(windows: Windows) -> None:
    state = adversarial._State(windows, [Heights()], replace(SHORT, steps=100), NAMES, Run())
    rates = []
    for state.step in (0, 50, 75, 100):
        state.set_rates()
        rates.append([state.optimizers[name].param_groups[0]["lr"] for name in ("generator", "discriminator")])
    np.testing.assert_allclose(rates, np.outer([1, 1, 0.55, 0.1], [4e-3, 1e-3]))


def test_frozen_is_in_eval_mode_and_learns_nothing() -> None:
    model = frozen(nn.Sequential(nn.Linear(2, 2), nn.Dropout()).train())
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_the_minutes_before_a_kill_count(windows: Windows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duel, "ROW", 4)
    times = iter([0.0, 600.0, 60.0, 120.0])
    monkeypatch.setattr(duel, "time", SimpleNamespace(monotonic=lambda: next(times)))
    saved = duel.Duel.save

    def killed(self: duel.Duel) -> None:
        saved(self)
        raise Stopped
    monkeypatch.setattr(duel.Duel, "save", killed)
    with pytest.raises(Stopped):
        train(windows, checkpoints=tmp_path)
    monkeypatch.setattr(duel.Duel, "save", saved)
    assert train(windows, checkpoints=tmp_path)[2]["minutes"].tolist() == [10.0, 11.0]


NOTHING = Weights(*[0.0] * 11)
TERMS = ("size", "count", "group", "smooth", "local")


def only(name: str) -> Weights:
    return Weights(**{**vars(NOTHING), name: 1.0})


def done(edit: Tensor, local: float = 0.0, shift: float = 0.0) -> Edited:
    return Edited(torch.zeros(len(edit), 12, edit.shape[-1]), edit, torch.full_like(edit, local),
                  torch.full((len(edit), edit.shape[-1]), shift))


@pytest.mark.parametrize("c", [0.0, HALF_CHANGED, 0.4])
def test_what_a_constant_edit_costs(c: float) -> None:
    of = done(torch.full((2, 8, 25), -c), local=0.2, shift=-3.0)
    expected = {"size": c, "count": c**2 / (c**2 + HALF_CHANGED**2), "group": np.sqrt(c**2 + 1e-6), "smooth": 0.0,
                "local": 0.2}
    assert float(warp_loss(of)) == pytest.approx(3.0)
    for name in TERMS:
        assert float(edit_loss(of, only(name))) == pytest.approx(expected[name], rel=1e-5, abs=1e-9), name
    weights = Weights()
    total = sum(getattr(weights, name) * expected[name] for name in TERMS)
    assert float(edit_loss(of, weights)) == pytest.approx(total, rel=1e-5)


def test_a_change_of_half_a_change_counts_half() -> None:
    assert float(edit_loss(done(torch.full((1, 8, 20), HALF_CHANGED)), only("count"))) == pytest.approx(0.5)


def test_an_edit_in_one_segment_is_cheaper_than_one_spread_over_many() -> None:
    gathered, spread = torch.zeros(1, 8, 10 * SEGMENT), torch.zeros(1, 8, 10 * SEGMENT)
    gathered[0, 0, :SEGMENT], spread[0, 0, ::SEGMENT] = 1.0, 1.0
    for name in ("size", "count"):
        assert float(edit_loss(done(gathered), only(name))) == pytest.approx(float(edit_loss(done(spread), only(name))))
    floor = 79 * 1e-3
    assert float(edit_loss(done(gathered), only("group"))) == pytest.approx((1 + floor) / 80, rel=1e-3)
    assert float(edit_loss(done(spread), only("group"))) == pytest.approx(10 * SEGMENT**-0.5 / 80, rel=0.05)


def test_steps_cost_their_height() -> None:
    edit = torch.zeros(1, 8, 21)
    edit[..., 7:] = 0.5
    assert float(edit_loss(done(edit), only("smooth"))) == pytest.approx(0.5 / 20)


def test_reaching_costs_by_hubers_loss_of_what_is_asked_and_what_is_kept() -> None:
    asked, kept = torch.tensor([[True, False, False]] * 2), torch.tensor([[False, True, False]] * 2)
    wanted = torch.tensor([[3.0, 0.0, 0.0]] * 2)
    logits = torch.tensor([[2.5, 2.0, 99.0], [1.0, 0.0, 99.0]])
    reach, keep = reach_loss(logits, wanted, asked, kept)
    # Huber: half the square below 1, and the distance less a half beyond.
    assert float(reach) == pytest.approx((0.5 * 0.5**2 + (2 - 0.5)) / 2)
    assert float(keep) == pytest.approx(((2 - 0.5) + 0) / 2)
    assert [float(term) for term in reach_loss(wanted, wanted, asked, kept)] == [0, 0]
    assert [float(term) for term in reach_loss(logits, wanted, ~asked & False, kept & False)] == [0, 0]


def test_beyond_the_range_a_logit_still_has_a_slope() -> None:
    logits = torch.tensor([[-20.0]], requires_grad=True)
    all_ = torch.ones(1, 1, dtype=torch.bool)
    reach, _ = reach_loss(logits, torch.tensor([[3.0]]), all_, ~all_)
    reach.backward()
    assert logits.grad is not None
    assert float(logits.grad) == pytest.approx(-0.1)


def test_the_way_back_counts_independent_leads_in_millivolts() -> None:
    x = torch.randn(2, 12, 30, generator=torch.Generator().manual_seed(0))
    assert float(cycle_loss(x, x)) == 0
    assert float(cycle_loss(x + 0.3, x)) == pytest.approx(0.3, rel=1e-5)
    derived = [k for k, lead in enumerate(LEADS) if lead not in INDEPENDENT]
    other = x.clone()
    other[:, derived] += 5
    assert float(cycle_loss(other, x)) == 0


def test_variety_is_paid_in_units_of_the_edit_up_to_enough() -> None:
    x, edit = torch.zeros(3, 12, 40), torch.full((3, 8, 40), 0.5)
    assert float(variety_loss(x, x, edit)) == 0
    assert float(variety_loss(x, x + 0.1, edit)) == pytest.approx(-0.1 / 0.501, rel=1e-5)
    assert float(variety_loss(x, x + 9, edit)) == pytest.approx(-ENOUGH)
