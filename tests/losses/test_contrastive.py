"""Tests of the contrastive losses against their formulas, written out pair by pair."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from torch import Tensor

from ecgkit.errors import EcgkitError
from ecgkit.losses import (
    cmlc,
    cmsc,
    cmsmlc,
    cosine_similarity,
    cpc,
    guided,
    lead_segment_loss,
    masked_log_softmax_loss,
    nt_xent,
    pclr,
    supcon,
    three_kg,
    view_pair_loss,
)
from tests.losses import slow
from tests.losses.slow import random

PATIENTS = [7, 3, 7, 1, 3]
IDS = torch.tensor(PATIENTS)
SETS = [{0}, {0, 1}, {1, 2}, set(), {0, 1, 2}]
MEASURED = torch.tensor([[1.0, 0.5, math.nan], [0.9, 0.6, 0.1], [-1.0, 0.2, 2.0], [math.nan] * 3, [0.3, -2.0, 1.0]])
LABELS = torch.tensor([[float(label in labels) for label in range(3)] for labels in SETS])

#: Each loss as a function of embeddings, with the shape they have; five records in all.
LOSSES = {
    "nt_xent": (lambda z: nt_xent(z, 0.5), (5, 2, 6)),
    "supcon": (lambda z: supcon(z, LABELS, 0.5), (5, 2, 6)),
    "pclr": (lambda z: pclr(z, IDS, 0.5), (5, 2, 6)),
    "cmsc": (lambda z: cmsc(z, IDS, 0.5), (5, 2, 6)),
    "cmlc": (lambda z: cmlc(z, IDS, 0.5), (5, 4, 6)),
    "cmsmlc": (lambda z: cmsmlc(z, IDS, 0.5), (5, 3, 2, 6)),
    "three_kg": (lambda z: three_kg(z, None, 0.5), (5, 2, 3, 6)),
    "guided": (lambda z: guided(z, MEASURED, 0.5), (5, 2, 6)),
    "lead_segment": (lambda z: lead_segment_loss(z, IDS, 0.5), (5, 2, 2, 6)),
}
each_loss = pytest.mark.parametrize("name", LOSSES)


def value(loss: Tensor) -> float:
    assert loss.shape == ()
    return loss.item()


def test_core_is_the_softmax_of_what_the_masks_show() -> None:
    similarity = torch.tensor([[1.0, 2.0, 3.0, 100.0], [0.5, 0.5, 0.5, 0.5]])
    positives = torch.tensor([[True, True, False, False], [False, True, False, False]])
    negatives = torch.tensor([[False, False, True, False], [True, False, False, False]])
    total = sum(math.exp(s / 2) for s in (1, 2, 3))
    first = -(math.log(math.exp(0.5) / total) + math.log(math.exp(1.0) / total)) / 2
    loss = masked_log_softmax_loss(similarity, positives, negatives, temperature=2)
    assert value(loss) == pytest.approx((first + math.log(2)) / 2, rel=1e-6)


def test_core_weighs_positives() -> None:
    similarity, everything = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[False, False, True]])
    weights = torch.tensor([[3.0, 1.0, 9.0]])
    logs = similarity[0].log_softmax(0)
    loss = masked_log_softmax_loss(similarity, ~everything, everything, 1.0, weights)
    assert value(loss) == pytest.approx(-(3 * logs[0] + logs[1]).item() / 4, rel=1e-6)


def test_core_leaves_out_anchors_without_a_positive_even_where_they_have_nothing_to_compare() -> None:
    similarity = random(3, 4).requires_grad_()
    positives, negatives = torch.zeros(2, 3, 4, dtype=torch.bool)
    positives[0, 1], negatives[0, 2], negatives[1, 0] = True, True, True
    loss = masked_log_softmax_loss(similarity, positives, negatives, 0.1)
    alone = masked_log_softmax_loss(similarity[:1], positives[:1], negatives[:1], 0.1)
    assert value(loss) == pytest.approx(value(alone))
    loss.backward()
    assert similarity.grad is not None
    assert similarity.grad.isfinite().all()
    assert not similarity.grad[1:].any()


def test_core_without_any_positive_is_zero() -> None:
    nothing = torch.zeros(3, 3, dtype=torch.bool)
    similarity = torch.ones(3, 3, requires_grad=True)
    loss = masked_log_softmax_loss(similarity, nothing, ~nothing)
    loss.backward()
    assert value(loss) == 0


def test_core_shares_masks_among_leading_axes() -> None:
    similarity, positives = random(3, 2, 4, 4), torch.eye(4, dtype=torch.bool)
    shared = masked_log_softmax_loss(similarity, positives, ~positives)
    each = [masked_log_softmax_loss(matrix, positives, ~positives).item() for matrix in similarity.flatten(0, 1)]
    assert value(shared) == pytest.approx(sum(each) / 6)


@pytest.mark.parametrize(("dtype", "autocast"), [(torch.bfloat16, False), (torch.float32, True)])
def test_core_adds_up_in_single_precision(dtype: torch.dtype, autocast: bool) -> None:
    z = random(40, 2, 16).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = nt_xent(z, 0.05)
    assert loss.dtype == torch.float32
    assert value(loss) == pytest.approx(value(nt_xent(z.double(), 0.05)), rel=1e-5)


def test_core_raises_half_precision_before_it_divides() -> None:
    similarity, own = random(6, 6).bfloat16(), torch.eye(6, dtype=torch.bool)
    loss = masked_log_softmax_loss(similarity, own, ~own, 0.07)
    assert loss.dtype == torch.float32
    assert value(loss) == pytest.approx(value(masked_log_softmax_loss(similarity.double(), own, ~own, 0.07)), rel=1e-6)


def test_core_takes_masks_of_different_leading_axes() -> None:
    similarity, first = random(2, 3, 4), torch.tensor([True, False, False, False])
    negatives = random(2, 3, 4, seed=1) > 0
    full = first.expand(2, 3, 4)
    assert value(masked_log_softmax_loss(similarity, first, negatives)) == pytest.approx(
        value(masked_log_softmax_loss(similarity, full, negatives)))


def test_core_refuses_bad_temperatures_and_masks() -> None:
    square, nothing = torch.zeros(3, 3), torch.zeros(3, 3, dtype=torch.bool)
    for temperature in (0, -1, math.nan):
        with pytest.raises(EcgkitError, match="must be above 0"):
            masked_log_softmax_loss(square, nothing, nothing, temperature)
    with pytest.raises(EcgkitError, match="last axes must be the same"):
        masked_log_softmax_loss(square, nothing[:2], nothing[:2])


def test_cosine_similarity_of_every_pair() -> None:
    a, b = random(3, 4), random(5, 4, seed=1)
    table = cosine_similarity(a, b)
    assert table.shape == (3, 5)
    assert table[2, 4].item() == pytest.approx(slow.cosine(a[2], b[4]))
    assert torch.equal(cosine_similarity(torch.zeros(1, 4), b.float()), torch.zeros(1, 5)), "no direction, no likeness"


@pytest.mark.parametrize("views", [2, 3])
def test_nt_xent_equals_its_formula(views: int) -> None:
    z = random(4, views, 5)
    assert value(nt_xent(z, 0.3)) == pytest.approx(slow.nt_xent(z, 0.3))


def test_nt_xent_of_orthogonal_records_is_known() -> None:
    z = torch.eye(4, dtype=torch.float64)[:, None].expand(4, 2, 4)
    assert value(nt_xent(z, 0.5)) == pytest.approx(math.log(1 + 6 * math.exp(-1 / 0.5)))


def test_view_pairs_equal_their_formula() -> None:
    segments, leads, augmented = random(5, 2, 4), random(5, 3, 4), random(5, 2, 3, 4)
    singles = list(range(5))
    assert value(cmsc(segments, IDS, 0.4)) == pytest.approx(slow.between_views(segments, PATIENTS, [(0, 1)], 0.4))
    assert value(cmlc(leads, IDS, 0.4)) == pytest.approx(
        slow.between_views(leads, PATIENTS, [(0, 1), (0, 2), (1, 2)], 0.4))
    flat, pairs = augmented.flatten(1, 2), list(combinations(range(6), 2))
    assert value(cmsmlc(augmented, IDS, 0.4)) == pytest.approx(slow.between_views(flat, PATIENTS, pairs, 0.4))
    assert value(three_kg(augmented, None, 0.4)) == pytest.approx(slow.between_views(flat, singles, pairs, 0.4))
    assert value(view_pair_loss(flat, IDS, 0.4, [(0, 3), (5, 1)])) == pytest.approx(
        slow.between_views(flat, PATIENTS, [(0, 3), (5, 1)], 0.4))


def test_lead_segment_pairs_differ_in_one_thing_only() -> None:
    z = random(5, 2, 2, 4)
    flat = z.flatten(1, 2)
    either = [(0, 1), (2, 3), (0, 2), (1, 3)]
    assert value(lead_segment_loss(z, IDS, 0.4)) == pytest.approx(slow.between_views(flat, PATIENTS, either, 0.4))
    assert value(lead_segment_loss(z[:, :, :1], IDS)) == pytest.approx(value(cmlc(z[:, :, 0], IDS)))
    assert value(lead_segment_loss(z[:, :1], IDS)) == pytest.approx(value(cmsc(z[:, 0], IDS)))


@pytest.mark.parametrize("segments", [1, 2])
def test_pclr_equals_its_formula_and_falls_back_to_segments(segments: int) -> None:
    z = random(5, segments, 4)
    assert value(pclr(z, IDS, 0.4)) == pytest.approx(slow.pclr(z, PATIENTS, 0.4))


def test_pclr_with_one_pair_per_patient_is_nt_xent() -> None:
    z = random(6, 1, 4)
    assert value(pclr(z, torch.tensor([0, 0, 1, 1, 2, 2]))) == pytest.approx(value(nt_xent(z.reshape(3, 2, 4))))


@pytest.mark.parametrize("views", [1, 2])
def test_supcon_weighs_by_the_overlap_of_label_sets(views: int) -> None:
    z = random(5, views, 4)
    assert value(supcon(z, LABELS, 0.4)) == pytest.approx(slow.supcon(z, SETS, 0.4))


def test_supcon_of_classes_equals_one_label_each_and_without_repeats_nt_xent() -> None:
    z, classes = random(5, 2, 4), torch.tensor([4, 9, 4, 2, 9])
    one_hot = (classes[:, None] == torch.tensor([2, 4, 9])).int()
    assert value(supcon(z, classes)) == pytest.approx(value(supcon(z, one_hot)))
    assert value(supcon(z, torch.arange(5))) == pytest.approx(value(nt_xent(z)))


@pytest.mark.parametrize("views", [2, 3])
def test_guided_contrast_weighs_every_pair_by_the_cosine_of_what_is_known(views: int) -> None:
    z = random(5, views, 4)
    assert value(guided(z, MEASURED, 0.4, sharpness=0.7)) == pytest.approx(slow.guided(z, MEASURED.tolist(), 0.4, 0.7))


def test_guided_contrast_of_sharp_targets_is_nt_xent() -> None:
    z = random(5, 2, 4)
    assert value(guided(z, MEASURED, 0.4, sharpness=1e-4)) == pytest.approx(value(nt_xent(z, 0.4)))


@each_loss
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    loss, shape = LOSSES[name]
    assert torch.autograd.gradcheck(loss, random(*shape).requires_grad_())


@each_loss
def test_the_order_of_records_does_not_matter(name: str) -> None:
    loss, shape = LOSSES[name]
    z, order = random(*shape).requires_grad_(), torch.tensor([3, 0, 4, 2, 1])
    original = loss(z)
    gradient, = torch.autograd.grad(original, z)
    if name in ("nt_xent", "three_kg"):
        moved = loss(z[order])
    else:
        owners = {"supcon": LABELS, "guided": MEASURED}.get(name, IDS)[order]
        moved = {"supcon": supcon, "pclr": pclr, "cmsc": cmsc, "cmlc": cmlc, "cmsmlc": cmsmlc,
                 "guided": guided, "lead_segment": lead_segment_loss}[name](z[order], owners, 0.5)
    assert value(moved) == pytest.approx(value(original))
    assert torch.allclose(torch.autograd.grad(moved, z)[0], gradient)


@each_loss
def test_the_order_of_views_does_not_matter(name: str) -> None:
    loss, shape = LOSSES[name]
    z = random(*shape)
    assert value(loss(z.flip(1))) == pytest.approx(value(loss(z)))


@each_loss
def test_only_directions_count(name: str) -> None:
    loss, shape = LOSSES[name]
    z = random(*shape)
    lengths = torch.linspace(0.1, 9, z[..., 0].numel(), dtype=torch.float64).reshape(*shape[:-1], 1)
    assert value(loss(z * lengths)) == pytest.approx(value(loss(z)))


def test_high_temperature_gives_the_logarithm_of_the_number_of_candidates() -> None:
    z = random(5, 2, 4)
    assert value(nt_xent(z, 1e6)) == pytest.approx(math.log(9), abs=1e-5)
    assert value(cmsc(z, IDS, 1e6)) == pytest.approx(math.log(5), abs=1e-5)


@pytest.mark.parametrize("temperature", [1e-3, 1e-6, 1e-20])
def test_low_temperature_stays_finite_and_right(temperature: float) -> None:
    near = torch.nn.functional.one_hot(torch.arange(4)).float()[:, None].repeat(1, 2, 1).requires_grad_()
    loss = nt_xent(near, temperature)
    loss.backward()
    assert value(loss) == 0, "every positive is nearer than every negative"
    assert near.grad is not None
    assert near.grad.isfinite().all()
    wrong = torch.stack([near[:, 0], near[:, 0].roll(1, 0)], dim=1)
    assert value(cmsc(wrong, None, temperature)) * temperature == pytest.approx(1, rel=1e-5), "the margin over T"


@pytest.mark.parametrize("loss", [
    nt_xent, cmsc, cmlc, lambda z: cmsmlc(z[:, None]), lambda z: three_kg(z[:, None]),
    lambda z: lead_segment_loss(z[:, None]), lambda z: supcon(z, torch.zeros(1, 4)),
    lambda z: pclr(z, torch.tensor([5])), lambda z: guided(z, torch.ones(1, 3)),
])
def test_a_batch_of_one_is_zero_without_gradient(loss) -> None:
    z = random(1, 2, 4).requires_grad_()
    result = loss(z)
    result.backward()
    assert value(result) == pytest.approx(0, abs=1e-12)
    assert z.grad is not None
    assert z.grad.abs().max() < 1e-12


def test_same_patient_records_attract_where_the_patient_is_known() -> None:
    z = random(2, 2, 4).requires_grad_()
    apart, = torch.autograd.grad(cmsc(z), z)
    together, = torch.autograd.grad(cmsc(z, torch.tensor([1, 1])), z)
    other = torch.nn.functional.normalize(z[1, 1].detach(), dim=0)
    tangent = other - (other @ z[0, 0]) * z[0, 0] / z[0, 0].square().sum()
    assert apart[0, 0] @ tangent > 0, "descent moves away from the other record"
    assert together[0, 0] @ tangent < apart[0, 0] @ tangent


def test_mistakes_are_told_in_one_line() -> None:
    z = random(3, 2, 4)
    with pytest.raises(EcgkitError, match="at least two views"):
        nt_xent(z[:, :1])
    with pytest.raises(EcgkitError, match="at least two views"):
        cmlc(z[:, :1])
    with pytest.raises(EcgkitError, match="4 rows of measurements for 3 records"):
        guided(z, torch.ones(4, 2))
    with pytest.raises(EcgkitError, match="expected 4 axes"):
        three_kg(z)
    with pytest.raises(EcgkitError, match="none of them empty"):
        nt_xent(z[:0])
    with pytest.raises(EcgkitError, match="2 labels for 3 records"):
        supcon(z, torch.zeros(2))
    with pytest.raises(EcgkitError, match=r"patients of shape \(2,\) for 3 records"):
        cmsc(z, torch.zeros(2))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("horizon", [1, 3, 9])
def test_cpc_with_every_step_as_negative_equals_its_formula(horizon: int) -> None:
    predictions, targets = random(2, 6, horizon, 4), random(2, 6, 4, seed=1)
    assert cpc(predictions, targets, None).item() == pytest.approx(slow.cpc(predictions, targets))


def test_more_negatives_than_steps_are_all_steps() -> None:
    predictions, targets = random(2, 6, 3, 4), random(2, 6, 4, seed=1)
    assert cpc(predictions, targets, 99).item() == cpc(predictions, targets, None).item()


def test_a_step_is_never_its_own_negative() -> None:
    """All scores alike: a prediction has one candidate more than its sequence's drawn steps that are not its own."""
    steps, drawn = 10, 4
    loss = cpc(torch.zeros(200, steps, 1, 3), random(200, steps, 3).float(), drawn, generator=generator()).item()
    # A target step, 1 to 9, is among the four of ten with probability 0.4.
    assert loss == pytest.approx(0.6 * math.log(1 + drawn) + 0.4 * math.log(drawn), rel=0.01)


def test_sampled_negatives_have_the_same_scale_as_a_subset_should() -> None:
    predictions, targets = random(2, 12, 2, 4), random(2, 12, 4, seed=1)
    sampled = cpc(predictions, targets, 5, generator=generator()).item()
    assert 0 < sampled < cpc(predictions, targets, None).item()


def test_negatives_come_from_the_same_sequence_only() -> None:
    predictions, targets = random(3, 8, 2, 4), random(3, 8, 4, seed=1)
    each = [cpc(predictions[n:n + 1], targets[n:n + 1], None).item() for n in range(3)]
    assert cpc(predictions, targets, None).item() == pytest.approx(sum(each) / 3)


def test_predictions_beyond_the_end_do_not_count() -> None:
    predictions, targets = random(1, 5, 3, 4).requires_grad_(), random(1, 5, 4, seed=1)
    gradient, = torch.autograd.grad(cpc(predictions, targets, None), predictions)
    used = gradient.abs().sum(dim=-1)[0] > 0
    assert used.tolist() == [[t + 1 + k < 5 for k in range(3)] for t in range(5)]


def test_foresight_is_rewarded_and_a_low_temperature_sharpens_it() -> None:
    targets = torch.eye(6)[None]
    predictions = torch.zeros(1, 6, 1, 6)
    predictions[:, :-1, 0] = targets[:, 1:]
    assert cpc(predictions, targets, None).item() == pytest.approx(math.log(1 + 5 * math.exp(-1)), rel=1e-5)
    assert cpc(predictions, targets, None, temperature=1e-4).item() == 0


def test_a_seed_repeats_and_leaves_the_global_generator_alone() -> None:
    predictions, targets = random(2, 12, 2, 4), random(2, 12, 4, seed=1)
    before = torch.random.get_rng_state()
    first, second, other = (cpc(predictions, targets, 3, generator=generator(seed)).item() for seed in (1, 1, 2))
    assert first == second != other
    assert torch.equal(torch.random.get_rng_state(), before)


def test_gradients_of_cpc_are_those_of_finite_differences() -> None:
    predictions, targets = random(2, 4, 2, 3).requires_grad_(), random(2, 4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda p, z: cpc(p, z, 2, generator=generator()), (predictions, targets))


def test_order_of_sequences_does_not_matter_and_one_is_enough() -> None:
    predictions, targets = random(3, 8, 2, 4), random(3, 8, 4, seed=1)
    turned = cpc(predictions.flip(0), targets.flip(0), None)
    assert turned.item() == pytest.approx(cpc(predictions, targets, None).item())
    assert cpc(predictions[:1], targets[:1], 3, generator=generator()).isfinite()


def test_mistakes_of_cpc_are_told_in_one_line() -> None:
    with pytest.raises(EcgkitError, match="no future"):
        cpc(random(2, 1, 1, 3), random(2, 1, 3))
    with pytest.raises(EcgkitError, match="expected \\(batch, steps, horizon, d\\)"):
        cpc(random(2, 5, 1, 3), random(2, 4, 3))
