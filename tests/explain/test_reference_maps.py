"""Maps that ignore the model: analytic values."""

import numpy as np

from ecgkit.simulator import Cohort
from ecgkit.study.attribution import deviation, qrs_template, random_map, reference_maps, slope

FS = 100


def test_deviation_is_from_each_leads_own_median():
    x = np.zeros((1, 12, 101), dtype=np.float32)
    x[0, :, 50] = -2.0
    moved = x + np.arange(12, dtype=np.float32)[:, None]
    np.testing.assert_allclose(deviation(moved), np.abs(x), atol=1e-6)


def test_slope_is_in_millivolts_per_second_either_way():
    t = np.arange(200) / FS
    x = np.broadcast_to(np.stack([3 * t, -0.5 * t]).repeat(6, axis=0), (2, 12, 200)).astype(np.float32)
    expected = np.broadcast_to(np.repeat([3, 0.5], 6)[:, None], x.shape)
    np.testing.assert_allclose(slope(x, FS), expected, rtol=1e-3)


def test_template_is_qrs_and_nothing_else_in_all_leads():
    cohort = Cohort(seed=1, fs=FS)
    waves = cohort.waves([0, 1])
    template = qrs_template(waves, cohort.sig_len)
    assert template.shape == (2, 12, cohort.sig_len)
    assert set(np.unique(template)) == {0, 1}
    np.testing.assert_array_equal(template, np.repeat(template[:, :1], 12, axis=1))
    r = waves.samples[:, :, 1, 1]
    for row in range(2):
        peaks = r[row][(r[row] > 0) & (r[row] < cohort.sig_len)].astype(int)
        assert template[row, 0, peaks].all()
    # QRS takes 80 to 160 ms of a beat of 600 to 1200 ms.
    assert 0.05 < template.mean() < 0.25


def test_random_maps_follow_the_seed():
    np.testing.assert_array_equal(random_map((2, 12, 50), 4), random_map((2, 12, 50), 4))
    assert abs(np.corrcoef(random_map((2, 12, 500), 4).ravel(), random_map((2, 12, 500), 5).ravel())[0, 1]) < 0.05


def test_all_at_once():
    cohort = Cohort(seed=1, fs=FS)
    x, waves = cohort.signals([0, 1]), cohort.waves([0, 1])
    maps = reference_maps(x, waves, seed=2)
    assert list(maps) == ["|x|", "|dx/dt|", "QRS template", "random"]
    for values in maps.values():
        assert values.shape == x.shape
        assert values.dtype == np.float32
    np.testing.assert_array_equal(maps["|dx/dt|"], slope(x, FS))
    np.testing.assert_array_equal(maps["random"], random_map(x.shape, 2))
