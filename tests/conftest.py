"""Fixtures that all tests share: where the real recordings lie, and a cache that no test leaves behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of the real recordings: `ECGKIT_DATA`, or `../shared/data` where that exists."""
    given = os.environ.get("ECGKIT_DATA")
    root = Path(given) if given else ROOT.parent / "shared" / "data"
    if not root.is_dir():
        pytest.skip(f"no real recordings at {root}; set ECGKIT_DATA to the folder that holds ptb-xl-sample")
    return root


@pytest.fixture(scope="session")
def sample_root(data_root: Path) -> Path:
    """The PTB-XL sample, in the layout of PTB-XL."""
    return data_root / "ptb-xl-sample"


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the user's cache untouched by tests, and shared among them."""
    os.environ["ECGKIT_CACHE"] = str(tmp_path_factory.getbasetemp().parent / "ecgkit-test-cache")
