"""Training: one loop, supervised training, evaluation of a classifier on a dataset."""

from ecgkit.training.evaluate import evaluate
from ecgkit.training.loop import Schedule
from ecgkit.training.supervised import SupervisedSettings, train_classifier

__all__ = ["Schedule", "SupervisedSettings", "evaluate", "train_classifier"]
