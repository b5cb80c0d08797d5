"""Weights on disk: safetensors whose metadata hold the configuration and the model card. Nothing is unpickled."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from ecgkit.errors import EcgkitError
from ecgkit.models.classifier import Classifier
from ecgkit.models.encoders import build_encoder

FORMAT = "ecgkit-classifier-1"


def save_classifier(model: Classifier, path: str | Path, card: dict[str, Any]) -> None:
    """Write a classifier, whole or not at all.

    Parameters
    ----------
    model : Classifier
    path : path
        Ends in `.safetensors`.
    card : dict
        The model card: what it was trained on and how it scored; must survive JSON.
    """
    path = Path(path)
    config = {"encoder": model.encoder.config, "label_names": model.label_names, "fs": model.fs,
              "crop_len": model.crop_len, "aggregate": model.aggregate}
    partial = path.with_suffix(f".{os.getpid()}.partial")
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}, partial,
              metadata={"format": FORMAT, "config": json.dumps(config), "card": json.dumps(card)})
    os.replace(partial, path)


def load_classifier(path: str | Path) -> Classifier:
    """Read a classifier, in eval mode.

    Parameters
    ----------
    path : path
        A file of `save_classifier`, or the name of a shipped one (`shipped()` lists them).

    Raises
    ------
    EcgkitError
        Where there is no such file, or it is damaged or of another kind.
    """
    path = _resolve(path)
    config = _metadata(path, "config")
    encoder = build_encoder(**config.pop("encoder"))
    model = Classifier(encoder, **config)
    try:
        model.load_state_dict(load_file(path))
    except (RuntimeError, SafetensorError) as error:
        raise EcgkitError(f"{path}: the weights do not fit the configuration in it ({_first_line(error)})") from error
    return model.eval()


def model_card(path: str | Path) -> dict[str, Any]:
    """Model card of a file of weights, or of a shipped classifier by its name."""
    return _metadata(_resolve(path), "card")


def shipped() -> dict[str, Path]:
    """Classifiers that come with the package, by name."""
    folder = Path(str(files("ecgkit.models") / "shipped"))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def _resolve(path: str | Path) -> Path:
    known = shipped()
    if str(path) in known:
        return known[str(path)]
    if not Path(path).is_file():
        raise EcgkitError(f"{path}: no such file of weights; shipped are {', '.join(known) or 'none'}")
    return Path(path)


def _metadata(path: Path, key: str) -> dict[str, Any]:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise EcgkitError(f"{path}: not a readable file of weights ({_first_line(error)})") from error
    if metadata.get("format") != FORMAT:
        raise EcgkitError(f"{path}: holds no classifier of this package; make it with ecgkit.models.save_classifier")
    return dict(json.loads(metadata[key]))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


__all__ = ["load_classifier", "model_card", "save_classifier", "shipped"]
