"""Tests of ecgkit.explain.style."""
