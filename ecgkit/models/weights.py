"""Weights on disk: safetensors whose metadata hold the configuration and the model card. Nothing is unpickled."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from ecgkit.errors import EcgkitError
from ecgkit.models.delineator import Delineator
from ecgkit.models.encoders import build_encoder
from ecgkit.models.generator import Discriminator, Generator
from ecgkit.models.windowed import Classifier, Embedder

#: The shipped encoder that `pretrained` gives, and the shipped delineator.
BEST = "simulator"
DELINEATES = "unet"

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class _Kind:
    """A kind of model that files hold: its name, the format that they tell, and where shipped ones lie."""

    name: str
    format: str
    folder: str

    def shipped(self) -> dict[str, Path]:
        folder = Path(str(files("ecgkit.models"))) / self.folder
        return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


CLASSIFIER = _Kind("classifier", "ecgkit-classifier-1", "shipped")
ENCODER = _Kind("encoder", "ecgkit-encoder-1", "shipped/encoders")
DELINEATOR = _Kind("delineator", "ecgkit-delineator-1", "shipped/delineators")
EXPLAINER = _Kind("explainer", "ecgkit-explainer-1", "shipped/explainers")


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
    _save(model, path, CLASSIFIER, _classifier_config(model), card)


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
    return _load(path, CLASSIFIER, _build_classifier)


def save_encoder(embedder: Embedder, path: str | Path, card: dict[str, Any]) -> None:
    """Write a pretrained encoder, whole or not at all.

    Parameters
    ----------
    embedder : Embedder
    path : path
        Ends in `.safetensors`.
    card : dict
        The model card: what it was pretrained on, how, and how it scored; must survive JSON.
    """
    config = {"encoder": embedder.encoder.config, "fs": embedder.fs, "crop_len": embedder.crop_len}
    _save(embedder, path, ENCODER, config, card)


def load_encoder(path_or_name: str | Path) -> Embedder:
    """Read a pretrained encoder, in eval mode.

    Parameters
    ----------
    path_or_name : path
        A file of `save_encoder`, or the name of a shipped one (`shipped_encoders()` lists them).

    Raises
    ------
    EcgkitError
        Where there is no such file, or it is damaged or of another kind.
    """
    return _load(path_or_name, ENCODER, lambda config: Embedder(build_encoder(**config.pop("encoder")), **config))


def save_delineator(model: Delineator, path: str | Path, card: dict[str, Any]) -> None:
    """Write a delineator, whole or not at all; see `save_classifier`."""
    _save(model, path, DELINEATOR, model.config, card)


def load_delineator(path_or_name: str | Path = DELINEATES) -> Delineator:
    """Read a delineator, in eval mode.

    Parameters
    ----------
    path_or_name : path
        A file of `save_delineator`, or the name of a shipped one; by default the one that comes with the package.

    Raises
    ------
    EcgkitError
        Where there is no such file, or it is damaged or of another kind.
    """
    return _load(path_or_name, DELINEATOR, lambda config: Delineator(**config))


def save_explainer(generator: Generator, discriminator: Discriminator, twins: Sequence[Classifier], path: str | Path,
                   about: dict[str, Any], card: dict[str, Any]) -> None:
    """Write the networks of a counterfactual explainer, in half precision, whole or not at all.

    Parameters
    ----------
    generator, discriminator, twins : Module
        The classifier that is explained is kept in a file of its own (`save_classifier`).
    path : path
        Ends in `.safetensors`.
    about : dict
        What the explainer needs beside its networks; must survive JSON.
    card : dict
        The model card.
    """
    config = {"generator": generator.config, "discriminator": discriminator.config,
              "twins": [_classifier_config(twin) for twin in twins], "about": about}
    parts = deepcopy(nn.ModuleDict(_named(generator, discriminator, twins)))
    _save(parts.half(), path, EXPLAINER, config, card)


def load_explainer(path_or_name: str | Path) -> tuple[nn.ModuleDict, dict[str, Any]]:
    """Read the networks of an explainer, in eval mode, and what `save_explainer` was told about it.

    Raises
    ------
    EcgkitError
        Where there is no such file, or it is damaged or of another kind.
    """
    def build(config: dict[str, Any]) -> nn.ModuleDict:
        return nn.ModuleDict(_named(Generator(**config["generator"]), Discriminator(**config["discriminator"]),
                                    [_build_classifier(twin) for twin in config["twins"]]))

    path = _resolve(path_or_name, EXPLAINER)
    return _load(path, EXPLAINER, build), json.loads(_metadata(path, EXPLAINER)["config"])["about"]


def pretrained(name: str = BEST) -> Embedder:
    """Give an encoder that comes with the package, in eval mode.

    Parameters
    ----------
    name : str
        One of `shipped_encoders()`; by default the best of them.

    Returns
    -------
    Embedder
        From `(n, 12, sig_len)` float32 in millivolts, sampled at its attribute `fs`, to `(n, n_features)`.

    Raises
    ------
    EcgkitError
        Where none of that name is shipped.
    """
    known = shipped_encoders()
    if name not in known:
        raise EcgkitError(f"no encoder called {name!r} is shipped; there are {', '.join(known) or 'none'} "
                          "(load_encoder reads a file of your own)")
    return load_encoder(known[name])


def model_card(path_or_name: str | Path) -> dict[str, Any]:
    """Model card of a file of weights, or of a shipped model by its name."""
    kinds = CLASSIFIER, ENCODER, DELINEATOR, EXPLAINER
    return dict(json.loads(_metadata(_resolve(path_or_name, *kinds), *kinds)["card"]))


def shipped() -> dict[str, Path]:
    """Classifiers that come with the package, by name."""
    return CLASSIFIER.shipped()


def shipped_encoders() -> dict[str, Path]:
    """Pretrained encoders that come with the package, by name."""
    return ENCODER.shipped()


def shipped_explainers() -> dict[str, Path]:
    """Counterfactual explainers that come with the package, by name: each is called as the classifier it explains."""
    return EXPLAINER.shipped()


def _classifier_config(model: Classifier) -> dict[str, Any]:
    return {"encoder": model.encoder.config, "label_names": model.label_names, "fs": model.fs,
            "crop_len": model.crop_len, "aggregate": model.aggregate}


def _build_classifier(config: dict[str, Any]) -> Classifier:
    return Classifier(build_encoder(**config.pop("encoder")), **config)


def _named(generator: Generator, discriminator: Discriminator, twins: Sequence[Classifier]) -> dict[str, nn.Module]:
    return {"generator": generator, "discriminator": discriminator,
            **{f"twin{k}": twin for k, twin in enumerate(twins)}}


def _save(model: nn.Module, path: str | Path, kind: _Kind, config: dict[str, Any], card: dict[str, Any]) -> None:
    path = Path(path)
    metadata = {"format": kind.format, "config": json.dumps(config), "card": json.dumps(card)}
    partial = path.with_suffix(f".{os.getpid()}.partial")
    # A clone each: safetensors refuses tensors that share memory, as tied weights do.
    save_file({name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()},
              partial, metadata=metadata)
    os.replace(partial, path)


def _load(path: str | Path, kind: _Kind, build: Callable[[dict[str, Any]], Model]) -> Model:
    path = _resolve(path, kind)
    model = build(json.loads(_metadata(path, kind)["config"]))
    try:
        model.load_state_dict(load_file(path))
    except (RuntimeError, SafetensorError) as error:
        raise EcgkitError(f"{path}: the weights do not fit the configuration in it ({_first_line(error)})") from error
    return model.eval()


def _resolve(path: str | Path, *kinds: _Kind) -> Path:
    # A classifier and its explainer share a name: the kind that is named first has it.
    known = {name: file for kind in reversed(kinds) for name, file in kind.shipped().items()}
    if str(path) in known:
        return known[str(path)]
    if not Path(path).is_file():
        raise EcgkitError(f"{path}: no such file of weights; shipped are {', '.join(known) or 'none'}")
    return Path(path)


def _metadata(path: Path, *kinds: _Kind) -> dict[str, str]:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise EcgkitError(f"{path}: not a readable file of weights ({_first_line(error)})") from error
    if metadata.get("format") not in [kind.format for kind in kinds]:
        wanted = " or ".join(kind.name for kind in kinds)
        raise EcgkitError(f"{path}: holds no {wanted} of this package; make it with ecgkit.save_{kinds[0].name}")
    return metadata


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


__all__ = ["BEST", "load_classifier", "load_delineator", "load_encoder", "load_explainer", "model_card", "pretrained",
           "save_classifier", "save_delineator", "save_encoder", "save_explainer", "shipped", "shipped_encoders",
           "shipped_explainers"]
