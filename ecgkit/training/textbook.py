"""What is believed of labels before one is seen: simulator and rules, taught to an encoder as a linear head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from ecgkit.datasets.base import ECGDataset
from ecgkit.models.windowed import Classifier, Embedder
from ecgkit.physiology import load_rules
from ecgkit.physiology.verdicts import DEFINITIONS
from ecgkit.training.finetune import classifier_of
from ecgkit.training.measured import MeasuredFeatures
from ecgkit.training.probe import LinearProbe, Standard

#: What no rule defines, since it is the absence of what the rules define.
NORMAL = "NORM"
#: A rule that could not be judged counts as not met by so many steps (`ecgkit.physiology.rules.STEPS`).
UNKNOWN = -5.0
#: Strength of the penalty on the head, in ECGs.
RIDGE = 100.0


def rule_scores(measured: NDArray[np.floating], label_names: Sequence[str]) -> NDArray[np.float64]:
    """How much the rules speak for each label, `(n, n_labels)`; nan for a label that no rule defines.

    Any rule of a label's definition (`ecgkit.physiology.verdicts.DEFINITIONS`) will do, so a score is the log-sum-exp
    of their margins in steps; what is normal is none of the rules. `measured` `(n, n_features)` are those of
    `MeasuredFeatures` with rules.
    """
    rules = [str(rule) for rule in load_rules()["rule"].unique()]
    margins = dict(zip(rules, np.nan_to_num(measured[:, -len(rules):], nan=UNKNOWN).T, strict=True))
    abnormal = sorted({rule for definition in DEFINITIONS.values() for rule in definition.rules})

    def any_of(names: Sequence[str]) -> NDArray[np.float64]:
        return np.asarray(logsumexp([margins[name] for name in names], axis=0))

    columns = [-any_of(abnormal) if name == NORMAL else any_of(DEFINITIONS[name].rules) if name in DEFINITIONS
               else np.full(len(measured), np.nan) for name in label_names]
    return np.stack(columns, axis=1)


def textbook(embedder: Embedder, simulated: Classifier, data: ECGDataset, measured: MeasuredFeatures) -> Classifier:
    """Give an encoder a head that says of unlabelled ECGs what the simulator's network and the rules say.

    Each label's score is the mean of both on one scale, or the network's where no rule defines it; a ridge regression
    on the embeddings learns it. No diagnosis of an ECG is used. Logits have spread 1 and mean 0 over the data: they
    order ECGs, and say nothing about how common a label is.

    Parameters
    ----------
    embedder, simulated : Embedder, Classifier
        Who is taught, and the network that learnt from the simulator (`pretrain_on_simulator`).
    data, measured : ECGDataset, MeasuredFeatures
        ECGs, whose labels are not looked at, and what measures them, with rules.
    """
    signals, names = data.signals, simulated.label_names
    says = simulated.in_batches(signals, 64, n_outputs=len(names), doing="asking the simulator's network").numpy()
    rules = rule_scores(measured.embed(signals), names)
    says, rules = (Standard.of(scores)(scores) for scores in (says, rules))
    both = (says + np.where(np.isnan(rules), says, rules)) / 2
    scores = Standard.of(both)(both)
    features = embedder.embed(signals)
    standard = Standard.of(features)
    x = standard(features)
    weight = np.asarray(np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ scores).T, dtype=np.float64)
    weight /= (x @ weight.T).std(axis=0)[:, None]
    return classifier_of(embedder, LinearProbe(standard, weight, np.zeros(len(weight)), RIDGE), names)
