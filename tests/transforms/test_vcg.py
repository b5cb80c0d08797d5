"""Tests of the rotation and stretch of the heart vector."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ecgkit.errors import EcgkitError
from ecgkit.leads import LIMB_FROM_I_II, from_vcg, limb_residual, to_vcg
from ecgkit.transforms import transform_vcg, vcg_matrix

both_forms = pytest.mark.parametrize("keep_residual", [False, True])
STILL = torch.zeros(1, 3)
SAME = torch.ones(1, 3)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ecgs(batch: int = 4, sig_len: int = 50) -> Tensor:
    """Leads that obey the limb-lead algebra, but are no dipole's."""
    noise = torch.randn(batch, 8, sig_len, generator=generator(9))
    limb = torch.from_numpy(LIMB_FROM_I_II).float() @ noise[:, :2]
    return torch.cat([limb, noise[:, 2:]], dim=1)


def dipole(sig_len: int = 50) -> tuple[Tensor, Tensor]:
    vcg = torch.randn(1, 3, sig_len, generator=generator(5), dtype=torch.float64)
    return vcg, torch.from_numpy(from_vcg(vcg.numpy()))


@pytest.mark.parametrize(("axis", "vector", "turned"), [
    (0, [0, 1, 0], [0, 0, 1]), (0, [0, 0, 1], [0, -1, 0]), (1, [0, 0, 1], [1, 0, 0]), (1, [1, 0, 0], [0, 0, -1]),
    (2, [1, 0, 0], [0, 1, 0]), (2, [0, 1, 0], [-1, 0, 0]), (0, [1, 0, 0], [1, 0, 0]),
])
def test_a_quarter_turn_about_each_axis_follows_the_right_hand(axis: int, vector: list[int], turned: list[int]) -> None:
    angles = torch.zeros(1, 3)
    angles[0, axis] = math.pi / 2
    leads = from_vcg(np.array(vector, dtype=float)[:, None])
    found = to_vcg((vcg_matrix(angles, SAME)[0] @ torch.from_numpy(leads)).numpy())
    assert found[:, 0] == pytest.approx(turned, abs=3e-3), "within the rounding of the printed inverse"


def test_rotations_are_about_x_then_y_then_z_and_the_stretch_comes_last() -> None:
    def about(axis: int, angle: float) -> np.ndarray:
        c, s = math.cos(angle), math.sin(angle)
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        matrix = np.eye(3)
        matrix[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
        return matrix

    vcg, leads = dipole()
    expected = np.diag([1.2, 0.8, 1.4]) @ about(2, -0.6) @ about(1, 0.5) @ about(0, 0.3) @ vcg[0].numpy()
    matrix = vcg_matrix(torch.tensor([[0.3, 0.5, -0.6]]).double(), torch.tensor([[1.2, 0.8, 1.4]]).double())
    assert (matrix @ leads)[0].numpy() == pytest.approx(from_vcg(expected), abs=0.01)


def test_a_rotation_keeps_the_length_of_the_heart_vector() -> None:
    vcg, leads = dipole()
    turned = transform_vcg(leads.expand(8, 12, -1), scale=1, generator=generator())
    length = np.linalg.norm(to_vcg(turned.numpy()), axis=1)
    assert length == pytest.approx(np.broadcast_to(np.linalg.norm(vcg.numpy(), axis=1), length.shape), rel=5e-3)
    assert not torch.allclose(turned[0], turned[1], atol=0.1), "each ECG has a rotation of its own"


@both_forms
def test_limb_leads_obey_einthoven_and_goldberger(keep_residual: bool) -> None:
    x = ecgs()
    y = transform_vcg(x, keep_residual=keep_residual, generator=generator())
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert not torch.allclose(x, y, atol=0.1)
    assert np.abs(limb_residual(y.numpy())).max() < 1e-5


def test_no_rotation_and_no_stretch_keep_everything_or_the_dipole() -> None:
    x = ecgs()
    assert torch.allclose(transform_vcg(x, 0, 1, keep_residual=True), x, atol=1e-6)
    assert torch.allclose(vcg_matrix(STILL, SAME, keep_residual=True)[0], torch.eye(12).double(), atol=1e-15)
    projected = transform_vcg(x, 0, 1)
    assert np.linalg.matrix_rank(projected[0].numpy(), tol=1e-3) == 3
    assert (x - projected).abs().max() > 0.5, "the projection loses what a dipole cannot carry"


def test_both_forms_move_the_dipole_alike_and_only_one_keeps_the_rest() -> None:
    x = ecgs().double()
    projected, kept = (transform_vcg(x, keep_residual=form, generator=generator()) for form in (False, True))
    rest = x - torch.from_numpy(from_vcg(to_vcg(x.numpy())))
    assert torch.allclose(kept - projected, rest)
    assert to_vcg(kept.numpy()) == pytest.approx(to_vcg(projected.numpy()), abs=5e-3)


def test_parameters_have_the_stated_spread() -> None:
    """Without rotation, a dipole along each axis shows the stretch of that axis."""
    found = []
    for axis in range(3):
        leads = torch.from_numpy(from_vcg(np.eye(3)[axis][:, None])).expand(3000, 12, 1)
        found.append(to_vcg(transform_vcg(leads, angle=0, generator=generator()).numpy())[:, axis, 0])
    stretch = np.stack(found, axis=1)
    assert stretch.min() == pytest.approx(1 / 1.5, abs=0.01)
    assert stretch.max() == pytest.approx(1.5, abs=0.01)
    assert (stretch < 1).mean() == pytest.approx(0.5, abs=0.02)
    assert np.median(stretch[stretch > 1]) == pytest.approx(1.25, abs=0.02)
    assert np.abs(np.corrcoef(stretch.T) - np.eye(3)).max() < 0.06, "each axis has its own"


def test_angles_are_uniform_within_their_bound() -> None:
    leads = torch.from_numpy(from_vcg(np.array([1.0, 0, 0])[:, None])).expand(4000, 12, 1)
    vcg = to_vcg(transform_vcg(leads, angle=30, scale=1, generator=generator()).numpy())[:, :, 0]
    about_z = np.degrees(np.arctan2(vcg[:, 1], vcg[:, 0]))  # what turns x towards y, after y has turned it towards z
    assert np.abs(about_z).max() == pytest.approx(30, abs=0.5)
    assert about_z.std() == pytest.approx(30 / math.sqrt(3), rel=0.03)


@both_forms
def test_a_seed_repeats_and_leaves_the_global_generator_alone(keep_residual: bool) -> None:
    x, before = ecgs(), torch.random.get_rng_state()
    first, second, other = (transform_vcg(x, keep_residual=keep_residual, generator=generator(seed))
                            for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_batch_of_one_and_mistakes() -> None:
    assert transform_vcg(ecgs(1)).shape == (1, 12, 50)
    with pytest.raises(EcgkitError, match=r"needs \(batch, 12, sig_len\)"):
        transform_vcg(torch.zeros(2, 8, 50))
    with pytest.raises(EcgkitError, match="1 \\(no stretch\\) or more"):
        transform_vcg(ecgs(), scale=0.5)
