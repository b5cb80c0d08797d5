"""Training: one loop, supervised training, controls, evaluation of a classifier on a dataset."""

from ecgkit.training.controls import age_sex_control
from ecgkit.training.evaluate import evaluate, model_card, predictions_table
from ecgkit.training.loop import Schedule
from ecgkit.training.recipes import RECIPES, train_recipe
from ecgkit.training.simulated import SimulatedSettings, pretrain_on_simulator
from ecgkit.training.supervised import SupervisedSettings, train_classifier

__all__ = ["RECIPES", "Schedule", "SimulatedSettings", "SupervisedSettings", "age_sex_control", "evaluate",
           "model_card", "predictions_table", "pretrain_on_simulator", "train_classifier", "train_recipe"]
