"""What every model on an encoder shares: its rate, its scale, its windows, and how arrays pass through it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgkit.errors import EcgkitError
from ecgkit.leads import N_LEADS
from ecgkit.progress import track
from ecgkit.transforms import every_crop

#: Neighbouring samples that a first or a last layer takes as one.
FOLD = 2


def folded(x: Tensor) -> Tensor:
    """Map `(batch, channels, n)` to `(batch, FOLD * channels, n / FOLD)`: first samples' channels, then the next."""
    return x.unflatten(-1, (-1, FOLD)).transpose(2, 3).flatten(1, 2)


def unfolded(x: Tensor) -> Tensor:
    """Map `(batch, channels * FOLD, n / FOLD)` to `(batch, channels, n)`, each channel's samples side by side."""
    return x.unflatten(1, (-1, FOLD)).transpose(2, 3).flatten(2, 3)


#: So many batches last longer than a second or two, and get a progress bar.
MANY_BATCHES = 16


class WindowedModel(nn.Module):
    """An encoder that sees ECGs in millivolts, of any length, through evenly spaced windows of `crop_len` samples.

    It maps `(batch, 12, crop_len)` at `fs` Hz to `(batch, encoder.n_features)`. Signals are divided by `millivolts`,
    one number for all leads, so that limb-lead algebra and the heart vector's direction stay: the standard deviation of
    the training signals.
    """

    millivolts: Tensor

    def __init__(self, encoder: nn.Module, *, fs: float, crop_len: int, millivolts: float = 1.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.n_features = int(encoder.n_features)  # type: ignore[arg-type]
        self.fs, self.crop_len = fs, crop_len
        self.register_buffer("millivolts", torch.tensor(float(millivolts)))

    def windows(self, x: Tensor) -> Tensor:
        """Scaled windows `(batch, n_windows, 12, crop_len)` of signals `(batch, 12, sig_len)` in mV.

        Another shape, and signals that are shorter than a window, raise `EcgkitError`.
        """
        if x.ndim != 3 or x.shape[1] != N_LEADS:
            raise EcgkitError(f"signals of shape {tuple(x.shape)}; expected (batch, {N_LEADS}, sig_len)")
        return every_crop(x / self.millivolts, self.crop_len)

    @torch.no_grad()
    def in_batches(self, signals: NDArray[np.float32], batch_size: int, *, n_outputs: int, doing: str) -> Tensor:
        """Outputs `(n, n_outputs)` on the CPU for `(n, 12, sig_len)` in mV, in eval mode.

        A bar that says what it is `doing` counts the batches where there are many.
        """
        device = self.millivolts.device
        # Each module's own: a frozen encoder stays in eval mode inside a model in training.
        modes = [(module, module.training) for module in self.modules()]
        starts = range(0, len(signals), batch_size)
        parts = [torch.empty(0, n_outputs)]
        self.eval()
        try:
            for start in track(starts, doing, unit="batch") if len(starts) > MANY_BATCHES else starts:
                batch = np.array(signals[start:start + batch_size], dtype=np.float32)
                parts.append(self(torch.from_numpy(batch).to(device)).cpu())
        finally:
            for module, mode in modes:
                module.training = mode
        return torch.cat(parts)


class Embedder(WindowedModel):
    """One embedding per ECG in millivolts, of any length from one window on.

    A longer ECG is cut into evenly spaced, half-overlapping windows, whose embeddings are averaged. Parameters are
    those of `Classifier`; `n_features` is the length of an embedding.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Embed signals: `(n, 12, sig_len)` in mV at `self.fs` to `(n, n_features)`."""
        windows = self.windows(x)
        return self.encoder(windows.flatten(0, 1)).unflatten(0, windows.shape[:2]).mean(dim=1)

    def embed(self, signals: NDArray[np.float32], batch_size: int = 64) -> NDArray[np.float32]:
        """Embed `(n, 12, sig_len)` in mV at `self.fs` to `(n, n_features)`, without gradients and in eval mode."""
        return self.in_batches(signals, batch_size, n_outputs=self.n_features, doing="embedding").float().numpy()


class Classifier(WindowedModel):
    """Logits of labels from ECGs in millivolts, of any length from one window on.

    A longer ECG is cut into evenly spaced, half-overlapping windows, whose logits are averaged.

    Parameters
    ----------
    encoder, fs, crop_len, millivolts
        The network that embeds a window, its rate in Hz, its samples, and by what signals are divided.
    label_names : sequence of str
        One per logit.
    dropout, aggregate : float, {"mean", "max"}
        Dropout before the linear layer; how the logits of windows become one.
    """

    def __init__(self, encoder: nn.Module, label_names: Sequence[str], *, fs: float, crop_len: int,
                 millivolts: float = 1.0, dropout: float = 0.5, aggregate: str = "mean") -> None:
        super().__init__(encoder, fs=fs, crop_len=crop_len, millivolts=millivolts)
        if aggregate not in ("mean", "max"):
            raise EcgkitError(f"aggregate {aggregate!r}: choose mean or max")
        self.head = nn.Sequential(nn.BatchNorm1d(self.n_features), nn.Dropout(dropout),
                                  nn.Linear(self.n_features, len(label_names)))
        self.label_names, self.aggregate = tuple(label_names), aggregate

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, 12, sig_len)` in mV to logits `(batch, n_labels)`."""
        crops = self.windows(x)
        logits = self.head(self.encoder(crops.flatten(0, 1))).unflatten(0, crops.shape[:2])
        return logits.mean(dim=1) if self.aggregate == "mean" else logits.amax(dim=1)

    def embedder(self) -> Embedder:
        """The encoder by itself, with the same windows and scale, on the same device."""
        scale = self.millivolts
        return Embedder(self.encoder, fs=self.fs, crop_len=self.crop_len, millivolts=float(scale)).to(scale.device)

    def narrowed(self, label_names: Sequence[str]) -> Classifier:
        """Return a copy that gives only some of the labels, in the order given."""
        wanted = [self.label_names.index(name) for name in label_names]
        copy = deepcopy(self)
        linear = self.head[-1]
        assert isinstance(linear, nn.Linear)
        copy.head[-1] = nn.Linear(linear.in_features, len(wanted))
        copy.head[-1].load_state_dict({name: value[wanted] for name, value in linear.state_dict().items()})
        copy.label_names = tuple(label_names)
        if isinstance(copy, Regressor):
            copy.units = tuple(copy.units[k] for k in wanted)
            copy.centre, copy.scale = copy.centre[wanted], copy.scale[wanted]
        return copy.train(self.training).to(self.millivolts.device)

    def predict(self, signals: NDArray[np.float32], batch_size: int = 64) -> NDArray[np.float64]:
        """Probabilities of the labels, `(n, n_labels)`, of `(n, 12, sig_len)` in mV at `self.fs`."""
        outputs = self.in_batches(signals, batch_size, n_outputs=len(self.label_names), doing="classifying")
        return self.told(outputs.double()).numpy()

    predict_proba = predict  # as scikit-learn, and `ecgkit.training.FewLabelClassifier`, have it

    def told(self, outputs: Tensor) -> Tensor:
        """What outputs `(n, n_labels)` mean: of logits, probabilities."""
        return torch.sigmoid(outputs)


class Regressor(Classifier):
    """Quantities with units, such as intervals or age, from ECGs in millivolts of any length.

    A network like `Classifier`, with a name for each quantity. Outputs are ``(value - centre) / scale`` in place of
    logits, so that most lie within ±4, as logits do; `predict` gives values in `units`. `centre` and `scale` are
    `(n_outputs,)`, by default 0 and 1.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, encoder: nn.Module, label_names: Sequence[str], *, units: Sequence[str], centre: Any = None,
                 scale: Any = None, **options: Any) -> None:
        super().__init__(encoder, label_names, **options)
        self.units, n = tuple(units), len(self.label_names)
        if len(self.units) != n:
            raise EcgkitError(f"{len(units)} units of {n} quantities; give one each")
        self.register_buffer("centre", torch.zeros(n) if centre is None else torch.as_tensor(centre).float())
        self.register_buffer("scale", torch.ones(n) if scale is None else torch.as_tensor(scale).float())

    def told(self, outputs: Tensor) -> Tensor:
        """What outputs `(n, n_outputs)` mean, in units."""
        return outputs * self.scale.cpu() + self.centre.cpu()
