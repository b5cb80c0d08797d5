"""The encoders by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from ecgkit.errors import EcgkitError
from ecgkit.models.cpc import CPCEncoder, S4DEncoder
from ecgkit.models.xresnet import DEPTHS, DualStream, XResNet1d

#: Each builds a module with `n_features` and with `config`, from which `build_encoder(**config)` builds it again.
ENCODERS: dict[str, Callable[..., nn.Module]] = {
    **{name: partial(XResNet1d, name) for name in DEPTHS},
    "dual_stream": DualStream,
    "cpc": CPCEncoder,
    "s4d": S4DEncoder,
}


def build_encoder(name: str, **options: Any) -> nn.Module:
    """Build an encoder with fresh weights.

    Raises
    ------
    EcgkitError
        Where there is no encoder of that name, or it has no such option.
    """
    if name not in ENCODERS:
        raise EcgkitError(f"unknown encoder {name!r}; choose from {', '.join(ENCODERS)}")
    try:
        return ENCODERS[name](**options)
    except TypeError as error:
        raise EcgkitError(f"encoder {name}: {error}") from error
