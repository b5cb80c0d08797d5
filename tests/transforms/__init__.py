"""Tests of ecgkit.transforms."""
