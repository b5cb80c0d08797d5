"""Fixtures that all tests share: where real recordings lie, a cache that no test leaves behind, the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
Run = Callable[..., tuple[object, str, str]]


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


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line in this process, as `run(*arguments)`: exit code, standard output, standard error."""
    from ecgkit.cli import main

    def call(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["ecgkit", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return call
