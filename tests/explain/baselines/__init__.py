"""Tests of ecgkit.explain.baselines."""
