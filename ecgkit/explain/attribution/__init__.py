"""Attributions: how much every sample of every lead adds to one logit, and every measurement to a probability."""

from ecgkit.explain.attribution.forest import ForestShap, forest_shap, reasons
from ecgkit.explain.attribution.methods import METHODS, attribute, completeness_error

__all__ = ["METHODS", "ForestShap", "attribute", "completeness_error", "forest_shap", "reasons"]
