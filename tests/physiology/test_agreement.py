"""Agreement of rules with labels: counts by hand, resamples by a slow reference, what nothing determines, mistakes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.evaluation import resample_patients
from ecgkit.physiology.verdicts import agreement_table, printed_agreement

NAN = np.nan


def _random(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    met = rng.choice([0.0, 1.0, NAN], size=(n, 3), p=[0.6, 0.3, 0.1])
    return met, rng.random((n, 3)) < 0.4, rng.integers(n // 2, size=n)


def _share(above: np.ndarray, below: np.ndarray, weight: np.ndarray) -> float:
    return weight[above & below].sum() / weight[below].sum() if weight[below].sum() else NAN


def test_counts_by_hand() -> None:
    met = np.array([[1, 1, 1, 0, 0, 0, 0, NAN, NAN, 1]]).T
    truth = np.array([[1, 1, 0, 1, 0, 0, 0, 1, 0, 1]], dtype=bool).T
    row = agreement_table(met, truth, ["a"], np.arange(10), n_boot=50).loc["a"]
    assert row[["n", "positives", "not_measurable"]].tolist() == [8, 4, 2]
    assert row["sensitivity"] == pytest.approx(3 / 4)
    assert row["specificity"] == pytest.approx(3 / 4)
    assert row["ppv"] == pytest.approx(3 / 4)


def test_each_share_and_its_interval_are_those_of_a_slow_reference() -> None:
    met, truth, patients = _random(60, 0)
    table = agreement_table(met, truth, ["a", "b", "c"], patients, n_boot=200, seed=4)
    weights = np.concatenate(list(resample_patients(patients, n_boot=200, seed=4)), axis=1)
    for k, rule in enumerate(table.index):
        yes, no, has = met[:, k] == 1, met[:, k] == 0, truth[:, k]
        for name, above, below in (("sensitivity", yes, has & (yes | no)), ("specificity", no, ~has & (yes | no)),
                                   ("ppv", has, yes)):
            drawn = [_share(above, below, column) for column in weights.T]
            assert table.loc[rule, name] == pytest.approx(_share(above, below, np.ones(60)))
            assert table.loc[rule, [f"{name}_low", f"{name}_high"]].tolist() == pytest.approx(
                np.nanquantile(drawn, [0.025, 0.975]).tolist())


def test_intervals_are_over_patients_and_not_over_their_ecgs() -> None:
    met, truth, _ = _random(40, 1)
    met, truth = np.nan_to_num(met), truth | (np.arange(40) < 2)[:, None]
    alone = agreement_table(met, truth, list("abc"), np.arange(40), n_boot=300)
    often = agreement_table(np.repeat(met, 5, axis=0), np.repeat(truth, 5, axis=0), list("abc"),
                            np.repeat(np.arange(40), 5), n_boot=300)
    shares = [f"{name}{end}" for name in ("sensitivity", "specificity", "ppv") for end in ("", "_low", "_high")]
    pd.testing.assert_frame_equal(alone[shares], often[shares])
    assert (alone["sensitivity_low"] < alone["sensitivity_high"]).all()


def test_what_no_ecg_determines_is_nan_and_printed_as_a_dash() -> None:
    met = np.array([[0, NAN, 1], [0, NAN, 1]])
    table = agreement_table(met, np.array([[0, 1, 1], [0, 1, 1]]), ["never", "lost", "always"], ["p", "q"], n_boot=20)
    assert table["n"].tolist() == [2, 0, 2]
    assert table["positives"].tolist() == [0, 0, 2]
    np.testing.assert_array_equal(table["sensitivity"], [NAN, NAN, 1])
    np.testing.assert_array_equal(table["specificity"], [1, NAN, NAN])
    np.testing.assert_array_equal(table["ppv"], [NAN, NAN, 1])
    np.testing.assert_array_equal(table["specificity_low"], [1, NAN, NAN])
    text = printed_agreement(table)
    assert text["sensitivity %"].tolist() == ["–", "–", "100.0 (100.0–100.0)"]
    assert text.loc["lost"].tolist() == ["0", "0", "2", "–", "–", "–"]


def test_print() -> None:
    met, truth, patients = _random(2_000, 2)
    table = agreement_table(met, truth, list("abc"), patients, n_boot=50)
    row, words = table.loc["b"], printed_agreement(table).loc["b"]
    assert words["of"] == f"{row['n']:,.0f}"
    assert len(words["of"]) == 5
    assert words["predictive value %"] == (f"{100 * row['ppv']:.1f} ({100 * row['ppv_low']:.1f}–"
                                           f"{100 * row['ppv_high']:.1f})")


@pytest.mark.parametrize(("met", "truth", "names", "message"), [
    ([[1, 0]], [[1]], ["a", "b"], "both must be"), ([[1, 0]], [[1, 0]], ["a"], "for 1 rules"),
    (np.empty((0, 1)), np.empty((0, 1)), ["a"], "n >= 1"),
    ([[1, 0.5]], [[1, 0]], ["a", "b"], "met of rule b is 0.5 in row 0; it must be 1, 0 or nan"),
    ([[1, NAN]], [[1, 2]], ["a", "b"], "truth of rule b is 2 in row 0; it must be 0 or 1"),
    ([[1.0], [0.0]], [[1], [0]], ["a"], "patient_id")])
def test_mistakes_are_named(met: object, truth: object, names: list[str], message: str) -> None:
    with pytest.raises(EcgkitError, match=message):
        agreement_table(met, truth, names, ["p"])
