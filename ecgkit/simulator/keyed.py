"""Random numbers by key: a pure function of seed, purpose, identity and position, so order and chunks cannot matter."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

_STEP = np.uint64(0x9E3779B97F4A7C15)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit words in place: the output function of SplitMix64 (Steele, Lea & Flood 2014)."""
    shifted = z >> np.uint64(30)
    z ^= shifted
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= np.right_shift(z, np.uint64(27), out=shifted)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= np.right_shift(z, np.uint64(31), out=shifted)
    return z


@lru_cache(maxsize=1024)
def _name(seed: int, purpose: str) -> int:
    """64 bits of the name of a stream, but for its identity."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:8], "little")


@dataclass(frozen=True)
class Keyed:
    """Streams of random numbers of one seed, one for each (purpose, identity)."""

    seed: int

    def bits(self, purpose: str, ids: NDArray[Any], n: int) -> NDArray[np.uint64]:
        """First `n` words of 64 random bits of each identity's stream, shape `(len(ids), n)`."""
        name = _name(self.seed, purpose)
        start = _mix(_mix(np.asarray(ids).astype(np.uint64) * _STEP + np.uint64(name)) + np.uint64(name >> 1))
        return _mix(start[:, None] + np.arange(1, n + 1, dtype=np.uint64) * _STEP)

    def uniform(self, purpose: str, ids: NDArray[Any], n: int, low: float = 0.0,
                high: float = 1.0) -> NDArray[np.float64]:
        """Uniform numbers strictly between `low` and `high`, shape `(len(ids), n)`."""
        unit = ((self.bits(purpose, ids, n) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
        return low + (high - low) * unit

    def normal(self, purpose: str, ids: NDArray[Any], n: int) -> NDArray[np.float64]:
        """Standard normal numbers, shape `(len(ids), n)`, by inversion."""
        return ndtri(self.uniform(purpose, ids, n))

    def white(self, purpose: str, ids: NDArray[Any], n: int) -> NDArray[np.float32]:
        """Standard normal numbers in float32, shape `(len(ids), n)`, by Box and Muller's method: fast for long rows."""
        half = (n + 1) // 2
        words = self.bits(purpose, ids, half).view(np.uint32).reshape(len(ids), half, 2)
        words >>= np.uint32(8)
        out = np.empty((len(ids), 2, half), dtype=np.float32)
        radius, angle = words[..., 0].astype(np.float32), words[..., 1].astype(np.float32)
        radius += np.float32(0.5)
        radius *= np.float32(2.0**-24)
        np.log(radius, out=radius)
        radius *= np.float32(-2)
        np.sqrt(radius, out=radius)
        angle *= np.float32(2 * np.pi * 2.0**-24)
        np.cos(angle, out=out[:, 0])
        np.sin(angle, out=out[:, 1])
        out *= radius[:, None]
        return out.reshape(len(ids), 2 * half)[:, :n]
