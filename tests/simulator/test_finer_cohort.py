"""A cohort with the finer diseases, and the default one, which they leave as it was."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ecgkit.errors import EcgkitError
from ecgkit.simulator import ALL_NAMES, EDIT_NAMES, FINER_NAMES, Cohort
from ecgkit.simulator import cohort as module

PLAIN, FINER = Cohort(seed=0), Cohort(seed=0, finer=True)
WITNESSES = np.array([*range(24), 997, 10**9])


def _projection(values: NDArray[np.floating]) -> float:
    """One number that a change of any value changes: the sum of all, each with its own weight within +-0.5."""
    flat = np.nan_to_num(values).ravel().astype(float)
    weight = np.arange(1, flat.size + 1, dtype=np.uint64) * np.uint64(2654435761) % np.uint64(2**32)
    return float(flat @ (weight / 2**32 - 0.5))


@pytest.mark.parametrize(("fs", "signals", "mask"), [(100.0, 7.401940, -4.178559),
                                                        (500.0, -3.030495, 1.115247)])
def test_the_default_cohort_is_the_one_it_was_before_there_were_finer_diseases(fs: float, signals: float,
                                                                                mask: float) -> None:
    """Numbers and not digests of bytes: processors round the last bit of exp and of sums differently."""
    cohort = Cohort(seed=0, fs=fs)
    assert _projection(cohort.severity(WITNESSES)) == pytest.approx(0.5220009500404, abs=1e-9)
    assert _projection(cohort.waves(WITNESSES).ms[..., [0, 2]]) == pytest.approx(-7487.275732, abs=1e-5)
    assert _projection(cohort.signals(WITNESSES)) == pytest.approx(signals, abs=5e-5)
    assert _projection(cohort.truth_mask(WITNESSES)) == pytest.approx(mask, abs=5e-5)


def test_columns_are_named() -> None:
    assert PLAIN.edit_names == EDIT_NAMES
    assert FINER.edit_names == ALL_NAMES
    assert PLAIN.severity(range(5)).shape == (5, 12)
    assert FINER.severity(range(5)).shape == (5, 30)
    assert FINER.records(range(5)).columns[-30:].tolist() == [f"severity_{name}" for name in ALL_NAMES]
    assert PLAIN.records(range(5)).columns[-12:].tolist() == [f"severity_{name}" for name in EDIT_NAMES]


def test_severities_in_the_table_are_those_of_the_signals() -> None:
    table = FINER.records(range(40))[[f"severity_{name}" for name in ALL_NAMES]].to_numpy()
    np.testing.assert_array_equal(table, FINER.severity(range(40)))
    np.testing.assert_array_equal(FINER.signals(range(40), severity=table), FINER.signals(range(40)))
    assert (table[:, 12:] > 0).any(axis=0).sum() > 9


def test_a_finer_ecg_is_the_same_in_any_chunk_and_company(monkeypatch: pytest.MonkeyPatch) -> None:
    together, marks = FINER.signals(range(60)), FINER.waves(range(60)).ms
    monkeypatch.setattr(module, "CHUNK", FINER.sig_len)
    some = np.array([59, 3, 31, 0])
    np.testing.assert_array_equal(FINER.signals(some, threads=1), together[some])
    np.testing.assert_array_equal(FINER.waves([31]).ms[0], marks[31])


def test_without_finer_diseases_the_ecg_is_the_default_one() -> None:
    """At the same rate, and up to the tails of the wider wavelets' windows."""
    ids = np.arange(13)
    twelve = np.vstack([np.zeros(12), np.eye(12)])
    plain = Cohort(seed=1, variation=0).signals(ids, severity=twelve)
    finer = Cohort(seed=1, variation=0, finer=True).signals(ids, severity=np.hstack([twelve, np.zeros((13, 18))]))
    np.testing.assert_allclose(finer, plain, atol=0.002)


@pytest.mark.parametrize("name", FINER_NAMES)
def test_mask_and_counterfactual_of_a_finer_disease(name: str) -> None:
    """The difference from the same ECG without it, and it alone."""
    severity = np.zeros((2, 30))
    severity[:, [ALL_NAMES.index("1AVB"), ALL_NAMES.index(name)]] = 0.8
    mask = FINER.truth_mask([3, 4], name, severity=severity)
    difference = FINER.signals([3, 4], severity=severity) - FINER.counterfactual([3, 4], name, severity=severity)
    np.testing.assert_allclose(np.abs(difference), mask, atol=1e-5)
    assert mask.max() > 0.03


def test_finer_diseases_are_known_to_a_finer_cohort_only() -> None:
    assert not FINER.without(range(200), "PMI")[:, ALL_NAMES.index("PMI")].any()
    with pytest.raises(EcgkitError, match="no disease 'PMI'"):
        PLAIN.without([0], "PMI")
    with pytest.raises(EcgkitError, match=r"give \(1, 30\)"):
        FINER.signals([0], severity=np.zeros((1, 12)))
    with pytest.raises(EcgkitError, match=r"give \(1, 12\)"):
        PLAIN.signals([0], severity=np.zeros((1, 30)))
