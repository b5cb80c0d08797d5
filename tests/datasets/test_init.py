"""`ecgkit.datasets.load`: known sources, options checked, mistakes told in one line."""

from __future__ import annotations

from importlib import import_module

import pytest

import ecgkit.datasets
from ecgkit.errors import EcgkitError


def test_unknown_source_lists_the_known():
    with pytest.raises(EcgkitError, match="'ptb'; known are synthetic, ptbxl, challenge, ludb, folder"):
        ecgkit.datasets.load("ptb")


def test_unknown_option_lists_the_known(tmp_path):
    with pytest.raises(EcgkitError, match=r"'ptbxl' has no option 'tasks'; it has root, task, fs"):
        ecgkit.datasets.load("ptbxl", root=tmp_path, tasks="all")


def test_missing_option():
    with pytest.raises(EcgkitError, match="'ludb' needs the option 'root'"):
        ecgkit.datasets.load("ludb")


@pytest.mark.parametrize("source", ecgkit.datasets.SOURCES)
def test_every_source_can_load(source):
    assert callable(import_module(f"ecgkit.datasets.{source}").load)
