"""Tests of ecgkit."""
