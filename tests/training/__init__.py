"""Tests of ecgkit.training."""
