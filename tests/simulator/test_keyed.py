"""Random numbers by key: independent of neighbours and order, and of the right distribution."""

import numpy as np
from scipy import stats

from ecgkit.simulator.keyed import Keyed

KEYED = Keyed(7)


def test_words_are_splitmix64() -> None:
    def reference(state: int) -> int:
        mask = 2**64 - 1
        z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        return z ^ (z >> 31)

    import hashlib

    step, mask = 0x9E3779B97F4A7C15, 2**64 - 1
    name = int.from_bytes(hashlib.sha256(b"7/name").digest()[:8], "little")
    start = reference((reference((11 * step + name) & mask) + (name >> 1)) & mask)
    expected = [reference((start + k * step) & mask) for k in (1, 2, 3)]
    assert KEYED.bits("name", np.array([11]), 3)[0].tolist() == expected


def test_a_stream_depends_on_nothing_but_its_key() -> None:
    many = KEYED.bits("a", np.arange(50), 20)
    np.testing.assert_array_equal(KEYED.bits("a", np.array([31, 4]), 9), many[[31, 4], :9])
    assert not (KEYED.bits("b", np.arange(50), 20) == many).any()
    assert not (Keyed(8).bits("a", np.arange(50), 20) == many).any()
    assert len(np.unique(many)) == many.size


def test_uniform_and_normal_are_so() -> None:
    ids = np.arange(400)
    assert stats.kstest(KEYED.uniform("u", ids, 50, 2, 5).ravel(), stats.uniform(2, 3).cdf).pvalue > 0.01
    assert stats.kstest(KEYED.normal("n", ids, 50).ravel(), "norm").pvalue > 0.01
    assert stats.kstest(KEYED.white("w", ids, 51).ravel(), "norm").pvalue > 0.01


def test_streams_are_uncorrelated() -> None:
    first, second = KEYED.white("w", np.arange(2), 40_000)
    later = KEYED.white("x", np.arange(1), 40_000)[0]
    for a, b in ((first, second), (first, later), (first[1:], first[:-1]), (first[:20_000], first[20_000:])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(len(a))


def test_white_noise_of_odd_length_is_the_right_length() -> None:
    assert KEYED.white("w", np.arange(3), 7).shape == (3, 7)
    assert np.isfinite(KEYED.white("w", np.arange(3), 7)).all()
