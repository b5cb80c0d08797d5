"""Keep the executed notebooks of a run under ``book/published``, and tell when they are no longer current."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ecgkit import __version__
from ecgkit.batch.plan import (
    RECORD,
    Plan,
    Run,
    code_digest,
    file_digest,
    load_profile,
    notebook_of,
    run_name,
    shown,
    variants_of,
    write_json,
)
from ecgkit.batch.site import read_summary
from ecgkit.errors import EcgkitError

PUBLISHED = Path("book/published")
MANIFEST = "manifest.json"
#: Results that pages can need, and how large they may be: tables, numbers and pages to open, no weights.
KEPT_BYTES = {".csv": 1_000_000, ".json": 1_000_000, ".html": 4_000_000}


def publish(plan: Plan) -> Path:
    """Copy the runs of a plan to ``book/published``, replacing what is there.

    Of a notebook with variants, only the first is kept as an executed notebook; of the others record and results are.
    The manifest, which is returned, says what was run on what, by which code, when, where, in how many minutes.
    An EcgkitError names a notebook that has not run since its code, parameters or data changed.
    """
    stale = [run.name for run in plan.runs if not run.record.is_file()]
    if stale:
        raise EcgkitError(f"{stale[0]} has not run with its present code and data; "
                          f"make book PROFILE={plan.profile}, then publish")
    target = plan.root / PUBLISHED
    partial = target.with_name("published.partial")
    shutil.rmtree(partial, ignore_errors=True)
    pages = shown(run.name for run in plan.runs).values()
    notebooks = {run.name: _keep(run, partial / run.name, page=run.name in pages) for run in plan.runs}
    write_json(partial / MANIFEST, {
        "profile": plan.profile, "published": datetime.now(UTC).date().isoformat(), "ecgkit": __version__,
        "minutes": round(sum(entry["minutes"] for entry in notebooks.values()), 1), "notebooks": notebooks})
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return target / MANIFEST


_FROM_RECORD = ("code", "parameters", "minutes", "finished", "ecgkit", "machine")
_FROM_SUMMARY = ("data", "n_ecgs", "fingerprint")


def _keep(run: Run, folder: Path, *, page: bool) -> dict[str, Any]:
    """Copy a run's record and small results, and the notebook that a page shows; return the manifest's entry."""
    (folder / "results").mkdir(parents=True)
    shutil.copy2(run.record, folder)
    if page:
        shutil.copy2(run.executed, folder)
    for path in sorted(run.results.rglob("*")):
        inside = path.relative_to(run.results)
        if path.stat().st_size <= KEPT_BYTES.get(path.suffix, -1) and "checkpoints" not in inside.parts:
            kept = folder / "results" / inside
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, kept)
    record = json.loads(run.record.read_text(encoding="utf-8"))
    summary = read_summary(run.name, run.folder)
    return {**{key: record[key] for key in _FROM_RECORD}, "data": {key: summary[key] for key in _FROM_SUMMARY},
            "sha256": file_digest(folder / (run.executed.name if page else RECORD))}


def read_manifest(root: Path) -> dict[str, Any]:
    """Read the manifest of the published run; an EcgkitError says that there is none."""
    path = root / PUBLISHED / MANIFEST
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        raise EcgkitError(f"nothing is published (no {PUBLISHED / MANIFEST}); "
                          "make book, then make publish PROFILE=...") from None


def published_runs(root: Path) -> dict[str, Path]:
    """Name of each published run to its folder."""
    return {name: root / PUBLISHED / name for name in read_manifest(root)["notebooks"]}


def check_published(root: Path) -> list[str]:
    """Compare what is published with the notebooks as they are: one line for each difference, none where it is current.

    Differences are a notebook or a variant of the profile added or gone, code that has changed, a published file that
    was edited.
    """
    manifest = read_manifest(root)
    entries, profile = manifest["notebooks"], manifest["profile"]
    current = {path.stem: path for path in sorted((root / "notebooks").glob("*.ipynb"))}
    settings = load_profile(root, profile).get("parameters") or {}
    wanted = {run_name(name, variant.name) for name in current
              for variant in variants_of(f"profile {profile}: {name}", settings.get(name))}
    said = [f"{name} is published, but is no longer in notebooks/ and profile {profile}"
            for name in sorted(set(entries) - wanted)]
    said += [f"{name} is in notebooks/ and profile {profile}, but not published"
             for name in sorted(wanted - set(entries))]
    pages = shown(entries).values()
    for name in sorted(wanted & set(entries)):
        copy = root / PUBLISHED / name / (f"{name}.ipynb" if name in pages else RECORD)
        if not copy.is_file() or file_digest(copy) != entries[name]["sha256"]:
            said.append(f"{name}: the published copy is not the one that the manifest tells of")
        elif _code(copy) != code_digest(current[notebook_of(name)]):
            said.append(f"{name}: its code has changed since it was published")
    return said


def _code(copy: Path) -> str:
    """Digest of the code that ran: of a published notebook, or as its record tells where there is none."""
    return code_digest(copy) if copy.name != RECORD else json.loads(copy.read_text(encoding="utf-8"))["code"]
