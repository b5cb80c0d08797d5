"""Tests of ecgkit.explain.counterfactual."""
