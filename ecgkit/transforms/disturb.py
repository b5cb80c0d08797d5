"""Noise that electrodes pick up: made at the nine electrodes, so that the leads keep Einthoven's law."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ecgkit.errors import EcgkitError
from ecgkit.leads import CHEST, LIMB_FROM_I_II, N_LEADS
from ecgkit.transforms.draws import normal, uniform

#: Twelve leads (rows) from the potentials of right arm, left arm, left leg and the six chest electrodes. I is left arm
#: minus right arm, II is left leg minus right arm, and a chest lead is against the mean of the limbs (Wilson 1934).
FROM_ELECTRODES = np.block([[LIMB_FROM_I_II @ [[-1, 1, 0], [-1, 0, 1]], np.zeros((N_LEADS - len(CHEST), len(CHEST)))],
                            [np.full((len(CHEST), 3), -1 / 3), np.eye(len(CHEST))]])

#: Corners of the surface electromyogram's power spectrum in Hz (Shwedyk, Balasubramanian & Scott 1977).
EMG_LOW, EMG_HIGH = 60.0, 120.0


def emg_power(frequency: Tensor) -> Tensor:
    """Power of a surface electromyogram at each frequency in Hz, up to a factor: f^2 / ((f^2+l^2) (f^2+h^2)^2)."""
    square = frequency.square()
    return square / ((square + EMG_LOW**2) * (square + EMG_HIGH**2).square())


def add_emg(x: Tensor, amplitude: float, fs: float, generator: torch.Generator | None = None) -> Tensor:
    """Add the noise of muscles to each ECG `(batch, 12, sig_len)`, at every electrode on its own.

    The standard deviation at the electrodes is drawn for each ECG from 0 to `amplitude`, in x's unit; the spectrum is
    `emg_power`, up to half of `fs` Hz. Lead I, between two electrodes, has the square root of 2 of it.
    """
    return x + _electrode_noise(x, amplitude, lambda frequency: emg_power(frequency * fs), generator)


def add_electrode_noise(x: Tensor, amplitude: float, exponent: float = 1.0,
                        generator: torch.Generator | None = None) -> Tensor:
    """Add noise with a power of 1/f^exponent to each ECG `(batch, 12, sig_len)`, at every electrode on its own.

    The standard deviation at the electrodes is drawn for each ECG from 0 to `amplitude`, in x's unit. Exponent 0 is
    white (amplifier), 1 pink (electrode and skin), 2 brown (electrode motion). Its mean is 0 but for exponent 0.
    """
    def power(frequency: Tensor) -> Tensor:
        # The constant has no power to speak of where 1/f has no bound.
        at_zero = 1.0 if exponent == 0 else 0.0
        return torch.where(frequency > 0, frequency.clamp(min=1e-12) ** -exponent, at_zero)
    return x + _electrode_noise(x, amplitude, power, generator)


def _electrode_noise(x: Tensor, amplitude: float, power: Callable[[Tensor], Tensor],
                     generator: torch.Generator | None) -> Tensor:
    """Noise in the leads, `(batch, 12, sig_len)`, of a power that is a function of cycles per sample."""
    if x.ndim != 3 or x.shape[1] != N_LEADS:
        raise EcgkitError(f"signal of shape {tuple(x.shape)}; noise at electrodes needs (batch, {N_LEADS}, sig_len)")
    sig_len = x.shape[-1]
    spectrum = power(torch.fft.fftfreq(sig_len, device=x.device).abs())
    gain = (spectrum / spectrum.mean()).sqrt()[:sig_len // 2 + 1]
    size = amplitude * uniform(x, (len(x), 1, 1), generator)
    white = size * normal(x, (len(x), FROM_ELECTRODES.shape[1], sig_len), generator)
    at_electrodes = torch.fft.irfft(torch.fft.rfft(white) * gain, n=sig_len)
    return (torch.from_numpy(FROM_ELECTRODES).to(at_electrodes) @ at_electrodes).to(x.dtype)
