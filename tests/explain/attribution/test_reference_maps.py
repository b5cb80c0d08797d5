"""Maps that ignore the model: analytic values."""

import numpy as np

from ecgkit.explain.attribution.methods import MODEL_FREE, reference_maps
from ecgkit.simulator import Cohort

FS = 100
COHORT = Cohort(seed=1, fs=FS)


def test_deviation_is_from_each_leads_own_median():
    x = np.zeros((1, 12, 101), dtype=np.float32)
    x[0, :, 50] = -2.0
    moved = x + np.arange(12, dtype=np.float32)[:, None]
    np.testing.assert_allclose(reference_maps(moved, COHORT.waves([0]))["|x|"], np.abs(x), atol=1e-6)


def test_slope_is_in_millivolts_per_second_either_way():
    t = np.arange(200) / FS
    x = np.broadcast_to(np.stack([3 * t, -0.5 * t]).repeat(6, axis=0), (2, 12, 200)).astype(np.float32)
    expected = np.broadcast_to(np.repeat([3, 0.5], 6)[:, None], x.shape)
    np.testing.assert_allclose(reference_maps(x, COHORT.waves([0, 1]))["|dx/dt|"], expected, rtol=1e-3)


def test_template_is_qrs_and_nothing_else_in_all_leads():
    waves = COHORT.waves([0, 1])
    template = reference_maps(COHORT.signals([0, 1]), waves)["QRS template"]
    assert template.shape == (2, 12, COHORT.sig_len)
    assert set(np.unique(template)) == {0, 1}
    np.testing.assert_array_equal(template, np.repeat(template[:, :1], 12, axis=1))
    r = waves.samples[:, :, 1, 1]
    for row in range(2):
        peaks = r[row][(r[row] > 0) & (r[row] < COHORT.sig_len)].astype(int)
        assert template[row, 0, peaks].all()
    # QRS takes 80 to 160 ms of a beat of 600 to 1200 ms.
    assert 0.05 < template.mean() < 0.25


def test_random_maps_follow_the_seed():
    x, waves = COHORT.signals([0, 1]), COHORT.waves([0, 1])
    first, again, other = (reference_maps(x, waves, seed=seed)["random"] for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.05


def test_all_at_once():
    x = COHORT.signals([0, 1])
    maps = reference_maps(x, COHORT.waves([0, 1]), seed=2)
    assert list(maps) == ["|x|", "|dx/dt|", "QRS template", "random"] == list(MODEL_FREE)
    for values in maps.values():
        assert values.shape == x.shape
        assert values.dtype == np.float32
    np.testing.assert_array_equal(maps["|dx/dt|"], np.abs(np.gradient(x, 1 / FS, axis=-1)).astype(np.float32))
    expected = np.random.default_rng(2).standard_normal(x.shape, dtype=np.float32)
    np.testing.assert_array_equal(maps["random"], expected)
