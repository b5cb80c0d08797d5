"""Variants: one notebook that a profile runs several times, each time with parameters of its own.

```yaml
parameters:
  03_pretraining:
    epochs: 20                                           # of every variant
    variants:
      simulator: {method: simulator}
      simulator-utah: {method: utah, after: simulator}   # starts from the results of an earlier variant
```
The run of a variant is called ``03_pretraining-simulator``; the run of a notebook without variants has its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ecgkit.errors import EcgkitError

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
    """Read what a profile says about one notebook: the parameters of all its variants, and those of each.

    Variants are in the order of the profile; a notebook without any has one, without a name. An EcgkitError, which
    begins with `where`, says that something is no mapping, that a name cannot be that of a folder, or that ``after``
    names no earlier variant.
    """
    common = dict(_mapping(where, settings))
    if VARIANTS not in common:
        return [Variant("", common)]
    listed = _mapping(f"{where}: {VARIANTS}", common.pop(VARIANTS))
    if not listed:
        raise EcgkitError(f"{where}: {VARIANTS} lists none; name at least one, or take the line out")
    found: dict[str, Variant] = {}
    for name, own in listed.items():
        if not _NAME.fullmatch(str(name)):
            raise EcgkitError(f"{where}: variant {name!r} cannot be a folder's name; use letters, digits, - and _")
        parameters = common | _mapping(f"{where}: variant {name}", own)
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


def _mapping(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value or {}, dict):
        raise EcgkitError(f"{where}: expected a mapping, found {type(value).__name__}")
    return dict(value or {})
