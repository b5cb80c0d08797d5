"""Tests of the notebooks' sources."""
