"""Encoders, the classifier, and weights in safetensors with a model card."""

from ecgkit.models.classifier import Classifier
from ecgkit.models.encoders import ENCODERS, build_encoder
from ecgkit.models.weights import load_classifier, model_card, save_classifier, shipped
from ecgkit.models.xresnet import XResNet1d

__all__ = ["ENCODERS", "Classifier", "XResNet1d", "build_encoder", "load_classifier", "model_card", "save_classifier",
           "shipped"]
