"""ecgkit: machine learning on 12-lead ECGs that needs fewer labels and shows its reasons.

>>> import ecgkit
>>> data = ecgkit.load("synthetic")                                   # an ECGDataset
>>> model, history = ecgkit.train_classifier(data.train, validation=data.validation)
>>> ecgkit.evaluate(model, data.test)                                 # AUROC and more, with intervals
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

#: Where each public name lives; imported when first asked for, since torch alone takes over a second.
_LAZY = {
    "ECGDataset": "ecgkit.datasets", "from_arrays": "ecgkit.datasets", "load": "ecgkit.datasets",
    "EcgkitError": "ecgkit.errors", "RecordError": "ecgkit.errors",
    "evaluate": "ecgkit.training", "train_classifier": "ecgkit.training",
    "SupervisedSettings": "ecgkit.training", "Schedule": "ecgkit.training", "FewLabelClassifier": "ecgkit.training",
    "pretrain": "ecgkit.training.pretrain", "PretrainSettings": "ecgkit.training.pretrain",
    "finetune": "ecgkit.training.finetune", "FinetuneSettings": "ecgkit.training.finetune",
    "load_classifier": "ecgkit.models", "save_classifier": "ecgkit.models",
    "pretrained": "ecgkit.models", "load_encoder": "ecgkit.models", "save_encoder": "ecgkit.models",
    "Embedder": "ecgkit.models",
}
__all__ = ["__version__", *_LAZY]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    try:
        return import_module(f"ecgkit.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"ecgkit.{name}":
            raise
        raise AttributeError(f"module 'ecgkit' has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
