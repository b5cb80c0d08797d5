"""One environment, however it is made: pyproject.toml, constraints.txt, environment.yml and what is installed agree."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("book", "dev")


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def project() -> dict[str, Any]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"])


def required() -> list[Requirement]:
    """What the package asks for, with its extras."""
    metadata = project()
    extras = metadata["optional-dependencies"]
    lines = [*metadata["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]
    return [Requirement(line) for line in lines]


def closure() -> set[str]:
    """Names of all that the package asks for, and of what that asks for, as it is installed here."""
    found: set[str] = set()
    todo = [(requirement, frozenset(requirement.extras)) for requirement in required()]
    while todo:
        requirement, extras = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in found and not extras:
            continue
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found.add(name)
        for need in map(Requirement, needs):
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras | {""}):
                todo.append((need, frozenset(need.extras)))
    return found


def test_every_pin_is_exact_and_sorted() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    assert lines == sorted(lines, key=str.upper)
    assert all(re.fullmatch(r"[0-9][0-9A-Za-z.]*", version) for version in pins().values())


def test_pins_satisfy_what_the_package_asks_for() -> None:
    versions = {canonicalize_name(name): version for name, version in pins().items()}
    for requirement in required():
        name = canonicalize_name(requirement.name)
        assert name in versions, f"{name} is not in constraints.txt: renew it"
        assert requirement.specifier.contains(versions[name]), f"{requirement}, but the pin is {versions[name]}"


def test_everything_that_is_installed_for_it_is_pinned() -> None:
    # pip freeze leaves out the tools that install; torch itself pins the CUDA packages of its build.
    missing = {name for name in closure() - {canonicalize_name(name) for name in pins()}
               if name not in ("pip", "setuptools", "wheel", "triton") and not name.startswith(("nvidia-", "cuda-"))}
    assert not missing, f"not in constraints.txt: {', '.join(sorted(missing))}; renew it as its head says"


def test_what_is_installed_is_what_is_pinned() -> None:
    for name, version in pins().items():
        try:
            installed = distribution(name).version
        except PackageNotFoundError:
            continue
        assert installed.partition("+")[0] == version, f"{name} {installed} is installed: make -B .venv/installed"


def test_conda_environment_is_the_same() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    assert conda == ["python=3.11", "pip"], "conda chooses no package's version"
    assert environment["dependencies"][-1] == {"pip": ["--constraint constraints.txt",
                                                       f"--editable .[{','.join(EXTRAS)}]"]}
    assert Requirement(f"python{project()['requires-python']}").specifier.contains("3.11")


@pytest.mark.parametrize("text", [f"-c constraints.txt -e '.[{','.join(EXTRAS)}]'"])
def test_make_installs_the_same(text: str) -> None:
    assert (ROOT / "Makefile").read_text(encoding="utf-8").count(text) == 2, "once with uv, once with pip"
