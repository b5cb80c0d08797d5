"""Publishing, and telling when what is published is no longer current: here on copies, and for the real book."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ecgkit.batch.plan import Plan, make_plan
from ecgkit.batch.publish import MANIFEST, PUBLISHED, check_published, publish, published_runs
from ecgkit.batch.run import run_planned
from ecgkit.errors import EcgkitError
from tests.batch.conftest import ROOT, make_tiny


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny project whose notebooks have run."""
    root = make_tiny(tmp_path_factory.mktemp("published") / "project")
    for run in make_plan(root).runs:
        run_planned(run)
    results = make_plan(root).runs[0].results
    for name, size in (("weights.safetensors", 10), ("page.html", 1_500_000), ("large.csv", 1_500_000),
                       ("large.html", 4_000_001)):
        (results / name).write_bytes(bytes(size))
    return root


@pytest.fixture
def plan(done: Path, tmp_path: Path) -> Plan:
    """The same, in a folder that a test may spoil."""
    return make_plan(Path(shutil.copytree(done, tmp_path / "project")))


def test_published_is_what_ran(plan: Plan) -> None:
    manifest = json.loads(publish(plan).read_text())
    assert manifest["profile"] == "quick"
    entry = manifest["notebooks"]["01_first"]
    assert entry["parameters"]["seed"] == 3
    assert entry["data"] == {"data": "tiny", "n_ecgs": 1234, "fingerprint": "f"}
    assert {"cores", "processor", "system", "python"} == set(entry["machine"])
    folder = published_runs(plan.root)["01_first"]
    assert sorted(path.name for path in (folder / "results").iterdir()) == ["page.html", "summary.json", "t.csv"]
    assert check_published(plan.root) == []
    text = "".join(path.read_text() for path in (plan.root / PUBLISHED).rglob("*") if path.is_file())
    assert str(plan.root) not in text


@pytest.mark.parametrize(("file", "old", "new", "said"), [
    ("notebooks/01_first.ipynb", "print(seed", "print(1, seed", "its code has changed"),
    ("book/published/01_first/01_first.ipynb", "# A page", "# Better", "not the one that the manifest tells of"),
])
def test_stale_is_said(plan: Plan, file: str, old: str, new: str, said: str) -> None:
    publish(plan)
    path = plan.root / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert check_published(plan.root) == [line for line in check_published(plan.root) if said in line]
    assert len(check_published(plan.root)) == 1


def test_prose_may_change_after_publication(plan: Plan) -> None:
    publish(plan)
    path = plan.root / "notebooks/01_first.ipynb"
    path.write_text(path.read_text().replace("# A page", "# A better page"))
    assert check_published(plan.root) == []


def test_added_and_removed_notebooks_are_said(plan: Plan) -> None:
    publish(plan)
    (plan.root / "notebooks/01_first.ipynb").rename(plan.root / "notebooks/03_third.ipynb")
    assert check_published(plan.root) == ["01_first is published, but is no longer in notebooks/ and profile quick",
                                          "03_third is in notebooks/ and profile quick, but not published"]


def test_what_has_not_run_is_not_published(plan: Plan) -> None:
    publish(plan)
    before = (plan.root / PUBLISHED / MANIFEST).read_text()
    (plan.root / "ecgkit/heart.py").write_text("RATE = 70\n")
    with pytest.raises(EcgkitError, match="has not run with its present code"):
        publish(make_plan(plan.root))
    assert (plan.root / PUBLISHED / MANIFEST).read_text() == before


def test_checkpoints_are_not_published(plan: Plan) -> None:
    kept = plan.runs[0].results / "checkpoints/part.csv"
    kept.parent.mkdir()
    kept.write_text("half,done\n")
    publish(plan)
    assert not list((plan.root / PUBLISHED).rglob("part.csv"))


def test_nothing_published_is_one_line(tiny: Path) -> None:
    with pytest.raises(EcgkitError, match="^nothing is published"):
        check_published(tiny)


def test_published_book_is_current() -> None:
    assert check_published(ROOT) == [], "run the reference profile again, then make publish"
