"""Tests of ecgkit.explain.discovery."""
