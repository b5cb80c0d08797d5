"""Identity: cosines by hand, and ranks counted one by one."""

from __future__ import annotations

import numpy as np
import pytest

from ecgkit.errors import EcgkitError
from ecgkit.explain.battery.realism import cosine, reidentification_rank


def test_cosine_by_hand() -> None:
    before, after = np.array([[1.0, 0], [1, 1], [0, 0]]), np.array([[2.0, 0], [-1, 0], [1, 1]])
    np.testing.assert_allclose(cosine(before, after), [1, -np.sqrt(0.5), np.nan])


def test_ranks_are_those_of_counting_one_by_one() -> None:
    generator = np.random.default_rng(0)
    gallery = generator.normal(size=(30, 4))
    patients = np.array([k // 3 if k < 12 else 100 + k for k in range(30)])  # four with three ECGs, the rest with one
    records = np.arange(30) + 1000
    rows = np.array([0, 4, 8, 11, 20])
    queries = gallery[rows] + generator.normal(scale=0.5, size=(5, 4))
    found = reidentification_rank(queries, patients[rows], records[rows], gallery, patients, records)
    middle = gallery.mean(axis=0)
    for place, row in enumerate(rows[:4]):
        a = queries[place] - middle
        like = {k: a @ (gallery[k] - middle) / np.linalg.norm(gallery[k] - middle) for k in range(30) if k != row}
        best = max(like[k] for k in like if patients[k] == patients[row])
        assert found[place] == 1 + sum(like[k] > best for k in like if patients[k] != patients[row])
    assert np.isnan(found[4])


def test_the_edited_ecg_is_not_compared_with_its_own_edit() -> None:
    gallery = np.array([[1.0, 0], [0, 1], [-1, 0.1]])
    # Without the exception its own original would be the nearest of the patient's ECGs.
    rank = reidentification_rank(gallery[:1], ["a"], ["r0"], gallery, ["a", "b", "a"], ["r0", "r1", "r2"])
    assert rank.tolist() == [2]


def test_embeddings_that_are_all_alike_rank_in_the_middle() -> None:
    gallery = np.ones((11, 3))
    patients = ["a", "a", *"bcdefghij"]
    rank = reidentification_rank(np.ones((1, 3)), ["a"], ["0"], gallery, patients, [str(k) for k in range(11)])
    assert rank.tolist() == [1 + 9 / 2]


def test_arrays_that_do_not_fit_are_said() -> None:
    with pytest.raises(EcgkitError, match="2 queries with 1 patients"):
        reidentification_rank(np.ones((2, 3)), ["a"], ["0"], np.ones((1, 3)), ["a"], ["0"])
