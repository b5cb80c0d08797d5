"""Tests of ecgkit.simulator."""
