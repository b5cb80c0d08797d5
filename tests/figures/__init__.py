"""Tests of ecgkit.figures."""
