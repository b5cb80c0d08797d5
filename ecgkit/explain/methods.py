"""The two generators by name: ours, and the cycle GAN of the literature in the same trainer."""

from __future__ import annotations

from ecgkit.errors import EcgkitError
from ecgkit.explain.adversarial import GANSettings
from ecgkit.explain.objective import Weights

METHODS = {
    "gan": "residual conditional GAN with time warp",
    "cyclegan": "CycleGAN with the classifier's answer (GANterfactual: Mertes et al. 2022)",
}


def settings_of(method: str, steps: int) -> GANSettings:
    """Settings of a generator.

    "cyclegan" draws the ECG anew, bends no time, is asked for the two ends only, and is paid for the classifier's
    answer, for deceiving the discriminator and for the way back; nothing keeps its edits small or other labels as they
    are, and it persuades one network only.

    Raises
    ------
    EcgkitError
        For an unknown method.
    """
    if method not in METHODS:
        raise EcgkitError(f"no method {method!r}; choose from {', '.join(METHODS)}")
    if method == "gan":
        return GANSettings(steps=steps)
    bare = Weights(reach=1.0, keep=0.0, adversarial=1.0, size=0.0, count=0.0, group=0.0, smooth=0.0, local=0.0,
                   warp=0.0, cycle=40.0, variety=0.0)
    return GANSettings(steps=steps, graded=False, warmup=0.0, blur_hz=(40.0, 40.0), noise_mv=0.0, n_noise=0,
                       weights=bare, generator={"residual": False, "warp_ms": 0.0})
