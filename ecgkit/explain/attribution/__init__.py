"""Attributions: how much every sample of every lead adds to one logit."""

from ecgkit.explain.attribution.methods import METHODS, attribute, completeness_error

__all__ = ["METHODS", "attribute", "completeness_error"]
