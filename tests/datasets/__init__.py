"""Tests of ecgkit.datasets."""
