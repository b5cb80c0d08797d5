"""Training: one loop; pretraining, fine-tuning, probes, supervised training and controls; evaluation on a dataset."""

from ecgkit.training.controls import age_sex_control
from ecgkit.training.evaluate import evaluate, model_card, predictions_table
from ecgkit.training.loop import Schedule
from ecgkit.training.measured import MeasuredFeatures
from ecgkit.training.methods import METHODS
from ecgkit.training.probe import frozen_head, linear_probe
from ecgkit.training.recipes import RECIPES, train_recipe
from ecgkit.training.simulated import SimulatedSettings, pretrain_on_simulator
from ecgkit.training.study import MEASURED, MODES, StudySettings, label_study
from ecgkit.training.supervised import SupervisedSettings, train_classifier
from ecgkit.training.views import Augment

__all__ = ["MEASURED", "METHODS", "MODES", "RECIPES", "Augment", "MeasuredFeatures", "Schedule", "SimulatedSettings",
           "StudySettings", "SupervisedSettings", "age_sex_control", "evaluate", "frozen_head", "label_study",
           "linear_probe", "model_card", "predictions_table", "pretrain_on_simulator", "train_classifier",
           "train_recipe"]
