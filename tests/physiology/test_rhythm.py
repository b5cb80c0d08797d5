"""Rate and variability by hand, with premature beats, pauses and P waves alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ecgkit.physiology.columns import Sheet
from ecgkit.physiology.rhythm import follows_ectopic, mean_rr, measure_rhythm
from ecgkit.simulator import Waves


def _waves(kind: list[int], rr: list[float], has_p: list[bool] | None = None) -> Waves:
    kinds, times = np.array([kind], dtype=np.int8), 250 + np.nancumsum(rr)
    ms = np.full((1, len(kind), 3, 3), np.nan)
    ms[0, :, 1] = np.where(kinds[0] >= 0, times, np.nan)[:, None] + np.array([-40, 0, 40])
    ms[0, kinds[0] == 3, 1] = np.nan
    shown = np.ones(len(kind), dtype=bool) if has_p is None else np.array(has_p)
    ms[0, shown, 0] = times[shown, None] + np.array([-170, -130, -80])
    return Waves(ms, kinds, np.array([rr]), 500.0)


def _measured(waves: Waves) -> tuple[pd.Series, pd.Series]:
    sheet = Sheet()
    measure_rhythm(sheet, waves)
    values, reasons = (pd.DataFrame(columns).iloc[0] for columns in vars(sheet).values())
    return values, reasons


def test_a_sinus_rhythm() -> None:
    got, reasons = _measured(_waves([0, 0, 0, 0], [np.nan, 800, 1000, 900]))
    assert got["heart_rate"] == pytest.approx(60_000 / 900)
    assert got["rr_mean"] == pytest.approx(900)
    assert got["rr_sd"] == pytest.approx(100)
    assert got["rr_cv"] == pytest.approx(1 / 9)
    assert got["rr_rmssd"] == pytest.approx(np.sqrt((200**2 + 100**2) / 2))
    assert got["ectopic_share"] == 0
    assert got["p_share"] == 1
    assert (reasons == "").all()


def test_a_premature_beat_counts_for_the_rate_but_not_for_the_variability() -> None:
    waves = _waves([0, 0, 2, 0, 0, 0, -1], [np.nan, 900, 500, 1300, 920, 940, np.nan])
    got, _ = _measured(waves)
    assert got["rr_mean"] == pytest.approx((900 + 920 + 940) / 3)
    assert got["rr_rmssd"] == pytest.approx(20)
    assert got["heart_rate"] == pytest.approx(60_000 / np.mean([900, 500, 1300, 920, 940]))
    assert got["ectopic_share"] == pytest.approx(1 / 6)
    assert follows_ectopic(waves.kind)[0].tolist() == [False, False, False, True, False, False, False]


def test_a_p_wave_alone_is_no_beat() -> None:
    waves = _waves([0, 3, 0, 3, 0, 3, 0], [np.nan, np.nan, 1500, np.nan, 1510, np.nan, 1520])
    got, _ = _measured(waves)
    assert got["rr_mean"] == pytest.approx(1510)
    assert got["rr_rmssd"] == pytest.approx(10)
    assert got["ectopic_share"] == 0
    assert not follows_ectopic(waves.kind).any()
    assert follows_ectopic(np.array([[1, 3, 0, 0]], dtype=np.int8))[0].tolist() == [False, True, True, False]


def test_the_share_of_beats_with_p_leaves_out_what_may_lie_before_the_recording() -> None:
    got, _ = _measured(_waves([0, 0, 0, 0], [np.nan, 900, 900, 900], [False, True, True, False]))
    assert got["p_share"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("kind", "rr", "reasons"), [
    ([], [], {"heart_rate": "fewer than 2 beats", "rr_mean": "no 2 normal beats in a row",
              "rr_sd": "fewer than 2 intervals between normal beats", "rr_rmssd": "no 3 normal beats in a row",
              "rr_cv": "fewer than 2 intervals between normal beats", "ectopic_share": "no beats",
              "p_share": "no normal beats"}),
    ([0, 0], [np.nan, 900], {"rr_sd": "fewer than 2 intervals between normal beats",
                             "rr_cv": "fewer than 2 intervals between normal beats",
                             "rr_rmssd": "no 3 normal beats in a row"}),
    ([2, 2, 2], [np.nan, 900, 900], {"rr_mean": "no 2 normal beats in a row", "p_share": "no normal beats",
                                     "rr_sd": "fewer than 2 intervals between normal beats",
                                     "rr_cv": "fewer than 2 intervals between normal beats",
                                     "rr_rmssd": "no 3 normal beats in a row"}),
])
def test_what_cannot_be_measured(kind: list[int], rr: list[float], reasons: dict[str, str]) -> None:
    got, why = _measured(_waves(kind, rr))
    assert why[why != ""].to_dict() == reasons
    assert (got.isna() == (why != "")).all()


def test_mean_rr_is_that_of_all_beats() -> None:
    assert mean_rr(_waves([0, 2, 0], [np.nan, 500, 1300]))[0] == 900
