"""Training of the generator: it follows the wish, repeats by seed, resumes after a kill, and says where it failed."""

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
from ecgkit.explain.counterfactual.training import GANSettings, frozen, train_generator
from ecgkit.explain.counterfactual.windows import Windows, cut_windows
from ecgkit.models.generator import Discriminator, Generator
from tests.explain.gan_helpers import FS, NAMES, TINY, Heights, dataset, same

SHORT = replace(TINY, steps=8, batch_size=4)


@pytest.fixture(scope="module")
def windows() -> Windows:
    return cut_windows(dataset(32), Heights(), round(TINY.seconds * FS))


def train(windows: Windows, settings: GANSettings = SHORT, classifiers: Sequence[nn.Module] = (), **options: Any) \
        -> tuple[Generator, Discriminator, pd.DataFrame]:
    return train_generator(windows, classifiers or [Heights()], settings, labels=NAMES, fs=FS, **options)


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
    once = adversarial._State._one

    def killed(self: adversarial._State, generator: torch.Generator) -> tuple[dict[str, float], Tensor]:
        if self.step == 5:
            raise Stopped
        return once(self, generator)

    monkeypatch.setattr(adversarial._State, "_one", killed)
    with pytest.raises(Stopped):
        train(windows, checkpoints=tmp_path)
    asked: list[int] = []

    def counted(self: adversarial._State, generator: torch.Generator) -> tuple[dict[str, float], Tensor]:
        asked.append(self.step)
        return once(self, generator)

    monkeypatch.setattr(adversarial._State, "_one", counted)
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
    for other in ({"seed": 1}, {"run": {"classifier": "another"}}):
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
    state = adversarial._State(windows, [Heights()], replace(SHORT, steps=100), NAMES, FS, 0, "cpu")
    rates = []
    for state.step in (0, 50, 75, 100):
        state._set_rates()
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

    def killed(self: duel.Duel, file: Path) -> None:
        saved(self, file)
        raise Stopped
    monkeypatch.setattr(duel.Duel, "save", killed)
    with pytest.raises(Stopped):
        train(windows, checkpoints=tmp_path)
    monkeypatch.setattr(duel.Duel, "save", saved)
    assert train(windows, checkpoints=tmp_path)[2]["minutes"].tolist() == [10.0, 11.0]
