"""Tests of ecgkit.models."""
