"""Encoders, embedder, classifier, and their weights in safetensors with a model card."""

from ecgkit.models.encoders import ENCODERS, XResNet1d, build_encoder
from ecgkit.models.weights import (
    BEST,
    load_classifier,
    load_encoder,
    load_regressor,
    model_card,
    pretrained,
    save_classifier,
    save_encoder,
    save_regressor,
    shipped,
    shipped_encoders,
)
from ecgkit.models.windowed import Classifier, Embedder, Regressor

__all__ = ["BEST", "ENCODERS", "Classifier", "Embedder", "Regressor", "XResNet1d", "build_encoder", "load_classifier",
           "load_encoder", "load_regressor", "model_card", "pretrained", "save_classifier", "save_encoder",
           "save_regressor", "shipped", "shipped_encoders"]
