"""Training: one loop; pretraining, fine-tuning, probes, supervised training and controls; evaluation on a dataset."""

from ecgkit.training.checkpoint import Run
from ecgkit.training.few_labels import FewLabelClassifier
from ecgkit.training.loop import Schedule
from ecgkit.training.measured import MeasuredFeatures
from ecgkit.training.methods import METHODS
from ecgkit.training.probe import frozen_head, linear_probe
from ecgkit.training.simulated import SimulatedSettings, pretrain_on_simulator
from ecgkit.training.supervised import (
    SupervisedSettings,
    evaluate,
    model_card,
    predictions_table,
    train_classifier,
)
from ecgkit.training.views import Augment

__all__ = ["METHODS", "Augment", "FewLabelClassifier", "MeasuredFeatures", "Run", "Schedule", "SimulatedSettings",
           "SupervisedSettings", "evaluate", "frozen_head", "linear_probe", "model_card", "predictions_table",
           "pretrain_on_simulator", "train_classifier"]
