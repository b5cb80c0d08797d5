"""What stands in front of every answer: a record is looked at; one that is no ECG is withheld, and says why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecgkit.datasets.reader import read_record
from ecgkit.errors import RecordError
from ecgkit.leads import LEADS, resample, swapped
from ecgkit.physiology.quality import in_part
from ecgkit.physiology.usable import Usable, usable

if TYPE_CHECKING:
    from ecgkit.models import Classifier
    from ecgkit.training import FewLabelClassifier

#: Rates (Hz) that beats are found at, and the longest recording (s): others are resampled, of longer ones the first
#: part is looked at.
RATES, LONGEST = (100.0, 1000.0), 60.0
CLASSIFIER = "ptbxl-superclass"


@dataclass(frozen=True)
class Seen:
    """A record as it was read, `(12, sig_len)` in mV at `fs` Hz, and what the gate says of it."""

    signal: NDArray[np.float32]
    fs: float
    found: Usable
    novelty: float | None = None

    @property
    def withheld(self) -> str:
        """Why there is no answer, in words; empty where there may be one."""
        return "; ".join(self.found.reasons[0].values())

    @property
    def document(self) -> dict[str, Any]:
        """As JSON has it: usable, reasons where it is withheld, warnings, novelty."""
        return {**self.found.document(), "novelty": self.novelty}

    @property
    def notes(self) -> list[str]:
        """All of it in words."""
        unlike = [] if self.novelty is None else [f"less like the training ECGs than {self.novelty:g} % of them"]
        return [*self.found.reasons[0].values(), *self.found.warnings[0].values(), *unlike]

    def at(self, fs: float) -> NDArray[np.float32]:
        """The signal as one ECG, `(1, 12, sig_len)`, at a rate in Hz."""
        return resample(self.signal, self.fs, fs).astype(np.float32)[None]

    def refusal(self, path: Path) -> RecordError:
        """Why there is no answer, as an error of the record."""
        return RecordError(str(path), f"withheld: {self.withheld} (--anyway answers all the same)")

    def or_withheld(self, path: Path, anyway: bool) -> Seen:
        """The same; `RecordError` where it is withheld and not asked for anyway."""
        if self.withheld and not anyway:
            raise self.refusal(path)
        return self


class Gate:
    """Looks at records.

    Novelty is about the training ECGs of the classifier `name`, a shipped network or a few-label one of the same ECGs;
    others have none. Where `classifier`, the same, is given, it also says what it would with electrodes plugged back.
    """

    def __init__(self, name: str = CLASSIFIER, classifier: Classifier | FewLabelClassifier | None = None) -> None:
        from ecgkit.models import load_classifier, model_card
        from ecgkit.models.novelty import shipped_novelty
        from ecgkit.models.weights import shipped_few_labels

        if name in shipped_few_labels() and model_card(name)["fingerprint"] == model_card(CLASSIFIER)["fingerprint"]:
            name = CLASSIFIER
        self._novelty, self._says = shipped_novelty(name), classifier
        self._network = load_classifier(name) if self._novelty else None

    def __call__(self, path: Path) -> Seen:
        """Read a record and look at it; see `read_record` for what it raises."""
        try:
            signal, fs, _ = read_record(path)
        except RecordError:
            _refuse_parts(path)
            raise
        return self.look(signal, fs)

    def look(self, signal: NDArray[np.float32], fs: float) -> Seen:
        """Look at an ECG `(12, sig_len)` in mV."""
        rate = min(max(fs, RATES[0]), RATES[1])
        found = usable(resample(signal, fs, rate).astype(np.float32)[None, :, :int(LONGEST * rate)], rate)
        seen, pair, says, network = Seen(signal, fs, found), found.swaps[0], self._says, self._network
        short = any(signal.shape[1] / fs < model.crop_len / model.fs for model in (says, network) if model is not None)
        if short or not np.isfinite(signal).all():
            return seen
        if says is not None and pair:
            code = next(code for code in found.warnings[0] if code.endswith("_electrodes"))
            right = swapped(seen.at(says.fs), pair)
            found.warnings[0][code] += f"; plugged back, the classifier would say {_said(says, right)}"
        if self._novelty is None or network is None:
            return seen
        return replace(seen, novelty=round(float(self._novelty.percentile(network, seen.at(network.fs))[0]), 1))


def _refuse_parts(path: Path) -> None:
    """Say so where the reader refused a record whose leads were recorded one after another, as on paper."""
    signal, fs, _ = read_record(path, keep_faulty=True)
    partly = in_part(signal[None], fs)[0]
    if partly.any():
        names = ", ".join(np.array(LEADS)[partly])
        raise RecordError(str(path), f"leads {names} were recorded only for a part of the time; a network takes twelve "
                                     "leads at the same time, so it has no answer (ecgkit measure has: it measures "
                                     "what is there)") from None


def _said(model: Classifier | FewLabelClassifier, x: NDArray[np.float32]) -> str:
    """The labels that a classifier gives one half or more, or else the likeliest."""
    probabilities = model.predict_proba(x)[0]
    likely = [k for k in np.argsort(-probabilities) if probabilities[k] >= 0.5] or [int(probabilities.argmax())]
    return ", ".join(f"{model.label_names[k]} {probabilities[k]:.2f}" for k in likely)
