"""What there is to run: each notebook of a profile, its parameters and needs, and a digest of all that decides it.

A complete run lies in a folder named by its digest, so what is out of date shows in the names of folders, whatever
the dates of files: ``_build/<profile>/runs/<run>-<digest>/``. A run bears the name of its notebook, or of notebook and
variant.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ecgkit.errors import EcgkitError

PROFILES = Path("notebooks/profiles")
TABLE = Path("notebooks/batch.yaml")
#: Parts of the library that no notebook imports: changing them makes no result out of date.
NOT_IN_NOTEBOOKS = ("cli", "batch")
#: What a complete run says of itself.
RECORD = "record.json"
_IGNORED = ("__pycache__", ".ipynb_checkpoints", ".DS_Store")
#: Stands between notebook and variant in the name of a run, so no notebook's name may have one.
SEPARATOR = "-"
#: What a profile says about a notebook that is no parameter of it: the variants, and what a variant starts from.
VARIANTS, AFTER = "variants", "after"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Variant:
    """One of the ways in which a profile runs a notebook, after an earlier one from whose results it starts, if any.

    The name is empty for the only run of a notebook without variants.
    """

    name: str
    parameters: dict[str, Any]
    after: str = ""


def variants_of(where: str, settings: Mapping[str, Any] | None) -> list[Variant]:
    """Read what a profile says about one notebook, such as::

        epochs: 20                                           # of every variant
        variants:
          simulator: {method: simulator}
          simulator-utah: {method: utah, after: simulator}   # starts from the results of an earlier variant

    A notebook without variants has one, without a name. An EcgkitError, which begins with `where`, says that something
    is no mapping, that a name cannot be that of a folder, or that ``after`` names no earlier variant.
    """
    common = _checked(where, settings)
    if VARIANTS not in common:
        return [Variant("", common)]
    listed = _checked(f"{where}: {VARIANTS}", common.pop(VARIANTS))
    if not listed:
        raise EcgkitError(f"{where}: {VARIANTS} lists none; name at least one, or take the line out")
    found: dict[str, Variant] = {}
    for name, own in listed.items():
        if not _NAME.fullmatch(str(name)):
            raise EcgkitError(f"{where}: variant {name!r} cannot be a folder's name; use letters, digits, - and _")
        parameters = common | _checked(f"{where}: variant {name}", own)
        after = str(parameters.pop(AFTER, ""))
        if after and after not in found:
            raise EcgkitError(f"{where}: variant {name} comes after {after!r}, which is not listed before it")
        found[str(name)] = Variant(str(name), parameters, after)
    return list(found.values())


def run_name(notebook: str, variant: str) -> str:
    """Name of a run: ``"03_pretraining-utah"``, or that of the notebook where there are no variants."""
    return f"{notebook}{SEPARATOR}{variant}" if variant else notebook


def notebook_of(run: str) -> str:
    """Name of the notebook of a run: ``"03_pretraining"`` of ``"03_pretraining-utah"``."""
    return run.partition(SEPARATOR)[0]


def shown(runs: Iterable[str]) -> dict[str, str]:
    """Name of each notebook to the run that its page shows: the first."""
    first: dict[str, str] = {}
    for run in runs:
        first.setdefault(notebook_of(run), run)
    return first


@dataclass(frozen=True)
class Run:
    """One notebook with the parameters that the profile sets, named ``01_cohort`` or ``03_pretraining-utah``.

    Its complete run lies or will lie in `folder`, whose name ends in the digest. It reads the results of `needs`, all
    variants of the notebooks that its own needs, and starts from those of `start`, an earlier variant. `data` are
    recordings; None for simulated ECGs.
    """

    name: str
    source: Path
    folder: Path
    parameters: dict[str, Any]
    needs: tuple[Run, ...] = ()
    start: Run | None = None
    threads: int = 1
    data: Path | None = None

    @property
    def notebook(self) -> str:
        """Name of the notebook."""
        return self.source.stem

    @property
    def variant(self) -> str:
        """Name of the variant; empty for the only run of a notebook."""
        return self.name[len(self.notebook):].removeprefix(SEPARATOR)

    @property
    def reads(self) -> tuple[Run, ...]:
        """All runs that must be whole before it."""
        return (*self.needs, self.start) if self.start else self.needs

    @property
    def record(self) -> Path:
        """The file that is written last: where it is, the run is whole."""
        return self.folder / RECORD

    @property
    def results(self) -> Path:
        """What the notebook wrote."""
        return self.folder / "results"

    @property
    def executed(self) -> Path:
        """The executed notebook."""
        return self.folder / f"{self.name}.ipynb"


@dataclass(frozen=True)
class Plan:
    """All runs of a profile, and the book that shows them."""

    root: Path
    profile: str
    runs: tuple[Run, ...]
    digest: str

    @property
    def site(self) -> Path:
        """Folder of the built book."""
        return self.root / "_build" / self.profile / "site"

    @property
    def stamp(self) -> Path:
        """A file of the built book, named by the digest of everything that the book shows."""
        return self.site / f"build-{self.digest}.json"

    def select(self, name: str) -> tuple[Run, ...]:
        """Return the run of a name, or all runs of a notebook; an EcgkitError says that there is none."""
        chosen = tuple(run for run in self.runs if name in (run.name, run.notebook))
        if chosen:
            return chosen
        variants = [run.name for run in self.runs if run.notebook == notebook_of(name)]
        if variants:
            raise EcgkitError(f"profile {self.profile} does not run {name!r}; it runs {', '.join(variants)}")
        notebooks = dict.fromkeys(run.notebook for run in self.runs)
        raise EcgkitError(f"no notebook {name!r} in {TABLE}; it lists {', '.join(notebooks)}")


def project(start: Path | None = None) -> Path:
    """Find the checkout that a folder (the current one by default) lies in."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / TABLE).is_file() and (folder / "_config.yml").is_file():
            return folder
    raise EcgkitError(f"{here} is not in a checkout of ecgkit (no {TABLE}); change to one, and run this there")


def make_plan(root: Path, profile: str = "quick", data: str | Path | None = None) -> Plan:
    """Plan the runs of a profile of a checkout, with a folder of recordings in PTB-XL's layout where it needs one.

    An EcgkitError tells of an unknown profile or notebook, odd variants, or a missing or unwanted folder.
    """
    settings, table = load_profile(root, profile), _table(root)
    folder = _data_folder(profile, bool(settings.get("needs_data")), data)
    shared = [content_digest(root / "ecgkit", without=NOT_IN_NOTEBOOKS), file_digest(root / "constraints.txt"),
              data_digest(folder, root / "_build") if folder else ""]
    parameters = settings.get("parameters") or {}
    unknown = sorted(set(parameters) - set(table))
    if unknown:
        raise EcgkitError(f"profile {profile} sets parameters of {unknown[0]!r}, which {TABLE} does not list")
    runs: dict[str, list[Run]] = {}
    for name, entry in table.items():
        needs = tuple(run for need in _needs(name, entry, runs) for run in runs[need])
        pattern = Run(name, root / "notebooks" / f"{name}.ipynb", root / "_build" / profile / "runs", {}, needs,
                      threads=int(entry.get("threads", 1)), data=folder)
        runs[name] = _runs(pattern, variants_of(f"profile {profile}: {name}", parameters.get(name)), shared)
    planned = tuple(run for each in runs.values() for run in each)
    return Plan(root, profile, planned, _book_digest(root, profile, planned))


def _runs(pattern: Run, variants: Iterable[Variant], shared: Iterable[str]) -> list[Run]:
    """Runs of one notebook, whose `pattern` has all that its variants have in common."""
    code, runs = code_digest(pattern.source), dict[str, Run]()
    for variant in variants:
        run = replace(pattern, name=run_name(pattern.name, variant.name), parameters=variant.parameters,
                      start=runs.get(variant.after))
        # Sorted, so that listing variants in another order makes nothing out of date but the book.
        digest = _digest([*shared, code, run.parameters, sorted(read.folder.name for read in run.reads)])
        runs[variant.name] = replace(run, folder=pattern.folder / f"{run.name}-{digest}")
    return list(runs.values())


def load_profile(root: Path, profile: str) -> dict[str, Any]:
    """Read a profile: ``needs_data`` and the ``parameters`` of each notebook (`variants_of`)."""
    path = root / PROFILES / f"{profile}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in (root / PROFILES).glob("*.yaml")))
        raise EcgkitError(f"no profile {profile!r}; there are {known}")
    return _mapping(path, ("needs_data", "parameters"))


def content_digest(folder: Path, without: Iterable[str] = ()) -> str:
    """Digest the names and contents of the files below a folder; dates and the folder's own place do not count."""
    digest = hashlib.sha256()
    for path in _files(folder):
        name = path.relative_to(folder)
        if name.parts[0] not in without:
            digest.update(f"{name.as_posix()} {file_digest(path)}\n".encode())
    return digest.hexdigest()


def code_digest(path: Path) -> str:
    """Digest the code cells of a notebook, executed or not; prose, captions and outputs do not count."""
    return _digest(code_cells(path))


def code_cells(path: Path) -> list[str]:
    """Sources of the code cells of a notebook, executed or not, without injected parameters."""
    return ["".join(cell["source"]) for cell in _cells(path) if cell["cell_type"] == "code"
            and "injected-parameters" not in cell["metadata"].get("tags", [])]


def data_digest(folder: Path, cache: Path) -> str:
    """Digest the contents of a folder of recordings.

    The files are read again only where a name, size or date has changed since the last time: what was found is kept
    in `cache`.
    """
    seen = _digest([[path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns]
                    for path in _files(folder)])
    kept = cache / f"data-{_digest([str(folder)])}.json"
    if kept.is_file():
        known = json.loads(kept.read_text(encoding="utf-8"))
        if known["seen"] == seen:
            return str(known["content"])
    content = content_digest(folder)
    write_json(kept, {"seen": seen, "content": content})
    return content


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def _table(root: Path) -> dict[str, dict[str, Any]]:
    table = _mapping(root / TABLE)
    for name, entry in table.items():
        if SEPARATOR in name:
            raise EcgkitError(f"{TABLE}: {name} has a {SEPARATOR!r} in its name, which divides notebook and variant; "
                              "use _")
        odd = sorted(set(entry or {}) - {"needs", "threads"})
        if odd:
            raise EcgkitError(f"{TABLE}: {name} has the unknown setting {odd[0]!r}; there are needs and threads")
    return {name: entry or {} for name, entry in table.items()}


def _needs(name: str, entry: Mapping[str, Any], earlier: Iterable[str]) -> list[str]:
    needs = list(entry.get("needs", []))
    missing = [need for need in needs if need not in earlier]
    if missing:
        raise EcgkitError(f"{TABLE}: {name} needs {missing[0]!r}, which is not listed before it")
    return needs


def _data_folder(profile: str, needed: bool, data: str | Path | None) -> Path | None:
    if not data:
        if needed:
            raise EcgkitError(f"profile {profile} needs a folder of recordings in PTB-XL's layout: "
                              f"make book PROFILE={profile} DATA=/path/to/ptb-xl")
        return None
    if not needed:
        raise EcgkitError(f"profile {profile} reads no recordings; leave DATA={data} out, or take PROFILE=sample")
    folder = Path(data).expanduser().resolve()
    if not (folder / "ptbxl_database.csv").is_file():
        raise EcgkitError(f"{folder} is not in PTB-XL's layout: it has no ptbxl_database.csv")
    return folder


def _book_digest(root: Path, profile: str, runs: Iterable[Run]) -> str:
    return _digest([profile, content_digest(root / "book", without=("published",)), content_digest(root / "ecgkit"),
                    file_digest(root / "_config.yml"), file_digest(root / "constraints.txt"),
                    [[run.folder.name, file_digest(run.source)] for run in runs]])


def _mapping(path: Path, keys: Iterable[str] | None = None) -> dict[str, Any]:
    try:
        value = _checked(path.name, yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise EcgkitError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from None
    odd = sorted(set(value) - set(keys)) if keys is not None else []
    if odd:
        raise EcgkitError(f"{path.name} has the unknown setting {odd[0]!r}; there are {', '.join(keys or ())}")
    return value


def _checked(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value or {}, dict):
        raise EcgkitError(f"{where}: expected a mapping, found {type(value).__name__}")
    return dict(value or {})


def _cells(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise EcgkitError(f"{path} is missing, but {TABLE} lists it")
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["cells"])
    except (json.JSONDecodeError, KeyError, TypeError):
        raise EcgkitError(f"{path} is not a notebook (version 4)") from None


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part in _IGNORED for part in path.parts) and path.suffix != ".pyc":
            yield path


def file_digest(path: Path) -> str:
    """SHA-256 of the contents of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
