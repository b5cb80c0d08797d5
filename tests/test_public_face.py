"""The public face: each name of the README is there before torch is, and is what it says."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from operator import attrgetter
from pathlib import Path

import pytest

import ecgkit

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
#: Each public name and the arguments that a caller may name.
FACE = {
    "load": {"source"}, "from_arrays": {"signals", "labels", "label_names", "fs", "records"},
    "pretrain": {"data", "method", "settings", "seed", "start", "checkpoints", "device"},
    "pretrained": set(), "finetune": {"train", "validation", "settings", "seed"},
    "train_classifier": {"train", "validation", "settings", "seed", "start", "beside", "checkpoints", "device"},
    "evaluate": {"classifier", "data", "validation", "n_boot"},
    "FewLabelClassifier": {"fs", "seed", "encoder", "n_trees", "folder"},
    "FewLabelClassifier.fit": {"signals", "labels", "groups", "unlabelled", "label_names"},
    "FewLabelClassifier.load": {"path"},
    "load_classifier": set(), "save_classifier": set(), "load_encoder": set(), "save_encoder": set(),
    "explain.load": set(), "explain.CounterfactualGAN": {"classifier", "settings"},
    "explain.Shapes.of": {"signals", "fs"}, "explain.carried": {"asked"},
    "explain.attribute": {"model", "x", "target", "method"},
    "physiology.measure": {"signals", "fs"}, "physiology.judge": set(),
    "losses.nt_xent": {"temperature"}, "simulator.Cohort": {"seed", "fs", "seconds", "visits", "noise", "finer"},
}


@pytest.mark.parametrize("name", FACE)
def test_it_is_there_and_takes_what_callers_give(name: str) -> None:
    thing = attrgetter(name)(ecgkit)
    assert callable(thing)
    assert set(inspect.signature(thing).parameters) >= FACE[name]
    assert inspect.getdoc(thing)


def test_the_names_of_the_readme_are_there() -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    names = set(re.findall(r"\becgkit\.((?:explain\.)?\w+)\(", code))
    assert {"load", "pretrained", "finetune", "evaluate", "explain.load", "FewLabelClassifier"} <= names
    for name in names:
        assert callable(attrgetter(name)(ecgkit))


def test_the_package_itself_imports_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "pandas", "scipy", "matplotlib", "sklearn", "shap", "captum")
    code = f"import sys, ecgkit; dir(ecgkit); print([name for name in {heavy} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
