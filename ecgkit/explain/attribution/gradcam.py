"""Grad-CAM and guided backpropagation on networks over time, windowed or not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ecgkit.errors import EcgkitError
from ecgkit.models.windowed import WindowedModel
from ecgkit.transforms import every_crop


def class_activation(model: nn.Module, x: Tensor, target: int, *, rectify: bool = False) -> Tensor:
    """Grad-CAM of one logit over time, `(batch, 1, sig_len)`: one row, since the network has mixed its leads.

    Selvaraju et al. 2017, eq. 1 and 2, by captum; negative values stay unless `rectify`, as in the paper. Each window
    of a `WindowedModel`, which is in eval mode, has its own map, and the maps are added where windows overlap, as
    gradients are.
    """
    from captum.attr import LayerAttribution, LayerGradCam

    layer = last_convolution(model, x[:1])
    cam = LayerGradCam(model, layer).attribute(x, target=target, relu_attributions=rectify)
    length = model.crop_len if isinstance(model, WindowedModel) else x.shape[-1]
    fine = LayerAttribution.interpolate(cam, (length,), "linear").detach()
    if not isinstance(model, WindowedModel):
        return fine
    # The way back of cutting windows is to add them up.
    whole = torch.zeros_like(x[:, :1]).requires_grad_()
    with torch.enable_grad():
        windows = every_crop(whole, length)
    return torch.autograd.grad(windows, whole, fine.reshape(windows.shape))[0]


def last_convolution(model: nn.Module, x: Tensor) -> nn.Module:
    """Find the module that ends last of those that convolve and still have a time axis: usually a whole block.

    So the map of a residual network is that of the last block with its shortcut, not of the convolution inside. Without
    one an `EcgkitError` is raised.
    """
    ended: list[nn.Module] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 3 and output.shape[-1] > 1:
            ended.append(module)

    convolving = [module for module in model.modules() if any(isinstance(m, nn.Conv1d) for m in module.modules())]
    hooks = [module.register_forward_hook(note) for module in convolving]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
    if not ended:
        raise EcgkitError(f"{type(model).__name__} has no convolution over time (torch.nn.Conv1d), which Grad-CAM "
                          "needs; choose another method")
    return ended[-1]


class GuidedBackprop(TorchFunctionMode):
    """Within it rectifiers let only positive gradients pass (Springenberg et al. 2015).

    captum's own looks for `nn.ReLU` modules and would miss rectifiers that a network calls as a function, as residual
    blocks do.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace rectifiers, and let everything else be."""
        if func in (torch.relu, functional.relu, Tensor.relu):
            return _GuidedReLU.apply(args[0] if args else kwargs["input"])  # type: ignore[no-untyped-call]
        return func(*args, **(kwargs or {}))


class _GuidedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x > 0)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0].clamp(min=0) * ctx.saved_tensors[0]
