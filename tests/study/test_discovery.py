"""Page 11: which signs cardiology names, and discoveries in networks whose one reason is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import ecgkit
from ecgkit.datasets import ECGDataset
from ecgkit.errors import EcgkitError
from ecgkit.explain.discovery.shape import NAMES, Shapes
from ecgkit.leads import INVERSE_DOWER
from ecgkit.physiology import load_rules
from ecgkit.study import discovery as study
from ecgkit.study.discovery import FURTHER_RULES, NAMED, defining_signs, further_signs, signs_of


def test_signs_are_those_of_the_rules() -> None:
    assert signs_of(["first-degree AV block"]) == {"pr"}
    assert signs_of(["LVH Sokolow-Lyon"]) == {"r_V5", "r_V6", "s_V1", "q_V1"}
    assert signs_of(["LVH Cornell"]) == {"r_aVL", "s_V3", "q_V3"}
    assert signs_of(["left atrial enlargement"]) == {"p_V1"}
    assert signs_of(["old anterior infarction"]) == {"q_V2", "q_V3"}
    assert signs_of(["atrial fibrillation", "no such rule"]) == set()


def test_a_condition_is_no_sign() -> None:
    assert "qrs" not in signs_of(["ST depression", "old inferior infarction"])
    assert "qrs" in signs_of(["complete LBBB"])
    assert not any(name.startswith("r_") for name in signs_of(["T inversion"]))


@pytest.mark.parametrize("label", ["MI", "STTC", "CD", "HYP"])
def test_every_superclass_has_signs(label: str) -> None:
    assert defining_signs(label) <= set(NAMED)
    assert defining_signs(label)
    assert not defining_signs(label) & further_signs(label)
    assert set(FURTHER_RULES[label]) <= set(load_rules()["rule"])


def test_changes_are_told_in_their_units_one_of_each_kind() -> None:
    change = pd.Series({"qrs": 18.0, "r_V5": 0.4, "r_V6": 0.3, "axis": -12.0, "t_V1": -0.2})
    spread = pd.Series({"qrs": 10.0, "r_V5": 0.5, "r_V6": 0.5, "axis": 60.0, "t_V1": 0.1})
    assert study.said(change, spread) == "T V1 −0.20 mV, QRS +18 ms, R V5 +0.40 mV"
    assert study.said(change[:0], spread) == "no measurement changes enough"


class Leftward(nn.Module):
    """The logit of STTC rises with the largest leftward heart vector of each second; other labels are not told."""

    label_names = ("NORM", "MI", "STTC", "CD", "HYP")

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        left = torch.einsum("l,nlt->nt", torch.tensor(INVERSE_DOWER[0], dtype=torch.float32), x)
        logits = torch.zeros(len(x), 5)
        logits[:, 2] = self.weight * left.unflatten(-1, (-1, 100)).amax(dim=-1).mean(dim=-1)
        return logits


@pytest.fixture(scope="module")
def flat() -> ECGDataset:
    """Simulated ECGs; those whose QRS points least to the left have STTC, every second one MI."""
    data = ecgkit.load("synthetic", n_patients=400, seconds=5)
    left = Shapes.of(data.signals, data.fs).numbers[:, NAMES.index("mid QRS, left")]
    labels = data.labels.copy()
    labels[:, 2] = np.nan_to_num(left, nan=9) < np.nanmedian(left)
    labels[:, 1] = np.arange(len(data)) % 2
    return replace(data, labels=labels)


@pytest.fixture(scope="module")
def found(flat: ECGDataset) -> pd.DataFrame:
    networks = {"trained": [Leftward(-3.0), Leftward(-4.0)], "random": [Leftward(3.0), Leftward(0.1)]}
    return study.discoveries(networks, flat, ["MI", "STTC"], n_boot=100)  # type: ignore[arg-type]


def test_the_one_reason_is_found_and_confirmed(found: pd.DataFrame) -> None:
    mine = found.loc["trained"].loc["STTC"]
    assert mine["confirmed"]["mid QRS, left"]
    assert mine["share"].idxmax() == "mid QRS, left"
    assert set(mine.index[mine["found"]]) <= {"initial QRS, left", "mid QRS, left", "late QRS, left"}


def test_a_label_that_no_network_tells_and_a_network_of_the_wrong_sign_have_no_findings(found: pd.DataFrame) -> None:
    assert not found.loc["trained"].loc["MI", "found"].any()
    assert not found.loc["random"]["found"].any()


def test_findings_are_told_in_measurements_and_others_by_their_largest_share(
        found: pd.DataFrame, flat: ECGDataset) -> None:
    meant = study.meanings(found, flat)
    assert ("STTC", "mid QRS, left") in meant.index
    assert meant["confirmed"][("STTC", "mid QRS, left")]
    assert "R " in meant["name"][("STTC", "mid QRS, left")]
    assert len(meant.loc["MI"]) == 1
    assert not meant.loc["MI", "confirmed"].any()
    shown = study.printed(meant)
    assert shown["confirmed"][("STTC", "mid QRS, left")] == "yes"
    assert shown["moved by the label"][("STTC", "mid QRS, left")].startswith("−")
    titles, beats = study.mean_beats(meant, flat)
    assert len(titles) == len(beats) == len(meant.groupby(level="label").head(2))
    all_kinds = pd.concat([found, found.loc[["random"]].rename({"random": "shuffled"})])
    said = study.words(all_kinds, meant, flat)
    assert said["control"].startswith("0 in networks")


def test_counts_are_by_kind_and_label(found: pd.DataFrame) -> None:
    counted = study.counted(found)
    assert counted.loc[("random", "STTC"), "found on fold 9"] == 0
    assert counted.loc[("trained", "STTC"), "confirmed on fold 10"] >= 1


def test_networks_of_other_labels_are_refused(flat: ECGDataset) -> None:
    other = Leftward(1.0)
    other.label_names = ("A", "B")  # type: ignore[assignment]
    with pytest.raises(EcgkitError, match="a network has the labels A, B"):
        study.discoveries({"trained": [other]}, flat, ["MI"])  # type: ignore[dict-item]
