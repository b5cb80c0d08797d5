"""Explanation of ECG classifiers: adversarial counterfactuals, attributions, and a battery that tests both."""

from ecgkit.explain.results import Counterfactuals, Explainer

__all__ = ["Counterfactuals", "Explainer"]
