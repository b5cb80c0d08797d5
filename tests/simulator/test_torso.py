"""Torso: rotations, electrodes and the lead field."""

import numpy as np

from ecgkit.leads import DOWER, INDEPENDENT, LEADS
from ecgkit.simulator.torso import ELECTRODES, FROM_ELECTRODES, lead_field, rotation, to_leads


def test_rotations_are_rotations() -> None:
    turned = rotation(np.random.default_rng(0).uniform(-180, 180, (20, 3)))
    np.testing.assert_allclose(turned @ turned.swapaxes(1, 2), np.broadcast_to(np.eye(3), (20, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turned), 1)


def test_a_positive_frontal_angle_turns_the_axis_towards_the_feet() -> None:
    x = np.array([1.0, 0, 0])
    np.testing.assert_allclose(rotation(np.array([[90.0, 0, 0]]))[0] @ x, [0, 1, 0], atol=1e-12)


def test_the_standard_torso_is_dowers() -> None:
    field = lead_field(np.zeros((1, 3)), np.ones((1, 8)))
    np.testing.assert_allclose(field[0], DOWER[[LEADS.index(lead) for lead in INDEPENDENT]])
    vector = np.random.default_rng(0).normal(size=(1, 3, 9)).astype(np.float32)
    np.testing.assert_allclose(to_leads(field, vector)[0], field[0] @ vector[0], rtol=1e-5)


def test_a_common_potential_of_all_electrodes_is_seen_by_no_chest_lead_and_no_limb_lead() -> None:
    np.testing.assert_allclose(FROM_ELECTRODES.sum(axis=1), 0, atol=1e-15)


def test_limb_leads_are_differences_of_electrodes() -> None:
    potential = dict(zip(ELECTRODES, np.arange(1.0, 10.0), strict=True))
    leads = dict(zip(INDEPENDENT, FROM_ELECTRODES @ np.array(list(potential.values())), strict=True))
    assert leads["I"] == potential["LA"] - potential["RA"]
    assert leads["II"] == potential["LL"] - potential["RA"]
    assert leads["V4"] == potential["V4"] - (potential["RA"] + potential["LA"] + potential["LL"]) / 3
