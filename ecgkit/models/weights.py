"""Weights on disk: safetensors whose metadata hold the configuration and the model card. Nothing is unpickled.

Every `save_...` writes a file (named `.safetensors`) whole or not at all. Every `load_...` takes such a file or the
name of one that comes with the package, and raises `EcgkitError` where there is none, or it is damaged or of another
kind.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from ecgkit.errors import EcgkitError
from ecgkit.models.delineator import Delineator
from ecgkit.models.encoders import build_encoder
from ecgkit.models.generator import Discriminator, Generator
from ecgkit.models.windowed import Classifier, Embedder, Regressor

#: The shipped encoder that `pretrained` gives, and the shipped delineator.
BEST = "physiology"
DELINEATES = "unet"

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class _Kind(Generic[Model]):
    """A kind of model that files hold: its name, where shipped ones lie, and how one is built of its configuration."""

    name: str
    folder: str
    build: Callable[[dict[str, Any]], Model] | None  #: none where it is more than a network

    @property
    def format(self) -> str:
        return f"ecgkit-{self.name}-1"

    def shipped(self) -> dict[str, Path]:
        folder = Path(str(files("ecgkit.models"))) / self.folder
        return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}

    def save(self, model: Model, path: str | Path, config: dict[str, Any], card: dict[str, Any]) -> None:
        metadata = {"format": self.format, "config": json.dumps(config), "card": json.dumps(card)}
        partial = Path(path).with_suffix(f".{os.getpid()}.partial")
        # A clone each: safetensors refuses tensors that share memory, as tied weights do.
        save_file({name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()},
                  partial, metadata=metadata)
        os.replace(partial, path)

    def load(self, path_or_name: str | Path) -> Model:
        path = _resolve(path_or_name, self)
        config = _metadata(path, self)["config"]
        assert self.build is not None
        try:
            model = self.build(config)
            model.load_state_dict(load_file(path))
        except Exception as error:  # a damaged configuration fails in whatever way networks are built
            raise EcgkitError(f"{path}: the weights do not fit the configuration in it "
                              f"({_first_line(error)})") from error
        return model.eval()


def _build_classifier(config: dict[str, Any]) -> Classifier:
    return (Regressor if "units" in config else Classifier)(build_encoder(**config.pop("encoder")), **config)


def _build_explainer(config: dict[str, Any]) -> nn.ModuleDict:
    if not isinstance(config["about"], dict):
        raise ValueError("nothing is told about the explainer")
    return _together(Generator(**config["generator"]), Discriminator(**config["discriminator"]),
                     [_build_classifier(twin) for twin in config["twins"]])


def _together(generator: Generator, discriminator: Discriminator, twins: Sequence[Classifier]) -> nn.ModuleDict:
    return nn.ModuleDict({"generator": generator, "discriminator": discriminator,
                          **{f"twin{k}": twin for k, twin in enumerate(twins)}})


_CLASSIFIER = _Kind("classifier", "shipped", _build_classifier)
_REGRESSOR: _Kind[Any] = _Kind("regressor", "shipped/regressors", _build_classifier)
_ENCODER = _Kind("encoder", "shipped/encoders",
                 lambda config: Embedder(build_encoder(**config.pop("encoder")), **config))
_TEXTBOOK = _Kind("classifier", "shipped/textbooks", _build_classifier)
_DELINEATOR = _Kind("delineator", "shipped/delineators", lambda config: Delineator(**config))
_EXPLAINER = _Kind("explainer", "shipped/explainers", _build_explainer)
_FEW_LABELS: _Kind[Any] = _Kind("few-labels", "shipped/few_labels", None)
#: A classifier and its explainer share a name: the kind that stands first has it.
_KINDS: tuple[_Kind[Any], ...] = (_CLASSIFIER, _FEW_LABELS, _ENCODER, _DELINEATOR, _REGRESSOR, _EXPLAINER)


def save_classifier(model: Classifier, path: str | Path, card: dict[str, Any]) -> None:
    """Write a classifier and its model card: what it was trained on and how it scored; must survive JSON."""
    _CLASSIFIER.save(model, path, _classifier_config(model), card)


def load_classifier(path: str | Path) -> Classifier:
    """Read a classifier, in eval mode: a file of `save_classifier`, or a name in `shipped()`."""
    return _CLASSIFIER.load(path)


def save_regressor(model: Regressor, path: str | Path, card: dict[str, Any]) -> None:
    """Write a regressor and its model card."""
    _REGRESSOR.save(model, path, _classifier_config(model), card)


def load_regressor(path: str | Path) -> Regressor:
    """Read a regressor, in eval mode: a file of `save_regressor`."""
    return cast(Regressor, _REGRESSOR.load(path))


def save_encoder(embedder: Embedder, path: str | Path, card: dict[str, Any]) -> None:
    """Write a pretrained encoder and its model card: what it was pretrained on, how, and how it scored."""
    config = {"encoder": embedder.encoder.config, "fs": embedder.fs, "crop_len": embedder.crop_len}
    _ENCODER.save(embedder, path, config, card)


def load_encoder(path_or_name: str | Path) -> Embedder:
    """Read a pretrained encoder, in eval mode: a file of `save_encoder`, or a name in `shipped_encoders()`."""
    return _ENCODER.load(path_or_name)


def save_delineator(model: Delineator, path: str | Path, card: dict[str, Any]) -> None:
    """Write a delineator and its model card."""
    _DELINEATOR.save(model, path, model.config, card)


def load_delineator(path_or_name: str | Path = DELINEATES) -> Delineator:
    """Read a delineator, in eval mode; by default the one that comes with the package."""
    return _DELINEATOR.load(path_or_name)


def save_explainer(generator: Generator, discriminator: Discriminator, twins: Sequence[Classifier], path: str | Path,
                   about: dict[str, Any], card: dict[str, Any]) -> None:
    """Write the networks of a counterfactual explainer, in half precision, and its model card.

    `about`, which must survive JSON, is what it needs beside them; the classifier that is explained is kept in a file
    of its own (`save_classifier`).
    """
    config = {"generator": generator.config, "discriminator": discriminator.config,
              "twins": [_classifier_config(twin) for twin in twins], "about": about}
    _EXPLAINER.save(deepcopy(_together(generator, discriminator, twins)).half(), path, config, card)


def load_explainer(path_or_name: str | Path) -> tuple[nn.ModuleDict, dict[str, Any]]:
    """Read the networks of an explainer, in eval mode, and what `save_explainer` was told about it."""
    path = _resolve(path_or_name, _EXPLAINER)
    return _EXPLAINER.load(path), _metadata(path, _EXPLAINER)["config"]["about"]


def pretrained(name: str = BEST) -> Embedder:
    """Give an encoder that comes with the package, in eval mode; `EcgkitError` where none of that name does.

    Parameters
    ----------
    name : str
        One of `shipped_encoders()`; by default the best of them.

    Returns
    -------
    Embedder
        From `(n, 12, sig_len)` float32 in millivolts, sampled at its attribute `fs`, to `(n, n_features)`.
    """
    known = shipped_encoders()
    if name not in known:
        raise EcgkitError(f"no encoder called {name!r} is shipped; there are {', '.join(known) or 'none'} "
                          "(load_encoder reads a file of your own)")
    return load_encoder(known[name])


def load_textbook(name: str = BEST) -> Classifier:
    """Give a shipped encoder with what simulator and rules say of labels, as a head (`ecgkit.training.textbook`)."""
    return _TEXTBOOK.load(_TEXTBOOK.shipped()[name])


def load_backbone(path_or_name: str | Path) -> Embedder | Classifier:
    """Read an encoder or a classifier, in eval mode; of a shipped encoder that has a textbook, the textbook."""
    kinds = (_TEXTBOOK, _ENCODER, _CLASSIFIER)
    path = _resolve(path_or_name, *kinds)
    return (_ENCODER if _metadata(path, *kinds)["format"] == _ENCODER.format else _CLASSIFIER).load(path)


def holds_few_labels(path_or_name: str | Path) -> bool:
    """Whether it is a few-label classifier, and no network; `EcgkitError` where it is neither."""
    kinds = (_CLASSIFIER, _FEW_LABELS)
    return bool(_metadata(_resolve(path_or_name, *kinds), *kinds)["format"] == _FEW_LABELS.format)


def model_card(path_or_name: str | Path) -> dict[str, Any]:
    """Model card of a file of weights, or of a shipped model by its name."""
    return dict(_metadata(_resolve(path_or_name, *_KINDS), *_KINDS)["card"])


def shipped() -> dict[str, Path]:
    """Classifiers that come with the package, by name."""
    return _CLASSIFIER.shipped()


def shipped_few_labels() -> dict[str, Path]:
    """Few-label classifiers (`ecgkit.training.FewLabelClassifier`) that come with the package, by name."""
    return _FEW_LABELS.shipped()


def shipped_encoders() -> dict[str, Path]:
    """Pretrained encoders that come with the package, by name."""
    return _ENCODER.shipped()


def shipped_explainers() -> dict[str, Path]:
    """Counterfactual explainers that come with the package, by name: each is called as the classifier it explains."""
    return _EXPLAINER.shipped()


def _classifier_config(model: Classifier) -> dict[str, Any]:
    told = {"encoder": model.encoder.config, "label_names": model.label_names, "fs": model.fs,
            "crop_len": model.crop_len, "aggregate": model.aggregate}
    return told | ({"units": model.units} if isinstance(model, Regressor) else {})


def _resolve(path: str | Path, *kinds: _Kind[Any]) -> Path:
    known = {name: file for kind in reversed(kinds) for name, file in kind.shipped().items()}
    if str(path) in known:
        return known[str(path)]
    if not Path(path).is_file():
        raise EcgkitError(f"{path}: no such file of weights; shipped are {', '.join(known) or 'none'}")
    return Path(path)


def _metadata(path: Path, *kinds: _Kind[Any]) -> dict[str, Any]:
    """Format, configuration and model card of a file of weights of these kinds."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise EcgkitError(f"{path}: not a readable file of weights ({_first_line(error)})") from error
    if metadata.get("format") not in [kind.format for kind in kinds]:
        wanted = " or ".join(dict.fromkeys(kind.name for kind in kinds))
        raise EcgkitError(f"{path}: holds no {wanted} of this package; make it with ecgkit.save_{kinds[0].name}")
    try:
        return {"format": metadata["format"], **{part: json.loads(metadata[part]) for part in ("config", "card")}}
    except (KeyError, ValueError) as error:
        raise EcgkitError(f"{path}: its configuration or model card is damaged ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
