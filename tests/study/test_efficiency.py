"""Label efficiency: curves equal scoring run by run, factors equal those of analytic curves, bounds say so."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import auroc, bootstrap, macro, paired_difference
from ecgkit.study.efficiency import (
    Curve,
    Reading,
    efficiency_table,
    label_curve,
    labels_needed,
    labels_saved,
    labels_saved_table,
    printed_efficiency,
)
from tests.evaluation.helpers import cohort

FRACTIONS = np.array([0.01, 0.05, 0.1, 0.25, 0.5, 1.0])
N_FULL = 2000
N_LABELS = {fraction: N_FULL * fraction for fraction in FRACTIONS.tolist()}


def analytic(factor=1.0, *, slope=0.1, lift=0.6, n_boot=400, spread=0.0, fractions=FRACTIONS, seed=0):
    """AUROC = lift + slope log10(factor n), each resample moved as a whole."""
    mean = lift + slope * np.log10(factor * N_FULL * fractions)
    moved = spread * np.random.default_rng(seed).normal(size=(n_boot, 1))
    return Curve(fractions, N_FULL * fractions, tuple(np.array([m - 0.01, m + 0.01]) for m in mean), mean + moved)


def runs(strength=1.0, *, n=160, seed=0):
    """Truth, patients, and predictions that grow better with labels: two seeds at the first fraction, three beyond."""
    y_true, _, patient = cohort(n)
    rng = np.random.default_rng(seed)
    signs = 2 * y_true - 1
    predictions = {fraction: [1 / (1 + np.exp(-strength * k * signs - rng.normal(size=signs.shape)))
                              for _ in range(n_seeds)]
                   for fraction, k, n_seeds in ((0.1, 0.2, 2), (0.5, 0.5, 3), (1.0, 0.8, 3))}
    return y_true, predictions, {fraction: N_LABELS[fraction] for fraction in predictions}, patient


def test_a_curve_is_each_run_scored_alone():
    y_true, predictions, n_labels, patient = runs()
    curve = label_curve(y_true, dict(reversed(predictions.items())), n_labels, patient, n_boot=60, seed=3)
    np.testing.assert_array_equal(curve.fractions, [0.1, 0.5, 1.0])
    np.testing.assert_array_equal(curve.n_labels, [200, 1000, 2000])
    for k, fraction in enumerate(curve.fractions):
        alone = [bootstrap(auroc, y_true, score, patient, n_boot=60, seed=3).macro for score in predictions[fraction]]
        np.testing.assert_allclose(curve.seeds[k], [run.estimate[0] for run in alone], atol=1e-12)
        np.testing.assert_allclose(curve.mean[k], np.mean(curve.seeds[k]), atol=1e-12)
        samples = np.mean([run.samples[:, 0] for run in alone], axis=0)
        np.testing.assert_allclose(curve.samples[:, k], samples, atol=1e-12)


def test_resampled_seeds_are_means_of_drawn_runs_and_widen_the_interval():
    y_true, predictions, n_labels, patient = runs()
    worst = np.random.default_rng(0).random(y_true.shape)
    predictions[0.1] = [predictions[1.0][0], worst]
    fixed, drawn = (label_curve(y_true, predictions, n_labels, patient, n_boot=200, resample_seeds=chance)
                    for chance in (False, True))
    good, bad = (bootstrap(auroc, y_true, score, patient, n_boot=200).macro.samples[:, 0]
                 for score in predictions[0.1])
    possible = np.stack([good, bad, (good + bad) / 2])
    nearest = np.abs(possible - drawn.samples[:, 0]).argmin(axis=0)
    np.testing.assert_allclose(np.take_along_axis(possible, nearest[None], axis=0)[0], drawn.samples[:, 0], atol=1e-12)
    assert np.bincount(nearest) / 200 == pytest.approx([0.25, 0.25, 0.5], abs=0.12)
    assert np.std(drawn.samples[:, 0]) > 1.5 * np.std(fixed.samples[:, 0])
    # The same seeds of fractions with equally many: their difference between two equal fractions is nil.
    predictions[0.5] = predictions[1.0]
    same = label_curve(y_true, predictions, n_labels, patient, n_boot=50, resample_seeds=True)
    np.testing.assert_array_equal(same.samples[:, 1], same.samples[:, 2])


def test_a_resample_without_a_class_leaves_the_mean_to_the_other_labels():
    y_true, predictions, n_labels, patient = runs(n=60)
    y_true[:, 2], y_true[0, 2] = 0, 1
    curve = label_curve(y_true, predictions, n_labels, patient, n_boot=100)
    assert np.isfinite(curve.samples).all()
    expected = macro(bootstrap(auroc, y_true, predictions[1.0][0], patient, n_boot=100).samples)
    assert np.isfinite(expected).all()
    # One label, with one positive patient: some resamples determine nothing, and readings go without them.
    only = label_curve(y_true[:, 2:], {f: [p[:, 2:] for p in ps] for f, ps in predictions.items()}, n_labels, patient,
                       n_boot=100)
    lacking = np.isnan(only.samples)
    assert 0.1 < lacking[:, 0].mean() < 0.8
    assert (lacking == lacking[:, :1]).all()
    table = efficiency_table({"a": only, "b": only}, "a")
    assert np.isfinite(table.loc["b", ["auroc_low", "difference_high", "p"]]).all(axis=None)
    saved = labels_saved(only, only, 0.5)
    assert np.isfinite([saved.estimate, saved.low, saved.high]).all()


@pytest.mark.parametrize("factor", [4.0, 0.5, 1.0])
@pytest.mark.parametrize("at", [0.05, 0.1])
def test_a_curve_shifted_by_a_factor_saves_exactly_that_factor(factor, at):
    saved = labels_saved(analytic(factor, spread=0.03), analytic(spread=0.03), at)
    assert [saved.estimate, saved.low, saved.high] == pytest.approx([factor] * 3)  # paired: both move together
    assert saved.beyond == (0, 0, 0)


def test_unpaired_noise_widens_the_interval_around_the_factor():
    saved = labels_saved(analytic(4.0, spread=0.01, seed=1), analytic(spread=0.01, seed=2), 0.1)
    assert saved.estimate == pytest.approx(4)
    # log10 of the factor has a standard deviation of 0.01 √2 / slope = 0.141.
    assert np.log10([saved.low, saved.high]) - np.log10(4) == pytest.approx([-0.277, 0.277], abs=0.05)


def test_the_same_curve_saves_nothing_on_real_resamples():
    y_true, predictions, n_labels, patient = runs()
    curve = label_curve(y_true, predictions, n_labels, patient, n_boot=100)
    for at in (0.1, 0.5, 1.0):
        saved = labels_saved(curve, curve, at)
        assert saved.estimate == pytest.approx(1)
        assert saved.low - 1e-9 <= 1 <= saved.high + 1e-9


def test_a_method_beyond_the_reference_is_bounded():
    above = labels_saved(analytic(20.0), analytic(), 0.1)
    assert above == Reading(10.0, 10.0, 10.0, (1, 1, 1))
    assert str(above) == "≥ 10"
    below = labels_saved(analytic(0.1), analytic(), 0.05)
    assert below == Reading(0.2, 0.2, 0.2, (-1, -1, -1))
    assert str(below) == "≤ 0.20"
    # At the last point itself the factor is known.
    assert labels_saved(analytic(10.0), analytic(), 0.1).estimate == pytest.approx(10)
    assert labels_saved(analytic(), analytic(), 1.0).beyond == (0, 0, 0)


def test_an_interval_may_be_bounded_at_one_end():
    saved = labels_saved(analytic(8.0, spread=0.02, seed=1), analytic(spread=0.02, seed=2), 0.1)
    assert saved.beyond == (0, 0, 1)
    assert saved.high == 10
    assert str(saved) == f"8.0 ({saved.low:.1f} to ≥ 10)"
    assert 1 < saved.low < 8


def test_labels_needed_inverts_the_curve_and_extrapolates_nothing():
    curve = analytic()
    assert labels_needed(curve, 0.6 + 0.1 * np.log10(300)).estimate == pytest.approx(300)
    assert str(labels_needed(curve, 0.99)) == "≥ 2,000"
    assert str(labels_needed(curve, 0.5)) == "≤ 20"
    moved = labels_needed(analytic(spread=0.01), 0.85)
    assert moved.low < moved.estimate < moved.high


def test_a_reference_that_falls_is_read_off_its_rising_fit():
    base = analytic(n_boot=2)
    fallen = tuple(np.array([value]) for value in (0.70, 0.80, 0.78, 0.85, 0.88, 0.87))
    curve = Curve(base.fractions, base.n_labels, fallen, np.tile([value[0] for value in fallen], (2, 1)))
    np.testing.assert_allclose(curve.rising, np.tile([0.70, 0.79, 0.79, 0.85, 0.875, 0.875], (3, 1)))
    assert labels_needed(curve, 0.79).estimate == pytest.approx(100)  # the fewest of a flat piece
    assert labels_needed(curve, 0.82).estimate == pytest.approx(np.sqrt(200 * 500))  # halfway, from its far end on
    assert labels_needed(curve, 0.876).beyond == (1, 1, 1)


@given(st.lists(st.floats(0.5, 1), min_size=6, max_size=6), st.lists(st.floats(0.4, 1), min_size=2, max_size=8))
def test_a_better_score_never_needs_fewer_labels(values, targets):
    base = analytic(n_boot=1)
    curve = Curve(base.fractions, base.n_labels, tuple(np.array([value]) for value in values), np.array([values]))
    needed = [labels_needed(curve, target).estimate for target in sorted(targets)]
    assert needed == sorted(needed)
    assert all(curve.n_labels[0] <= n <= curve.n_labels[-1] for n in needed)


def test_the_table_holds_paired_differences():
    y_true, predictions, n_labels, patient = runs()
    _, better, _, _ = runs(2.0, seed=1)
    del better[0.5]
    for collection in (predictions, better):  # one run each, so that the room's own paired difference says the same
        collection[1.0] = collection[1.0][:1]
    curves = {"scratch": label_curve(y_true, predictions, n_labels, patient, n_boot=80, seed=2),
              "new": label_curve(y_true, better, n_labels, patient, n_boot=80, seed=2)}
    table = efficiency_table(curves, "scratch")
    assert list(table.index) == [("scratch", 0.1), ("scratch", 0.5), ("scratch", 1.0), ("new", 0.1), ("new", 1.0)]
    expected = paired_difference(y_true, better[1.0][0], predictions[1.0][0], patient, label_names=["a", "b", "c"],
                                 n_boot=80, seed=2).loc["macro"]
    np.testing.assert_allclose(table.loc[("new", 1.0), ["difference", "difference_low", "difference_high", "p"]]
                               .astype(float), expected[["difference", "low", "high", "p"]], atol=1e-12)
    first = table.loc[("new", 0.1)]
    seeds = curves["new"].seeds[0]
    assert first[["n_labels", "seeds", "auroc", "lowest", "highest"]].tolist() == pytest.approx(
        [200, 2, seeds.mean(), seeds.min(), seeds.max()])
    assert first[["auroc_low", "auroc_high"]].tolist() == pytest.approx(
        np.quantile(curves["new"].samples[:, 0], [0.025, 0.975]))
    assert table.loc["scratch", "difference"].isna().all()
    text = printed_efficiency(table)
    assert (text.loc["scratch", "difference"] == "").all()
    assert text.loc[("new", 0.1), "macro AUROC"] == \
        f"{first['auroc']:.3f} ({first['auroc_low']:.3f}–{first['auroc_high']:.3f})"
    assert text.loc[("new", 0.1), "over seeds"] == f"{seeds.min():.3f}–{seeds.max():.3f}"
    assert text.loc[("new", 0.1), "difference"].startswith(f"{first['difference']:+.3f} (+")


def test_fractions_that_the_reference_lacks_have_no_difference():
    table = efficiency_table({"scratch": analytic(fractions=FRACTIONS[1:]), "new": analytic(4.0)}, "scratch")
    assert np.isnan(table.loc[("new", 0.01), "difference"])
    assert table.loc[("new", 0.05), "difference"] == pytest.approx(0.1 * np.log10(4))


def test_the_table_of_labels_saved_prints_every_method_but_the_reference():
    curves = {"scratch": analytic(), "three": analytic(3.0), "short": analytic(20.0, fractions=FRACTIONS[2:])}
    three = "3.0 (3.0 to 3.0)"
    expected = pd.DataFrame({"1 %": [three, ""], "5 %": [three, ""], "10 %": [three, "≥ 10"], "25 %": [three, "≥ 4.0"]},
                            index=pd.Index(["three", "short"], name="method"))
    pd.testing.assert_frame_equal(labels_saved_table(curves, "scratch"), expected)


def test_what_does_not_fit_is_refused():
    y_true, predictions, n_labels, patient = runs()
    with pytest.raises(EcgkitError, match="fraction 0.5 needs"):
        label_curve(y_true, predictions | {0.5: []}, n_labels, patient)
    with pytest.raises(EcgkitError, match="fraction 1 needs"):
        label_curve(y_true, predictions, {0.1: 1, 0.5: 2}, patient)
    with pytest.raises(EcgkitError, match="grow with the fraction"):
        label_curve(y_true, predictions, n_labels | {0.5: 200}, patient)
    with pytest.raises(EcgkitError, match="grow with the fraction"):
        label_curve(y_true, {}, n_labels, patient)
    with pytest.raises(EcgkitError, match="run 1 at fraction 0.1: y_true has shape"):
        label_curve(y_true, predictions | {0.1: [predictions[0.1][0], np.ones((3, 3))]}, n_labels, patient)
    with pytest.raises(EcgkitError, match="no curve named 'scratch' to compare with; there are new"):
        efficiency_table({"new": analytic()}, "scratch")
    with pytest.raises(EcgkitError, match="400 and 20 resamples"):
        labels_saved(analytic(), analytic(n_boot=20), 0.1)
    with pytest.raises(EcgkitError, match="no result at 0.3 of the labels; the curve has 0.01, 0.05"):
        labels_saved(analytic(), analytic(), 0.3)
