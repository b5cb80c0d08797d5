"""The beat: wavelets of mixed diseases, their sum over the beats, and the torso's lead field."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from ecgkit.leads import DOWER, ELECTRODES, FROM_ELECTRODES, INDEPENDENT, LEADS, independent
from ecgkit.simulator.catalogue import BASE, DROPS, EDIT_NAMES, MOVES, SLOTS, VENTRICULAR
from ecgkit.simulator.heart import (
    _LONGEST,
    FALL,
    RISE,
    SHARE,
    Variation,
    Wavelets,
    _spans,
    heart_vector,
    lead_field,
    rotation,
    to_leads,
    wavelets,
)
from ecgkit.simulator.rhythm import ATRIAL_PREMATURE, SHORTEST_RR, VENTRICULAR_PREMATURE, Beats


def _slow(hearts: Wavelets, beats: Beats, fs: float, sig_len: int) -> NDArray[np.float64]:
    """Each wavelet of each beat over the whole recording, in double precision."""
    ms = np.arange(sig_len) / fs * 1000
    vector = np.zeros((len(beats.time), 3, sig_len))
    for n in range(len(beats.time)):
        for time, kind, stretch in zip(beats.time[n] * 1000, beats.kind[n], beats.stretch[n], strict=True):
            for k, slot in enumerate(SLOTS):
                a, b = hearts.start[n, k], hearts.width[n, k]
                if slot.startswith("ST"):
                    shape = expit((ms - time - a) / RISE) * expit(-(ms - time - b * stretch) / FALL)
                else:
                    s = stretch if slot[0] == "T" or slot == "VT" else 1.0
                    shape = np.exp(-0.5 * ((ms - time - a * s) / (b * s))**2)
                vector[n] += SHARE[kind, k] * hearts.vector[n, k, :, None] * shape
    return vector


@pytest.mark.parametrize(("n_edits", "fs"), [(12, 100.0), (12, 250.0), (30, 100.0)])
def test_equals_a_plain_loop_over_beats_and_wavelets(n_edits: int, fs: float) -> None:
    rng = np.random.default_rng(0)
    n, n_beats = n_edits + 2, 9
    severity = np.concatenate([np.zeros((1, n_edits)), np.eye(n_edits), np.zeros((1, n_edits))])
    severity[-1, :12] = rng.random(12)
    variation = Variation(rng.uniform(0.8, 1.2, (n, len(SLOTS), 3)), rng.uniform(0.9, 1.1, (n, len(SLOTS))),
                          rng.uniform(-15, 15, (n, len(SLOTS))), rng.uniform(0.95, 1.05, (n, len(SLOTS))))
    time = np.cumsum(rng.uniform(0.35, 1.2, (n, n_beats)), axis=1) - 1.5
    kind = np.zeros((n, n_beats), dtype=np.int8)
    kind[:, 3], kind[:, 6] = ATRIAL_PREMATURE, VENTRICULAR_PREMATURE
    beats = Beats(time, np.ones_like(time), kind, rng.uniform(0.85, 1.05, (n, n_beats)))
    hearts = wavelets(severity, variation)
    sig_len = round(4 * fs)
    np.testing.assert_allclose(heart_vector(hearts, beats, fs, sig_len), _slow(hearts, beats, fs, sig_len), atol=0.002)


def test_wavelets_at_full_severity_are_the_catalogues() -> None:
    hearts = wavelets(np.eye(12), Variation.none(12))
    t = SLOTS.index("T")
    assert hearts.vector[EDIT_NAMES.index("AMI"), t].tolist() == pytest.approx([0.10, 0.12, 0.30])
    assert hearts.start[EDIT_NAMES.index("LQT"), t] == pytest.approx(385)
    np.testing.assert_array_equal(hearts.vector[EDIT_NAMES.index("LBBB"), SLOTS.index("Q")], 0)


def test_severity_moves_in_a_straight_line_and_diseases_add_up() -> None:
    severity = np.zeros((4, 12))
    severity[1, EDIT_NAMES.index("LVH")] = severity[3, EDIT_NAMES.index("LVH")] = 0.4
    severity[2, EDIT_NAMES.index("IMI")] = severity[3, EDIT_NAMES.index("IMI")] = 0.7
    hearts = wavelets(severity, Variation.none(4))
    change = hearts.vector - hearts.vector[0]
    np.testing.assert_allclose(change[3], change[1] + change[2], atol=1e-12)
    assert hearts.vector[1, SLOTS.index("R"), 0] == pytest.approx(1.05 + 0.4 * 0.70)


@pytest.mark.parametrize("n_edits", [12, 30])
def test_a_mixture_is_the_sum_of_moves_and_the_product_of_what_is_kept(n_edits: int) -> None:
    severity = np.random.default_rng(1).random((5, n_edits)) * (np.random.default_rng(2).random((5, n_edits)) < 0.3)
    hearts = wavelets(severity, Variation.none(5))
    table = BASE + np.einsum("ne,esv->nsv", severity, MOVES[:n_edits])
    np.testing.assert_allclose(hearts.start, table[..., 0], atol=1e-12)
    np.testing.assert_allclose(hearts.width, table[..., 1], atol=1e-12)
    kept = (1 - severity[:, :, None] * DROPS[:n_edits]).prod(axis=1)
    np.testing.assert_allclose(hearts.vector, table[..., 2:] * kept[..., None], atol=1e-12)


def test_two_diseases_that_drop_a_wavelet_drop_it_once() -> None:
    severity = np.zeros((1, 12))
    severity[0, [EDIT_NAMES.index("LBBB"), EDIT_NAMES.index("WPW")]] = 0.5
    hearts = wavelets(severity, Variation.none(1))
    np.testing.assert_allclose(hearts.vector[0, SLOTS.index("Q")], 0.25 * BASE[SLOTS.index("Q"), 2:])


def test_every_other_beat_never_overlaps() -> None:
    assert _spans(30)[:, 1].max() / 1000 + 1 / 50 < 2 * SHORTEST_RR
    assert _LONGEST < 1


def test_windows_of_the_twelve_do_not_grow_with_the_finer_diseases() -> None:
    """S is 9 ms wide in hypertrophy, 14 ms in intraventricular disturbance, which is a finer one."""
    for n_edits, width in ((12, 9), (30, 14)):
        span = wavelets(np.zeros((1, n_edits)), Variation.none(1)).span[SLOTS.index("S")]
        assert span.tolist() == pytest.approx([-4 * 1.3 * width, 8 * 1.3 * width])


def test_a_ventricular_beat_has_none_of_the_normal_wavelets() -> None:
    for k, slot in enumerate(SLOTS):
        assert (SHARE[VENTRICULAR_PREMATURE, k] != 0) == (slot in VENTRICULAR)
        assert (SHARE[0, k] != 0) == (slot not in VENTRICULAR)


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
    np.testing.assert_allclose(independent(FROM_ELECTRODES).sum(axis=1), 0, atol=1e-15)


def test_limb_leads_are_differences_of_electrodes() -> None:
    potential = dict(zip(ELECTRODES, np.arange(1.0, 10.0), strict=True))
    leads = dict(zip(INDEPENDENT, independent(FROM_ELECTRODES) @ np.array(list(potential.values())), strict=True))
    assert leads["I"] == potential["LA"] - potential["RA"]
    assert leads["II"] == potential["LL"] - potential["RA"]
    assert leads["V4"] == potential["V4"] - (potential["RA"] + potential["LA"] + potential["LL"]) / 3
