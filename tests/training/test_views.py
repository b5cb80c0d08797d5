"""Tests of views: adjacent segments are adjacent, a lead is alone, a partner is the same patient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from ecgkit.datasets.base import ECGDataset, from_arrays
from ecgkit.errors import EcgkitError
from ecgkit.leads import from_independent, limb_residual
from ecgkit.simulator import Cohort
from ecgkit.training import views
from ecgkit.training.views import NO_AUGMENT, Augment, Batch, PatientPairs, PretrainSettings, Recordings, SimulatedPairs

PLAIN = PretrainSettings(crop_seconds=0.5)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clocks(n: int = 20, sig_len: int = 200) -> Batch:
    """Every sample of every lead is 1 + its time, so that a view tells where it was cut."""
    return Batch(torch.arange(1.0, sig_len + 1).expand(n, 12, sig_len), torch.arange(n))


def three_patients() -> ECGDataset:
    """Patients a, b and c with one, two and three ECGs; a sample is 1000 x ECG + time."""
    owners = ["b", "c", "a", "c", "b", "c"]
    x = 1000 * np.arange(6)[:, None, None] + np.arange(200) + np.zeros((6, 12, 1))
    records = pd.DataFrame({"record": np.arange(6).astype(str), "patient_id": owners})
    return from_arrays(x, np.zeros((6, 0)), (), 100, records=records)


def ecgs(n: int = 4) -> Tensor:
    noise = np.random.default_rng(0).normal(size=(n, 8, 250))
    return torch.from_numpy(from_independent(noise).astype(np.float32))


def test_segments_are_adjacent_and_start_anywhere() -> None:
    out = views.two_segments(clocks(400), PLAIN, generator())
    assert out.shape == (400, 2, 12, 50)
    assert (out[:, 1, :, 0] == out[:, 0, :, -1] + 1).all()
    assert (out.diff(dim=-1) == 1).all()
    starts = out[:, 0, 0, 0].unique()
    assert (starts[0], starts[-1]) == (1, 101)


def test_crops_of_a_pair_have_their_own_places() -> None:
    out = views.two_crops(clocks(400), PLAIN, generator())
    first, second = out[:, 0, 0, 0], out[:, 1, 0, 0]
    assert abs(float(torch.corrcoef(torch.stack([first, second]))[0, 1])) < 0.2
    assert (out.diff(dim=-1) == 1).all()
    assert views.one_crop(clocks(), PLAIN, generator()).shape == (20, 12, 50)


@pytest.mark.parametrize("make", [views.leads_of_crop, views.leads_of_segments, views.leads_of_augmentations])
def test_a_lead_view_keeps_that_lead_alone(make) -> None:
    drawn = set()
    for seed in range(20):
        out = make(clocks(), replace(PLAIN, leads_per_step=3), generator(seed))
        alive = (out != 0).any(dim=-1).flatten(0, -2)
        assert out.shape[-3:] == (3, 12, 50)
        assert (out != 0).all(dim=-1).flatten(0, -2).equal(alive)
        here = [int(lead) for lead in alive[:3].int().argmax(dim=1)]
        assert alive.int().sum(dim=1).eq(1).all()
        assert alive.int().argmax(dim=1).unflatten(0, (-1, 3)).eq(torch.tensor(here)).all(), "the same for the batch"
        assert len(set(here)) == 3
        drawn |= set(here)
    assert drawn == set(range(12))


def test_one_lead_gives_no_pair() -> None:
    with pytest.raises(EcgkitError, match="1 leads for each step: give from 2 to 12"):
        views.leads_of_crop(clocks(), replace(PLAIN, leads_per_step=1), generator())


def test_leads_of_segments_are_of_adjacent_ones_and_augmentations_of_the_same() -> None:
    apart = views.leads_of_segments(clocks(), PLAIN, generator()).amax(dim=-2)
    assert (apart[:, 1] == apart[:, 0] + 50).all()
    same = views.leads_of_augmentations(clocks(), PLAIN, generator())
    assert same[:, 0].equal(same[:, 1])
    turned = replace(PLAIN, augment=Augment(mask=0))
    twice = views.leads_of_augmentations(Batch(ecgs(), torch.arange(4)), turned, generator())
    assert not twice[:, 0].equal(twice[:, 1])


def test_groups_are_the_limb_and_the_chest_leads_of_one_segment() -> None:
    out = views.groups_of_segments(clocks(), PLAIN, generator())
    whole = views.two_segments(clocks(), PLAIN, generator())
    assert out.shape == (20, 2, 2, 12, 50)
    assert out[:, :, 0, :6].equal(whole[:, :, :6])
    assert out[:, :, 1, 6:].equal(whole[:, :, 6:])
    assert not out[:, :, 0, 6:].any()
    assert not out[:, :, 1, :6].any()


def test_a_partner_is_another_ecg_of_the_same_patient() -> None:
    data = three_patients()
    source = PatientPairs(data)
    owner = data.records["patient_id"].to_numpy()
    seen = set()
    for seed in range(60):
        batch = source(torch.tensor([2, 0, 1]), generator(seed))
        out = views.patient_pairs(batch, PLAIN, generator(seed))
        which = (out[:, :, 0, 0] // 1000).long().numpy()
        assert [tuple(owner[pair]) for pair in which] == [("a", "a"), ("b", "b"), ("c", "c")]
        assert (which[1:, 0] != which[1:, 1]).all()
        seen |= {tuple(map(int, pair)) for pair in which[1:]}
        assert (out[0, 1, :, 0] == out[0, 0, :, -1] + 1).all(), "the only ECG gives two adjacent segments"
        assert batch.alone is not None
        assert batch.alone.tolist() == [True, False, False]
    assert len(source) == 3
    assert seen == {(0, 4), (4, 0), (1, 3), (3, 1), (1, 5), (5, 1), (3, 5), (5, 3)}


def test_recordings_bring_their_patients_and_labels() -> None:
    data = three_patients()
    batch = Recordings(data)(torch.tensor([1, 2, 3]), generator())
    assert (batch.x[:, 0, 0] // 1000).tolist() == [1, 2, 3]
    assert batch.patients[0] == batch.patients[2] != batch.patients[1]
    assert batch.labels is None
    labelled = from_arrays(data.store, np.eye(6), tuple("abcdef"), 100)
    assert Recordings(labelled)(torch.tensor([4]), generator()).labels.tolist() == [[0, 0, 0, 0, 1, 0]]


def test_simulated_pairs_are_two_visits_of_one_patient() -> None:
    cohort = Cohort(seed=0, fs=100, seconds=1, visits=2)
    source = SimulatedPairs(cohort, n_items=7)
    batch = source(torch.arange(5), generator())
    numbers = np.stack([2 * batch.patients.numpy(), 2 * batch.patients.numpy() + 1], axis=1)
    assert len(source) == 7
    owners = cohort.records(numbers.flatten())["patient_id"].to_numpy().reshape(5, 2)
    assert (owners == batch.patients.numpy()[:, None]).all()
    np.testing.assert_array_equal(batch.x.flatten(0, 1).numpy(), cohort.signals(numbers.flatten()))
    assert views.patient_pairs(batch, replace(PLAIN, crop_seconds=1.0), generator()).equal(batch.x)
    assert not batch.patients.equal(source(torch.arange(5), generator(1)).patients)


STRENGTHS = {"gain": {"gain": 0.2}, "vcg": {"angle": 45.0, "scale": 1.5}, "noise": {"noise": 0.1},
             "wander": {"wander": 0.1}, "emg": {"emg": 0.1}, "mask": {"mask": 0.5}, "blank": {"blank": 0.5},
             "blank leads too": {"blank": 0.5, "fewest": 4}}


@pytest.mark.parametrize("name", STRENGTHS)
def test_each_strength_acts_and_keeps_limb_lead_algebra_where_it_acts_on_the_heart(name: str) -> None:
    x, augment = ecgs(16), replace(NO_AUGMENT, **STRENGTHS[name])
    out = augment(x, 100, generator())
    assert not out.equal(x)
    assert out.equal(augment(x, 100, generator())), "the generator decides"
    if name not in ("mask", "blank", "blank leads too"):
        assert np.abs(limb_residual(out.numpy())).max() < 1e-5


def test_projected_heart_vector_obeys_limb_lead_algebra_even_where_the_signal_does_not() -> None:
    x = torch.randn(4, 12, 100, generator=generator())
    out = Augment(keep_residual=False, mask=0)(x, 100, generator())
    assert np.abs(limb_residual(out.numpy())).max() < 1e-5


def test_without_strength_nothing_happens_and_no_number_is_drawn() -> None:
    x, source = ecgs(), generator()
    state = source.get_state()
    assert NO_AUGMENT(x, 100, source).equal(x)
    assert source.get_state().equal(state)


def test_each_view_has_its_own_augmentation() -> None:
    batch = Batch(ecgs(), torch.arange(4))
    how = PretrainSettings(crop_seconds=1.25, augment=Augment(angle=0, scale=1, mask=0, gain=0.5))
    out = views.two_segments(batch, how, generator())
    plain = views.two_segments(batch, replace(how, augment=None), generator())
    ratio = (out / plain).mean(dim=(2, 3))
    assert ratio.flatten().unique().numel() == 8
    torch.testing.assert_close(plain * ratio[..., None, None], out)
