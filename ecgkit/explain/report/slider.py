"""The interactive figure: drag a wanted probability, and see the twelve leads and the measurements change."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from ecgkit.explain.report.changes import Sweep, difference, name_of, number, shown_columns, unit_of, written
from ecgkit.leads import LEADS, N_LEADS, resample


def render(template: str, **values: Any) -> str:
    """Fill in a template of `ecgkit/explain/report/templates`."""
    return _environment().get_template(template).render(**values)


def asset(name: str) -> Markup:
    """A style sheet or script of the same folder, to stand within a page."""
    return Markup((files("ecgkit.explain.report") / "templates" / name).read_text(encoding="utf-8"))


@cache
def _environment() -> Environment:
    return Environment(loader=PackageLoader("ecgkit.explain.report"), autoescape=True, undefined=StrictUndefined,
                       trim_blocks=True, lstrip_blocks=True)


#: What is drawn: seconds of each lead, of the rhythm strip, its lead, and the rate.
SECONDS, RHYTHM_SECONDS, RHYTHM, FS = 2.5, 10.0, LEADS.index("II"), 100
#: Units of a drawing, 0.05 mm each: in a millivolt, a large square (5 mm), and from sample to sample.
_PER_MV, _SQUARE, _STEP = 200, 100, 5
#: A panel reaches at most so many units above and below its baseline (30 mm); what goes beyond is cut.
_FURTHEST = 600


@dataclass(frozen=True)
class _Strip:
    """A piece of one lead in whole units: the ECG `(n,)`, and the edits `(k, n)` with the factor of each answer."""

    lead: int
    row: int
    original: NDArray[np.int16]
    edits: NDArray[np.int8]
    scales: NDArray[np.int64]

    @property
    def answers(self) -> NDArray[np.int64]:
        return self.original + self.scales[:, None] * self.edits


def slider_html(sweep: Sweep, *, title: str, repeatability: Mapping[str, float], start: int | None = None) -> str:
    """Write the interactive figure of a sweep as a piece of HTML that stands alone.

    Every position of the slider is an answer of the sweep; none is interpolated. The piece asks for nothing outside,
    several may stand on a page, and without JavaScript it shows the answer at which it starts: number `start`, by
    default the one wanted furthest from the ECG's own probability. What changes by more than its `repeatability` is
    bold. With 13 answers it has about 120 kB: voltages are kept to 5 µV, edits to a 127th of the largest of their
    strip.
    """
    strips = _strips(np.concatenate([sweep.original[None], sweep.signals]), sweep.fs)
    change = difference(sweep.before, sweep.measured)
    columns = shown_columns(change, repeatability)
    first = int(np.abs(sweep.wanted - sweep.now).argmax()) if start is None else start
    answers = [{"said": _said(sweep, k), "scales": [int(strip.scales[k]) for strip in strips],
                "cells": cells} for k, cells in enumerate(written(sweep.measured, change, columns, repeatability))]
    data = {"original": _packed([strip.original for strip in strips], "<i2"),
            "edits": _packed([strip.edits[k] for k in range(len(answers)) for strip in strips], "i1"),
            "lengths": [len(strip.original) for strip in strips], "answers": answers}
    return render("slider.html", title=title, label=sweep.label, strips=_panels(strips, first), answers=answers,
                  start=first, ends=[f"{sweep.wanted[k]:.2f}" for k in (0, -1)],
                  rows=[(name_of(column), unit_of(column), number(column, sweep.before[column])) for column in columns],
                  data=data, css=asset("slider.css"), js=asset("slider.js"))


def still_panels(signal: NDArray[np.float32], fs: float) -> list[dict[str, Any]]:
    """What the macro of `panel.html` draws of one ECG `(12, sig_len)` in mV: twelve leads, and the rhythm strip."""
    return _panels(_strips(signal[None], fs))


def _strips(signals: NDArray[np.float32], fs: float) -> list[_Strip]:
    """Pieces of the leads as a machine prints them: columns follow in time where 10 s are there."""
    both = resample(signals.astype(np.float64), fs, FS)
    n, whole = round(SECONDS * FS), round(RHYTHM_SECONDS * FS)
    follow = both.shape[2] >= whole
    strips = [_strip(both[:, lead, (at := follow * (lead // 3) * n):at + n], lead, lead % 3) for lead in range(N_LEADS)]
    return strips + ([_strip(both[:, RHYTHM, :whole], RHYTHM, 3)] if both.shape[2] > n else [])


def _strip(both: NDArray[np.float64], lead: int, row: int) -> _Strip:
    """Whole units of an ECG and its answers, `(1 + k, n)` in mV, from the median of the ECG."""
    limits = np.iinfo(np.int16)
    units = np.round((both - np.median(both[0])) * _PER_MV).clip(limits.min, limits.max).astype(np.int64)
    edits = units[1:] - units[0]
    scales = np.maximum(1, -(-np.abs(edits).max(axis=1) // 127))
    return _Strip(lead, row, units[0].astype(np.int16), np.round(edits / scales[:, None]).astype(np.int8), scales)


def _panels(strips: list[_Strip], k: int | None = None) -> list[dict[str, Any]]:
    """What the template draws, with the answer `k`; panels of a row are equally high, whatever is shown."""
    panels = []
    for strip in strips:
        row = [np.vstack([other.original, other.answers]) for other in strips if other.row == strip.row]
        high = _squares(max(int(heights.max()) for heights in row) + 60)
        low = _squares(-min(int(heights.min()) for heights in row) + 20)
        panels.append({"lead": LEADS[strip.lead], "width": _STEP * len(strip.original), "height": high + low,
                       "baseline": high, "before": _path(strip.original),
                       "after": "" if k is None else _path(strip.answers[k])})
    return panels


def _squares(units: int) -> int:
    """Round up to whole large squares, at least one and within `_FURTHEST`."""
    return min(max(1, -(-units // _SQUARE)) * _SQUARE, _FURTHEST)


def _path(heights: NDArray[Any]) -> str:
    """An SVG path through heights `(n,)`; the script writes the same."""
    return f"M0 {-int(heights[0])}l" + " ".join(f"{_STEP}{-int(step):+d}" for step in np.diff(heights.astype(np.int64)))


def _packed(pieces: list[NDArray[Any]], kind: str) -> str:
    return b64encode(np.concatenate(pieces).astype(kind).tobytes()).decode()


def _said(sweep: Sweep, k: int) -> str:
    verdict = "" if sweep.valid[k] else ", not reached"
    return f"Wanted {sweep.wanted[k]:.2f}, obtained {sweep.obtained[k]:.2f}{verdict}. This ECG: {sweep.now:.2f}."
