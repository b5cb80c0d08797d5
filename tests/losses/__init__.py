"""Tests of ecgkit.losses."""
