"""Eight simulated ECGs with a bundle branch block among others, a network that knows them, and the true answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgkit.datasets import load
from ecgkit.datasets.synthetic import cohort_of
from ecgkit.explain.battery.examine import Bench, Truth
from ecgkit.explain.results import Counterfactuals, judged
from ecgkit.models import Embedder, build_encoder

LABELS = ("NORM", "LBBB")
N_SICK, N_ALL = 8, 24


class Knows(nn.Module):
    """Logit of LBBB: 4 where an ECG comes closest to one of those with it, else -4; of NORM the reverse."""

    bank: Tensor
    sick: Tensor

    def __init__(self, bank: NDArray[np.float32], sick: NDArray[np.bool_]) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(4.0))
        self.register_buffer("bank", torch.from_numpy(bank).flatten(1))
        self.register_buffer("sick", torch.from_numpy(sick))

    def forward(self, x: Tensor) -> Tensor:
        nearest = torch.cdist(x.flatten(1), self.bank).argmin(dim=1)
        # The last term is nothing, but lets gradients be asked for.
        logit = self.gain * (2.0 * self.sick[nearest] - 1) + 0 * x.mean(dim=(1, 2))
        return torch.stack([-logit, logit], dim=1)


def make_sick_bench() -> Bench:
    """Eight simulated ECGs with left bundle branch block, sixteen without, and two judges that know the truth."""
    cohort = load("synthetic", n_patients=250, task="class")
    place = cohort.label_names.index("LBBB")
    sick, well = (np.flatnonzero(cohort.labels[:, place] == k) for k in (1, 0))
    data = cohort.subset(np.sort([*sick[:N_SICK], *well[:N_ALL - N_SICK]])).with_labels(LABELS)
    has, ids = data.labels[:, 1].astype(bool), data.records["ecg_index"].to_numpy()
    without = cohort_of(data).counterfactual(ids[has], "LBBB")
    knows = Knows(np.concatenate([data.signals, without]), np.concatenate([has, np.zeros(N_SICK, dtype=bool)]))
    torch.manual_seed(0)
    embedder = Embedder(build_encoder("xresnet1d18", widths=(8, 8, 8, 8)), fs=100, crop_len=250).eval()
    return Bench(data, knows, {"one": knows, "two": knows}, {"one": np.full(2, 0.5), "two": np.full(2, 0.5)}, embedder,
                 Truth(data))


Ask = Callable[[NDArray[np.float32], Mapping[str, Any]], Counterfactuals]


def oracle(bench: Bench) -> Ask:
    """Gives the true counterfactual of an ECG of the bench; where the disease is asked for, the ECG as it is."""
    def answer(x: NDArray[np.float32], target: Mapping[str, Any]) -> Counterfactuals:
        rows = np.array([int(np.flatnonzero((bench.data.signals == each).all(axis=(1, 2)))[0]) for each in x])
        assert bench.truth is not None
        new = bench.truth.without(rows, "LBBB") if target["LBBB"] < 0.5 else x
        return judged(bench.classifier, new, target, LABELS)

    return answer
