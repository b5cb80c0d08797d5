"""Encoders, embedder, classifier, and their weights in safetensors with a model card."""

from ecgkit.models.encoders import ENCODERS, XResNet1d, build_encoder
from ecgkit.models.weights import (
    BEST,
    load_classifier,
    load_encoder,
    model_card,
    pretrained,
    save_classifier,
    save_encoder,
    shipped,
    shipped_encoders,
)
from ecgkit.models.windowed import Classifier, Embedder

__all__ = ["BEST", "ENCODERS", "Classifier", "Embedder", "XResNet1d", "build_encoder", "load_classifier",
           "load_encoder", "model_card", "pretrained", "save_classifier", "save_encoder", "shipped",
           "shipped_encoders"]
